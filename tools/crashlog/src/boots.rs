//! `crashlog boots`: a table of the boots, and how each ended.

use crate::archives::{Archives, BootNames};
use crate::boot_table::{BootSummary, BootTable, Ended, NO_TASK};
use crate::card::Card;
use crate::cli::Boots;
use crate::clock::Clock;
use crate::describe::Names;
use crate::list;
use crate::problem::Problem;
use crate::terminal::{BAD, FAINT, GOOD, Output, STRONG};
use crate::text::{self, printable, seconds};
use anstyle::Style;
use crashlog_format::{BootEnd, LastRan};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::ops::RangeInclusive;

pub fn run(args: &Boots, out: &mut Output) -> Result<(), Problem> {
    let archives = Archives::given(&args.archives)?;
    let card = Card::open(&args.image, false)?;
    let table = BootTable::open(&card)?;
    let mut names = BootNames::new(&archives, BTreeMap::new());
    let wanted = match args.boot {
        Some(choice) => choice.numbers(table.newest())?,
        None => 0..=u32::MAX,
    };
    if args.json {
        list_json(&card, table, wanted, &mut names, out)?;
        return end(&card, out);
    }
    if table.newest().is_none() {
        writeln!(out, "no boots")?;
        list::damages(&card, out)?;
        return end(&card, out);
    }
    let mut clock = table.clock(wanted.clone())?;
    writeln!(
        out,
        "{STRONG}{:>4}{} {:>12} {:>9} {:>7}  {:<40} {:<16}  firmware{STRONG:#}",
        "nr",
        clock.column_of("start, UTC"),
        "length",
        "records",
        "lost",
        "ended",
        "image"
    )?;
    table.each(wanted, |number, boot, ended| {
        clock.set(boot.anchor);
        let style = style(ended);
        let image = boot.image.map(|id| id.to_string());
        let firmware = boot.firmware.as_ref().map(|(text, _)| text.as_str());
        writeln!(
            out,
            "{number:>4}{} {:>12} {:>9} {:>7}  {style}{:<40}{style:#} {FAINT}{:<16}{FAINT:#}  {}",
            clock.column(number, 0),
            seconds(boot.length),
            boot.records,
            boot.lost,
            text(ended, of(&mut names, number, boot)?),
            image.as_deref().unwrap_or("not known"),
            firmware.unwrap_or("not known"),
        )?;
        if let Some(ran) = boot.last_ran {
            let ran = last_ran(ran, of(&mut names, number, boot)?);
            writeln!(out, "{:37}{ran}", "")?;
        }
        Ok(())
    })?;
    list::damages(&card, out)?;
    end(&card, out)
}

/// Everything is listed. The error says what is damaged, if anything is.
fn end(card: &Card, out: &mut Output) -> Result<(), Problem> {
    out.flush()?;
    card.check(0, "what can be read is listed")
}

/// Prints one JSON object, boot by boot.
fn list_json(
    card: &Card,
    table: BootTable<'_>,
    wanted: RangeInclusive<u32>,
    names: &mut BootNames<'_>,
    out: &mut Output,
) -> Result<(), Problem> {
    // What is within an object is indented by this.
    let indented = |value: &Value, by: &str| text::json(value, true).replace('\n', by);
    let mut clock = Clock::default();
    let mut before = "\n    ";
    write!(out, "{{\n  \"boots\": [")?;
    table.each(wanted, |number, boot, ended| {
        clock.set(boot.anchor);
        let mut value = value(number, boot, ended, of(names, number, boot)?);
        if let Some(start) = clock.utc(number, 0) {
            value["start_utc"] = start.into();
        }
        write!(out, "{before}{}", indented(&value, "\n    "))?;
        before = ",\n    ";
        Ok(())
    })?;
    if before.starts_with(',') {
        write!(out, "\n  ")?;
    }
    let card = indented(&list::description(card), "\n  ");
    writeln!(out, "],\n  \"card\": {card}\n}}")?;
    Ok(())
}

/// The names in a boot.
fn of<'n>(
    names: &'n mut BootNames<'_>,
    number: u32,
    boot: &BootSummary,
) -> Result<&'n dyn Names, Problem> {
    if let Some(image) = boot.image {
        names.learn(number, image);
    }
    names.of(number)
}

fn style(ended: &Ended) -> Style {
    match ended {
        Ended::Running => GOOD,
        Ended::As(BootEnd::Crash(_) | BootEnd::Kernel | BootEnd::Watchdog, _) => BAD,
        Ended::As(_, _) => Style::new(),
    }
}

/// How a boot ended, in words.
fn text(ended: &Ended, names: &dyn Names) -> String {
    match ended {
        Ended::Running => "still running".to_owned(),
        Ended::As(BootEnd::Restart(task), _) => {
            format!("restart asked for by {}", names.task_or_number(*task))
        }
        Ended::As(BootEnd::Crash(_), Some(crash)) => format!(
            "crash {}{}, task {}",
            crash.sequence,
            if crash.again { " again" } else { "" },
            printable(crash.task.as_bytes())
        ),
        // It was overwritten, or is counted in the entry of an equal one.
        Ended::As(BootEnd::Crash(task), None) if *task != NO_TASK => {
            format!("crash of {}", names.task_or_number(*task))
        }
        Ended::As(BootEnd::Kernel, Some(crash)) => format!(
            "failure of {}, crash {}{}",
            printable(crash.task.as_bytes()),
            crash.sequence,
            if crash.again { " again" } else { "" }
        ),
        Ended::As(BootEnd::Watchdog, Some(crash)) => format!(
            "watchdog, crash {}{}",
            crash.sequence,
            if crash.again { " again" } else { "" }
        ),
        // Where the chip does not say what has reset it.
        Ended::As(BootEnd::Outside, _) => "watchdog or reset from outside".to_owned(),
        Ended::As(end, _) => end.name().to_owned(),
    }
}

/// Who ran last, in words.
fn last_ran(ran: LastRan, names: &dyn Names) -> String {
    let place = match names.function(ran.task, ran.pc) {
        Some(function) => format!(", in {}", printable(function.as_bytes())),
        None => String::new(),
    };
    let task = names.task_or_number(ran.task);
    format!("{task} ran last, at {:#010x}{place}", ran.pc)
}

fn value(number: u32, boot: &BootSummary, ended: &Ended, names: &dyn Names) -> Value {
    let (how, task, crash) = match ended {
        Ended::Running => ("running", None, None),
        Ended::As(end @ (BootEnd::Restart(task) | BootEnd::Crash(task)), crash) => {
            let index = Some(*task).filter(|task| *task != NO_TASK);
            (end.name(), index, crash.as_ref())
        }
        Ended::As(end, crash) => (end.name(), None, crash.as_ref()),
    };
    let by_crash = crash.map(|crash| crash.task.clone());
    json!({
        "boot": number,
        "length_ms": boot.length,
        "records": boot.records,
        "lost": boot.lost,
        "image_id": boot.image.map(|id| id.to_string()),
        "build": boot.firmware.as_ref().map(|(_, build)| build),
        "ended": {
            "how": how,
            "task": by_crash.or_else(|| names.task(task?)),
            "task_index": task,
            "crash": crash.map(|crash| crash.sequence),
            "again": crash.is_some_and(|crash| crash.again),
        },
        "last_ran": boot.last_ran.map(|ran| json!({
            "task": names.task(ran.task),
            "task_index": ran.task,
            "pc": ran.pc,
            "function": names.function(ran.task, ran.pc),
        })),
    })
}
