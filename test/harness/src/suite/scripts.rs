//! The scripts for Humility, and `./x humility`, with a stand-in that reads dumps as Humility does.
//!
//! The dump is made here: a retained region that the library filled in, of which everything is known. What the scripts
//! print of it is what their README shows.

use super::{Bench, Cases};
use crate::build::{DEMO, cargo};
use crate::core_dump::Dump;
use crate::paths;
use anyhow::{Context, Result, ensure};
use block_device::{BLOCK_LEN, Block};
use crashlog_format::{FormatId, Geometry, TaskEntry};
use crashlog_retained::{
    Activity, CrashContext, Failure, History, Level, Location, LogRing, Outcome, Reason,
    RecordHeader, Region, SelfTestProgress, Series, Stream,
};
use libtest_mimic::Trial;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

/// Name of the dump, as the README has it.
const DUMP: &str = "hubris.core.0";
/// Where the demo's retained region is, and its length in blocks (`chips/ast2600/memory.toml`).
const REGION: u32 = 0x80c0_0000;
const BLOCKS: usize = 2048;

/// Each script and the arguments that it is tried with; `ARCHIVE` and [`DUMP`] are there.
const SCRIPTS: [(&str, &[&str]); 7] = [
    ("flight-recorder", &["ARCHIVE"]),
    ("task-states", &[DUMP]),
    ("task-states", &[DUMP, "jefe"]),
    ("recorder-trace", &[DUMP]),
    ("stack-margins", &[DUMP]),
    ("log-ring", &[DUMP]),
    ("retained-region", &[DUMP]),
];

/// One case per script and way to call it.
pub fn trials(bench: &Arc<Bench>) -> Vec<Trial> {
    let [scripts, verb] = [bench.clone(), bench.clone()];
    vec![
        // REQ: D4: what supervisor and recorder keep is visible to Humility in a dump.
        Trial::test("humility::scripts", move || {
            let outcome = scripts.with_image(DEMO, |image| all(&image.archive));
            scripts.count(outcome)
        }),
        Trial::test("humility::verb", move || {
            let outcome = verb.with_image(DEMO, |image| through_verb(&image.archive));
            verb.count(outcome)
        }),
    ]
}

fn all(archive: &Path) -> Result<Cases> {
    let folder = tempfile::tempdir().context("no folder")?;
    let folder = folder.path();
    stand_in(folder)?;
    let archive = fs::read(archive)?;
    let blocks: Vec<Block> = (0..BLOCKS).map(|_| Block::zeroed()).collect();
    fill(&blocks)?;
    fs::write(folder.join(DUMP), dump(&archive, &bytes(&blocks)))?;
    fs::write(folder.join("without.core"), dump(&archive, &[]))?;
    fs::write(
        folder.join("cold.core"),
        dump(&archive, &vec![0; BLOCKS * BLOCK_LEN]),
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
        let output = run(folder, true, "retained-region", &[file])?;
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

/// One script: what it prints, and what it says when something is missing.
fn one(folder: &Path, name: &str, arguments: &[&str]) -> Result<()> {
    let output = run(folder, true, name, arguments)?;
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
        &run(folder, false, name, arguments)?,
        "humility is not on the PATH; build it",
    )?;
    refused(&run(folder, true, name, &["absent"])?, "no such file")?;
    refused(&run(folder, true, name, &["junk"])?, "neither a dump")?;
    for arguments in [&[][..], &["one", "two", "three"]] {
        let output = run(folder, true, name, arguments)?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.code() == Some(2) && said.contains(&format!("  {name} ")),
            "with {} arguments: {said}",
            arguments.len()
        );
    }
    Ok(())
}

/// It failed, and said why in one line.
fn refused(output: &Output, expected: &str) -> Result<()> {
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().last().unwrap_or_default();
    // In front of it there may be what Humility itself said, in one line.
    ensure!(
        output.status.code() == Some(1) && last.contains(expected) && said.lines().count() <= 2,
        "`{expected}` is not the answer: {said}"
    );
    ensure!(output.stdout.is_empty(), "prints an answer and fails");
    Ok(())
}

fn run(folder: &Path, humility: bool, name: &str, arguments: &[&str]) -> Result<Output> {
    let path = match humility {
        true => format!("{}:/usr/bin:/bin", folder.display()),
        false => "/usr/bin:/bin".into(),
    };
    let script = paths::root().join("humility-scripts").join(name);
    Command::new("/bin/sh")
        .arg(script)
        .args(arguments)
        .env("PATH", path)
        .current_dir(folder)
        .output()
        .context("cannot run /bin/sh")
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

/// `trace.awk` knows every entry of the recorder's trace.
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

/// A region as after some trouble: each part holds something.
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
    writer.finish(&crash(Reason::Panic, 5, "worker", &[0, 1], 3033));
    mailbox.arm();
    let mut outcome = Outcome::default();
    outcome.fail(Failure::NoCard);
    mailbox.set_outcome(&outcome);
    mailbox.conclude(false);
    for time in [100, 200, 300, 400, 500, 600] {
        // Two find no place.
        if let Some(writer) = mailbox.write_oops() {
            writer.finish(&crash(Reason::Oops, 3, "sensor", &[8], time));
        }
    }
    mailbox.set_self_test(&SelfTestProgress {
        boot: 3,
        record: 6,
        milliseconds: 12,
        ..SelfTestProgress::default()
    });
    let mut failure = region.failure().write().context("no place for a failure")?;
    failure.task(&TaskEntry::new(Activity::AwaitingReply, 0x0403));
    failure.finish(&crash(Reason::Kernel, 0xffff, "kernel", &[8], 12_345));
    // Refused, because one waits.
    ensure!(
        region.failure().write().is_none(),
        "a second failure is kept"
    );
    let mut history = History::default();
    history.series[1] = Series {
        count: 7,
        task: 5,
        signature: 0x1234,
        first: 50,
    };
    region.history().store(&History::default());
    region.history().store(&history);
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
        let header = RecordHeader {
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

/// A dump with the archive, registers that nobody looks at, and the region, if it has any bytes.
fn dump(archive: &[u8], region: &[u8]) -> Vec<u8> {
    let note = |kind: u32, content: &[u8]| {
        let mut note = Vec::new();
        for word in [23, content.len() as u32, kind] {
            note.extend(word.to_le_bytes());
        }
        note.extend(b"Oxide Computer Company\0\0");
        note.extend(content);
        note.resize(note.len().next_multiple_of(4), 0);
        note
    };
    let pairs: Vec<u8> = (0..20_u32)
        .flat_map(|number| [number, 0])
        .flat_map(u32::to_le_bytes)
        .collect();
    let parts = [
        note(0x1de0_0002, &pairs),
        note(0x1de0_0001, archive),
        region.to_vec(),
    ];
    let count = if region.is_empty() { 2 } else { 3 };
    let mut file = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    for word in [
        4 | 40 << 16,
        1,
        0,
        52,
        0,
        0,
        52 | 32 << 16,
        count | 40 << 16,
        0_u32,
    ] {
        file.extend(word.to_le_bytes());
    }
    let mut offset = 52 + 32 * count;
    for (index, part) in parts.iter().take(count as usize).enumerate() {
        let length = part.len() as u32;
        let header = match index {
            2 => [1, offset, REGION, 0, length, length, 4, 0],
            _ => [4, offset, 0, 0, length, 0, 4, 0],
        };
        for word in header {
            file.extend(word.to_le_bytes());
        }
        offset += length;
    }
    parts.iter().for_each(|part| file.extend(part));
    file
}

/// REQ: D4. `log-ring` on the dump of a machine says of the ring what the library finds in it.
pub fn ring_of(path: &Path) -> Result<()> {
    let memory = Dump::read(path)?.memory(REGION, (BLOCKS * BLOCK_LEN) as u32)?;
    let blocks: Vec<Block> = memory
        .chunks_exact(BLOCK_LEN)
        .map(|bytes| {
            let block = Block::zeroed();
            block.copy_from(0, bytes);
            block
        })
        .collect();
    let region = Region::over(&blocks).context("the region is too short")?;
    let (ring, recovery) = LogRing::recover(&region);
    let mut held: BTreeMap<u16, (u32, usize)> = BTreeMap::new();
    ring.for_each(|task, bytes| {
        let held = held.entry(task).or_default();
        *held = (held.0 + 1, held.1 + bytes);
    });
    let total: usize = held.values().map(|held| held.1).sum();
    ensure!(total > 0, "nothing is in the ring");
    let folder = tempfile::tempdir().context("no folder")?;
    stand_in(folder.path())?;
    let path = path.to_str().context("the path is no text")?;
    let output = run(folder.path(), true, "log-ring", &[path])?;
    let said = String::from_utf8_lossy(&output.stdout);
    let first = format!(
        "log ring: {total} of 122880 bytes: {} records in {} of 256 pages are not on the card yet; {} accepted in boot {}",
        held.values().map(|held| held.0).sum::<u32>(),
        recovery.pages,
        ring.accepted(),
        region.boot() + region.boot_offset(),
    );
    ensure!(
        said.lines().next() == Some(&first),
        "not `{first}`, but: {said}"
    );
    let rows: Vec<(u32, usize)> = said
        .lines()
        .skip(2)
        .take(held.len())
        .filter_map(|line| {
            let mut words = line.split_whitespace().skip(1);
            Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
        })
        .collect();
    ensure!(
        rows == held.values().copied().collect::<Vec<_>>(),
        "by task it is {held:?}, but: {said}"
    );
    Ok(())
}

/// `./x humility`: with the archive, unless the arguments name something else.
fn through_verb(archive: &Path) -> Result<Cases> {
    let folder = tempfile::tempdir().context("no folder")?;
    let calls = stand_in(folder.path())?;
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

/// A program `humility` in `folder` that notes its arguments and answers; returns where it notes them.
fn stand_in(folder: &Path) -> Result<PathBuf> {
    let calls = folder.join("calls");
    let program = folder.join("humility");
    let harness = std::env::current_exe().context("where are we?")?;
    let text = format!(
        "#!/bin/sh\necho \"$*\" >> '{}'\nexec '{}' stand-in \"$@\"\n",
        calls.display(),
        harness.display()
    );
    fs::write(&program, text)?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    Ok(calls)
}
