//! The scripts for Humility, and `./x humility`, with a stand-in for Humility that reads dumps.
//!
//! The tests write the dump: its retained region is filled by the library, so its content is known.
//! The scripts must print what their README shows.

mod call;
mod core_file;
pub mod ring;

use super::{Cases, Session};
use crate::build::{DEMO, cargo};
use crate::paths;
use anyhow::{Context, Result, ensure};
use block_device::{BLOCK_LEN, Block};
use crashlog_format::{FormatId, Geometry, TaskEntry};
use crashlog_retained::{
    Activity, CrashContext, CrashReason, EmergencyFailure, History, Level, Location, LogHeader,
    LogRing, Outcome, Region, SelfTestProgress, Series, Stream,
};
use libtest_mimic::Trial;
use std::fs;
use std::path::Path;
use std::process::Output;
use std::sync::Arc;

/// Name of the dump, as the README has it.
const DUMP: &str = "hubris.core.0";
/// Address of the demo's retained region, and its length in blocks (`chips/ast2600/memory.toml`).
const REGION: u32 = 0x80c0_0000;
const BLOCKS: usize = 2048;

/// Each script and the arguments that it is called with; the files `ARCHIVE` and [`DUMP`] exist.
const SCRIPTS: [(&str, &[&str]); 7] = [
    ("flight-recorder", &["ARCHIVE"]),
    ("task-states", &[DUMP]),
    ("task-states", &[DUMP, "jefe"]),
    ("recorder-trace", &[DUMP]),
    ("stack-margins", &[DUMP]),
    ("log-ring", &[DUMP]),
    ("retained-region", &[DUMP]),
];

/// One case per script and arguments.
pub fn trials(session: &Arc<Session>) -> Vec<Trial> {
    let [scripts, verb] = [session.clone(), session.clone()];
    vec![
        // REQ: D4 (in part): what supervisor and recorder keep is visible to Humility in a dump.
        Trial::test("humility::scripts", move || {
            let outcome = scripts.with_image(DEMO, |image| all(&image.archive));
            scripts.count(outcome)
        }),
        Trial::test("humility::xtask-humility", move || {
            let outcome = verb.with_image(DEMO, |image| through_verb(&image.archive));
            verb.count(outcome)
        }),
    ]
}

fn all(archive: &Path) -> Result<Cases> {
    let folder = tempfile::tempdir().context("no folder")?;
    let folder = folder.path();
    call::stand_in(folder)?;
    let archive = fs::read(archive)?;
    let blocks: Vec<Block> = (0..BLOCKS).map(|_| Block::zeroed()).collect();
    fill(&blocks)?;
    fs::write(
        folder.join(DUMP),
        core_file::write(&archive, REGION, &bytes(&blocks)),
    )?;
    fs::write(
        folder.join("without.core"),
        core_file::write(&archive, REGION, &[]),
    )?;
    fs::write(
        folder.join("cold.core"),
        core_file::write(&archive, REGION, &vec![0; BLOCKS * BLOCK_LEN]),
    )?;
    fs::write(folder.join("ARCHIVE"), b"PK\x03\x04")?;
    fs::write(folder.join("junk"), b"junk")?;
    let mut cases = Cases::default();
    for (name, arguments) in SCRIPTS {
        let outcome = one(folder, name, arguments).with_context(|| name.to_string());
        match outcome {
            Ok(()) => cases.passed += 1,
            Err(cause) => cases.failed.push(format!("{cause:#}")),
        }
    }
    let outcomes = [
        ("without.core", "is not in it"),
        ("cold.core", "its header does not pass its check"),
    ];
    for (file, expected) in outcomes {
        let output = call::run(folder, true, "retained-region", &[file])?;
        match refused(&output, expected) {
            Ok(()) => cases.passed += 1,
            Err(cause) => cases
                .failed
                .push(format!("retained-region {file}: {cause:#}")),
        }
    }
    match traces_are_known() {
        Ok(()) => cases.passed += 1,
        Err(cause) => cases.failed.push(format!("{cause:#}")),
    }
    Ok(cases)
}

/// Checks what one script prints, and its messages when something is missing.
fn one(folder: &Path, name: &str, arguments: &[&str]) -> Result<()> {
    let output = call::run(folder, true, name, arguments)?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let printed = String::from_utf8(output.stdout)?;
    if arguments == [DUMP] {
        let shown = shown_in_readme(name)?;
        ensure!(
            printed == shown,
            "prints\n{printed}and the README shows\n{shown}"
        );
    }
    refused(
        &call::run(folder, false, name, arguments)?,
        "humility is not on the PATH; build it",
    )?;
    refused(&call::run(folder, true, name, &["absent"])?, "no such file")?;
    refused(&call::run(folder, true, name, &["junk"])?, "neither a dump")?;
    for arguments in [&[][..], &["one", "two", "three"]] {
        let output = call::run(folder, true, name, arguments)?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.code() == Some(2) && said.contains(&format!("  {name} ")),
            "with {} arguments: {said}",
            arguments.len()
        );
    }
    Ok(())
}

/// Checks that the script failed, with one line that says why.
fn refused(output: &Output, expected: &str) -> Result<()> {
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().last().unwrap_or_default();
    // A line of Humility itself may come before it.
    ensure!(
        output.status.code() == Some(1) && last.contains(expected) && said.lines().count() <= 2,
        "the message is not `{expected}` but: {said}"
    );
    ensure!(
        output.stdout.is_empty(),
        "the script prints something and fails"
    );
    Ok(())
}

/// What the README shows behind `$ humility-scripts/NAME`.
fn shown_in_readme(name: &str) -> Result<String> {
    let readme = fs::read_to_string(paths::root().join("humility-scripts/README.md"))?;
    let command = format!("    $ humility-scripts/{name} {DUMP}");
    let lines = readme.lines().skip_while(|line| *line != command).skip(1);
    let shown: Vec<&str> = lines.map_while(|line| line.strip_prefix("    ")).collect();
    ensure!(!shown.is_empty(), "the README does not show `{command}`");
    Ok(shown.join("\n") + "\n")
}

/// Checks that `trace.awk` knows each entry of the recorder's trace.
fn traces_are_known() -> Result<()> {
    let root = paths::root();
    let source = fs::read_to_string(root.join("task/crashlog/src/trace.rs"))?;
    let script = fs::read_to_string(root.join("humility-scripts/trace.awk"))?;
    let body = source
        .split("pub enum Trace {")
        .nth(1)
        .context("no enum Trace")?;
    let names: Vec<&str> = body
        .lines()
        .filter_map(|line| line.strip_prefix("    ")?.split([',', ' ', '(']).next())
        .filter(|name| name.starts_with(|c: char| c.is_ascii_uppercase()) && *name != "None")
        .collect();
    ensure!(names.len() > 8, "the trace has {} entries", names.len());
    for name in names {
        ensure!(
            script.contains(&format!("kind == \"{name}\"")),
            "humility-scripts/trace.awk does not know `{name}`"
        );
    }
    Ok(())
}

/// Fills a region so that each of its parts has content.
fn fill(blocks: &[Block]) -> Result<()> {
    let region = Region::over(blocks).context("the region is too short")?;
    for _ in 0..3 {
        region.begin_boot();
    }
    region.rebase(FormatId::new(0x1122_3344_5566_7788), 9, 3);
    let crash = |reason, task, name, fault: &[u8], time| {
        let mut context = CrashContext::new(reason, task, name, fault);
        (context.boot, context.time) = (2, time);
        context
    };
    let mailbox = region.mailbox();
    let writer = mailbox.write_crash().context("no place for a crash")?;
    writer.finish(&crash(CrashReason::Panic, 5, "worker", &[0, 1], 3033));
    mailbox.arm(1_000);
    let mut outcome = Outcome::default();
    outcome.fail(EmergencyFailure::NoCard);
    mailbox.set_outcome(&outcome);
    mailbox.conclude(false);
    for time in [100, 200, 300, 400, 500, 600] {
        // There is space for four of them.
        if let Some(writer) = mailbox.write_oops(3) {
            writer.finish(&crash(CrashReason::Oops, 3, "sensor", &[8], time));
        }
    }
    mailbox.set_self_test(&SelfTestProgress {
        boot: 3,
        sequence: 6,
        milliseconds: 12,
        ..SelfTestProgress::default()
    });
    let mut failure = region.failure().write().context("no place for a failure")?;
    failure.task(&TaskEntry::new(Activity::AwaitingReply, 0x0403));
    failure.finish(&crash(CrashReason::Kernel, 0xffff, "kernel", &[8], 12_345));
    // Refused, because the first one is not yet written.
    ensure!(
        region.failure().write().is_none(),
        "a second failure is kept"
    );
    let mut history = History::default();
    region.history().store(&mut history);
    history.series[1] = Series {
        count: 7,
        any: 7,
        task: 5,
        signature: 0x1234,
        first: 50,
    };
    region.history().store(&mut history);
    let location = Location {
        first: 2048,
        geometry: Geometry::new(128_984, 16, 512).map_err(|_| anyhow::anyhow!("no geometry"))?,
        format: FormatId::new(0x1122_3344_5566_7788),
        keep_first: 4,
        card: [0; 64],
    };
    region.location().store(&location, 30);
    region.location().set_next_page(38);
    let (ring, _) = LogRing::recover(&region);
    for number in 0..40_u64 {
        let (task, lost, length) = match number % 4 {
            0 => (5, 3, 41),
            _ => (3, 0, 64),
        };
        let header = LogHeader {
            stream: Stream::Event,
            level: Level::Info,
            task,
            lost,
            time: number,
        };
        let payload = vec![b'x'; length];
        ring.append(&header, &payload)
            .map_err(|cause| anyhow::anyhow!("{cause:?}"))?;
    }
    // The oldest two pages are on the card.
    ring.release(2);
    Ok(())
}

fn bytes(blocks: &[Block]) -> Vec<u8> {
    let mut all = Vec::new();
    for block in blocks {
        let mut bytes = [0; BLOCK_LEN];
        block.copy_to(0, &mut bytes);
        all.extend(bytes);
    }
    all
}

/// `./x humility`: with the archive, unless the arguments name something else.
fn through_verb(archive: &Path) -> Result<Cases> {
    let folder = tempfile::tempdir().context("no folder")?;
    let calls = call::stand_in(folder.path())?;
    let path = std::env::var("PATH").unwrap_or_default();
    for arguments in [&["tasks", "-sl"][..], &["-d", "core", "tasks", "-sl"]] {
        let output = cargo()
            .args(["xtask", "humility"])
            .args(arguments)
            .env("PATH", format!("{}:{path}", folder.path().display()))
            .output()
            .context("cannot run cargo")?;
        ensure!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let made = fs::read_to_string(&calls)?;
    let expected = format!("-a {} tasks -sl\n-d core tasks -sl\n", archive.display());
    ensure!(made == expected, "humility was called with:\n{made}");
    Ok(Cases::one())
}
