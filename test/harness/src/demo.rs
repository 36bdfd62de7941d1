//! The demo: the project's main job, shown.

use crate::artefacts::Artefacts;
use crate::demo_run::{DemoResult, DemoRun, Message};
use crate::qemu::Qemu;
use crate::tool::Tool;
use crate::{build, console_text};
use anyhow::{Context, Result};
use std::ffi::OsStr;
use std::fs;
use std::path::Path;

/// Lines of the log that are shown of each boot.
const SHOWN: usize = 6;

/// Runs the demo with the given file on the console, or with a log of this machine.
pub fn run(console: Option<&Path>) -> Result<()> {
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
    let image = build::dist(build::DEMO)?;
    let tool = Tool::build()?;
    say(&format!(
        "{} and the tool `crashlog` are there",
        shown(&image.archive)
    ));

    step(
        2,
        "Make a card, switch the machine on, and let the worker crash",
    );
    say("QEMU's ast2600-evb with an eMMC. Lines with | are its serial port.");
    say(&format!("The console that is recorded: {from}"));
    let artefacts = Artefacts::new("demo")?;
    let flight = DemoRun {
        qemu: &qemu,
        image: &image,
        tool: &tool,
        artefacts: &artefacts,
    };
    let landing = flight.fly(&text, |line| match line {
        Message::Serial(line) => println!("    | {line}"),
        Message::Tool(line) => say(line),
        Message::Note(line) => say(line),
    });
    let landing = landing.with_context(|| {
        format!(
            "the demo failed; everything is in {}",
            shown(artefacts.dir())
        )
    })?;

    step(3, "Read the card on the host");
    let card = landing.card.as_os_str();
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
        "the end of the first boot's log",
        &tool.text(log("1").iter().map(AsRef::as_ref).chain([archive, card]))?,
        true,
    );
    excerpt(
        "the begin of the second boot's",
        &tool.text(log("2").iter().map(AsRef::as_ref).chain([archive, card]))?,
        false,
    );

    step(4, "Hold the card against what was played in");
    verdict(&landing, text.len());
    say(&format!(
        "The card and all logs: {}",
        shown(artefacts.dir())
    ));
    Ok(())
}

fn verdict(landing: &DemoResult, played: usize) {
    let [first, second] = landing.console;
    say(&format!(
        "{} log records were accepted before the crash: all of them are on the card, none is missing",
        landing.records
    ));
    say(&format!(
        "console of boot 1: {first} bytes, equal to the first {first} that were played, byte for byte"
    ));
    say(&format!(
        "console of boot 2: {second} bytes, equal to the last {second} of the {played} that were played"
    ));
    say(&format!(
        "{} bytes were in the UART and in an unfinished line when the machine was reset",
        played - first - second
    ));
    println!("\nThe demo is good.");
}

fn step(number: u32, what: &str) {
    println!("\n[{number}/4] {what}");
}

fn say(what: &str) {
    println!("      {what}");
}

/// Runs the tool as a user would, and shows the command with its output.
fn show<S: AsRef<OsStr>>(tool: &Tool, arguments: impl IntoIterator<Item = S>) -> Result<()> {
    let arguments: Vec<_> = arguments
        .into_iter()
        .map(|argument| argument.as_ref().to_owned())
        .collect();
    let words: Vec<_> = arguments
        .iter()
        .map(|argument| shown(Path::new(argument)))
        .collect();
    println!("\n    $ crashlog {}", words.join(" "));
    for line in tool.text(&arguments)?.lines() {
        println!("    {line}");
    }
    Ok(())
}

/// Some lines of a log: the last, or the first.
fn excerpt(what: &str, log: &str, end: bool) {
    let lines: Vec<_> = log.lines().collect();
    let shown = if end {
        lines.len().saturating_sub(SHOWN)..lines.len()
    } else {
        0..lines.len().min(SHOWN)
    };
    println!("\n    {what}, of {} lines:", lines.len());
    for line in lines.get(shown).unwrap_or(&[]) {
        println!("    {line}");
    }
}

/// A path as seen from where we are.
fn shown(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(&here)
        .unwrap_or(path)
        .display()
        .to_string()
}
