//! The page: its templates and what they show.
//!
//! The values are finished text: the templates decide on nothing but layout.

use super::memory::{Map, RegionText};
use super::rings::RingTable;
use super::tasks::Tasks;
use super::timeline::{Row, Timeline};
use crate::problem::{Code, Problem};
use askama::Template;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest, Sha256};

/// The style of the page.
pub const STYLE: &str = include_str!("../../templates/report.css");
/// The script of the page. Everything is there without it; it adds the search of the log.
pub const SCRIPT: &str = include_str!("../../templates/report.js");

/// A style or script, and the hash by which the page's policy allows it.
pub struct Asset {
    pub text: String,
    pub hash: String,
}

impl Asset {
    /// `text` must not come from a card: it is not escaped.
    pub fn new(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            hash: format!(
                "sha256-{}",
                BASE64_STANDARD.encode(Sha256::digest(text.as_bytes()))
            ),
        }
    }
}

/// Everything that the page shows.
#[derive(Template)]
#[template(path = "report.html")]
pub struct Page {
    pub style: Asset,
    pub script: Asset,
    pub title: String,
    pub subtitle: String,
    /// What happened, in three lines.
    pub what: Vec<String>,
    pub messages: Vec<Message>,
    pub facts: Vec<Fact>,
    pub timeline: Timeline,
    pub registers: Vec<Register>,
    /// The backtrace, innermost first; empty without an archive.
    pub frames: Vec<Frame>,
    pub dumps: Vec<Dump>,
    /// What the tasks were doing; `None` if this was not saved.
    pub tasks: Option<Tasks>,
    /// The ring buffers of tasks.
    pub rings: Vec<RingTable>,
    /// The memory of the system; `None` if it was not saved.
    pub map: Option<Map>,
    pub regions: Vec<RegionText>,
    pub emergency: Emergency,
    pub card: Vec<Fact>,
    /// What is missing of this crash, or damaged.
    pub missing: Vec<String>,
    pub version: &'static str,
}

impl Page {
    /// The file.
    pub fn html(&self) -> Result<String, Problem> {
        // The templates have no part that fails, and a string takes everything.
        self.render()
            .map_err(|cause| Problem::new(Code::Io, format!("cannot make the page: {cause}")))
    }
}

/// A fact with its name.
pub struct Fact {
    pub name: &'static str,
    pub text: String,
}

/// Text that the crash left: the message of a panic, or of the kernel.
pub struct Message {
    pub title: String,
    pub lines: Vec<String>,
}

pub struct Register {
    pub name: &'static str,
    pub value: String,
    /// The function that it points into.
    pub note: String,
}

/// A frame of the backtrace.
pub struct Frame {
    pub address: String,
    /// The function, preceded by those that are inlined into it, innermost first; empty if it is
    /// not known.
    pub calls: Vec<Call>,
    /// What follows it, where this is no other frame; empty if there is nothing to say.
    pub note: String,
}

pub struct Call {
    pub function: String,
    /// File and line; empty if they are not known.
    pub place: String,
    /// Whether it belongs to Rust's own libraries.
    pub is_library: bool,
}

/// A dump of memory.
pub struct Dump {
    pub title: String,
    pub note: String,
    pub lines: Vec<String>,
}

/// What the emergency path found and did.
pub struct Emergency {
    /// When and how the crash was written.
    pub written: String,
    /// Empty if the crash was written in normal operation.
    pub steps: Vec<Step>,
    pub facts: Vec<Fact>,
}

pub struct Step {
    pub name: &'static str,
    pub is_done: bool,
}
