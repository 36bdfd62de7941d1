//! Builds what the harness runs: images by `cargo xtask dist`, the host tool by cargo.

use crate::board::Board;
use crate::controller::{SD, Slot};
use crate::paths;
use anyhow::{Context, Result, bail};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What `cargo xtask dist` makes of an application.
#[derive(Clone)]
pub struct Image {
    /// The file that QEMU loads.
    pub elf: PathBuf,
    /// The build archive.
    pub archive: PathBuf,
    /// The board that it is for.
    pub board: &'static Board,
    /// The slot of its recorder's card.
    pub slot: Slot,
}

/// The demo's application.
pub const DEMO: &str = "app.toml";
/// The demo in which a task hangs.
pub const HANG: &str = "app/demo/hang.toml";
/// The demo on the i.MX 6UltraLite.
pub const DEMO_IMX6UL: &str = "app/demo/mcimx6ul-evk.toml";
/// The demo in which a task hangs, on the i.MX 6UltraLite.
pub const HANG_IMX6UL: &str = "app/demo/mcimx6ul-evk-hang.toml";

/// The application whose recorder has an SD card.
pub const SD_APP: &str = "test/apps/sd/app.toml";

/// The saboteur's application on the i.MX 6UltraLite.
pub const SABOTEUR_IMX6UL: &str = "test/apps/saboteur/mcimx6ul-evk.toml";

/// Builds the application described by `app`, a path relative to the root of the repository.
/// Cargo's progress goes to standard error.
pub fn dist(app: &str) -> Result<Image> {
    let archive = xtask(&["dist", app])?;
    let elf = xtask(&["print", "qemu-elf", app])?;
    let board = Board::of(app);
    let slot = if app == SD_APP { SD } else { board.slot };
    Ok(Image {
        elf,
        archive,
        board,
        slot,
    })
}

/// Runs xtask and returns the path in the last line that it prints.
fn xtask(arguments: &[&str]) -> Result<PathBuf> {
    let output = cargo()
        .args(["xtask"])
        .args(arguments)
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run cargo")?;
    if !output.status.success() {
        bail!("`cargo xtask {}` failed", arguments.join(" "));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let path = text
        .lines()
        .last()
        .with_context(|| format!("`cargo xtask {}` printed nothing", arguments.join(" ")))?;
    Ok(paths::root().join(path))
}

/// Builds the host tool and returns its path.
pub fn host_tool() -> Result<PathBuf> {
    let status = cargo()
        .args(["build", "--quiet", "--package", "crashlog"])
        .status()
        .context("cannot run cargo")?;
    if !status.success() {
        bail!("the host tool `crashlog` does not build");
    }
    Ok(paths::target().join("debug/crashlog"))
}

/// The cargo that started this process, to be run at the root of the repository.
pub fn cargo() -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(program);
    command.current_dir(Path::new(paths::root()));
    // These describe this package; build scripts and `env!` of other packages would see them.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CARGO_PKG_") || name == "CARGO_MANIFEST_DIR" {
            command.env_remove(name);
        }
    }
    command
}
