//! The ledger of a card: the search of the device, and what a device does not look for.

use crate::image::{Image, TransferError};
use crate::locate::read;
use crate::problem::{Code, Problem};
use crate::text::count;
use block_device::{Block, now_or_never};
use crashlog_format::crash::CrashHeader;
use crashlog_format::ledger::Ledger;
use crashlog_format::{CheckError, FormatId, Geometry};
use crashlog_store::find_ledger;
use std::collections::BTreeSet;
use zerocopy::FromBytes;

/// The ledger that counts, and what is wrong with it.
pub struct Found {
    pub ledger: Ledger,
    /// What a loss of power explains, in words.
    pub notes: Vec<String>,
    /// What it does not.
    pub damaged: Vec<String>,
}

/// Finds the ledger as a device does. If both copies are damaged, crashes that are not whole are
/// entered, too: what there is of them can be shown.
pub fn find(partition: &Image, format: FormatId, geometry: &Geometry) -> Result<Found, Problem> {
    let mut found = Found {
        ledger: newest(partition, format, geometry)?,
        notes: Vec::new(),
        damaged: Vec::new(),
    };
    let reasons = errors(partition, format, geometry)?;
    match reasons.as_slice() {
        [] => {}
        [reason] => {
            found.notes.push(format!(
                "{reason}: power was lost while it was written, or it was damaged later; the other copy counts"
            ));
            let crashes = unnamed(partition, format, geometry, &found.ledger)?;
            found.notes.extend(crashes);
        }
        _ => {
            found.damaged = reasons;
            found.damaged.push(
                "both ledgers are damaged; the crash records were found in their slots".to_owned(),
            );
            for (slot, header) in headers(partition, format, geometry)? {
                let is_new = found.ledger.by_sequence(header.sequence.get()).is_none();
                if found.ledger.entry(slot).is_none() && is_new {
                    found.ledger.restore(slot, &header);
                }
            }
        }
    }
    found.damaged.extend(contradictions(&found.ledger));
    Ok(found)
}

/// What is wrong with each copy, if anything is.
fn errors(
    partition: &Image,
    format: FormatId,
    geometry: &Geometry,
) -> Result<Vec<String>, Problem> {
    let mut errors = Vec::new();
    for parity in [0, 1] {
        let block = geometry.ledger(parity);
        let bytes = read(partition, block.into())?;
        let result = Ledger::read_from_bytes(&bytes)
            .map_err(|_| CheckError::Field)
            .and_then(|ledger| ledger.check(format, geometry).map(|()| ledger.generation()));
        let error = match result {
            Ok(generation) if generation % 2 == parity => continue,
            Ok(_) => CheckError::Field,
            Err(error) => error,
        };
        errors.push(format!("block {block} of the partition: ledger: {error}"));
    }
    Ok(errors)
}

/// The ledger that a device finds.
fn newest(partition: &Image, format: FormatId, geometry: &Geometry) -> Result<Ledger, Problem> {
    let mut device = partition.part(0, partition.blocks())?;
    let scratch = [Block::zeroed()];
    let mut ledger = Ledger::ZERO;
    let search = find_ledger(&mut device, format, geometry, &scratch, &mut ledger);
    // The futures of an image are ready at once.
    let result = now_or_never(search).unwrap_or(Err(TransferError::OutOfRange));
    let found = result.map_err(|error| {
        let name = partition.path().display();
        match error {
            TransferError::Io(kind) => {
                Problem::new(Code::Io, format!("{name}: cannot read its ledger: {kind}"))
            }
            TransferError::OutOfRange => Problem::new(
                Code::NotACrashlogCard,
                format!("{name}: is truncated: its ledger is beyond its end"),
            ),
        }
    });
    found.map(|_| ledger)
}

/// Crashes that a damaged copy of the ledger may have named and that are not whole. A device does
/// not count them.
fn unnamed(
    partition: &Image,
    format: FormatId,
    geometry: &Geometry,
    ledger: &Ledger,
) -> Result<Vec<String>, Problem> {
    let found = headers(partition, format, geometry)?;
    let is_unnamed = |(slot, header): &(u32, CrashHeader)| {
        ledger.entry(*slot).is_none() && header.sequence.get() >= ledger.next_sequence()
    };
    let found = found.into_iter().filter(is_unnamed);
    Ok(found
        .map(|(slot, header)| {
            format!(
                "slot {slot} holds a crash record {} that is not whole, and no ledger names it",
                header.sequence
            )
        })
        .collect())
}

/// What no recorder writes, although the checksum is right.
fn contradictions(ledger: &Ledger) -> Vec<String> {
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    let entries = (0..).map_while(|index| ledger.by_age(index));
    let self_test = ledger.self_test();
    let all = entries
        .chain(self_test)
        .map(|(slot, entry)| (slot, entry.sequence.get()));
    for (slot, sequence) in all {
        if !seen.insert(sequence) {
            found.push(format!(
                "ledger: slot {slot}: the number {sequence} is in another slot, too; numbers are used once"
            ));
        }
    }
    if let Some(last) = seen.last().filter(|last| **last >= ledger.next_sequence()) {
        found.push(format!(
            "ledger: the next crash record would get the number {}, and there is a record {last}",
            ledger.next_sequence()
        ));
    }
    let counters = ledger.counters();
    let counted = [counters.oops, counters.panic, counters.kernel];
    let counted: u64 = counted
        .into_iter()
        .map(|count| u64::from(count.get()))
        .sum();
    if counted < u64::from(ledger.len()) {
        found.push(format!(
            "ledger: {} in its slots, of {counted} counted",
            count(ledger.len().into(), "crash record")
        ));
    }
    found
}

/// The undamaged crash headers in all slots, those of erased crashes included.
fn headers(
    partition: &Image,
    format: FormatId,
    geometry: &Geometry,
) -> Result<Vec<(u32, CrashHeader)>, Problem> {
    let slots = (0..geometry.slots()).map_while(|slot| Some((slot, geometry.slot(slot)?)));
    let mut headers = Vec::new();
    for (slot, block) in slots {
        let bytes = read(partition, block.into())?;
        if let Ok((header, _)) = CrashHeader::parse(&bytes, format, geometry.slot_blocks()) {
            headers.push((slot, header));
        }
    }
    Ok(headers)
}
