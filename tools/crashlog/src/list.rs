//! `crashlog list`: a table of the crash records.

use crate::card::{Card, Record};
use crate::cli::List;
use crate::problem::Problem;
use crate::size;
use crate::terminal::{BAD, FAINT, GOOD, Output, STRONG, WARN};
use crate::text::{printable, seconds};
use crashlog_format::ledger::Entry;
use serde_json::{Value, json};
use std::io::Write;

pub fn run(args: &List, out: &mut Output) -> Result<(), Problem> {
    let card = Card::open(&args.image, false)?;
    let records = card.records()?;
    let test = card.self_test()?;
    if args.json {
        let list: Vec<Value> = records
            .iter()
            .map(|record| match record {
                Ok(record) => summary(record),
                Err((entry, why)) => json!({ "sequence": entry.sequence.get(), "damaged": why }),
            })
            .collect();
        writeln!(
            out,
            "{:#}",
            json!({
                "card": description(&card),
                "records": list,
                "self_test": test.and_then(Result::ok).as_ref().map(summary),
            })
        )?;
        return Ok(());
    }

    let counters = card.ledger.counters();
    let crashes: u64 = [counters.oops, counters.panic, counters.kernel]
        .into_iter()
        .map(|count| u64::from(count.get()))
        .sum();
    writeln!(
        out,
        "{FAINT}partition of {}, {} record slots of {}; since it was formatted: {} ({} oops, {} panic, {} kernel)\
         {FAINT:#}",
        size::show(card.partition.bytes()),
        card.geometry.slots(),
        size::show(u64::from(card.geometry.slot_blocks()) * 512),
        if crashes == 1 {
            "1 crash".to_owned()
        } else {
            format!("{crashes} crashes")
        },
        counters.oops,
        counters.panic,
        counters.kernel,
    )?;
    if records.is_empty() {
        writeln!(out, "no crash records")?;
    }
    if records.is_empty() && test.is_none() {
        return Ok(());
    }
    writeln!(
        out,
        "{STRONG}{:>4}  {:<8} {:>5} {:>12}  {:<16} {:<40} again{STRONG:#}",
        "nr", "what", "boot", "time", "task", "fault"
    )?;
    for record in &records {
        match record {
            Ok(record) => line(record, out)?,
            Err((entry, why)) => damaged(entry, why, out)?,
        }
    }
    match &test {
        Some(Ok(record)) => self_test(record, out)?,
        Some(Err((entry, _))) => writeln!(
            out,
            "{:>4}  {FAINT}self-test: its slot was used again{FAINT:#}",
            entry.sequence
        )?,
        None => {}
    }
    for text in &card.damaged {
        writeln!(out, "{WARN}{text}{WARN:#}")?;
    }
    Ok(())
}

fn line(record: &Record, out: &mut Output) -> Result<(), Problem> {
    let header = &record.header;
    let what = header.reason().map_or("unknown", |reason| reason.name());
    let fault = header.fault().map_or_else(
        || {
            let kernel = header.task.get() == crate::show::KERNEL;
            if kernel { "" } else { "unknown" }.to_owned()
        },
        |fault| fault.to_string(),
    );
    let again = match record.entry.repeats.get() {
        0 => String::new(),
        repeats => format!("{repeats} times, last in boot {}", record.entry.last_boot),
    };
    let marks = match (record.is_late(), record.acknowledged) {
        (true, _) => " (late)",
        (_, true) => " (seen)",
        _ => "",
    };
    writeln!(
        out,
        "{:>4}  {BAD}{what:<8}{BAD:#} {:>5} {:>12}  {:<16} {fault:<40} {again}{marks}",
        header.sequence,
        header.boot,
        seconds(header.time.get()),
        printable(header.name.as_str().as_bytes()),
    )?;
    Ok(())
}

fn self_test(record: &Record, out: &mut Output) -> Result<(), Problem> {
    let header = &record.header;
    writeln!(
        out,
        "{:>4}  {GOOD}{:<9}{GOOD:#}{:>5} {:>12}  {:<16} none, the emergency path was tried",
        header.sequence,
        "self-test",
        header.boot,
        seconds(header.time.get()),
        printable(header.name.as_str().as_bytes()),
    )?;
    Ok(())
}

fn damaged(entry: &Entry, why: &str, out: &mut Output) -> Result<(), Problem> {
    writeln!(out, "{:>4}  {WARN}damaged: {why}{WARN:#}", entry.sequence)?;
    Ok(())
}

/// The card in a few numbers.
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
    })
}

/// A record in one JSON object.
pub fn summary(record: &Record) -> Value {
    let header = &record.header;
    json!({
        "sequence": header.sequence.get(),
        "reason": header.reason().map_or("unknown", |reason| reason.name()),
        "late": header.late().map(|late| late.name()),
        "boot": header.boot.get(),
        "time_ms": header.time.get(),
        "task_index": header.task.get(),
        "task": header.name.as_str(),
        "restarts": header.restarts.get(),
        "fault": header.fault().map(|fault| fault.to_string()),
        "address": header.fault().and_then(|fault| fault.address()),
        "repeats": record.entry.repeats.get(),
        "last_boot": record.entry.last_boot.get(),
        "last_time_ms": record.entry.last_time.get(),
        "acknowledged": record.acknowledged,
    })
}
