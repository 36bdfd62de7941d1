//! The same sources make the same archive, wherever the tree lies.

use crate::artefacts::Artefacts;
use crate::build::{self, DEMO};
use crate::paths;
use crate::suite::Cases;
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Builds the demo in two copies of the tree and compares the archives, member by member.
pub fn same_archive() -> Result<Cases> {
    let artefacts = Artefacts::new("proof::same-archive-elsewhere")?;
    let copies = ["a", "a-longer/path of another form"];
    let mut archives = Vec::new();
    for place in copies {
        let tree = artefacts.path(place);
        copy_tree(&tree)?;
        archives.push(dist(&tree)?);
    }
    let [first, second] = [&archives[0], &archives[1]].map(fs::read);
    let same = first? == second?;
    if !same {
        bail!(
            "{} and {} differ in {}",
            paths::shown(&archives[0]),
            paths::shown(&archives[1]),
            difference(&archives[0], &archives[1])?
        );
    }
    artefacts.discard();
    Ok(Cases::one())
}

/// The first member that differs.
fn difference(first: &Path, second: &Path) -> Result<String> {
    let [first, second] = [first, second].map(super::archive::Archive::read);
    let (first, second) = (first?, second?);
    let pairs = first.members().iter().zip(second.members());
    let mut names = pairs.filter(|(one, other)| one != other).map(|it| &it.0.0);
    let found = names.next().cloned();
    Ok(found.unwrap_or_else(|| "the order or number of members".into()))
}

/// A clone of the tree with the changes that are not committed.
fn copy_tree(to: &Path) -> Result<()> {
    let parent = to.parent().context("a path without a folder")?;
    fs::create_dir_all(parent).with_context(|| paths::shown(parent))?;
    git(paths::root(), |git| {
        git.args(["clone", "--quiet", "--local", "."]).arg(to)
    })?;
    let changed = git(paths::root(), |git| {
        git.args(["diff", "--name-only", "--no-renames", "-z", "HEAD"])
    })?;
    for file in changed.split(|byte| *byte == 0).filter(|it| !it.is_empty()) {
        let file = Path::new(std::str::from_utf8(file).context("a name that is not UTF-8")?);
        let (from, to) = (paths::root().join(file), to.join(file));
        if from.exists() {
            if let Some(folder) = to.parent() {
                fs::create_dir_all(folder).with_context(|| paths::shown(folder))?;
            }
            fs::copy(&from, &to).with_context(|| paths::shown(&from))?;
        } else {
            fs::remove_file(&to).with_context(|| paths::shown(&to))?;
        }
    }
    Ok(())
}

/// Runs Git and returns what it prints.
fn git(folder: &Path, arguments: impl FnOnce(&mut Command) -> &mut Command) -> Result<Vec<u8>> {
    let mut command = Command::new("git");
    command.current_dir(folder);
    let output = arguments(&mut command).output().context("cannot run git")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "git failed: {}", said.trim());
    Ok(output.stdout)
}

/// Builds the demo in a copy, with the build tool of this tree, and returns its archive.
fn dist(tree: &Path) -> Result<PathBuf> {
    let output = Command::new(paths::target().join("debug/xtask"))
        .current_dir(tree)
        .env("CARGO", build::cargo().get_program())
        .env_remove("CARGO_TARGET_DIR")
        .args(["dist", DEMO])
        .output()
        .context("cannot run the build tool")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "the build in {} failed: {}",
        paths::shown(tree),
        said.trim()
    );
    let printed = String::from_utf8_lossy(&output.stdout);
    let archive = printed.lines().last().context("no archive is named")?;
    Ok(tree.join(archive))
}
