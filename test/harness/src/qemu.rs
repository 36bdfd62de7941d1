//! QEMU: finds it and checks that it is new enough; [`command_line`] has its arguments.

pub mod command_line;

use anyhow::{Context, Result, bail};
use std::ffi::OsString;
use std::process::Command;

/// The first release whose `ast2600-evb` has an eMMC.
pub const OLDEST: (u32, u32) = (9, 1);

const INSTALL: &str = "install QEMU 9.1 or newer (Debian 12: `apt install -t bookworm-backports qemu-system-arm`; \
                       newer distributions: package qemu-system-arm)";

/// A QEMU that has the machine `ast2600-evb` with an eMMC.
#[derive(Clone)]
pub struct Qemu {
    program: OsString,
    version: (u32, u32),
}

impl Qemu {
    /// Looks for `qemu-system-arm` on the PATH, or for what the variable `QEMU` names.
    ///
    /// # Errors
    /// One line that says what is missing and how to get it.
    pub fn find() -> Result<Self> {
        let program = std::env::var_os("QEMU").unwrap_or_else(|| "qemu-system-arm".into());
        let shown = program.to_string_lossy().into_owned();
        let Ok(output) = Command::new(&program).arg("--version").output() else {
            bail!("there is no {shown}: {INSTALL}");
        };
        let text = String::from_utf8_lossy(&output.stdout);
        let version = version(&text)
            .with_context(|| format!("{shown} does not tell its version: {INSTALL}"))?;
        if version < OLDEST {
            bail!(
                "{shown} is version {}.{}, which has no eMMC on this machine: {INSTALL}",
                version.0,
                version.1
            );
        }
        Ok(Self { program, version })
    }

    /// The program to run.
    pub fn program(&self) -> &OsString {
        &self.program
    }

    /// Major and minor version.
    pub fn version(&self) -> (u32, u32) {
        self.version
    }
}

/// Reads the version out of what `--version` prints.
fn version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split("version ").nth(1)?.split(['.', ' ', '\n']);
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::version;

    #[test]
    fn versions_are_read() {
        assert_eq!(
            version("QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2)\nCopyright"),
            Some((10, 0))
        );
        assert_eq!(version("QEMU emulator version 9.1\n"), Some((9, 1)));
        assert_eq!(version("qemu-system-arm: no"), None);
    }
}
