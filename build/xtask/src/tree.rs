//! Directories: the checkout, the target directory, and what is in them

use anyhow::{Context, Result, bail};
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The directories that every verb needs.
#[derive(Clone, Debug)]
pub struct Tree {
    /// Top of the workspace.
    pub root: PathBuf,
    /// Directory of all outputs.
    pub target: PathBuf,
}

impl Tree {
    /// Finds the workspace that the current directory is in.
    pub fn find() -> Result<Self> {
        let here = env::current_dir().context("the current directory is gone")?;
        let is_top = |dir: &&Path| {
            std::fs::read_to_string(dir.join("Cargo.toml"))
                .is_ok_and(|text| text.contains("[workspace]"))
        };
        let Some(root) = here.ancestors().find(is_top) else {
            bail!(
                "{}: not inside the workspace; change to its directory first",
                here.display()
            );
        };
        let root = root.to_path_buf();
        let target = match env::var_os("CARGO_TARGET_DIR") {
            Some(dir) => here.join(dir),
            None => root.join("target"),
        };
        Ok(Self { root, target })
    }

    /// Cargo's target directory for firmware. All tasks share it, so that their dependencies are
    /// compiled once.
    pub fn firmware(&self) -> PathBuf {
        self.target.join("firmware")
    }

    /// Folder of a crate of the workspace.
    pub fn package(&self, name: &str) -> Result<PathBuf> {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            .args(["metadata", "--no-deps", "--format-version", "1"])
            .current_dir(&self.root)
            .output()
            .context("cannot run cargo")?;
        let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        let packages = metadata["packages"].as_array().into_iter().flatten();
        let manifest = packages
            .filter(|package| package["name"] == name)
            .find_map(|package| Path::new(package["manifest_path"].as_str()?).parent());
        manifest
            .map(Path::to_path_buf)
            .with_context(|| format!("the workspace has no crate `{name}`"))
    }

    /// Where the outputs of an application go.
    pub fn dist(&self, app: &str) -> PathBuf {
        self.target.join(app).join("dist")
    }

    /// A linker script of this tree.
    pub fn script(&self, name: &str) -> PathBuf {
        self.root.join("build").join(name)
    }
}
