//! The log before a crash: a table, and a drawing with a lane for each task.
//!
//! The table can be filtered without a script: each row has a class for its stream, level and lane,
//! and a rule of the style hides the class while its box is not checked.

use crate::clock::Clock;
use crate::crash::Crash;
use crate::describe::Names;
use crate::log_line;
use crate::logbook::{self, Item, Logbook};
use crate::pieces::Pieces;
use crate::problem::Problem;
use crate::text::{count, printable, seconds};
use crashlog_format::page::LogRecord;
use crashlog_format::{Level, Stream};
use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write;

/// Number of lanes, that for the other tasks included. A system has a few dozen tasks; a damaged
/// log may name thousands.
const LANES: usize = 16;
/// Height of a lane, and of the tick of a record, in the drawing's units.
const LANE_HEIGHT: u32 = 20;
const TICK_HEIGHT: u32 = 12;
/// Where time begins and ends in the drawing, from left to right, in tenths of a unit.
const LEFT: u64 = 1200;
const RIGHT: u64 = 9900;
/// Greatest number of intervals on the axis.
const INTERVALS: u64 = 8;

/// The rules of the style that hide rows of the table, and ticks of the drawing, whose box is not
/// checked.
pub fn filter_style() -> String {
    let streams = Stream::ALL.map(stream_class).into_iter();
    let levels = Level::ALL.map(level_class).into_iter();
    let classes = streams.chain(levels).chain((0..LANES).map(lane_class));
    classes
        .map(|class| {
            format!("body:has(#show-{class}:not(:checked)) .log .{class} {{ display: none; }}\n")
        })
        .collect()
}

fn stream_class(stream: Stream) -> String {
    format!("s-{}", stream.name())
}

fn level_class(level: Level) -> String {
    format!("l-{}", level.name())
}

fn lane_class(lane: usize) -> String {
    format!("t-{lane}")
}

/// The log before a crash.
pub struct Timeline {
    pub rows: Vec<Row>,
    /// Whether the UTC of records is known.
    pub has_utc: bool,
    /// How much of the log this is, in words.
    pub note: String,
    pub filters: Vec<Filter>,
    pub drawing: Drawing,
}

/// A row of the table.
pub enum Row {
    Record(RecordRow),
    /// Records are missing here, in words.
    Gap(String),
}

pub struct RecordRow {
    pub class: String,
    pub time: String,
    /// Empty if it is not known.
    pub utc: String,
    /// Seconds before the crash.
    pub before: String,
    pub task: String,
    pub stream: &'static str,
    pub level: &'static str,
    pub text: String,
}

/// A group of boxes of the filter.
pub struct Filter {
    pub legend: &'static str,
    pub choices: Vec<Choice>,
}

/// A box of the filter.
pub struct Choice {
    /// The class that it shows.
    pub class: String,
    pub name: String,
    pub count: usize,
}

/// The drawing: time from left to right, a lane for each task, a tick for each record.
pub struct Drawing {
    pub height: u32,
    pub lanes: Vec<Lane>,
    pub ticks: Vec<Ticks>,
    pub axis: Vec<Mark>,
    /// Where the crash is.
    pub crash: String,
    /// Lower end of the lanes.
    pub bottom: u32,
}

pub struct Lane {
    pub class: String,
    pub name: String,
    /// Top, and base line of the name.
    pub top: u32,
    pub base: u32,
}

/// Records of one task, stream and level.
pub struct Ticks {
    pub class: String,
    pub path: String,
}

/// A time on the axis.
pub struct Mark {
    pub x: String,
    pub label: String,
}

/// What is kept of a record until all are read.
struct Kept {
    time: u64,
    utc: Option<String>,
    task: u16,
    stream: Stream,
    level: Level,
    text: String,
}

enum Entry {
    Record(Kept),
    Gap(String),
}

impl Timeline {
    /// Reads the last `limit` records before the crash.
    pub fn read(
        logbook: &Logbook<'_>,
        crash: &Crash,
        limit: usize,
        names: &dyn Names,
    ) -> Result<Self, Problem> {
        let header = &crash.header;
        let mut entries = VecDeque::new();
        let mut records = 0;
        let mut pieces = Pieces::default();
        logbook.before(header, limit, |item| {
            let record = match item {
                Item::Missing { count: missing, .. } => {
                    let text = format!("{} missing here", count(missing.into(), "record"));
                    entries.push_back(Entry::Gap(text));
                    return Ok(());
                }
                Item::Record(record) => record,
            };
            if record.header.lost > 0 {
                entries.push_back(Entry::Gap(format!(
                    "{} of {} lost here: the recorder's memory was full",
                    count(record.header.lost.into(), "record"),
                    printable(names.task_or_number(record.header.task).as_bytes())
                )));
            }
            let text = log_line::text(&record, names, &mut pieces);
            entries.push_back(Entry::Record(kept(&record, text, logbook.clock())));
            records += 1;
            while records > limit {
                if let Some(Entry::Record(_)) = entries.pop_front() {
                    records -= 1;
                }
            }
            Ok(())
        })?;
        // A gap before the first record says nothing about what is shown.
        while let Some(Entry::Gap(_)) = entries.front() {
            entries.pop_front();
        }
        let note = note(records, logbook::accepted_before(header), header.boot.get());
        Ok(Self::new(entries, note, header.time.get(), names))
    }

    fn new(entries: VecDeque<Entry>, note: String, crash: u64, names: &dyn Names) -> Self {
        let records = || {
            entries.iter().filter_map(|entry| match entry {
                Entry::Record(kept) => Some(kept),
                Entry::Gap(_) => None,
            })
        };
        let lanes = Lanes::new(records(), names);
        let start = records().map(|kept| kept.time).min().unwrap_or(crash);
        let drawing = drawing(records(), &lanes, start.min(crash), crash);
        let streams = Stream::ALL.into_iter().map(|stream| Choice {
            class: stream_class(stream),
            name: stream.name().to_owned(),
            count: records().filter(|kept| kept.stream == stream).count(),
        });
        let levels = Level::ALL.into_iter().map(|level| Choice {
            class: level_class(level),
            name: level.name().to_owned(),
            count: records().filter(|kept| kept.level == level).count(),
        });
        let filters = [
            ("Stream", streams.collect()),
            ("Level", levels.collect()),
            ("Task", lanes.choices()),
        ]
        .into_iter()
        .map(|(legend, mut choices): (_, Vec<Choice>)| {
            choices.retain(|choice| choice.count > 0);
            Filter { legend, choices }
        })
        .collect();
        let has_utc = records().any(|kept| kept.utc.is_some());
        let rows = entries
            .into_iter()
            .map(|entry| match entry {
                Entry::Gap(text) => Row::Gap(text),
                Entry::Record(kept) => Row::Record(RecordRow {
                    class: class(lanes.of(kept.task), kept.stream, kept.level),
                    time: seconds(kept.time),
                    utc: kept.utc.unwrap_or_default(),
                    before: before(kept.time, crash),
                    task: task_name(kept.task, names),
                    stream: kept.stream.name(),
                    level: kept.level.name(),
                    text: kept.text,
                }),
            })
            .collect();
        Self {
            rows,
            has_utc,
            note,
            filters,
            drawing,
        }
    }
}

fn kept(record: &LogRecord<'_>, text: String, clock: &Clock) -> Kept {
    Kept {
        time: record.header.time,
        utc: clock.utc(record.boot, record.header.time),
        task: record.header.task,
        stream: record.header.stream,
        level: record.header.level,
        text,
    }
}

fn task_name(index: u16, names: &dyn Names) -> String {
    printable(names.task_or_number(index).as_bytes())
}

/// How much of the log is shown.
fn note(records: usize, accepted: Option<u32>, boot: u32) -> String {
    let shown = count(records as u64, "record");
    match accepted {
        _ if records == 0 => {
            "The card has no log of that boot before the crash; it may have been overwritten."
                .into()
        }
        None => format!(
            "The last {shown} of boot {boot} before the crash; how many there were is not known."
        ),
        Some(accepted) if records as u64 == u64::from(accepted) => {
            format!("All {shown} of boot {boot} before the crash.")
        }
        Some(accepted) => format!(
            "The last {shown} of the {accepted} of boot {boot} before the crash; crashlog log prints all that the card has."
        ),
    }
}

/// Time before the crash, with a sign.
fn before(time: u64, crash: u64) -> String {
    match crash.checked_sub(time) {
        Some(before) => format!("\u{2212}{}", seconds(before)),
        None => format!("+{}", seconds(time - crash)),
    }
}

fn class(lane: usize, stream: Stream, level: Level) -> String {
    [lane_class(lane), stream_class(stream), level_class(level)].join(" ")
}

/// The lanes of the drawing: the tasks with the most records, by index, then all others.
struct Lanes {
    lanes: Vec<(u16, String, usize)>,
    others: usize,
}

impl Lanes {
    fn new<'a>(records: impl Iterator<Item = &'a Kept>, names: &dyn Names) -> Self {
        let mut counts: BTreeMap<u16, usize> = BTreeMap::new();
        for kept in records {
            *counts.entry(kept.task).or_default() += 1;
        }
        let mut tasks: Vec<_> = counts.into_iter().collect();
        tasks.sort_by_key(|&(task, count)| (std::cmp::Reverse(count), task));
        let shown = if tasks.len() > LANES {
            LANES - 1
        } else {
            LANES
        };
        let others = tasks.iter().skip(shown).map(|(_, count)| count).sum();
        tasks.truncate(shown);
        tasks.sort_unstable();
        let lanes = tasks.into_iter();
        Self {
            lanes: lanes
                .map(|(task, count)| (task, task_name(task, names), count))
                .collect(),
            others,
        }
    }

    /// The lane of a task.
    fn of(&self, task: u16) -> usize {
        self.lanes
            .binary_search_by_key(&task, |(task, _, _)| *task)
            .unwrap_or(self.lanes.len())
    }

    /// The name of each lane, and its number of records.
    fn choices(&self) -> Vec<Choice> {
        let lanes = self
            .lanes
            .iter()
            .map(|(_, name, count)| (name.clone(), *count));
        let others = (self.others > 0).then(|| ("other tasks".to_owned(), self.others));
        let lanes = lanes.chain(others).enumerate();
        lanes
            .map(|(lane, (name, count))| Choice {
                class: lane_class(lane),
                name,
                count,
            })
            .collect()
    }
}

fn drawing<'a>(
    records: impl Iterator<Item = &'a Kept>,
    lanes: &Lanes,
    start: u64,
    end: u64,
) -> Drawing {
    // The paths by class. A tick at the place of the one before it is not drawn.
    let mut paths: BTreeMap<String, (u64, String)> = BTreeMap::new();
    for kept in records {
        let lane = lanes.of(kept.task);
        let x = place(kept.time, start, end);
        let (last, path) = paths
            .entry(class(lane, kept.stream, kept.level))
            .or_default();
        if *last != x {
            *last = x;
            let y = lane as u32 * LANE_HEIGHT + (LANE_HEIGHT - TICK_HEIGHT) / 2;
            // Writing to a string does not fail.
            let _ = write!(path, "M{} {y}v{TICK_HEIGHT}", units(x));
        }
    }
    let lanes: Vec<_> = (0..)
        .zip(lanes.choices())
        .map(|(lane, choice)| Lane {
            class: choice.class,
            name: choice.name,
            top: lane * LANE_HEIGHT,
            base: lane * LANE_HEIGHT + 14,
        })
        .collect();
    let bottom = lanes.len() as u32 * LANE_HEIGHT;
    Drawing {
        height: bottom + 24,
        ticks: paths
            .into_iter()
            .map(|(class, (_, path))| Ticks { class, path })
            .collect(),
        axis: axis(start, end),
        crash: units(place(end, start, end)),
        bottom,
        lanes,
    }
}

/// Where a time is, in tenths of a unit.
fn place(time: u64, start: u64, end: u64) -> u64 {
    let span = u128::from((end - start).max(1));
    let offset = u128::from(time.clamp(start, end) - start);
    LEFT + (offset * u128::from(RIGHT - LEFT) / span) as u64
}

fn units(tenths: u64) -> String {
    format!("{}.{}", tenths / 10, tenths % 10)
}

/// The times on the axis: before the crash, at round numbers.
fn axis(start: u64, end: u64) -> Vec<Mark> {
    let span = end - start;
    let mut step = 1_u64;
    while span / step > INTERVALS {
        // 1, 2, 5, 10, 20, 50 ...
        let mut leading = step;
        while leading >= 10 {
            leading /= 10;
        }
        step = if leading == 2 {
            step.saturating_mul(5) / 2
        } else {
            step.saturating_mul(2)
        };
    }
    (1..=INTERVALS)
        .map_while(|number| number.checked_mul(step).filter(|before| *before <= span))
        .map(|before| Mark {
            x: units(place(end - before, start, end)),
            label: format!("\u{2212}{} s", short(before)),
        })
        .collect()
}

/// Milliseconds as seconds, without zeros at the end.
fn short(milliseconds: u64) -> String {
    let text = seconds(milliseconds);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_has_a_place() {
        for (time, start, end) in [
            (0, 0, 0),
            (u64::MAX, 0, u64::MAX),
            (u64::MAX, 5, 5),
            (0, 7, u64::MAX),
        ] {
            let x = place(time, start, end);
            assert!((LEFT..=RIGHT).contains(&x), "{time} {start} {end}: {x}");
        }
    }

    #[test]
    fn the_axis_has_round_numbers() {
        let labels = |start, end| -> Vec<String> {
            axis(start, end)
                .into_iter()
                .map(|mark| mark.label)
                .collect()
        };
        assert_eq!(
            labels(0, 3007),
            [
                "\u{2212}0.5 s",
                "\u{2212}1 s",
                "\u{2212}1.5 s",
                "\u{2212}2 s",
                "\u{2212}2.5 s",
                "\u{2212}3 s"
            ]
        );
        assert!(labels(5, 5).is_empty());
        assert!(labels(0, u64::MAX).len() <= INTERVALS as usize);
    }
}
