//! The scripts for Humility, and `./x humility`, with a stand-in that notes how it is called.

use super::{Bench, Cases};
use crate::build::cargo;
use crate::paths;
use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

/// Each script: its arguments, and the calls that it makes. `DUMP` and `ARCHIVE` stand for files that are there.
const SCRIPTS: [(&str, &[&str], &[&str]); 7] = [
    (
        "flight-recorder",
        &["ARCHIVE"],
        &[
            "-a ARCHIVE map",
            "-a ARCHIVE ringbuf -l",
            "-a ARCHIVE counters list",
            "-a ARCHIVE hiffy -l",
        ],
    ),
    ("task-states", &["DUMP"], &["-d DUMP tasks -sl"]),
    (
        "task-states",
        &["DUMP", "jefe"],
        &["-d DUMP tasks -slr jefe"],
    ),
    (
        "recorder-trace",
        &["DUMP"],
        &[
            "-d DUMP ringbuf crashlog",
            "-d DUMP ringbuf jefe",
            "-d DUMP counters",
        ],
    ),
    ("stack-margins", &["DUMP"], &["-d DUMP stackmargin"]),
    (
        "log-ring",
        &["DUMP"],
        &["-d DUMP counters ipc", "-d DUMP ringbuf"],
    ),
    (
        "retained-region",
        &["0x80c00000", "16"],
        &["readmem -w 0x80c00000 16"],
    ),
];

/// One case per script and way to call it.
pub fn trials(bench: &Arc<Bench>) -> Vec<Trial> {
    let scripts = bench.clone();
    let verb = bench.clone();
    vec![
        Trial::test("humility::scripts", move || scripts.count(all())),
        Trial::test("humility::verb", move || {
            let outcome = verb.with_image(crate::build::DEMO, |image| through_verb(&image.archive));
            verb.count(outcome)
        }),
    ]
}

fn all() -> Result<Cases> {
    let folder = tempfile::tempdir().context("no folder")?;
    let calls = stand_in(folder.path())?;
    let dump = folder.path().join("DUMP");
    fs::write(&dump, b"\x7fELF, the rest is the stand-in's business")?;
    fs::write(folder.path().join("ARCHIVE"), b"PK")?;
    let mut cases = Cases::default();
    for (name, arguments, expected) in SCRIPTS {
        let script = paths::root().join("humility-scripts").join(name);
        let run = |path: &str, arguments: &[&str]| -> Result<Output> {
            let mut command = Command::new("/bin/sh");
            command
                .arg(&script)
                .args(arguments)
                .env("PATH", path)
                .current_dir(folder.path());
            command.output().context("cannot run /bin/sh")
        };
        let with = format!("{}:/usr/bin:/bin", folder.path().display());
        let _ = fs::remove_file(&calls);
        let output = run(&with, arguments)?;
        ensure!(
            output.status.success(),
            "{name}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let made = fs::read_to_string(&calls)?;
        ensure!(
            made.lines().eq(expected.iter().copied()),
            "{name} calls humility with:\n{made}"
        );

        let output = run("/usr/bin:/bin", arguments)?;
        let said = String::from_utf8_lossy(&output.stderr);
        let missing =
            said.lines().count() == 1 && said.contains("humility is not on the PATH; build it");
        ensure!(
            !output.status.success() && missing,
            "{name} without humility: {said}"
        );

        let output = run(&with, &["one", "two", "three", "four"])?;
        ensure!(
            output.status.code() == Some(2),
            "{name}: too many arguments are not refused"
        );
        if arguments.contains(&"DUMP") {
            for (file, expected) in [("absent", "no such dump"), ("ARCHIVE", "no dump")] {
                let output = run(&with, &[file])?;
                let said = String::from_utf8_lossy(&output.stderr);
                ensure!(
                    !output.status.success() && said.contains(expected),
                    "{name} {file}: {said}"
                );
            }
        }
        cases.passed += 1;
    }
    Ok(cases)
}

/// `./x humility`: with the archive, unless the arguments name something else.
fn through_verb(archive: &Path) -> Result<Cases> {
    let folder = tempfile::tempdir().context("no folder")?;
    let calls = stand_in(folder.path())?;
    let path = std::env::var("PATH").unwrap_or_default();
    for arguments in [&["tasks", "-sl"][..], &["-d", "core", "tasks"]] {
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
    let expected = format!("-a {} tasks -sl\n-d core tasks\n", archive.display());
    ensure!(made == expected, "humility was called with:\n{made}");
    Ok(Cases::one())
}

/// A program `humility` that notes its arguments; returns where.
fn stand_in(folder: &Path) -> Result<std::path::PathBuf> {
    let calls = folder.join("calls");
    let program = folder.join("humility");
    fs::write(
        &program,
        format!("#!/bin/sh\necho \"$*\" >> '{}'\n", calls.display()),
    )?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    Ok(calls)
}
