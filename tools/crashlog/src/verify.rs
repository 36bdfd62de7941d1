//! `crashlog verify`: looks at every structure on the card.
//!
//! What is checked beside the checksums: that each page is where its number says, that the numbers of log records of a
//! boot have no gap, that each record the ledger names is there and whole. The record of a self-test stands in a free
//! slot, so it is no damage if it is not whole: something was about to take its place. A card that was cut off from power at any
//! moment passes: what was not finished then does not exist.

use crate::card::Card;
use crate::cli::Verify;
use crate::list;
use crate::logbook::{Item, Logbook};
use crate::problem::{Code, Problem};
use crate::terminal::{BAD, GOOD, Output, Progress};
use crate::text::count;
use crashlog_format::page::PageError;
use serde_json::json;
use std::collections::BTreeMap;
use std::io::Write;

/// Findings of one kind that are listed one by one.
const LISTED: usize = 20;

pub fn run(args: &Verify, out: &mut Output) -> Result<(), Problem> {
    let card = Card::open(&args.image, false)?;
    let mut found = card.damaged.clone();
    records(&card, &mut found)?;
    let test = self_test(&card)?;
    let pages = pages(&card, &mut found)?;
    let (log_records, boots) = log(&card, &mut found)?;

    if args.json {
        let value = json!({
            "sound": found.is_empty(),
            "card": list::description(&card),
            "crash_records": card.ledger.len(),
            "self_test": test.map(|(sequence, whole)| json!({ "sequence": sequence, "whole": whole })),
            "log_pages": pages,
            "log_records": log_records,
            "boots": boots,
            "damage": found,
        });
        writeln!(out, "{value:#}")?;
    } else {
        for text in &found {
            writeln!(out, "{BAD}damaged{BAD:#}  {text}")?;
        }
        writeln!(
            out,
            "{}, {}, {} of {}",
            count(card.ledger.len().into(), "crash record"),
            count(pages, "log page"),
            count(log_records, "log record"),
            count(boots.len() as u64, "boot"),
        )?;
        match test {
            Some((sequence, true)) => writeln!(out, "the self-test's record {sequence} is whole")?,
            Some((sequence, false)) => writeln!(
                out,
                "the self-test's record {sequence} is not whole: its slot was used again, or was about to be"
            )?,
            None => {}
        }
        if found.is_empty() {
            writeln!(out, "{GOOD}everything is sound{GOOD:#}")?;
        }
    }
    if found.is_empty() {
        return Ok(());
    }
    out.flush()?;
    Err(Problem::new(
        Code::Found,
        format!(
            "{}: is damaged in {}",
            args.image.display(),
            count(found.len() as u64, "place")
        ),
    ))
}

fn records(card: &Card, found: &mut Vec<String>) -> Result<(), Problem> {
    for record in card.records()? {
        match record {
            Err((entry, why)) => found.push(format!("crash record {}: {why}", entry.sequence)),
            Ok(record) => {
                for body in card.bodies(&record)?.iter().filter(|body| !body.sound) {
                    found.push(format!(
                        "crash record {}: segment {}: checksum does not match",
                        record.header.sequence,
                        body.name()
                    ));
                }
            }
        }
    }
    Ok(())
}

/// The number of the self-test's record, and whether it is whole.
fn self_test(card: &Card) -> Result<Option<(u32, bool)>, Problem> {
    Ok(match card.self_test()? {
        None => None,
        Some(Err((entry, _))) => Some((entry.sequence.get(), false)),
        Some(Ok(record)) => {
            let whole = card.bodies(&record)?.iter().all(|body| body.sound);
            Some((record.header.sequence.get(), whole))
        }
    })
}

/// Checks each page of the ring; returns how many there are.
fn pages(card: &Card, found: &mut Vec<String>) -> Result<u64, Problem> {
    let mut progress = Progress::new("checking", card.geometry.ring_pages().into());
    let mut pages = 0;
    let mut loose = Vec::new();
    let mut damaged = Vec::new();
    card.scan(
        |done| progress.at(done),
        |page| {
            pages += 1;
            let mut records = page.records();
            records.by_ref().for_each(drop);
            if records.remaining() != 0 {
                loose.push(page.header.sequence());
            }
        },
        |position, error| damaged.push((position, error)),
    )?;
    drop(progress);
    for sequence in loose.iter().take(LISTED) {
        found.push(format!("log page {sequence}: its records do not fill it"));
    }
    for (position, error) in damaged.iter().take(LISTED) {
        let block = card.geometry.ring_first().saturating_add(*position);
        found.push(match error {
            PageError::Header(error) => {
                format!("block {block} of the partition: log page: {error}")
            }
            PageError::Records(header) => {
                format!(
                    "log page {}: the checksum of its records does not match",
                    header.sequence()
                )
            }
        });
    }
    let more = loose.len().saturating_sub(LISTED) + damaged.len().saturating_sub(LISTED);
    if more > 0 {
        found.push(format!("and {}", count(more as u64, "more log page")));
    }
    Ok(pages)
}

/// Checks that no record is missing between two others; returns how many there are, and how many of each boot.
fn log(card: &Card, found: &mut Vec<String>) -> Result<(u64, BTreeMap<u32, u64>), Problem> {
    let mut boots: BTreeMap<u32, u64> = BTreeMap::new();
    let mut total = 0;
    Logbook::open(card)?.each(|item| {
        match item {
            Item::Record(record) => {
                *boots.entry(record.boot).or_default() += 1;
                total += 1;
            }
            Item::Missing {
                boot,
                count: missing,
            } => {
                found.push(format!(
                    "log of boot {boot}: {} missing between others",
                    count(missing.into(), "record")
                ));
            }
        }
        Ok(())
    })?;
    Ok((total, boots))
}
