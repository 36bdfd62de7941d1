//! `lint`: format, clippy and documentation of the whole workspace, warnings being errors.

use super::compile;
use crate::dist::Build;
use crate::environment;
use crate::process::capture;
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::process::Command;

/// Checks everything. The application must have been built, because clippy needs what the kernel is told.
pub fn lint(build: &Build) -> Result<()> {
    let packages = Packages::read(build)?;
    step("rustfmt");
    let mut fmt = build.toolchain.command("cargo-fmt");
    fmt.args(["fmt", "--all", "--", "--check"]);
    finish(build, &mut fmt, "rustfmt: `cargo fmt --all` puts it right")?;

    step("clippy, host");
    let mut clippy = build.toolchain.command("cargo-clippy");
    clippy.args(["clippy", "--quiet", "--all-targets"]);
    packages.host(&mut clippy);
    clippy.args(["--target-dir"]).arg(&build.tree.target);
    clippy.args(["--", "-Dwarnings"]);
    finish(build, &mut clippy, "clippy")?;

    step("clippy, target");
    compile::clippy(build, &[])?;

    step("rustdoc");
    let mut doc = build.toolchain.command("cargo");
    doc.args(["doc", "--quiet", "--no-deps", "--lib"]);
    packages.host(&mut doc);
    doc.args(["--target-dir"]).arg(&build.tree.target);
    doc.env("RUSTDOCFLAGS", "-Dwarnings");
    finish(build, &mut doc, "rustdoc")
}

fn step(what: &str) {
    eprintln!("lint: {what}");
}

/// Runs a Cargo command with what build scripts ask about the application.
fn finish(build: &Build, command: &mut Command, what: &str) -> Result<()> {
    command
        .current_dir(&build.tree.root)
        .envs(environment::common(&build.config)?);
    let status = command
        .status()
        .with_context(|| format!("cannot run {}", command.get_program().to_string_lossy()))?;
    if !status.success() {
        bail!("lint: {what}");
    }
    Ok(())
}

/// The members of the workspace.
struct Packages {
    /// Those that can be built for the host: all but the programs of the application.
    host: BTreeSet<String>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    kind: Vec<String>,
    src_path: String,
}

impl Packages {
    fn read(build: &Build) -> Result<Self> {
        let mut command = build.toolchain.command("cargo");
        command
            .args(["metadata", "--no-deps", "--format-version=1"])
            .current_dir(&build.tree.root);
        let output = capture(&mut command)?;
        if !output.status.success() {
            bail!(
                "cargo metadata failed: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        let metadata: Metadata =
            serde_json::from_slice(&output.stdout).context("cargo metadata made no sense")?;
        let host = metadata
            .packages
            .into_iter()
            .filter(|package| !package.is_firmware())
            .map(|package| package.name);
        Ok(Self {
            host: host.collect(),
        })
    }

    /// Names the host's packages to a Cargo command.
    fn host(&self, command: &mut Command) {
        for name in &self.host {
            command.args(["--package", name]);
        }
    }
}

impl Package {
    /// Whether it is a program for the target: one that has no `main` of the host's.
    fn is_firmware(&self) -> bool {
        self.targets
            .iter()
            .filter(|target| target.kind.iter().any(|kind| kind == "bin"))
            .any(|target| {
                std::fs::read_to_string(&target.src_path)
                    .is_ok_and(|source| source.contains("#![no_main]"))
            })
    }
}
