//! The demo: log, crash, restart, and read the crash on the host, shown step by step.

use crate::artefacts::Artefacts;
use crate::board::Board;
use crate::demo_run::{DemoResult, DemoRun, Message};
use crate::qemu::Qemu;
use crate::tool::Tool;
use crate::{build, console_text};
use anyhow::{Context, Result};
use std::ffi::OsStr;
use std::fs;
use std::path::Path;

/// Lines of the log that are shown for each boot.
const SHOWN: usize = 6;

/// Runs the demo on a board, with the given file on the console, or with a log of this computer.
/// `hang`: the worker hangs.
pub fn run(board: &'static Board, console: Option<&Path>, hang: bool) -> Result<()> {
    let qemu = Qemu::find()?;
    let (text, from) = match console {
        Some(path) => {
            let text = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
            (text, path.display().to_string())
        }
        None => console_text::from_this_machine(),
    };

    step(
        1,
        "Build the image that app.toml describes, and the host tool",
    );
    let (demo, hang_demo) = board.demo;
    let image = build::dist(if hang { hang_demo } else { demo })?;
    let tool = Tool::build()?;
    say(&format!(
        "{} and the tool `crashlog` are built",
        shown(&image.archive)
    ));

    step(
        2,
        if hang {
            "Make a card, switch the machine on, and let the worker hang"
        } else {
            "Make a card, switch the machine on, and let the worker crash"
        },
    );
    say(&format!(
        "The machine is QEMU's {} with {}. Lines with | are from its serial port.",
        board.name, board.card
    ));
    say(&format!("The text for the recorded console is: {from}"));
    let artefacts = Artefacts::new("demo")?;
    let demo = DemoRun {
        qemu: &qemu,
        image: &image,
        tool: &tool,
        artefacts: &artefacts,
    };
    let result = demo.run(&text, |line| match line {
        Message::Serial(line) => println!("    | {line}"),
        Message::Tool(line) => say(line),
        Message::Note(line) => say(line),
    });
    let result = result.with_context(|| {
        format!(
            "the demo failed; card and logs are in {}",
            shown(artefacts.dir())
        )
    })?;

    step(3, "Read the card on the host");
    let card = result.card.as_os_str();
    let archive = image.archive.as_os_str();
    show(&tool, ["list".as_ref(), card])?;
    show(
        &tool,
        ["show", "--lines", "8", "--archive"]
            .map(OsStr::new)
            .into_iter()
            .chain([archive, card]),
    )?;
    let log = |boot: &str| {
        ["log", "--boot", boot, "--archive"]
            .map(OsStr::new)
            .map(OsStr::to_owned)
    };
    excerpt(
        "End of the log of boot 1",
        &tool.text(log("1").iter().map(AsRef::as_ref).chain([archive, card]))?,
        true,
    );
    excerpt(
        "Start of the log of boot 2",
        &tool.text(log("2").iter().map(AsRef::as_ref).chain([archive, card]))?,
        false,
    );

    step(4, "Write the crash to files, for a debugger and a browser");
    let [core, report] = ["core", "report.html"].map(|file| artefacts.path(file));
    for (command, file) in [("dump", &core), ("report", &report)] {
        show(
            &tool,
            [command, "--archive"].map(OsStr::new).into_iter().chain([
                archive,
                "-o".as_ref(),
                file.as_os_str(),
                card,
            ]),
        )?;
    }

    step(5, "Compare the card with what was sent");
    verdict(&result, text.len());
    next(&core, &report, artefacts.dir());
    Ok(())
}

/// Says what the demo has left, and what opens it.
fn next(core: &Path, report: &Path, folder: &Path) {
    let core = shown(core);
    say(&format!("The card and all logs are in {}", shown(folder)));
    println!("\n      To go on:");
    for (command, what) in [
        (
            format!("humility -d {core} tasks -slr"),
            "the saved system, in Humility",
        ),
        (
            format!("./x gdb {core}"),
            "the same in gdb, a thread for each task",
        ),
        (
            format!("xdg-open {}", shown(report)),
            "the report, in a browser",
        ),
    ] {
        println!("        {command:<48}  {what}");
    }
}

/// Says what the check of the card has found.
fn verdict(result: &DemoResult, sent: usize) {
    let [first, second] = result.console;
    say(&format!(
        "Log: all {} records that were accepted before the crash are on the card",
        result.log_records
    ));
    say(&format!(
        "Console of boot 1: {first} bytes, identical to the first {first} of the {sent} that were sent"
    ));
    say(&format!(
        "Console of boot 2: {second} bytes, identical to the last {second}"
    ));
    say(&format!(
        "The reset lost {} bytes, which were in the UART or in an unfinished line",
        sent - first - second
    ));
    println!("\nThe demo has passed.");
}

fn step(number: u32, what: &str) {
    println!("\n[{number}/5] {what}");
}

fn say(what: &str) {
    println!("      {what}");
}

/// Runs the tool, and shows the command with its output. It gets short paths, as a user types them.
fn show<S: AsRef<OsStr>>(tool: &Tool, arguments: impl IntoIterator<Item = S>) -> Result<()> {
    let words: Vec<_> = arguments
        .into_iter()
        .map(|argument| shown(Path::new(argument.as_ref())))
        .collect();
    println!("\n    $ crashlog {}", words.join(" "));
    for line in tool.text(&words)?.lines() {
        println!("    {line}");
    }
    Ok(())
}

/// Shows some lines of a log: the last, or the first.
fn excerpt(what: &str, log: &str, end: bool) {
    let lines: Vec<_> = log.lines().collect();
    let shown = if end {
        lines.len().saturating_sub(SHOWN)..lines.len()
    } else {
        0..lines.len().min(SHOWN)
    };
    println!("\n    {what} ({} lines):", lines.len());
    for line in lines.get(shown).unwrap_or(&[]) {
        println!("    {line}");
    }
}

/// A path, relative to the current directory if it is inside.
fn shown(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(&here)
        .unwrap_or(path)
        .display()
        .to_string()
}
