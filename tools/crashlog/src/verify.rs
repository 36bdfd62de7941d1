//! `crashlog verify`: checks every structure on the card.
//!
//! Beside the checksums it checks that each page is at the place of its number, that no page and no
//! log record is missing between others or at the end, as far as ledger and crash records know of
//! it, and that each crash that the ledger names is in its slot and whole. A self-test is in a free
//! slot, so it is no damage if a crash has overwritten it, in part or as a whole.
//!
//! A card that lost power at any moment passes: what a loss of power explains is noted, and damage
//! is what it does not explain.

mod stream;

use crate::card::Card;
use crate::cli::Verify;
use crate::crash::Crash;
use crate::list;
use crate::problem::{Code, Problem};
use crate::snapshot::{GapReason, Snapshot};
use crate::terminal::{BAD, GOOD, Output, WARN};
use crate::text::{self, count};
use crashlog_format::CrashReason;
use serde_json::json;
use std::io::Write;
use stream::Log;

/// Number of findings of one kind that are listed one by one.
const LISTED: usize = 20;
/// Number of pages that the log ring of a system holds at most: a loss of power after a crash takes
/// as many, as an emergency writes them after the crash.
const TAIL_PAGES: u32 = 256;

/// What is not as it should be, in words.
struct Findings {
    damage: Vec<String>,
    /// What a loss of power explains.
    notes: Vec<String>,
}

pub fn run(args: &Verify, out: &mut Output) -> Result<(), Problem> {
    let card = Card::open(&args.image, false)?;
    let mut findings = Findings {
        damage: card.damaged.iter().chain(&card.refusal).cloned().collect(),
        notes: card.notes.clone(),
    };
    let self_test = self_test(&card)?;
    let log = stream::check(&card, &mut findings)?;
    crashes(&card, &log, &mut findings)?;
    let Findings { damage, notes } = findings;

    if args.json {
        let value = json!({
            "sound": damage.is_empty(),
            "card": list::description(&card),
            "crashes": card.ledger.len(),
            "self_test": self_test.map(|(sequence, whole)| json!({ "sequence": sequence, "whole": whole })),
            "log_pages": log.pages,
            "log_records": log.records,
            "boots": log.boots,
            "damage": damage,
            "notes": notes,
        });
        writeln!(out, "{}", text::json(&value, true))?;
    } else {
        for text in &damage {
            writeln!(out, "{BAD}damaged{BAD:#}  {text}")?;
        }
        for text in &notes {
            writeln!(out, "{WARN}note{WARN:#}  {text}")?;
        }
        writeln!(
            out,
            "{}, {}, {} of {}",
            count(card.ledger.len().into(), "crash record"),
            count(log.pages, "log page"),
            count(log.records, "log record"),
            count(log.boots.len() as u64, "boot"),
        )?;
        match self_test {
            Some((sequence, true)) => writeln!(out, "self-test {sequence} is whole")?,
            Some((sequence, false)) => writeln!(
                out,
                "self-test {sequence} is not whole: its slot was overwritten, in part or as a whole"
            )?,
            None => {}
        }
        match (damage.is_empty(), notes.is_empty()) {
            (true, true) => writeln!(out, "{GOOD}everything is sound{GOOD:#}")?,
            (true, false) => writeln!(
                out,
                "{GOOD}nothing is damaged{GOOD:#} but what a loss of power explains"
            )?,
            _ => {}
        }
    }
    if damage.is_empty() {
        return Ok(());
    }
    out.flush()?;
    Err(Problem::new(
        Code::Found,
        format!(
            "{}: is damaged in {}",
            args.image.display(),
            count(damage.len() as u64, "place")
        ),
    ))
}

/// Checks the crashes that the ledger names.
fn crashes(card: &Card, log: &Log, findings: &mut Findings) -> Result<(), Problem> {
    let found = &mut findings.damage;
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
                if let Some(text) = tail(&crash, log) {
                    match is_explained(card, &crash, log) {
                        true => findings.notes.push(text),
                        false => found.push(text),
                    }
                }
            }
        }
    }
    Ok(())
}

/// What is missing of the log that was written with a crash or before it.
fn tail(crash: &Crash, log: &Log) -> Option<String> {
    let (number, end) = (crash.header.sequence, crash.header.log_page.get());
    let missing = end.checked_sub(log.end).filter(|missing| *missing > 0)?;
    Some(format!(
        "crash record {number}: its log ends before page {end}, and {} before that {} missing",
        count(missing.into(), "page"),
        if missing == 1 { "is" } else { "are" }
    ))
}

/// Whether power may have been lost between the crash and the end of its log: an emergency writes
/// the crash, its log, and then the snapshot. Everything else is written after its log.
fn is_explained(card: &Card, crash: &Crash, log: &Log) -> bool {
    let missing = crash.header.log_page.get().saturating_sub(log.end);
    let is_of_emergency = !crash.is_late() && crash.header.reason() != Ok(CrashReason::Oops);
    is_of_emergency && missing <= TAIL_PAGES && !card.ledger.has_snapshot(crash.slot)
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
