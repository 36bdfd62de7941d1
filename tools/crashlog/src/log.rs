//! `crashlog log`: prints the log, oldest record first.

use crate::archives::{Archives, BootNames};
use crate::card::Card;
use crate::cli::{LevelName, Log, StreamName};
use crate::clock::Clock;
use crate::describe::Names;
use crate::gaps::Gaps;
use crate::image_id::ImageId;
use crate::log_line::{self, TaskColumn};
use crate::logbook::{self, Item, Logbook};
use crate::pieces::Pieces;
use crate::problem::{Code, Problem, tell};
use crate::since::Since;
use crate::terminal::{Output, WARN};
use crate::text::{count, printable};
use anstream::ColorChoice;
use crashlog_format::page::LogRecord;
use crashlog_format::{Level, Stream};
use serde_json::json;
use std::collections::BTreeMap;
use std::io::{BufWriter, Write};
use std::ops::{Range, RangeInclusive};

/// So many bytes of output are collected before they are written.
const PIECE: usize = 1 << 18;
/// Number of pages, from the newest on, that are looked at first for the last records.
const LAST_PAGES: u32 = 64;

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
        card.images()?
    };
    let mut boots = BootNames::new(&archives, images);
    let mut pages = logbook.boots(filter.boots.clone())?;
    if let Some(since) = filter.since {
        pages = logbook.since(pages, since)?;
    }
    let mut skip = 0;
    if let Some(last) = args.last {
        (pages, skip) = last_records(last, pages, &logbook, &filter, (&archives, &mut boots))?;
    }
    let colour = out.get_ref().current_choice() != ColorChoice::Never;
    // Data must not go through `out`, which removes escape sequences.
    out.flush()?;
    let mut raw = BufWriter::with_capacity(PIECE, std::io::stdout().lock());
    let mut text = String::with_capacity(2 * PIECE);
    let mut tasks = TaskColumn::default();
    let (mut gaps, mut pieces) = (Gaps::default(), Pieces::default());
    learn_first(&logbook, pages.clone(), &archives, &mut boots)?;
    logbook.each_timed(pages, |_, item, clock| {
        match &item {
            Item::Record(record) => gaps.record(record),
            Item::Missing { .. } if skip > 0 => {}
            Item::Missing { boot, count } if filter.boots.contains(boot) => {
                gaps.missing(*boot, *count);
            }
            Item::Missing { .. } => {}
        }
        match item {
            Item::Record(record) if !filter.accepts(&record, clock, &mut boots)? => {}
            Item::Record(_) if skip > 0 => skip -= 1,
            Item::Missing { .. } if skip > 0 => {}
            Item::Record(record) if args.raw => {
                note_lost(&record);
                raw.write_all(record.payload)?;
            }
            Item::Record(record) => {
                let names = boots.of(record.boot)?;
                if args.json {
                    log_line::push_json(&record, names, &mut tasks, clock, &mut text);
                } else {
                    let shown = (&mut tasks, &mut pieces);
                    log_line::push(&record, names, shown, clock, colour, &mut text);
                }
            }
            Item::Missing { boot, .. } if !filter.boots.contains(&boot) => {}
            Item::Missing { .. } if args.raw => {}
            Item::Missing { boot, count } => {
                if args.json {
                    let value = json!({ "boot": boot, "missing": count });
                    text.push_str(&format!("{value}\n"));
                } else {
                    log_line::push_missing(boot, count, colour, &mut text);
                }
            }
        }
        if text.len() >= PIECE {
            raw.write_all(text.as_bytes())?;
            text.clear();
        }
        Ok(())
    })?;
    raw.write_all(text.as_bytes())?;
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

/// Finds which image the first boot of these pages is of, if an archive may have names for it. The
/// others say so in the pages.
fn learn_first(
    logbook: &Logbook<'_>,
    pages: Range<u32>,
    archives: &Archives,
    boots: &mut BootNames<'_>,
) -> Result<(), Problem> {
    if !archives.is_empty()
        && let Some((boot, image)) = logbook.first_image(pages)?
    {
        boots.learn(boot, image);
    }
    Ok(())
}

/// The pages with the last `last` records of these that the filter accepts, and how many before
/// these are in the pages as well.
fn last_records(
    last: u64,
    pages: Range<u32>,
    logbook: &Logbook<'_>,
    filter: &Filter,
    (archives, boots): (&Archives, &mut BootNames<'_>),
) -> Result<(Range<u32>, u64), Problem> {
    let mut length = LAST_PAGES;
    loop {
        let first = pages.end.saturating_sub(length).max(pages.start);
        // What tells that a record was written twice is before it.
        let from = first.saturating_sub(logbook::TWICE).max(pages.start);
        learn_first(logbook, from..pages.end, archives, boots)?;
        let (mut before, mut behind) = (0, 0);
        logbook.each_timed(from..pages.end, |page, item, clock| {
            if let Item::Record(record) = item
                && filter.accepts(&record, clock, boots)?
            {
                let count = if page < first {
                    &mut before
                } else {
                    &mut behind
                };
                *count += 1;
            }
            Ok(())
        })?;
        if behind >= last || first == pages.start {
            let skip = (before + behind).saturating_sub(last);
            return Ok((from..pages.end, skip));
        }
        length = length.saturating_mul(8);
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
    /// In milliseconds of UTC.
    since: Option<u64>,
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
            since: args.since.map(Since::utc_ms),
        })
    }

    fn accepts(
        &self,
        record: &LogRecord<'_>,
        clock: &Clock,
        boots: &mut BootNames<'_>,
    ) -> Result<bool, Problem> {
        // Records with names come after the one that says which image it is.
        if let Some(build) = logbook::first_record(record)
            && let Some(image) = ImageId::known(build.image_id)
        {
            boots.learn(record.boot, image);
        }
        let header = &record.header;
        let utc_ms = || clock.utc_ms(record.boot, header.time);
        let accepted = self.stream.is_none_or(|stream| header.stream == stream)
            && self.boots.contains(&record.boot)
            && self.level.is_none_or(|level| header.level <= level)
            && self.since.is_none_or(|since| utc_ms() >= Some(since));
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
    let mut line = String::new();
    // `out` removes the styles where no colour is wanted.
    log_line::push(
        record,
        names,
        (&mut TaskColumn::default(), pieces),
        clock,
        true,
        &mut line,
    );
    out.write_all(line.as_bytes())?;
    Ok(())
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
