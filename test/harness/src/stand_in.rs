//! A stand-in for Humility, for the tests of the scripts in `humility-scripts`.
//!
//! What the scripts decode themselves, memory and files of the archive, comes from the dump. The
//! rest is text that stock Humility 0.13.2 printed for dumps of this application, column for
//! column, put together so that each script has something to show. The scripts must not rely on
//! more than that: not on a column that is not there, not on a read of any length.

use crate::core_dump::CoreDump;
use anyhow::{Context, Result, bail};
use std::io::{Cursor, Read, Write};
use std::path::Path;
use std::process::ExitCode;

/// `tasks -slr`
const TASKS: &str = include_str!("stand_in/tasks.txt");

/// `stackmargin`
const STACKS: &str = include_str!("stand_in/stacks.txt");

/// `ringbuf crashlog`
const RING: &str = include_str!("stand_in/ring-crashlog.txt");

/// `ringbuf jefe`
const JEFE: &str = include_str!("stand_in/ring-jefe.txt");

/// `counters`
const COUNTERS: &str = include_str!("stand_in/counters.txt");

/// The most bytes that `readmem` reads.
const READ_MAX: u32 = 65536;

/// Humility's exit codes: a command that failed, and one that it does not have.
const FAILED: u8 = 1;
const USAGE: u8 = 2;

/// Answers like Humility with these arguments. An archive stands for a live target.
pub fn run(arguments: &[String]) -> ExitCode {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let ["-d" | "-a", file, command @ ..] = words.as_slice() else {
        return usage(&words);
    };
    let mut out = std::io::stdout().lock();
    let outcome = match command {
        // Commands that a script or `./x humility` only passes on.
        ["map"] | [.., "-l"] | [.., "list"] => Ok(format!("{}\n", words.join(" "))),
        ["extract", member] => extract(Path::new(file), member),
        ["readmem", "-w", address, length] => read_memory(Path::new(file), address, length),
        _ => match fixed(command) {
            Some(text) => Ok(text),
            None => return usage(&words),
        },
    };
    eprintln!("humility: attached to dump");
    let written = outcome.and_then(|text| Ok(out.write_all(text.as_bytes())?));
    let Err(cause) = written else {
        return ExitCode::SUCCESS;
    };
    let name = command.first().unwrap_or(&"");
    eprintln!("humility {name} failed: {cause}");
    ExitCode::from(FAILED)
}

fn usage(words: &[&str]) -> ExitCode {
    eprintln!("error: unexpected arguments '{}' found", words.join(" "));
    ExitCode::from(USAGE)
}

/// What a command prints that does not depend on the dump.
fn fixed(command: &[&str]) -> Option<String> {
    match command {
        ["tasks", "-sl"] => Some(without_registers(TASKS)),
        ["tasks", "-slr", task] => Some(of_task(TASKS, task)),
        ["stackmargin"] => Some(STACKS.into()),
        ["ringbuf", "crashlog"] => Some(RING.into()),
        ["ringbuf", "jefe"] => Some(JEFE.into()),
        ["counters"] => Some(COUNTERS.into()),
        _ => None,
    }
}

/// The heading, and the lines of one task.
fn of_task(tasks: &str, name: &str) -> String {
    let mut shown = true;
    let lines = tasks.lines().filter(|line| {
        if is_row(line) {
            shown = line.split_whitespace().nth(1) == Some(name);
        }
        shown
    });
    lines.map(|line| format!("{line}\n")).collect()
}

/// The tasks with their stacks alone, and without the bars that lead on to the registers.
fn without_registers(tasks: &str) -> String {
    let mut text = String::new();
    let (mut in_registers, mut after_row) = (false, false);
    for line in tasks.lines() {
        in_registers = (in_registers || line.starts_with("   +--->   R0")) && !line.is_empty();
        if !in_registers && (line != "   |" || after_row) {
            text.push_str(&line.replacen("   |  ", "      ", 1));
            text.push('\n');
        }
        after_row = is_row(line);
    }
    text
}

/// Whether a line begins the entry of a task: ` 5 worker ...`.
fn is_row(line: &str) -> bool {
    let first = line.split_whitespace().next();
    first.is_some_and(|id| id.parse::<u32>().is_ok())
}

fn number(text: &str) -> Result<u32> {
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.with_context(|| format!("`{text}` is not a number"))
}

fn extract(dump: &Path, member: &str) -> Result<String> {
    let mut zip = zip::ZipArchive::new(Cursor::new(CoreDump::read(dump)?.archive))?;
    let mut text = String::new();
    zip.by_name(member)?.read_to_string(&mut text)?;
    eprintln!("humility: extracting {member} to stdout");
    Ok(text)
}

/// What `readmem -w` prints: four words a line, and their characters.
fn read_memory(dump: &Path, address: &str, length: &str) -> Result<String> {
    let (address, length) = (number(address)?, number(length)?);
    if length > READ_MAX {
        bail!("cannot read more than {READ_MAX} bytes");
    }
    let dump = CoreDump::read(dump)?;
    let found = dump.segments.iter().find_map(|(start, bytes)| {
        let at = address.checked_sub(*start)? as usize;
        bytes.get(at..at.checked_add(length as usize)?)
    });
    let memory =
        found.with_context(|| format!("could not find addr {address:#x} in flash or memory"))?;
    let mut text = String::from("                   \\/        4        8        c\n");
    for (line, bytes) in (0..).zip(memory.chunks(16)) {
        let words: Vec<String> = bytes
            .chunks_exact(4)
            .map(|word| {
                let word = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
                format!("{word:08x}")
            })
            .collect();
        let shown = |byte: &u8| {
            if byte.is_ascii_graphic() || *byte == b' ' {
                char::from(*byte)
            } else {
                '.'
            }
        };
        let letters: String = bytes.iter().map(shown).collect();
        let words = words.join(" ");
        text.push_str(&format!(
            "{:#010x} | {words} | {letters}\n",
            address + 16 * line
        ));
    }
    Ok(text)
}
