//! Reads build archives, and checks that Humility can use them
//!
//! Humility itself does not run. Each rule is checked on the archive's bytes, with readers of zip,
//! ELF and DWARF that share no code with the writer of the archive. A report names the member, what
//! is wrong there, and which part of Humility needs it ([`Topic`]).
//!
//! * [`container`]: the zip file, its members and the image; `configuration`: its TOML files,
//! * [`program`]: each ELF file by itself, and `frames`: whether its stacks can be unwound,
//! * [`dwarf`]: debug information, and `variables`: whether Humility finds each variable,
//! * `kernel`: the kernel's tables, `tasks`: the structures of tasks in them, `regions`: their
//!   memory,
//! * `data`: trace ring buffers, counters and interfaces, `hiffy`: the executor,
//! * `names`: types that are looked up by bare names.

#![forbid(unsafe_code)]

mod configuration;
pub mod container;
mod data;
pub mod dwarf;
mod frames;
mod hiffy;
mod kernel;
mod names;
pub mod program;
mod regions;
mod tasks;
mod types;
mod variables;

use anyhow::{Context, Result, bail};
use container::Archive;
use dwarf::Debug;
use std::fmt;
use std::path::Path;

/// A part of Humility, or of what it reads.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    /// The zip file and its members.
    Archive,
    /// `img/final.elf`.
    Image,
    /// The TOML files.
    Configuration,
    /// ELF files.
    Program,
    /// DWARF: types and variables.
    DebugInformation,
    /// The kernel's variables.
    Kernel,
    /// The kernel's tables of tasks and regions.
    Tasks,
    /// Stack traces.
    Unwinding,
    /// `stackmargin`.
    StackMargins,
    /// `ringbuf`.
    RingBuffers,
    /// `counters`.
    Counters,
    /// `hiffy`: its executor and the Idol interfaces.
    Hiffy,
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Archive => "archive",
            Self::Image => "image",
            Self::Configuration => "configuration",
            Self::Program => "program",
            Self::DebugInformation => "debug information",
            Self::Kernel => "kernel",
            Self::Tasks => "tasks",
            Self::Unwinding => "unwinding",
            Self::StackMargins => "stack margins",
            Self::RingBuffers => "ring buffers",
            Self::Counters => "counters",
            Self::Hiffy => "hiffy",
        })
    }
}

/// A place that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Broken {
    /// Member of the archive.
    pub object: String,
    /// What Humility needs it for.
    pub topic: Topic,
    /// The symbol or type, the rule, and what to do.
    pub what: String,
}

/// All places that break a rule.
#[derive(Debug, Default)]
pub struct Report {
    /// In the order in which they were found.
    pub broken: Vec<Broken>,
}

impl Report {
    fn add(&mut self, object: &str, topic: Topic, what: impl Into<String>) {
        self.broken.push(Broken {
            object: object.into(),
            topic,
            what: what.into(),
        });
    }
}

/// Checks the archive at `path`. Returns a line that says what was checked, or prints each place
/// that breaks a rule.
pub fn run(path: &Path) -> Result<String> {
    let bytes = std::fs::read(path)
        .map_err(|cause| anyhow::anyhow!("{}: {cause}; ./x dist makes one", path.display()))?;
    let mut report = Report::default();
    let seen = check(bytes, &mut report).with_context(|| path.display().to_string());
    if report.broken.is_empty() {
        return Ok(format!(
            "{}: {}; as Humility needs it\n",
            path.display(),
            seen?
        ));
    }
    report.broken.sort();
    report.broken.dedup();
    for broken in &report.broken {
        eprintln!(
            "{}: {} (Humility: {})",
            broken.object, broken.what, broken.topic
        );
    }
    bail!(
        "{}: {} rules are broken",
        path.display(),
        report.broken.len()
    )
}

/// Checks an archive; returns how much was checked.
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
