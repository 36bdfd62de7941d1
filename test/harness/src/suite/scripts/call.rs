//! Calls a script with a stand-in for Humility on the PATH.

use crate::paths;
use anyhow::{Context, Result};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Runs a script in `folder`, with or without a `humility` there.
pub fn run(folder: &Path, humility: bool, name: &str, arguments: &[&str]) -> Result<Output> {
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

/// Writes a program `humility` into `folder` that appends its arguments to a file and answers.
/// Returns the file's path.
pub fn stand_in(folder: &Path) -> Result<PathBuf> {
    let calls = folder.join("calls");
    let program = folder.join("humility");
    let harness = std::env::current_exe().context("the path of the harness is unknown")?;
    let text = format!(
        "#!/bin/sh\necho \"$*\" >> '{}'\nexec '{}' stand-in \"$@\"\n",
        calls.display(),
        harness.display()
    );
    fs::write(&program, text)?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    Ok(calls)
}
