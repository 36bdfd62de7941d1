//! The trace ring buffers of all tasks: those of the crashed task, the supervisor and the recorder
//! first.

use crate::postmortem::{PostMortem, RingEntry};
use crate::text::printable;

/// Number of ring buffers that are shown, and of entries of each, the newest.
const RINGS: usize = 64;
const ENTRIES: usize = 256;
/// Longest payload that is shown, in bytes.
const PAYLOAD_MAX: usize = 500;

/// A ring buffer.
pub struct RingTable {
    pub task: String,
    pub name: String,
    /// How many entries it has, in words.
    pub note: String,
    /// Whether it is shown at once.
    pub is_open: bool,
    /// The oldest first.
    pub entries: Vec<RingRow>,
}

pub struct RingRow {
    pub index: usize,
    pub line: u64,
    pub generation: u64,
    pub count: u64,
    pub payload: String,
}

/// The ring buffers that have entries.
pub fn read(post: &PostMortem) -> Vec<RingTable> {
    let rank = |task: u16| {
        let place = post.important.iter().position(|index| *index == task);
        place.unwrap_or(usize::MAX)
    };
    let mut rings: Vec<_> = post
        .rings
        .iter()
        .filter(|ring| !ring.entries.is_empty())
        .collect();
    rings.sort_by_key(|ring| (rank(ring.task), ring.task));
    let rings = rings.into_iter().take(RINGS);
    rings
        .map(|ring| {
            let entries = &ring.entries;
            let skipped = entries.len().saturating_sub(ENTRIES);
            let mut note = match entries.len() {
                1 => "1 entry".to_owned(),
                number => format!("{number} entries"),
            };
            if skipped > 0 {
                note += &format!("; the last {ENTRIES} are shown");
            }
            let task = post.task(ring.task);
            RingTable {
                task: task.map_or_else(
                    || format!("task {}", ring.task),
                    |task| printable(task.name.as_bytes()),
                ),
                name: printable(ring.name.as_bytes()),
                note,
                is_open: post.important.contains(&ring.task),
                entries: entries.iter().skip(skipped).map(shown).collect(),
            }
        })
        .collect()
}

fn shown(entry: &RingEntry) -> RingRow {
    RingRow {
        index: entry.index,
        line: entry.line,
        generation: entry.generation,
        count: entry.count,
        payload: payload(&entry.payload),
    }
}

fn payload(text: &str) -> String {
    let bytes = text.as_bytes();
    match bytes.get(..PAYLOAD_MAX) {
        Some(start) if bytes.len() > PAYLOAD_MAX => printable(start) + "\u{2026}",
        _ => printable(bytes),
    }
}
