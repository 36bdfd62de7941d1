//! Rules about the source tree that neither the compiler nor clippy knows
//!
//! [`check`] looks at every file that is under version control, or would be with the next commit,
//! and returns what breaks a rule, each with the file, the rule, and what to do:
//!
//! * `part`: each crate says which part of the project it belongs to ([`build_parts`]),
//! * `portable`: the product's crates ask only for what a stock Hubris tree has,
//! * `porting-table`: doc/porting.md lists the product's folders, all of them and no others,
//! * `file-size`: no large file is checked in,
//! * `comment-width`: comments are at most 100 columns wide, as code is,
//! * `type-name`: a public type's name means one thing in the whole product,
//! * `module-name`: the two request paths are called `normal` and `emergency`,
//! * `requirement`: doc/requirements.md has each requirement with the tests that prove it
//!   ([`requirements`]).
//!
//! Nothing is compiled and no other program runs but Git, so that all of it takes less than a
//! second.

#![forbid(unsafe_code)]

mod comments;
mod files;
mod items;
mod portable;
mod porting;
pub mod requirements;

use anyhow::Result;
use std::fmt;
use std::path::Path;

pub use files::SourceTree;

/// A place that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Relative to the top of the tree.
    pub path: String,
    /// From 1; none if the whole file is meant.
    pub line: Option<usize>,
    /// Name of the rule.
    pub rule: &'static str,
    /// What is there, and what to do.
    pub what: String,
}

impl Finding {
    fn new(
        path: impl Into<String>,
        line: impl Into<Option<usize>>,
        rule: &'static str,
        what: impl Into<String>,
    ) -> Self {
        Self {
            path: path.into(),
            line: line.into(),
            rule,
            what: what.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}: {}", self.rule, self.what)
    }
}

/// Everything in the tree at `root` that breaks a rule, sorted by place. An error is a file that
/// cannot be read.
pub fn check(root: &Path) -> Result<Vec<Finding>> {
    let tree = SourceTree::open(root)?;
    let mut findings = files::check(&tree)?;
    for path in tree.with_ending(".rs") {
        findings.extend(comments::check(path, &tree.read(path)?));
    }
    match build_parts::read(root) {
        Ok(members) => {
            findings.extend(portable::check(&members));
            findings.extend(porting::check(&members, &tree.read(porting::PATH)?));
            findings.extend(items::check(&items::product(&tree, &members)?));
        }
        Err(error) => {
            let lines = format!("{error:#}");
            findings.extend(lines.lines().map(from_parts));
        }
    }
    findings.extend(requirements::check(&tree)?);
    findings.sort();
    Ok(findings)
}

/// A line of an error of `build_parts`, which has the shape of a finding.
fn from_parts(line: &str) -> Finding {
    match line.split_once(": part: ") {
        Some((path, what)) => Finding::new(path, None, "part", what),
        None => Finding::new("Cargo.toml", None, "part", line),
    }
}
