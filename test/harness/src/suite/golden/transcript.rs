//! A transcript: each command of the host tool over one card, with what it prints, its exit code,
//! and what is in the files that it writes.

use super::{BUILDS, IMAGE};
use crate::core_dump::CoreDump;
use crate::paths;
use crate::tool::Tool;
use anyhow::{Context, Result, ensure};
use crashlog_format::Crc32c;
use std::fmt::Write;
use std::fs::{self, File};
use std::io::Cursor;
use std::path::Path;
use zip::ZipArchive;

/// The files that commands write.
const CORE: &str = "core";
const HYDRATE: &str = "hydrate.zip";
const REPORT: &str = "report.html";

/// The commands, in this order; `@` is the card, and `+` the folder of archives. The last ones
/// change the card.
const COMMANDS: &str = "\
list @
list --json @
show @
show --lines 3 --archive + @
show --lines 3 --tasks all --archive + @
show --lines 3 --json @
show --lines 3 --json --archive + @
show --archive + --archive-mismatch-ok @ 99
boots @
boots --archive + @
boots --json --boot -1..last @
log @
log --archive + @
log --json --boot 2 --archive + @
log --stream event --level warn --archive + @
log --boot 2 --task 1 @
log --boot last --stream boot @
log --raw --boot 1 --stream console @
verify @
verify --json @
dump @ -o core
dump @ -o core --archive +
dump @ -o core --archive +
dump @ -o hydrate.zip --hydrate --archive +
report @ -o report.html --archive +
report @ -o report.html
report @ -o report.html --force --lines 3
format @
erase @ 1
erase @ 1
list @
verify @
";

/// The transcript of the card in a folder.
pub fn of(tool: &Tool, folder: &Path) -> Result<String> {
    let mut text = String::new();
    for command in COMMANDS.lines() {
        let words = command.split(' ').map(|word| match word {
            "@" => IMAGE,
            "+" => BUILDS,
            word => word,
        });
        let words: Vec<&str> = words.collect();
        let output = tool.run_in(folder, &words)?;
        writeln!(text, "$ crashlog {}", words.join(" "))?;
        text.push_str(&printable(&output.stdout));
        for line in String::from_utf8_lossy(&output.stderr).lines() {
            writeln!(text, "! {line}")?;
        }
        let code = output
            .status
            .code()
            .with_context(|| format!("`{command}` was ended by a signal"))?;
        if code != 0 {
            writeln!(text, "exit {code}")?;
        }
        let has_written = |name: &str| words.contains(&name) && folder.join(name).exists();
        // A second command for the same file is refused.
        if code <= 1 && has_written(CORE) {
            core(folder, &mut text)?;
        }
        if code <= 1 && has_written(HYDRATE) {
            hydrate(folder, &mut text)?;
        }
        if code <= 1 && has_written(REPORT) {
            report(folder, &mut text)?;
        }
        text.push('\n');
    }
    Ok(text)
}

/// What a command printed, with a last newline, and control characters in words.
fn printable(bytes: &[u8]) -> String {
    let mut text = String::new();
    for part in bytes.utf8_chunks() {
        for letter in part.valid().chars() {
            match letter {
                '\n' => text.push('\n'),
                letter if letter.is_control() => text.extend(letter.escape_default()),
                letter => text.push(letter),
            }
        }
        text.extend(part.invalid().escape_ascii().map(char::from));
    }
    if !text.is_empty() && !text.ends_with('\n') {
        text.push_str("\n(no newline at the end)\n");
    }
    text
}

/// Registers, threads and memory of a core.
fn core(folder: &Path, text: &mut String) -> Result<()> {
    let core = CoreDump::read(&folder.join(CORE))?;
    let members = names(&core.archive)?;
    let mut is_archive = false;
    for entry in fs::read_dir(folder.join(BUILDS))? {
        let bytes = fs::read(entry?.path())?;
        // If tasks have secrets, these are blanked in the members.
        is_archive |= bytes == core.archive || names(&bytes)? == members;
    }
    ensure!(is_archive, "the core has another archive");
    if let Some((task, ticks)) = core.task {
        writeln!(text, "  of task {task} at {ticks} ms")?;
    }
    for (number, value) in &core.registers {
        writeln!(text, "  register {number} {value:08x}")?;
    }
    for (thread, pc) in &core.threads {
        writeln!(text, "  thread {thread} at {pc:08x}")?;
    }
    for (address, bytes) in &core.segments {
        let crc = Crc32c::new().bytes(bytes).value();
        writeln!(
            text,
            "  load {address:08x} {:6} bytes {crc:08x}",
            bytes.len()
        )?;
    }
    Ok(())
}

/// The names of the members of a zip file.
fn names(zip: &[u8]) -> Result<Vec<String>> {
    let zip = ZipArchive::new(Cursor::new(zip))?;
    let names = zip.file_names().map(|name| Ok(name?.into_owned()));
    names.collect()
}

/// The members of the zip file that `humility hydrate` takes.
fn hydrate(folder: &Path, text: &mut String) -> Result<()> {
    let mut zip = ZipArchive::new(File::open(folder.join(HYDRATE))?)?;
    for index in 0..zip.len() {
        let member = zip.by_index(index)?;
        let (name, size, crc) = (member.name()?, member.size(), member.crc32());
        writeln!(text, "  member {name} {size} bytes {crc:08x}")?;
    }
    Ok(())
}

/// The words of a page.
fn report(folder: &Path, text: &mut String) -> Result<()> {
    let page = fs::read_to_string(folder.join(REPORT))?;
    for path in [paths::root().canonicalize()?, folder.to_owned()] {
        let path = path.display().to_string();
        ensure!(!page.contains(&path), "the report has the path {path}");
    }
    let mut hidden = None;
    let mut line = String::new();
    for part in page.split('<') {
        let (tag, words) = part.split_once('>').unwrap_or(("", part));
        let name = tag.split([' ', '\n']).next().unwrap_or_default();
        match hidden {
            Some(end) if name == end => hidden = None,
            Some(_) => continue,
            None => {
                hidden = match name {
                    "style" => Some("/style"),
                    "script" => Some("/script"),
                    _ => None,
                };
            }
        }
        // These end a line of the page.
        if ENDS.contains(&name) && !line.trim().is_empty() {
            writeln!(text, "  | {}", line.trim())?;
            line.clear();
        }
        if hidden.is_none() {
            let words: Vec<&str> = words.split_whitespace().collect();
            line.push_str(&words.join(" "));
            line.push(' ');
        }
    }
    Ok(())
}

/// Tags behind which the page has a new line.
const ENDS: [&str; 16] = [
    "/tr", "/p", "/h1", "/h2", "/h3", "/h4", "/li", "/dt", "/dd", "/div", "/section", "/pre",
    "/summary", "/text", "/label", "/html",
];
