//! Which part of the project each crate of the workspace belongs to
//!
//! Each manifest says it, and nothing else does:
//!
//! ```toml
//! [package.metadata.crashlog]
//! part = "product"
//! with = ["idl/crashlog.idol"]
//! ```
//!
//! `part` is one of the values of [`Part`]. `with` names files outside the crate's folder that a
//! tree which takes the crate needs, too; only the product has such files. What follows from the
//! product's list: the check that those crates use only what a stock Hubris tree has, the workspace
//! that the test `app::stock` puts together, and the table of folders in doc/porting.md.
//!
//! [`read`] returns crates only if every member of the workspace says its part, so a new crate
//! cannot be forgotten.

#![forbid(unsafe_code)]

use anyhow::{Context, Result, bail};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use toml::{Table, Value};

/// A part of the project.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Goes into a Hubris tree as it is: the recorder, its drivers and libraries, what a supervisor
    /// needs of it.
    Product,
    /// Stands in for what a Hubris tree has itself, under the same names: kernel, system libraries,
    /// supervisor, build tools, drivers of the chip.
    Substrate,
    /// The tasks of the demo, clients of the product.
    Demo,
    /// Programs for the host, beside a Hubris tree: they read what the product has written.
    Tool,
    /// Tests the others.
    Rig,
}

impl Part {
    /// All of them, each with its name in a manifest.
    const NAMES: [(&str, Self); 5] = [
        ("product", Self::Product),
        ("substrate", Self::Substrate),
        ("demo", Self::Demo),
        ("tool", Self::Tool),
        ("rig", Self::Rig),
    ];

    fn parse(name: &str) -> Option<Self> {
        let found = Self::NAMES.iter().find(|(own, _)| *own == name)?;
        Some(found.1)
    }
}

/// A member of the workspace.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// Its folder, relative to the top of the tree, with `/` between names.
    pub folder: String,
    /// The name of its package.
    pub name: String,
    /// Where it belongs.
    pub part: Part,
    /// Files and folders outside its own that it needs, relative to the top of the tree.
    pub with: Vec<String>,
    /// Its manifest.
    pub manifest: Table,
}

/// The members of the workspace at `root`, sorted by folder. The error has a line for each manifest
/// that does not say its part.
pub fn read(root: &Path) -> Result<Vec<Member>> {
    let mut members = Vec::new();
    let mut wrong = Vec::new();
    for folder in folders(root)? {
        let path = format!("{folder}/Cargo.toml");
        let manifest = table(&root.join(&path))?;
        match member(root, folder, manifest) {
            Ok(member) => members.push(member),
            Err(what) => wrong.push(format!("{path}: part: {what}")),
        }
    }
    if !wrong.is_empty() {
        bail!("{}", wrong.join("\n"));
    }
    Ok(members)
}

/// What goes into a Hubris tree: the folders of the product's crates and what they need beside
/// them, sorted.
pub fn product(members: &[Member]) -> BTreeSet<String> {
    let product = members.iter().filter(|it| it.part == Part::Product);
    product
        .flat_map(|it| it.with.iter().chain([&it.folder]).cloned())
        .collect()
}

/// A member by its manifest, or what is wrong there and what to do.
fn member(root: &Path, folder: String, manifest: Table) -> Result<Member, String> {
    let package = manifest.get("package").and_then(Value::as_table);
    let name = package
        .and_then(|package| package.get("name")?.as_str())
        .ok_or("its package has no name; write one")?
        .to_owned();
    let choices = Part::NAMES.map(|(name, _)| name).join(", ");
    let metadata = package
        .and_then(|package| package.get("metadata")?.get("crashlog")?.as_table())
        .ok_or_else(|| {
            format!(
                "[package.metadata.crashlog] is missing; add it, with `part` as one of {choices}"
            )
        })?;
    let part = metadata
        .get("part")
        .and_then(|part| Part::parse(part.as_str()?))
        .ok_or_else(|| {
            format!("`part` in [package.metadata.crashlog] must be one of {choices}; write the one that it is")
        })?;
    if let Some(key) = metadata
        .keys()
        .find(|key| !["part", "with"].contains(&key.as_str()))
    {
        return Err(format!(
            "[package.metadata.crashlog] has an unknown key `{key}`; remove it"
        ));
    }
    let with = match metadata.get("with") {
        None => Vec::new(),
        Some(with) => strings(with).ok_or("`with` must be a list of paths; write it as one")?,
    };
    if part != Part::Product && !with.is_empty() {
        return Err("`with` is for the product alone; remove it".into());
    }
    if let Some(path) = with.iter().find(|path| !root.join(path).exists()) {
        return Err(format!(
            "`with` names {path}, which does not exist; mend it"
        ));
    }
    Ok(Member {
        folder,
        name,
        part,
        with,
        manifest,
    })
}

/// The folders of the members, by the patterns in the manifest at the top. As with Cargo, a folder
/// that a pattern fits is a member only if it has a manifest.
fn folders(root: &Path) -> Result<BTreeSet<String>> {
    let path = root.join("Cargo.toml");
    let top = table(&path)?;
    let list = |key: &str| {
        let workspace = top.get("workspace").and_then(Value::as_table);
        match workspace.and_then(|workspace| workspace.get(key)) {
            None => Ok(Vec::new()),
            Some(value) => strings(value)
                .with_context(|| format!("{}: `{key}` must be a list of paths", path.display())),
        }
    };
    let mut folders = BTreeSet::new();
    for pattern in list("members")? {
        let Some(parent) = pattern.strip_suffix("/*") else {
            if pattern.contains('*') {
                bail!(
                    "{}: member `{pattern}`: only a last name of `*` is understood; write the others out",
                    path.display()
                );
            }
            folders.insert(pattern);
            continue;
        };
        let entries = fs::read_dir(root.join(parent))
            .with_context(|| format!("{}: member `{pattern}`", path.display()))?;
        for entry in entries {
            let entry = entry?;
            if entry.path().join("Cargo.toml").is_file() {
                folders.insert(format!("{parent}/{}", entry.file_name().to_string_lossy()));
            }
        }
    }
    for excluded in list("exclude")? {
        folders.remove(&excluded);
    }
    Ok(folders)
}

fn strings(value: &Value) -> Option<Vec<String>> {
    let entries = value.as_array()?.iter();
    entries
        .map(|entry| entry.as_str().map(str::to_owned))
        .collect()
}

fn table(path: &Path) -> Result<Table> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    text.parse()
        .with_context(|| format!("{}: not TOML", path.display()))
}

#[cfg(test)]
mod tests;
