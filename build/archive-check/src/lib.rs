//! `check-archive`: is everything in a build archive as Humility needs it?
//!
//! Humility itself is not asked: each rule is checked here, on the archive's own bytes, with readers of zip, ELF and DWARF
//! that know nothing of how the archive was made. Sections named in a report are those of `spec/humility.md`, the facts
//! about Humility that this project is built to.
//!
//! * [`container`]: the zip file, its members, and the image (sections 1 and 2),
//! * [`program`]: each ELF file by itself (section 3),
//! * [`dwarf`]: its debug information (section 3.1), and `variables`: whether they can be found,
//! * `kernel`: what is read of the kernel (section 4), `tasks`: of a task, `regions`: of its memory (section 6),
//! * `frames`: how stacks are unwound (section 4.3),
//! * `data`: trace ring buffers, counters and interfaces, `hiffy`: the executor (sections 7 to 9).

#![forbid(unsafe_code)]

mod configuration;
pub mod container;
mod data;
pub mod dwarf;
mod frames;
mod hiffy;
mod kernel;
pub mod program;
mod regions;
mod tasks;
mod types;
mod variables;

use anyhow::{Context, Result, bail};
use container::Archive;
use dwarf::Debug;
use std::path::Path;

/// One rule that is broken.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Broken {
    /// Member of the archive.
    pub object: String,
    /// Section of the rule.
    pub section: &'static str,
    /// Which symbol or type, which rule, and what to do.
    pub what: String,
}

/// All that are broken.
#[derive(Debug, Default)]
pub struct Report {
    /// In the order in which they were found.
    pub broken: Vec<Broken>,
}

impl Report {
    fn add(&mut self, object: &str, section: &'static str, what: impl Into<String>) {
        self.broken.push(Broken {
            object: object.into(),
            section,
            what: what.into(),
        });
    }
}

/// Checks the archive at `path` and prints what was looked at.
pub fn run(path: &Path) -> Result<()> {
    let bytes = std::fs::read(path)
        .map_err(|cause| anyhow::anyhow!("{}: {cause}; ./x dist makes one", path.display()))?;
    let mut report = Report::default();
    let seen = check(bytes, &mut report).with_context(|| path.display().to_string());
    if report.broken.is_empty() {
        println!("{}: {}; as Humility needs it", path.display(), seen?);
        return Ok(());
    }
    report.broken.sort();
    report.broken.dedup();
    for broken in &report.broken {
        eprintln!(
            "{}: {} (humility {})",
            broken.object, broken.what, broken.section
        );
    }
    bail!(
        "{}: {} rules are broken",
        path.display(),
        report.broken.len()
    )
}

/// Checks an archive; returns what was looked at.
fn check(bytes: Vec<u8>, report: &mut Report) -> Result<String> {
    let archive = Archive::open(bytes, report)?;
    container::check(&archive, report);
    configuration::check(&archive, report);
    let mut objects = Vec::new();
    for member in archive.programs() {
        if let Some(program) = program::Program::read(&archive, &member, report)? {
            objects.push(program);
        }
    }
    program::check_all(&archive, &objects, report)?;
    let debugs: Vec<Debug> = objects
        .iter()
        .map(|program| Debug::read(&program.file()?, &program.member, report))
        .collect::<Result<_>>()?;
    kernel::check(&archive, &objects, &debugs, report);
    variables::check(&objects, &debugs, report);
    data::check(&objects, &debugs, report);
    let types: usize = debugs.iter().map(|debug| debug.types.len()).sum();
    let variables: usize = debugs.iter().map(|debug| debug.variables.len()).sum();
    Ok(format!(
        "{} members, {} programs, {types} types, {variables} variables",
        archive.members.len(),
        objects.len()
    ))
}
