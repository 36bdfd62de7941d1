//! `lint`: source tree, format, clippy and documentation, with warnings as errors

use crate::dist::Build;
use crate::environment;
use crate::firmware::Unit;
use crate::process::capture;
use crate::progress::Progress;
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Checks everything, the fastest first. The application must have been built, because clippy needs
/// the kernel's tables.
pub fn lint(build: &Build) -> Result<()> {
    step("source tree");
    super::tree::check(&build.tree)?;

    let packages = Packages::read(build)?;
    step("rustfmt");
    let mut fmt = build.toolchain.command("cargo-fmt");
    fmt.args(["fmt", "--all", "--", "--check"]);
    finish(build, &mut fmt, "rustfmt: `cargo fmt --all` puts it right")?;

    step("clippy, host");
    let mut clippy = build.toolchain.command("cargo-clippy");
    clippy.args(["clippy", "--quiet", "--all-targets", "--keep-going"]);
    packages.host(&mut clippy);
    clippy.args(["--target-dir"]).arg(&build.tree.target);
    clippy.args(["--", "-Dwarnings"]);
    finish(build, &mut clippy, "clippy")?;

    step("clippy, target");
    target(build)?;

    step("rustdoc");
    let mut doc = build.toolchain.command("cargo");
    doc.args(["doc", "--quiet", "--no-deps", "--lib"]);
    packages.host(&mut doc);
    doc.args(["--target-dir"]).arg(&build.tree.target);
    doc.env("RUSTDOCFLAGS", "-Dwarnings");
    finish(build, &mut doc, "rustdoc")
}

/// Runs clippy over the programs of every application in the tree, each crate once for each set of
/// features. All kernels are checked with the tables of `build`, the only application that has been
/// built.
fn target(build: &Build) -> Result<()> {
    let others = applications(&build.tree.root)?
        .iter()
        .map(|path| Build::open(path))
        .collect::<Result<Vec<_>>>()?;
    let mut seen = BTreeSet::new();
    let most = others.iter().map(|other| other.config.app.tasks.len() + 1);
    let mut progress = Progress::new(most.sum());
    for other in &others {
        let product = other.first_product()?;
        for (name, task) in &other.config.app.tasks {
            let unit = other.task_unit(name, &product.image)?;
            if seen.insert(unit.what_is_checked()) {
                progress.step(&format!("checking {name} of {}", other.config.app.name));
                other.build_bindeps(&product, name, &mut progress)?;
                other.compiler().clippy(&unit, &mut progress)?;
            }
            for binary in &task.bindeps {
                let unit = other.bindep_unit(name, binary)?;
                if seen.insert(unit.what_is_checked()) {
                    other.compiler().clippy(&unit, &mut progress)?;
                }
            }
        }
    }
    let whole = build.finished_kernel_unit(&build.first_product()?)?;
    for other in &others {
        let kernel = &other.config.app.kernel;
        let unit = Unit {
            package: kernel.name.clone(),
            features: kernel.features.clone(),
            no_default_features: kernel.no_default_features,
            ..whole.clone()
        };
        if seen.insert(unit.what_is_checked()) {
            progress.step(&format!("checking the kernel of {}", other.config.app.name));
            build.compiler().clippy(&unit, &mut progress)?;
        }
    }
    Ok(())
}

/// An application that lacks the portable crates. The test `app::stock` builds a copy of it that
/// has them.
const INCOMPLETE: &str = "test/stock";

/// The applications: at the top, and in `app` and `test`. A file without a name is one that others
/// inherit from.
fn applications(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = vec![root.join("app.toml")];
    let mut folders = vec![root.join("app"), root.join("test")];
    while let Some(folder) = folders.pop() {
        let entries =
            fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
        for entry in entries {
            let path = entry?.path();
            if path == root.join(INCOMPLETE) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "toml") {
                let text = fs::read_to_string(&path)
                    .with_context(|| format!("cannot read {}", path.display()))?;
                let table: toml::Table = text.parse().unwrap_or_default();
                if table.get("name").is_some_and(toml::Value::is_str) {
                    found.push(path);
                }
            }
        }
    }
    found[1..].sort();
    Ok(found)
}

fn step(what: &str) {
    eprintln!("lint: {what}");
}

/// Runs a Cargo command with the environment that build scripts read.
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

    /// Adds the host's packages to the arguments of a Cargo command.
    fn host(&self, command: &mut Command) {
        for name in &self.host {
            command.args(["--package", name]);
        }
    }
}

impl Package {
    /// Whether it is a program for the target, which has `#![no_main]`.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_application_is_found() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let found = applications(&root).expect("the tree");
        let names: Vec<String> = found
            .iter()
            .filter_map(|path| Some(path.strip_prefix(&root).ok()?.display().to_string()))
            .collect();
        for expected in [
            "app/example/app.toml",
            "test/apps/kernel/app.toml",
            "test/apps/bench/ipc-8.toml",
        ] {
            assert!(
                names.iter().any(|name| name == expected),
                "{expected} is not in {names:?}"
            );
        }
        assert_eq!(names[0], "app.toml");
        // Other TOML files are not found.
        assert!(!names.iter().any(|name| name.ends_with("Cargo.toml")));
        assert!(!names.contains(&"test/apps/recorder.toml".to_string()));
    }
}
