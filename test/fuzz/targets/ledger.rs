//! A ledger, and changes of it. A ledger that has passed its check has a free slot, before and
//! after every change, and no change makes one that fails its check.
#![no_main]

use arbitrary::{Arbitrary, Unstructured};
use crashlog_format::crash::CrashReason;
use crashlog_format::ledger::{CrashSummary, Ledger};
use crashlog_format::{FormatId, Geometry};
use libfuzzer_sys::fuzz_target;
use zerocopy::FromBytes;

#[derive(Arbitrary, Debug)]
enum Change {
    Crash {
        signature: u32,
        reason: u8,
        late: bool,
        keep_first: u8,
    },
    Erase(u32),
    Acknowledge(u32),
    Snapshot(u32),
    Page(u32, u32),
    Room(u8),
}

fuzz_target!(|input: &[u8]| {
    let format = FormatId::new(7);
    let mut input = Unstructured::new(input);
    let _ = change(&mut input, format);
});

fn change(input: &mut Unstructured<'_>, format: FormatId) -> arbitrary::Result<()> {
    let slots = 2 + input.arbitrary::<u32>()? % 31;
    let Ok(geometry) = Geometry::new(1 << 16, slots, 8) else {
        return Ok(());
    };
    let mut bytes = [0; size_of::<Ledger>()];
    let given = input.bytes(input.len().min(bytes.len()))?;
    bytes[..given.len()].copy_from_slice(given);
    let Ok(mut ledger) = Ledger::read_from_bytes(&bytes) else {
        return Ok(());
    };
    ledger.seal(format);
    if ledger.check(format, &geometry).is_err() {
        ledger = Ledger::new(format, &geometry);
    }
    while !input.is_empty() {
        let before = ledger.next_sequence();
        apply(&mut ledger, Change::arbitrary(input)?);
        ledger.seal(format);
        ledger
            .check(format, &geometry)
            .expect("a change leaves a sound ledger");
        assert!(ledger.next_sequence() >= before);
        assert!(ledger.len() <= slots);
        for index in 0..ledger.len() {
            let (slot, entry) = ledger.by_age(index).expect("one of so many");
            assert!(slot < slots);
            assert!(ledger.by_sequence(entry.sequence.get()).is_some());
        }
    }
    Ok(())
}

fn apply(ledger: &mut Ledger, change: Change) {
    match change {
        Change::Crash {
            signature,
            reason,
            late,
            keep_first,
        } => {
            let reason = [CrashReason::Oops, CrashReason::Panic, CrashReason::Kernel]
                [usize::from(reason) % 3];
            let crash = CrashSummary {
                reason,
                late,
                signature,
                boot: 1,
                time: 1,
            };
            if let Ok(plan) = ledger.plan(&crash, u32::from(keep_first)) {
                ledger.commit(plan, &crash);
            }
        }
        Change::Erase(sequence) => drop(ledger.erase(sequence)),
        Change::Acknowledge(sequence) => drop(ledger.acknowledge(sequence)),
        Change::Snapshot(sequence) => drop(ledger.note_snapshot(sequence)),
        Change::Page(next_page, boot) => ledger.note_page(next_page, boot),
        Change::Room(keep_first) => ledger.make_room(u32::from(keep_first)),
    }
}
