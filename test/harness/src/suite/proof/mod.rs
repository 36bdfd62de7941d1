//! What is proved from the built image alone, without running it.

pub mod damage;
mod damages;

use super::{Bench, Cases};
use crate::build::{DEMO, Image, cargo};
use crate::paths;
use anyhow::{Context, Result};
use libtest_mimic::Trial;
use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

/// One test per check and application.
pub fn trials(bench: &Arc<Bench>) -> Vec<Trial> {
    vec![
        // REQ: M1, M5: nothing of the normal path, no panic, no recursion, no interrupt control, no receive.
        trial(bench, "proof::emergency-path", DEMO, |_| {
            Ok(one(xtask(&["check-emergency".as_ref(), DEMO.as_ref()])?))
        }),
        // REQ: C6
        trial(bench, "proof::archive", DEMO, whole),
        trial(
            bench,
            "proof::archive-of-the-kernel-suite",
            "test/kernel/app.toml",
            whole,
        ),
        trial(
            bench,
            "proof::archive-of-the-recorder-suite",
            "test/recorder/app.toml",
            whole,
        ),
        trial(bench, "proof::damaged-archives", DEMO, |image| {
            damage::run(&image.archive)
        }),
    ]
}

/// While it runs, nothing is built.
fn trial(
    bench: &Arc<Bench>,
    name: &str,
    app: &'static str,
    run: impl FnOnce(&Image) -> Result<Cases> + Send + 'static,
) -> Trial {
    let bench = bench.clone();
    Trial::test(name, move || {
        let outcome = bench.with_image(app, run);
        bench.count(outcome)
    })
}

fn whole(image: &Image) -> Result<Cases> {
    check_archive(&image.archive).map(one)
}

fn one(outcome: Result<(), String>) -> Cases {
    match outcome {
        Ok(()) => Cases::one(),
        Err(said) => Cases {
            passed: 0,
            failed: vec![said],
        },
    }
}

/// What the check says, if it is not content.
fn check_archive(archive: &Path) -> Result<Result<(), String>> {
    xtask(&[
        "check-archive".as_ref(),
        "--archive".as_ref(),
        archive.as_ref(),
    ])
}

fn xtask(arguments: &[&OsStr]) -> Result<Result<(), String>> {
    // It has built us; asking cargo whether it is up to date would take longer than what it does.
    let beside = std::env::current_exe()
        .context("where are we?")?
        .with_file_name("xtask");
    let mut command = if beside.is_file() {
        let mut command = Command::new(beside);
        command.current_dir(paths::root());
        command
    } else {
        let mut command = cargo();
        command.arg("xtask");
        command
    };
    let output = command
        .args(arguments)
        .output()
        .context("cannot run xtask")?;
    if output.status.success() {
        return Ok(Ok(()));
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Ok(Err(said.trim().to_owned()))
}
