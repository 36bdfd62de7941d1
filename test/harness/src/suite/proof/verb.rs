//! Runs the checks of xtask.

use crate::build::cargo;
use crate::paths;
use anyhow::{Context, Result};
use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

/// Checks an archive. Returns what the check says if it fails.
pub fn check_archive(archive: &Path) -> Result<Result<(), String>> {
    xtask(&[
        "check-archive".as_ref(),
        "--archive".as_ref(),
        archive.as_ref(),
    ])
}

/// Runs a verb of xtask; if it fails, what it says.
pub fn xtask(arguments: &[&OsStr]) -> Result<Result<(), String>> {
    // xtask has started this process, so it is up to date. To ask cargo would take longer than the
    // check.
    let beside = std::env::current_exe()
        .context("the path of the harness is unknown")?
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
