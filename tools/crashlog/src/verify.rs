//! `crashlog verify`: checks every structure on the card.
//!
//! Beside the checksums it checks that each page is at the place of its number, that the numbers of
//! the log records of a boot have no gap, and that each crash that the ledger names is in its slot
//! and whole. A self-test is in a free slot, so it is no damage if a crash has overwritten it, in
//! part or as a whole. A card that lost power at any moment passes: what was not complete then does
//! not count.

use crate::card::Card;
use crate::cli::Verify;
use crate::crash::Crash;
use crate::list;
use crate::logbook::{Item, Logbook};
use crate::problem::{Code, Problem};
use crate::snapshot::{GapReason, Snapshot};
use crate::terminal::{BAD, GOOD, Output, Progress};
use crate::text::{self, count};
use crashlog_format::page::PageError;
use serde_json::json;
use std::collections::BTreeMap;
use std::io::Write;

/// Number of findings of one kind that are listed one by one.
const LISTED: usize = 20;

pub fn run(args: &Verify, out: &mut Output) -> Result<(), Problem> {
    let card = Card::open(&args.image, false)?;
    let mut found = card.damaged.clone();
    crashes(&card, &mut found)?;
    let self_test = self_test(&card)?;
    let pages = pages(&card, &mut found)?;
    let (log_records, boots) = log(&card, &mut found)?;

    if args.json {
        let value = json!({
            "sound": found.is_empty(),
            "card": list::description(&card),
            "crashes": card.ledger.len(),
            "self_test": self_test.map(|(sequence, whole)| json!({ "sequence": sequence, "whole": whole })),
            "log_pages": pages,
            "log_records": log_records,
            "boots": boots,
            "damage": found,
        });
        writeln!(out, "{}", text::json(&value, true))?;
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
        match self_test {
            Some((sequence, true)) => writeln!(out, "self-test {sequence} is whole")?,
            Some((sequence, false)) => writeln!(
                out,
                "self-test {sequence} is not whole: its slot was overwritten, in part or as a whole"
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

/// Checks the crashes that the ledger names.
fn crashes(card: &Card, found: &mut Vec<String>) -> Result<(), Problem> {
    for crash in card.crashes()? {
        match crash {
            Err((entry, why)) => found.push(format!("crash record {}: {why}", entry.sequence)),
            Ok(crash) => {
                for data in crash.segments(card)?.iter().filter(|data| !data.sound) {
                    found.push(format!(
                        "crash record {}: segment {}: checksum does not match",
                        crash.header.sequence,
                        data.name()
                    ));
                }
                snapshot(card, &crash, found)?;
            }
        }
    }
    Ok(())
}

/// Checks the snapshot of a crash, if it has one.
fn snapshot(card: &Card, crash: &Crash, found: &mut Vec<String>) -> Result<(), Problem> {
    let what = format!("crash record {}: snapshot", crash.header.sequence);
    match Snapshot::read(card, crash)? {
        Ok(snapshot) => {
            let damaged = || {
                let gaps = snapshot.gaps.iter();
                gaps.filter(|gap| gap.why == GapReason::Damaged)
            };
            for gap in damaged().take(LISTED) {
                found.push(format!(
                    "{what}: {} at {:#010x}: the sum does not match",
                    count(gap.length, "byte"),
                    gap.address
                ));
            }
            let more = damaged().count().saturating_sub(LISTED);
            if more > 0 {
                found.push(format!("{what}: and {}", count(more as u64, "more piece")));
            }
        }
        Err(none) if none.is_damage => found.push(format!("{what}: {}", none.why)),
        Err(_) => {}
    }
    Ok(())
}

/// The sequence number of the self-test, and whether it is whole.
fn self_test(card: &Card) -> Result<Option<(u32, bool)>, Problem> {
    Ok(match card.self_test()? {
        None => None,
        Some(Err((entry, _))) => Some((entry.sequence.get(), false)),
        Some(Ok(self_test)) => {
            let whole = self_test.segments(card)?.iter().all(|data| data.sound);
            Some((self_test.header.sequence.get(), whole))
        }
    })
}

/// Checks each page of the ring; returns their number.
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
        found.push(format!(
            "log page {sequence}: its records end before its length"
        ));
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

/// Checks that no log record is missing between two others. Returns the number of records, and that
/// of each boot.
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
