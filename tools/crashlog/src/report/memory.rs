//! The memory that was saved with a crash: a map of it, registered regions, and what is missing.

use crate::card::Card;
use crate::crash::{Crash, SegmentData};
use crate::describe::Names;
use crate::postmortem::{PostMortem, RegionContent, TaskState};
use crate::show::saved;
use crate::snapshot::{NoSnapshot, Snapshot, owner};
use crate::text::{count, dump, printable};
use crate::value::Radix;
use std::fmt::Write;

/// Number of areas in the map, of pieces in all of it, of regions, and of things that are missing.
/// A snapshot of a system has a few dozen of each; a damaged one may have 100 000.
const AREAS: usize = 24;
const PIECES: usize = 2_000;
const REGIONS: usize = 64;
const MISSING: usize = 60;
/// Pieces with less than this number of bytes between them are in one area.
const DISTANCE: u64 = 64 << 10;
/// Number of bytes of a region that are shown.
const REGION_MAX: usize = 512;
/// Longest value that is shown, in bytes.
const VALUE_MAX: usize = 2_000;
/// Where the bars begin, and the greatest width, in the drawing's units.
const LEFT: u64 = 260;
const WIDTH: u64 = 730;
const ROW: usize = 38;
/// Width of a letter.
const LETTER: u64 = 6;

/// A map of the saved memory.
pub struct Map {
    /// How much it is, in words.
    pub note: String,
    pub height: usize,
    pub areas: Vec<Area>,
    pub stacks: Vec<StackBox>,
    pub owners: Vec<Owner>,
}

/// The name of the task whose memory is above it.
pub struct Owner {
    pub name: String,
    pub x: u64,
    pub y: usize,
}

/// The stack of a task on the map.
pub struct StackBox {
    pub free: String,
    pub used: String,
    /// What it is, in words.
    pub title: String,
}

/// Memory from one address on; its bar is as long as it is.
pub struct Area {
    pub label: String,
    pub base: usize,
    pub saved: String,
    pub missing: String,
}

/// A region that a task has registered.
pub struct RegionText {
    pub name: String,
    pub owner: String,
    pub place: String,
    /// Why it is not shown; empty if it is.
    pub missing: String,
    pub lines: Vec<String>,
    /// The value of the variable that it is; empty if none is known.
    pub value: String,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Piece {
    pub start: u64,
    pub length: u64,
    pub is_saved: bool,
}

/// What a snapshot has of the memory of the system.
pub struct Saved {
    /// In words.
    pub note: String,
    /// By address.
    pub pieces: Vec<Piece>,
}

impl Saved {
    /// Lists it.
    pub fn of(snapshot: &Snapshot) -> Self {
        let saved = snapshot.memory.segments().into_iter();
        let saved = saved.map(|(address, bytes)| Piece {
            start: address.into(),
            length: bytes.len() as u64,
            is_saved: true,
        });
        let missing = snapshot.gaps.iter().map(|gap| Piece {
            start: gap.address.into(),
            length: gap.length,
            is_saved: false,
        });
        let mut pieces: Vec<_> = saved.chain(missing).collect();
        pieces.sort_unstable();
        Self {
            note: saved::fact(snapshot),
            pieces,
        }
    }

    /// Its map, with the stacks of tasks if they are known; `None` if there is nothing on it.
    pub fn map(mut self, post: Option<&PostMortem>) -> Option<Map> {
        let all = self.pieces.len();
        self.pieces.truncate(PIECES);
        let mut areas: Vec<Vec<Piece>> = Vec::new();
        let mut end = 0;
        for piece in self.pieces {
            match areas.last_mut() {
                Some(area) if piece.start <= end + DISTANCE => area.push(piece),
                _ => areas.push(vec![piece]),
            }
            end = end.max(piece.start + piece.length);
        }
        let is_cut = areas.len() > AREAS || all > PIECES;
        areas.truncate(AREAS);
        let longest = areas.iter().map(|area| length(area)).max()?.max(1);
        let tasks = post.map_or(&[][..], |post| &post.tasks);
        let rows = areas.iter().enumerate();
        Some(Map {
            note: format!(
                "{}.{}",
                self.note,
                if is_cut {
                    " The map shows the start of it."
                } else {
                    ""
                }
            ),
            height: areas.len() * ROW,
            owners: rows
                .clone()
                .flat_map(|(row, area)| owners(row, area, longest, tasks))
                .collect(),
            stacks: rows
                .clone()
                .flat_map(|(row, area)| {
                    tasks
                        .iter()
                        .filter_map(move |task| stack(row, area, longest, task))
                })
                .collect(),
            areas: rows.map(|(row, area)| drawn(row, area, longest)).collect(),
        })
    }
}

/// The names of the tasks that have memory in this area, as far as there is room for them.
fn owners(row: usize, area: &[Piece], longest: u64, tasks: &[TaskState]) -> Vec<Owner> {
    let start = area.first().map_or(0, |piece| piece.start);
    let end = start + length(area);
    let ranges = tasks
        .iter()
        .flat_map(|task| task.memory.iter().map(move |range| (range, task)));
    let mut ranges: Vec<_> = ranges
        .map(|(range, task)| {
            let base = u64::from(range.base);
            ((base, base + u64::from(range.size)), task)
        })
        .filter(|((from, to), _)| *from < end && *to > start)
        .map(|((from, to), task)| ((from.max(start), to.min(end)), task))
        .collect();
    ranges.sort_by_key(|(range, _)| *range);
    // Where the name before ends.
    let mut taken = LEFT;
    let mut owners = Vec::new();
    for ((from, to), task) in ranges {
        let name = printable(task.name.as_bytes());
        let width = name.chars().count() as u64 * LETTER;
        let middle = LEFT + ((from - start) + (to - start)) / 2 * WIDTH / longest;
        let x = middle.max(taken + width / 2);
        // A name that is not below its memory would be taken for that of another.
        if x <= LEFT + (to - start) * WIDTH / longest {
            taken = x + width / 2 + LETTER;
            owners.push(Owner {
                name,
                x,
                y: row * ROW + 31,
            });
        }
    }
    owners
}

/// The stack of a task, if it is in this area.
fn stack(row: usize, area: &[Piece], longest: u64, task: &TaskState) -> Option<StackBox> {
    let stack = task.stack.as_ref()?;
    let start = area.first()?.start;
    let base = u64::from(stack.base)
        .checked_sub(start)
        .filter(|base| *base < length(area))?;
    // A stack grows down: what was never used is at its start.
    let place = |bytes: u64| LEFT + (base + bytes).min(length(area)) * WIDTH / longest;
    let (margin, size) = (stack.margin.min(stack.size).into(), stack.size.into());
    let (left, used, right) = (place(0), place(margin), place(size));
    let y = row * ROW + 4;
    let name = printable(task.name.as_bytes());
    Some(StackBox {
        free: format!("M{left} {y}h{}v16h-{}z", used - left, used - left),
        used: format!("M{used} {y}h{}v16h-{}z", right - used, right - used),
        title: format!("stack of {name}: {margin} of {size} bytes never used"),
    })
}

/// Bytes from the start of an area to its end.
fn length(area: &[Piece]) -> u64 {
    let start = area.first().map_or(0, |piece| piece.start);
    let ends = area.iter().map(|piece| piece.start + piece.length);
    ends.max().unwrap_or(start) - start
}

fn drawn(row: usize, area: &[Piece], longest: u64) -> Area {
    let start = area.first().map_or(0, |piece| piece.start);
    let length = length(area);
    let y = row * ROW + 4;
    let bars = |is_saved: bool| {
        let mut path = String::new();
        for piece in area.iter().filter(|piece| piece.is_saved == is_saved) {
            // A length is at most that of the address space: the products fit.
            let from = LEFT + (piece.start - start) * WIDTH / longest;
            let width = (piece.length * WIDTH / longest).max(1);
            // Writing to a string does not fail.
            let _ = write!(path, "M{from} {y}h{width}v16h-{width}z");
        }
        path
    };
    Area {
        label: format!("{start:08x}  {}", size(length)),
        base: row * ROW + 16,
        saved: bars(true),
        missing: bars(false),
    }
}

fn size(bytes: u64) -> String {
    if bytes >= 1024 && bytes.is_multiple_of(1024) {
        format!("{} KiB", bytes / 1024)
    } else {
        format!("{bytes} B")
    }
}

/// The registered regions.
pub fn regions(snapshot: &Snapshot, names: &dyn Names) -> Vec<RegionText> {
    let regions = snapshot.regions.iter().take(REGIONS);
    regions
        .map(|region| {
            let address = region.address.get();
            let length = region.length.get() as usize;
            let bytes = snapshot.memory.bytes(address, length.min(REGION_MAX));
            let (lines, missing) = match bytes {
                Ok(bytes) => (dump(address, &bytes), String::new()),
                Err(absent) => {
                    let why = snapshot.why_missing(absent.0);
                    (Vec::new(), format!("{:#010x} is missing: {why}", absent.0))
                }
            };
            RegionText {
                name: printable(region.name.as_str().as_bytes()),
                owner: printable(owner(region.owner.get(), names).as_bytes()),
                place: format!("{} at {address:#010x}", count(length as u64, "byte")),
                missing,
                lines,
                value: String::new(),
            }
        })
        .collect()
}

/// The registered regions, as the values of variables where there is one at their addresses.
pub fn values(post: &PostMortem, names: &dyn Names) -> Vec<RegionText> {
    let regions = post.regions.iter().take(REGIONS);
    regions
        .map(|region| {
            let (address, kind) = (
                region.address,
                if region.is_device {
                    "registers of a device, "
                } else {
                    ""
                },
            );
            let mut shown = RegionText {
                name: printable(region.name.as_bytes()),
                owner: printable(owner(region.owner, names).as_bytes()),
                place: format!(
                    "{kind}{} at {address:#010x}",
                    count(region.length.into(), "byte")
                ),
                missing: String::new(),
                lines: Vec::new(),
                value: String::new(),
            };
            match &region.content {
                RegionContent::Variable(path, value) => {
                    let text = format!("{path} = {}", value.text(Radix::Decimal));
                    let start = text.as_bytes().get(..VALUE_MAX);
                    shown.value = start.map_or_else(
                        || printable(text.as_bytes()),
                        |start| printable(start) + "\u{2026}",
                    );
                }
                RegionContent::Bytes(bytes) => {
                    shown.lines = dump(address, bytes.get(..REGION_MAX).unwrap_or(bytes));
                }
                RegionContent::Missing(address, why) => {
                    shown.missing = format!("{address:#010x} is missing: {why}");
                }
            }
            shown
        })
        .collect()
}

/// What is damaged, or missing, of this crash.
pub fn missing(
    card: &Card,
    crash: &Crash,
    segments: &[SegmentData],
    snapshot: &Result<Snapshot, NoSnapshot>,
    post: Option<&PostMortem>,
    names: &dyn Names,
) -> Vec<String> {
    let card = card.damaged.iter().chain(&card.refusal);
    let card = card.map(|text| printable(text.as_bytes()));
    let segments = segments.iter().filter(|data| !data.sound);
    let segments =
        segments.map(|data| format!("Segment {}: its checksum does not match.", data.name()));
    let registers = crash.registers_missing();
    let registers = registers.map(|why| format!("Registers: {why}."));
    let mut missing: Vec<_> = card.chain(segments).chain(registers).collect();
    match snapshot {
        Ok(snapshot) => {
            if !snapshot.is_whole {
                missing.push("Writing the snapshot was cut short.".to_owned());
            }
            let gaps = snapshot.gaps.iter();
            missing.extend(gaps.map(|gap| saved::gap(gap, names)));
            let more = snapshot.regions.len().saturating_sub(REGIONS);
            if more > 0 {
                missing.push(format!("{} not shown.", count(more as u64, "more region")));
            }
        }
        Err(_) if crash.is_self_test() => {}
        Err(none) => missing.push(format!("There is no snapshot: {}.", none.why)),
    }
    let notes = post.map_or(&[][..], |post| &post.notes);
    missing.extend(notes.iter().map(|note| printable(note.as_bytes())));
    let more = missing.len().saturating_sub(MISSING);
    if more > 0 {
        missing.truncate(MISSING);
        missing.push(format!(
            "And {}; crashlog show --json has all of them.",
            count(more as u64, "more piece")
        ));
    }
    missing
}
