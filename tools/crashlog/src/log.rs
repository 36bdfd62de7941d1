//! `crashlog log`: prints the log, oldest record first.

use crate::archives::{Archives, BootNames};
use crate::boot;
use crate::card::Card;
use crate::cli::{LevelName, Log, StreamName};
use crate::clock::{self, Clock};
use crate::describe::Names;
use crate::gaps::Gaps;
use crate::logbook::{Item, Logbook};
use crate::pieces::Pieces;
use crate::problem::{Code, Problem, tell};
use crate::terminal::{BAD, FAINT, Output, WARN};
use crate::text::{self, console_line, count, hex, printable, seconds};
use anstyle::Style;
use crashlog_format::page::LogRecord;
use crashlog_format::{BootRecord, Level, Stream, TimeAnchor};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufWriter, Write};
use std::ops::RangeInclusive;

pub fn run(args: &Log, out: &mut Output) -> Result<(), Problem> {
    let archives = Archives::given(&args.archives)?;
    let mut filter = Filter::new(args, &archives)?;
    let card = Card::open(&args.image, false)?;
    let logbook = Logbook::open(&card)?;
    if let Some(choice) = args.boot {
        filter.boots = choice.numbers(logbook.newest_boot())?;
    }
    let images = if archives.is_empty() {
        BTreeMap::new()
    } else {
        logbook.images()?
    };
    let mut boots = BootNames::new(&archives, images);
    // Raw bytes must not go through `out`, which removes escape sequences.
    let mut raw = BufWriter::new(std::io::stdout().lock());
    let (mut gaps, mut pieces) = (Gaps::default(), Pieces::default());
    logbook.each(|item| {
        match &item {
            Item::Record(record) => gaps.record(record),
            Item::Missing { boot, count } if filter.boots.contains(boot) => {
                gaps.missing(*boot, *count);
            }
            Item::Missing { .. } => {}
        }
        match item {
            Item::Record(record) if !filter.accepts(&record, &mut boots)? => {}
            Item::Record(record) if args.raw => {
                note_lost(&record);
                raw.write_all(record.payload)?;
            }
            Item::Record(record) if args.json => {
                let value = value(&record, boots.of(record.boot)?, logbook.clock());
                writeln!(out, "{}", text::json(&value, false))?;
            }
            Item::Record(record) => {
                let names = boots.of(record.boot)?;
                line(&record, names, logbook.clock(), &mut pieces, out)?;
            }
            Item::Missing { boot, .. } if !filter.boots.contains(&boot) => {}
            Item::Missing { .. } if args.raw => {}
            Item::Missing { boot, count } if args.json => {
                writeln!(out, "{}", json!({ "boot": boot, "missing": count }))?;
            }
            Item::Missing {
                boot,
                count: missing,
            } => {
                writeln!(
                    out,
                    "{WARN}{boot:>4}  {} missing here{WARN:#}",
                    count(missing.into(), "record")
                )?;
            }
        }
        Ok(())
    })?;
    raw.flush()?;
    for (boot, task, bytes) in pieces.rest() {
        let (task, bytes) = (boots.of(boot)?.task_or_number(task), printable(&bytes));
        writeln!(
            out,
            "{WARN}{boot:>4}  a line of {task} ends within a character: {bytes}{WARN:#}"
        )?;
    }
    out.flush()?;
    gaps.check(&card)
}

/// Raw payloads say nothing of records that were lost before they got a number.
fn note_lost(record: &LogRecord<'_>) {
    if record.header.lost > 0 {
        tell(&format!(
            "log of boot {}: {} of task {} lost before record {}",
            record.boot,
            count(record.header.lost.into(), "record"),
            record.header.task,
            record.sequence
        ));
    }
}

/// A task as `--task` names it. Its index may differ from boot to boot.
enum WantedTask {
    Index(u16),
    Name(String),
}

/// The records to print.
struct Filter {
    stream: Option<Stream>,
    boots: RangeInclusive<u32>,
    task: Option<WantedTask>,
    level: Option<Level>,
}

impl Filter {
    fn new(args: &Log, archives: &Archives) -> Result<Self, Problem> {
        let task = args.task.as_ref().map(|task| match task.parse() {
            Ok(index) => Ok(WantedTask::Index(index)),
            Err(_) if archives.is_empty() => Err(Problem::new(
                Code::Usage,
                format!("--task {task}: the card does not have the names of tasks; give the index, or --archive as well"),
            )),
            Err(_) if !archives.have_task(task) => Err(Problem::new(
                Code::Usage,
                format!("--task {task}: no archive has a task of that name"),
            )),
            Err(_) => Ok(WantedTask::Name(task.clone())),
        });
        Ok(Self {
            stream: args.stream.map(stream),
            boots: 0..=u32::MAX,
            task: task.transpose()?,
            level: args.level.map(level),
        })
    }

    fn accepts(&self, record: &LogRecord<'_>, boots: &mut BootNames<'_>) -> Result<bool, Problem> {
        let header = &record.header;
        let accepted = self.stream.is_none_or(|stream| header.stream == stream)
            && self.boots.contains(&record.boot)
            && self.level.is_none_or(|level| header.level <= level);
        Ok(accepted
            && match &self.task {
                None => true,
                Some(WantedTask::Index(index)) => header.task == *index,
                Some(WantedTask::Name(name)) => {
                    boots.of(record.boot)?.task(header.task).as_ref() == Some(name)
                }
            })
    }
}

/// One record as one line; a line before it says how many were lost.
pub fn line(
    record: &LogRecord<'_>,
    names: &dyn Names,
    clock: &Clock,
    pieces: &mut Pieces,
    out: &mut Output,
) -> Result<(), Problem> {
    let header = &record.header;
    if header.lost > 0 {
        writeln!(
            out,
            "{WARN}{:>4}  {} of {} lost here{WARN:#}",
            record.boot,
            count(header.lost.into(), "record"),
            names.task_or_number(header.task),
        )?;
    }
    let style = style(header.level);
    writeln!(
        out,
        "{FAINT}{:>4} {:>10}{}{FAINT:#}  {:<10} {FAINT}{:<7}{FAINT:#} {style}{}{style:#}",
        record.boot,
        seconds(header.time),
        clock.column(record.boot, header.time),
        names.task_or_number(header.task),
        header.stream.name(),
        text(record, names, pieces),
    )?;
    Ok(())
}

/// The payload in words. `pieces` has what belongs to it of the records before.
pub fn text(record: &LogRecord<'_>, names: &dyn Names, pieces: &mut Pieces) -> String {
    match Payload::of(record) {
        Payload::Console(_) => console_line(&pieces.join(record)),
        Payload::Text(bytes) => printable(bytes),
        Payload::Boot(build) => boot::line(&build),
        Payload::Time(anchor) => time(anchor),
        Payload::Event { name, bytes } => event(record, name, bytes, names)
            .unwrap_or_else(|| format!("{} {}", printable(name), hex(bytes))),
        Payload::Other(bytes) => hex(bytes),
    }
}

fn time(anchor: TimeAnchor) -> String {
    format!("the time is {}", clock::text(anchor))
}

/// A typed event in words, if the archive has its type.
fn event(record: &LogRecord<'_>, name: &[u8], bytes: &[u8], names: &dyn Names) -> Option<String> {
    let text = names.event(record.header.task, std::str::from_utf8(name).ok()?, bytes)?;
    Some(printable(text.as_bytes()))
}

/// One record as JSON.
pub fn value(record: &LogRecord<'_>, names: &dyn Names, clock: &Clock) -> Value {
    let header = &record.header;
    let mut value = json!({
        "boot": record.boot,
        "sequence": record.sequence,
        "time_ms": header.time,
        "task_index": header.task,
        "stream": header.stream.name(),
        "level": header.level.name(),
        "lost": header.lost,
    });
    if let Some(task) = names.task(header.task) {
        value["task"] = task.into();
    }
    if let Some(utc) = clock.utc(record.boot, header.time) {
        value["utc"] = utc.into();
    }
    match Payload::of(record) {
        Payload::Console(bytes) | Payload::Text(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => value["text"] = text.into(),
            Err(_) => value["hex"] = hex(bytes).into(),
        },
        Payload::Event { name, bytes } => {
            value["type"] = String::from_utf8_lossy(name).into();
            value["hex"] = hex(bytes).into();
            if let Some(text) = event(record, name, bytes, names) {
                value["text"] = text.into();
            }
        }
        Payload::Boot(build) => {
            value["text"] = boot::line(&build).into();
            value["build"] = boot::value(&build);
        }
        Payload::Time(anchor) => value["text"] = time(anchor).into(),
        Payload::Other(bytes) => value["hex"] = hex(bytes).into(),
    }
    value
}

/// A payload, by its stream; see `task/crashlog-api`.
enum Payload<'a> {
    /// A line, or a part of one, unchanged.
    Console(&'a [u8]),
    /// A line of text.
    Text(&'a [u8]),
    /// A value: the name of its type, and its encoding.
    Event { name: &'a [u8], bytes: &'a [u8] },
    /// What firmware runs.
    Boot(BootRecord<'a>),
    /// What time it is.
    Time(TimeAnchor),
    /// A malformed record, or a stream without a defined form.
    Other(&'a [u8]),
}

impl<'a> Payload<'a> {
    fn of(record: &LogRecord<'a>) -> Self {
        let payload = record.payload;
        match record.header.stream {
            Stream::Console => Self::Console(payload),
            Stream::Event => match payload.split_first() {
                Some((0, text)) => Self::Text(text),
                Some((&length, rest)) => match rest.split_at_checked(length.into()) {
                    Some((name, bytes)) => Self::Event { name, bytes },
                    None => Self::Other(payload),
                },
                None => Self::Other(payload),
            },
            Stream::Fault => Self::Text(payload),
            Stream::Trace => Self::Other(payload),
            Stream::Boot => match clock::anchor(record) {
                Some(anchor) => Self::Time(anchor),
                None => BootRecord::parse(payload).map_or(Self::Other(payload), Self::Boot),
            },
        }
    }
}

fn style(level: Level) -> Style {
    match level {
        Level::Error => BAD,
        Level::Warn => WARN,
        Level::Info => Style::new(),
        Level::Debug | Level::Trace => FAINT,
    }
}

fn stream(name: StreamName) -> Stream {
    match name {
        StreamName::Console => Stream::Console,
        StreamName::Event => Stream::Event,
        StreamName::Fault => Stream::Fault,
        StreamName::Trace => Stream::Trace,
        StreamName::Boot => Stream::Boot,
    }
}

fn level(name: LevelName) -> Level {
    match name {
        LevelName::Error => Level::Error,
        LevelName::Warn => Level::Warn,
        LevelName::Info => Level::Info,
        LevelName::Debug => Level::Debug,
        LevelName::Trace => Level::Trace,
    }
}
