//! The compiler and the linker for the firmware
//!
//! The toolchain that runs xtask may be unable to build for the target: it needs the source of the
//! library, from which Cargo builds `core` (component `rust-src`, Debian's `rust-web-src`).
//! [`Toolchain::find`] returns the first that has it. A compiled `core` (`rustup target add`) is
//! never used, and not enough: it is optimised in another way, so the same source would make
//! another image where it happens to be installed.
//!
//! Nothing else of the machine may decide what is built either, so Cargo sees no setting of the
//! environment that changes its output, and is told what a configuration file of the user may say.

use crate::process::find_in_path;
use anyhow::{Context, Result, bail};
use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The compiler that a distribution installs, beside that of rustup.
const SYSTEM_RUSTC: &str = "/usr/bin/rustc";

/// Versions of LLD that Debian and its descendants install under a name of their own.
const LLD_VERSIONS: std::ops::RangeInclusive<u32> = 14..=22;

/// A compiler and a linker that can build for the firmware's targets.
#[derive(Clone, Debug)]
pub struct Toolchain {
    sysroot: PathBuf,
    /// Output of `rustc -vV`; outputs depend on it.
    version: String,
    /// Program and leading arguments of an LLD that links ELF.
    lld: Vec<OsString>,
    /// Directory to put in front of PATH, where rustc finds its `rust-lld`.
    linker_dir: Option<PathBuf>,
}

impl Toolchain {
    /// Finds a toolchain for all of `targets`; `scratch` is a directory that it may put a link in.
    pub fn find(targets: &[&str], scratch: &Path) -> Result<Self> {
        let on_path = find_in_path("rustc").into_iter();
        for rustc in on_path.chain([PathBuf::from(SYSTEM_RUSTC)]) {
            let Some((sysroot, version, host)) = describe(&rustc) else {
                continue;
            };
            if !is_able(&sysroot) {
                continue;
            }
            let own_lld = sysroot.join("lib/rustlib").join(host).join("bin/rust-lld");
            let (lld, linker_dir) = if own_lld.is_file() {
                (vec![own_lld.into(), "-flavor".into(), "gnu".into()], None)
            } else {
                let lld = system_lld()?;
                (
                    vec![lld.clone().into()],
                    Some(link_rust_lld(&lld, scratch)?),
                )
            };
            return Ok(Self {
                sysroot,
                version,
                lld,
                linker_dir,
            });
        }
        bail!(
            "no Rust compiler with the source of its library, to build `core` for {}; run `./x setup`, or \
             `rustup component add rust-src`, or install Debian's packages rustc-web cargo-web rust-web-src lld",
            targets.join(" and ")
        )
    }

    /// The version of the compiler, as text. Outputs depend on it.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Directories of the library's source, as they appear in debug information. Debian's is a
    /// link, and both its name and its target appear.
    pub fn library_sources(&self) -> Vec<PathBuf> {
        let path = self.sysroot.join("lib/rustlib/src/rust");
        let real = path.canonicalize().unwrap_or_else(|_| path.clone());
        vec![path, real]
    }

    /// A command that runs this toolchain's `program`: `cargo`, or a Cargo subcommand such as
    /// `cargo-clippy`.
    pub fn command(&self, program: &str) -> Command {
        let bin = self.sysroot.join("bin");
        let mut command = Command::new(bin.join(program));
        command
            .env("CARGO", bin.join("cargo"))
            .env("RUSTC", bin.join("rustc"))
            .env("RUSTDOC", bin.join("rustdoc"))
            .env("RUSTC_BOOTSTRAP", "1");
        for (name, _) in env::vars_os() {
            if is_foreign(&name.to_string_lossy()) {
                command.env_remove(&name);
            }
        }
        if let Some(dir) = &self.linker_dir {
            let rest = env::var_os("PATH").unwrap_or_default();
            let dirs = std::iter::once(dir.clone()).chain(env::split_paths(&rest));
            // Fails only if the path of the checkout has a colon. PATH is left as it is then.
            if let Ok(path) = env::join_paths(dirs) {
                command.env("PATH", path);
            }
        }
        command
    }

    /// Arguments of Cargo to build for `target`, its `core` included.
    pub fn target_args(target: &str) -> [&str; 3] {
        ["--target", target, "-Zbuild-std=core"]
    }

    /// A command that runs LLD as a GNU linker.
    pub fn lld(&self) -> Command {
        let mut words = self.lld.iter();
        let mut command = Command::new(words.next().cloned().unwrap_or_default());
        command.args(words);
        command
    }
}

/// Sysroot, version text and host triple of a compiler, if it is one.
fn describe(rustc: &Path) -> Option<(PathBuf, String, String)> {
    let run = |args: &[&str]| {
        let output = Command::new(rustc).args(args).output().ok()?;
        output
            .status
            .success()
            .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let sysroot = PathBuf::from(run(&["--print", "sysroot"])?.trim());
    let version = run(&["-vV"])?;
    let host = version
        .lines()
        .find_map(|line| line.strip_prefix("host: "))?
        .to_string();
    Some((sysroot, version, host))
}

/// Whether a toolchain can build `core`.
fn is_able(sysroot: &Path) -> bool {
    let source = sysroot.join("lib/rustlib/src/rust/library/core");
    source.is_dir() && sysroot.join("bin/cargo").is_file()
}

/// Whether an environment variable must not reach the Cargo that builds the firmware. Some change
/// what is built. Others were set by the rustup and the Cargo that run xtask, and build scripts
/// would be run again if they change.
fn is_foreign(name: &str) -> bool {
    const NAMES: [&str; 8] = [
        "CARGO_ENCODED_RUSTFLAGS",
        "CARGO_INCREMENTAL",
        "CARGO_TARGET_DIR",
        "RUSTC_WORKSPACE_WRAPPER",
        "RUSTC_WRAPPER",
        "RUSTFLAGS",
        "RUSTUP_TOOLCHAIN",
        "RUST_TARGET_PATH",
    ];
    const PREFIXES: [&str; 7] = [
        "CARGO_BUILD_",
        "CARGO_MANIFEST_",
        "CARGO_PKG_",
        "CARGO_PROFILE_",
        "CARGO_TARGET_",
        "CARGO_UNSTABLE_",
        "HUBRIS_",
    ];
    // How many jobs run at a time changes nothing of the output.
    name != "CARGO_BUILD_JOBS"
        && (NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix)))
}

/// An installed LLD.
fn system_lld() -> Result<PathBuf> {
    let versions = LLD_VERSIONS
        .rev()
        .map(|version| format!("ld.lld-{version}"));
    std::iter::once("ld.lld".to_string())
        .chain(versions)
        .find_map(|name| find_in_path(&name))
        .context("no LLD linker (ld.lld) on PATH; run `./x setup`, or install the package `lld`")
}

/// A directory that holds `lld` under the name that rustc looks for.
fn link_rust_lld(lld: &Path, scratch: &Path) -> Result<PathBuf> {
    let dir = scratch.join("bin");
    let link = dir.join("rust-lld");
    if std::fs::read_link(&link).is_ok_and(|to| to == lld) {
        return Ok(dir);
    }
    std::fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    // Another xtask may do the same at this time, so only a missing link is an error.
    let _ = std::fs::remove_file(&link);
    let made = std::os::unix::fs::symlink(lld, &link);
    if !link.exists() {
        made.with_context(|| format!("cannot make {}", link.display()))?;
    }
    Ok(dir)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_compiled_core_does_not_stand_in_for_its_source() {
        const TARGET: &str = "thumbv7em-none-eabihf";
        let sysroot = tempfile::tempdir().expect("directory");
        let compiled = sysroot.path().join("lib/rustlib").join(TARGET).join("lib");
        let source = sysroot.path().join("lib/rustlib/src/rust/library/core");
        for folder in [&compiled, &sysroot.path().join("bin")] {
            fs::create_dir_all(folder).expect("folder");
        }
        fs::write(compiled.join("libcore-0123.rlib"), "").expect("file");
        fs::write(sysroot.path().join("bin/cargo"), "").expect("file");
        assert!(!is_able(sysroot.path()));
        fs::create_dir_all(source).expect("folder");
        assert!(is_able(sysroot.path()));
        // Whatever is installed.
        assert!(Toolchain::target_args(TARGET).contains(&"-Zbuild-std=core"));
    }

    #[test]
    fn what_changes_the_output_is_kept_from_cargo() {
        for name in [
            "CARGO_PROFILE_RELEASE_DEBUG",
            "CARGO_INCREMENTAL",
            "CARGO_BUILD_RUSTFLAGS",
            "CARGO_TARGET_THUMBV7EM_NONE_EABIHF_LINKER",
            "CARGO_UNSTABLE_BUILD_STD_FEATURES",
            "RUSTFLAGS",
            "HUBRIS_TASKS",
        ] {
            assert!(is_foreign(name), "{name}");
        }
        for name in [
            "CARGO_HOME",
            "CARGO_NET_OFFLINE",
            "CARGO_BUILD_JOBS",
            "PATH",
        ] {
            assert!(!is_foreign(name), "{name}");
        }
    }
}
