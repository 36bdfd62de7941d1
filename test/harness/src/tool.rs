//! The host tool `crashlog`, run as a user runs it.

use crate::{build, paths};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The tool, ready to run.
#[derive(Clone)]
pub struct Tool {
    program: PathBuf,
}

impl Tool {
    /// Builds it.
    pub fn build() -> Result<Self> {
        Ok(Self {
            program: build::host_tool()?,
        })
    }

    /// Runs it in the root of the repository and returns its output and status.
    pub fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Result<Output> {
        self.run_in(paths::root(), arguments)
    }

    /// [`Tool::run`] in another folder.
    pub fn run_in<S: AsRef<OsStr>>(
        &self,
        folder: &Path,
        arguments: impl IntoIterator<Item = S>,
    ) -> Result<Output> {
        Command::new(&self.program)
            .current_dir(folder)
            .env_remove("CRASHLOG_ARCHIVES")
            .args(arguments)
            .output()
            .context("cannot run the host tool")
    }

    /// Runs it and returns what it printed.
    ///
    /// # Errors
    /// If the tool fails; the error quotes its output.
    pub fn bytes<S: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
    ) -> Result<Vec<u8>> {
        let output = self.run(arguments)?;
        if !output.status.success() {
            let said = [&output.stdout[..], &output.stderr[..]]
                .map(String::from_utf8_lossy)
                .join("");
            bail!("the host tool failed ({}): {}", output.status, said.trim());
        }
        Ok(output.stdout)
    }

    /// [`Tool::bytes`] as text.
    pub fn text<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Result<String> {
        Ok(String::from_utf8_lossy(&self.bytes(arguments)?).into_owned())
    }

    /// [`Tool::bytes`] as one JSON value.
    pub fn json<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Result<Value> {
        serde_json::from_slice(&self.bytes(arguments)?).context("the host tool printed no JSON")
    }

    /// Makes a card of 64 MiB. Returns the tool's output, in which the path of a card in the
    /// repository is relative.
    pub fn format(&self, card: &Path) -> Result<String> {
        self.text(["format", &paths::shown(card)])
    }

    /// The console stream of one boot, byte for byte.
    pub fn console(&self, card: &Path, boot: u32) -> Result<Vec<u8>> {
        let boot = boot.to_string();
        self.bytes(
            ["log", "--stream", "console", "--raw", "--boot", &boot]
                .map(OsStr::new)
                .into_iter()
                .chain([card.as_os_str()]),
        )
    }

    /// Sequence numbers of all log records of one boot, in the order of the card.
    pub fn sequences(&self, card: &Path, boot: u32) -> Result<Vec<u64>> {
        let boot = boot.to_string();
        let text = self.text(
            ["log", "--json", "--boot", &boot]
                .map(OsStr::new)
                .into_iter()
                .chain([card.as_os_str()]),
        )?;
        text.lines()
            .map(|line| {
                let value: Value =
                    serde_json::from_str(line).context("the host tool printed no JSON")?;
                value["sequence"]
                    .as_u64()
                    .with_context(|| format!("no record: {line}"))
            })
            .collect()
    }

    /// The crashes, as `list --json` has them.
    pub fn crashes(&self, card: &Path) -> Result<Vec<Value>> {
        let value = self.json(["list".as_ref(), "--json".as_ref(), card.as_os_str()])?;
        value["crashes"]
            .as_array()
            .cloned()
            .context("`list --json` has no crashes")
    }

    /// One crash, as `show --json` has it.
    pub fn crash(&self, card: &Path, sequence: u64) -> Result<Value> {
        let sequence = sequence.to_string();
        self.json([
            "show".as_ref(),
            "--json".as_ref(),
            card.as_os_str(),
            OsStr::new(&sequence),
        ])
    }

    /// Checks the whole card.
    pub fn verify(&self, card: &Path) -> Result<()> {
        self.bytes(["verify".as_ref(), card.as_os_str()]).map(drop)
    }
}
