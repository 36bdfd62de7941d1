//! `./x dump`, run on a machine of a test.

use crate::build::cargo;
use anyhow::{Context, Result, bail};
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

/// Real time for anything that is waited for.
pub const LIMIT: Duration = Duration::from_secs(120);

/// Arguments for QEMU that open a second monitor, for `./x dump`.
pub fn offer(socket: &Path) -> Vec<OsString> {
    let place = format!("unix:{},server=on,wait=off", socket.display());
    vec!["-qmp".into(), place.into()]
}

/// Dumps the machine with this monitor.
///
/// # Errors
/// If the dump is refused; the error is the message of `./x dump`.
pub fn dump(socket: &Path, archive: &Path, output: &Path) -> Result<()> {
    let run = cargo()
        .args(["xtask", "dump"])
        .arg(output)
        .arg("--qmp")
        .arg(socket)
        .arg("--archive")
        .arg(archive)
        .output()
        .context("cannot run cargo")?;
    if !run.status.success() {
        bail!("{}", String::from_utf8_lossy(&run.stderr).trim());
    }
    Ok(())
}
