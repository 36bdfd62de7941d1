//! `crashlog show`: the memory that was saved with a crash, and what is missing of it.

use crate::card::Card;
use crate::describe::Names;
use crate::problem::{Code, Problem};
use crate::snapshot::{Gap, GapReason, NoSnapshot, Snapshot, owner};
use crate::terminal::{Output, STRONG, WARN};
use crate::text::{count, printable};
use crashlog_format::snapshot::{ExtentKind, SnapshotKind};
use serde_json::{Value, json};
use std::io::Write;

/// Number of gaps that are listed one by one; `--json` has all of them.
pub const LISTED: usize = 20;

/// What a snapshot has, in words.
pub fn fact(snapshot: &Snapshot) -> String {
    let of = match snapshot.header.kind() {
        Ok(SnapshotKind::Task) => "the task",
        _ => "the system",
    };
    let bytes: usize = snapshot
        .memory
        .saved()
        .iter()
        .map(|(_, bytes)| bytes.len())
        .sum();
    let late = if snapshot.header.is_late() {
        ", written after the restart"
    } else {
        ""
    };
    let cut = if snapshot.is_whole {
        ""
    } else {
        "; writing it was cut short"
    };
    format!(
        "{bytes} bytes of {of}, saved in {} ms{late}{cut}",
        snapshot.header.milliseconds
    )
}

/// A gap in words.
pub fn gap(gap: &Gap, names: &dyn Names) -> String {
    let what = match gap.kind {
        ExtentKind::Memory => "",
        ExtentKind::Region => " (a registered region)",
        ExtentKind::Device => " (registers of a peripheral)",
    };
    format!(
        "{:08x}  {} of {}{what}: {}",
        gap.address,
        count(gap.length, "byte"),
        printable(owner(gap.owner, names).as_bytes()),
        gap.why.text()
    )
}

/// Prints what is missing, if anything is.
pub fn missing(snapshot: &Snapshot, names: &dyn Names, out: &mut Output) -> Result<(), Problem> {
    if snapshot.gaps.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{STRONG}Missing memory{STRONG:#}")?;
    for it in snapshot.gaps.iter().take(LISTED) {
        writeln!(out, "  {WARN}{}{WARN:#}", gap(it, names))?;
    }
    let more = snapshot.gaps.len().saturating_sub(LISTED);
    if more > 0 {
        writeln!(
            out,
            "  {WARN}and {}; --json has all of them{WARN:#}",
            count(more as u64, "more piece")
        )?;
    }
    Ok(())
}

/// The same as JSON; of a crash without a snapshot, why it has none.
pub fn json(snapshot: &Result<Snapshot, NoSnapshot>, names: &dyn Names) -> Value {
    let snapshot = match snapshot {
        Ok(snapshot) => snapshot,
        Err(none) => return json!({ "none": none.why, "damaged": none.is_damage }),
    };
    let segments: Vec<Value> = snapshot
        .memory
        .saved()
        .iter()
        .map(|(address, bytes)| json!({ "address": address, "length": bytes.len() }))
        .collect();
    let missing: Vec<Value> = snapshot
        .gaps
        .iter()
        .map(|gap| {
            json!({
                "address": gap.address,
                "length": gap.length,
                "owner": owner(gap.owner, names),
                "why": gap.why.text(),
            })
        })
        .collect();
    json!({
        "kind": match snapshot.header.kind() {
            Ok(SnapshotKind::Task) => "task",
            _ => "system",
        },
        "whole": snapshot.is_whole,
        "damaged": snapshot.is_damaged(),
        "late": snapshot.header.is_late(),
        "time_ms": snapshot.header.milliseconds.get(),
        "saved": segments,
        "missing": missing,
    })
}

/// The error of a command that has done with a snapshot what can be done, if it is damaged. `rest`
/// says what has become of the rest.
pub fn check(
    snapshot: &Result<Snapshot, NoSnapshot>,
    card: &Card,
    sequence: u32,
    rest: &str,
) -> Result<(), Problem> {
    let what = match snapshot {
        Ok(snapshot) if snapshot.has(GapReason::Damaged) => {
            format!("is damaged in part; {rest}")
        }
        Ok(snapshot) if snapshot.has(GapReason::LeftOut) => {
            format!("has no entry for memory that belongs into it; {rest}")
        }
        Err(none) if none.is_damage => format!("cannot be read: {}", none.why),
        _ => return Ok(()),
    };
    Err(Problem::new(
        Code::Found,
        format!(
            "{}: crash record {sequence}: its snapshot {what}",
            card.partition.path().display()
        ),
    ))
}
