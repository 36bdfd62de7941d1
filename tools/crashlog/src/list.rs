//! `crashlog list`: a table of the crashes.

use crate::card::Card;
use crate::cli::List;
use crate::clock::Clock;
use crate::crash::Crash;
use crate::logbook::Logbook;
use crate::problem::Problem;
use crate::size;
use crate::tails::Tails;
use crate::terminal::{BAD, FAINT, GOOD, Output, STRONG, WARN};
use crate::text::{self, printable, seconds};
use crashlog_format::ledger::CrashEntry;
use serde_json::{Value, json};
use std::io::Write;

pub fn run(args: &List, out: &mut Output) -> Result<(), Problem> {
    let mut card = Card::open(&args.image, false)?;
    let crashes = card.crashes()?;
    let self_test = card.self_test()?;
    // What the log adds is worth less than the list of a card whose log cannot be read.
    let (clock, tails, unread) = if crashes.is_empty() && self_test.is_none() {
        (Clock::default(), None, None)
    } else {
        let known = crashes.iter().chain(&self_test).flatten();
        match Logbook::open_for(&card, known) {
            Ok(logbook) => {
                let tails = logbook.tails().clone();
                (logbook.into_clock(), Some(tails), None)
            }
            Err(problem) => (Clock::default(), None, Some(problem)),
        }
    };
    let clock = &clock;
    card.damaged.extend(
        unread.map(|problem| {
            format!("no time of day is known, as the log cannot be read: {problem}")
        }),
    );
    let lost = crashes.iter().filter(|crash| crash.is_err()).count();
    if args.json {
        let list: Vec<Value> = crashes
            .iter()
            .map(|crash| match crash {
                Ok(crash) => {
                    let mut value = summary(crash, clock);
                    value["log_missing"] = tails
                        .as_ref()
                        .map(|tails| tails.missing(&crash.header))
                        .into();
                    value
                }
                Err((entry, why)) => json!({ "sequence": entry.sequence.get(), "damaged": why }),
            })
            .collect();
        let value = json!({
            "card": description(&card),
            "crashes": list,
            "self_test": self_test.and_then(Result::ok).map(|test| summary(&test, clock)),
        });
        writeln!(out, "{}", text::json(&value, true))?;
        return end(&card, lost, out);
    }

    let counters = card.ledger.counters();
    let total: u64 = [counters.oops, counters.panic, counters.kernel]
        .into_iter()
        .map(|count| u64::from(count.get()))
        .sum();
    writeln!(
        out,
        "{FAINT}partition of {}, {} crash slots of {}; since it was formatted: {} ({} oops, {} panic, {} kernel)\
         {FAINT:#}",
        size::show(card.partition.bytes()),
        card.geometry.slots(),
        size::show(u64::from(card.geometry.slot_blocks()) * 512),
        if total == 1 {
            "1 crash".to_owned()
        } else {
            format!("{total} crashes")
        },
        counters.oops,
        counters.panic,
        counters.kernel,
    )?;
    if crashes.is_empty() {
        writeln!(
            out,
            "{}",
            if card.damaged.is_empty() {
                "no crash records"
            } else {
                "no crash record was found, but the card is damaged:"
            }
        )?;
    }
    if crashes.is_empty() && self_test.is_none() {
        damages(&card, out)?;
        return end(&card, lost, out);
    }
    let mut images = crashes.iter().flatten().map(Crash::image_id);
    let first = images.next();
    // One image needs no name: `show` has it.
    let with_image = images.any(|image| Some(image) != first);
    writeln!(
        out,
        "{STRONG}{:>4}  {:<8} {:>5} {:>12}{}  {:<16} {}{:<40} repeated{STRONG:#}",
        "nr",
        "reason",
        "boot",
        "time",
        clock.column_of("UTC"),
        "task",
        if with_image { IMAGE_COLUMN } else { "" },
        "fault"
    )?;
    for crash in &crashes {
        match crash {
            Ok(crash) => line(crash, with_image, clock, tails.as_ref(), out)?,
            Err((entry, why)) => damaged(entry, why, out)?,
        }
    }
    match &self_test {
        Some(Ok(self_test)) => self_test_line(self_test, clock, out)?,
        Some(Err((entry, _))) => writeln!(
            out,
            "{:>4}  {FAINT}self-test: its slot was overwritten{FAINT:#}",
            entry.sequence
        )?,
        None => {}
    }
    damages(&card, out)?;
    end(&card, lost, out)
}

/// What is damaged. Without a crash, too: that there is none may be because of it.
pub fn damages(card: &Card, out: &mut Output) -> Result<(), Problem> {
    for text in card.remarks() {
        writeln!(out, "{WARN}{text}{WARN:#}")?;
    }
    Ok(())
}

/// Everything is listed. The error says what is damaged, if anything is; `lost` crash records are.
fn end(card: &Card, lost: usize, out: &mut Output) -> Result<(), Problem> {
    out.flush()?;
    card.check(lost, "what can be read is listed")
}

/// The head of the column of image ids, as wide as they are.
const IMAGE_COLUMN: &str = "image             ";

/// `with_image`: the crashes are of several images.
fn line(
    crash: &Crash,
    with_image: bool,
    clock: &Clock,
    tails: Option<&Tails>,
    out: &mut Output,
) -> Result<(), Problem> {
    let header = &crash.header;
    let reason = header.reason().map_or("unknown", |reason| reason.name());
    let fault = header.fault().map_or_else(
        || if crash.is_of_kernel() { "" } else { "unknown" }.to_owned(),
        |fault| fault.to_string(),
    );
    let image = match crash.image_id() {
        _ if !with_image => String::new(),
        Some(id) => format!("{id}  "),
        None => format!("{:<1$}", "not known", IMAGE_COLUMN.len()),
    };
    let repeated = match crash.entry.repeats.get() {
        0 => String::new(),
        repeats => format!("{repeats} times, last in boot {}", crash.entry.last_boot),
    };
    let marks = match (crash.is_late(), crash.acknowledged) {
        (true, _) => " (late)",
        (_, true) => " (acknowledged)",
        _ => "",
    };
    let tail = match tails.map_or(0, |tails| tails.missing(header)) {
        0 => "",
        _ => " (without its log tail)",
    };
    writeln!(
        out,
        "{:>4}  {BAD}{reason:<8}{BAD:#} {:>5} {:>12}{}  {:<16} {image}{fault:<40} {repeated}{marks}{tail}",
        header.sequence,
        header.boot,
        seconds(header.time.get()),
        clock.column(header.boot.get(), header.time.get()),
        printable(header.name.as_str().as_bytes()),
    )?;
    Ok(())
}

fn self_test_line(self_test: &Crash, clock: &Clock, out: &mut Output) -> Result<(), Problem> {
    let header = &self_test.header;
    writeln!(
        out,
        "{:>4}  {GOOD}{:<9}{GOOD:#}{:>5} {:>12}{}  {:<16} none, a test of the emergency path",
        header.sequence,
        "self-test",
        header.boot,
        seconds(header.time.get()),
        clock.column(header.boot.get(), header.time.get()),
        printable(header.name.as_str().as_bytes()),
    )?;
    Ok(())
}

fn damaged(entry: &CrashEntry, why: &str, out: &mut Output) -> Result<(), Problem> {
    writeln!(out, "{:>4}  {WARN}damaged: {why}{WARN:#}", entry.sequence)?;
    Ok(())
}

/// The card: its format, geometry, counters and damage.
pub fn description(card: &Card) -> Value {
    let counters = card.ledger.counters();
    json!({
        "format": format!("{:016x}", card.format.get()),
        "version": crashlog_format::VERSION,
        "first_block": card.first,
        "blocks": card.geometry.blocks(),
        "slots": card.geometry.slots(),
        "slot_bytes": u64::from(card.geometry.slot_blocks()) * 512,
        "log_bytes": u64::from(card.geometry.ring_pages()) * 512,
        "ledger_boot": card.ledger.boot(),
        "crashes": { "oops": counters.oops.get(), "panic": counters.panic.get(), "kernel": counters.kernel.get(), "late": counters.late.get() },
        "damaged": card.damaged,
        "not_written": card.refusal,
        "notes": card.notes,
    })
}

/// A crash in one JSON object.
pub fn summary(crash: &Crash, clock: &Clock) -> Value {
    let header = &crash.header;
    let mut value = json!({
        "sequence": header.sequence.get(),
        "reason": header.reason().map_or("unknown", |reason| reason.name()),
        "late": header.late().map(|late| late.name()),
        "boot": header.boot.get(),
        "time_ms": header.time.get(),
        "task_index": header.task.get(),
        "task": header.name.as_str(),
        "restarts": header.restarts.get(),
        "image_id": crash.image_id().map(|id| id.to_string()),
        "fault": header.fault().map(|fault| fault.to_string()),
        "address": header.fault().and_then(|fault| fault.address()),
        "repeats": crash.entry.repeats.get(),
        "last_boot": crash.entry.last_boot.get(),
        "last_time_ms": crash.entry.last_time.get(),
        "acknowledged": crash.acknowledged,
    });
    if let Some(utc) = crash.utc(clock) {
        value["utc"] = utc.into();
    }
    if let Some(utc) = crash.last_utc(clock) {
        value["last_utc"] = utc.into();
    }
    value
}
