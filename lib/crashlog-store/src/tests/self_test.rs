//! The self-test: it detects errors, and changes no crash and no counter.

use super::card::{CardFailure, Survivors, TestCard};
use super::recorder::*;
use crate::emergency::Error;
use crate::self_test::{self, Mismatch};
use crate::*;
use block_device::Block;
use crashlog_format::Outcome;
use crashlog_retained::Region;
use std::collections::BTreeMap;

/// Blocks of the card: the ledger of even generations, and the first slot, of [`small_card`] and of
/// [`big_card`].
const LEDGER: u64 = 2048 + 8;
const SLOTS: u64 = 2048 + 16;

/// The id of the image that tests itself.
const IMAGE: u64 = 0x0123_4567_89ab_cdef;

/// A card with room for 14 crashes.
fn big_card() -> TestCard {
    card(320, 15, 8)
}

/// The first half of a self-test at the start of a boot: it is written.
fn write(card: &TestCard, memory: &[Block]) -> (Result<(), Error<CardFailure>>, Outcome) {
    let region = Region::over(memory).unwrap();
    region.begin_boot();
    self_test::describe(&region, 1, "crashlog", 77, IMAGE).unwrap();
    emergency(card, memory)
}

/// The second half: it is read back and compared.
fn verify(card: &TestCard, memory: &[Block], sequence: u32) -> Result<(), Mismatch<CardFailure>> {
    let region = Region::over(memory).unwrap();
    let stored = region.mailbox().crash().unwrap();
    self_test::verify(
        &mut card.clone(),
        "crashlog",
        sequence,
        &stored,
        region.scratch(),
    )
}

/// Both halves, which have to succeed. Returns the sequence number.
fn passes(card: &TestCard, memory: &[Block]) -> u32 {
    let (result, outcome) = write(card, memory);
    assert_eq!(result, Ok(()));
    let sequence = outcome.sequence.get();
    assert_eq!(verify(card, memory, sequence), Ok(()));
    sequence
}

/// Crashes by sequence number, with their entries in the ledger, and all counters.
fn crashes_on(card: &TestCard) -> (BTreeMap<u32, Tally>, [u32; 4]) {
    let scratch = blocks(16);
    let mut store = mount(card, &scratch).unwrap();
    let mut crashes = BTreeMap::new();
    for index in 0..store.crash_count() {
        let tally = store.tally(index).unwrap();
        let crash = now(store.open_crash(tally.sequence)).unwrap();
        for segment in 0..crash.segments().len() {
            assert_eq!(now(crash.check(&mut store, segment)), Ok(true));
        }
        crashes.insert(tally.sequence, tally);
    }
    let counters = store.counters();
    let counters = [
        counters.oops,
        counters.panic,
        counters.kernel,
        counters.late,
    ];
    (crashes, counters.map(|counter| counter.get()))
}

/// The sequence number of the self-test that the ledger names.
fn named(card: &TestCard) -> Option<u32> {
    let scratch = blocks(16);
    Some(mount(card, &scratch).unwrap().self_test()?.sequence)
}

/// REQ: X6
/// REQ: P3
/// REQ: P9 Each self-test replaces the one before and writes no more blocks than that. Its sequence
/// number is never used again, and it changes no counter and no crash.
#[test]
fn each_replaces_the_one_before_and_is_not_counted() {
    let card = big_card();
    let mut oracle = Oracle::default();
    let memory = retained_memory();
    let mut numbers = Vec::new();
    let mut crashed = 0;
    for boot in 0..200 {
        let before = crashes_on(&card);
        card.take_counts();
        let (result, outcome) = write(&card, &memory);
        assert_eq!(result, Ok(()));
        let counts = card.take_counts();
        assert!(
            counts.written <= 4 && counts.flushes <= 4,
            "boot {boot}: {counts:?}"
        );
        let sequence = outcome.sequence.get();
        assert_eq!(verify(&card, &memory, sequence), Ok(()));
        assert_eq!(card.take_counts().written, 0);
        assert_eq!((crashes_on(&card), named(&card)), (before, Some(sequence)));
        numbers.push(sequence);

        let mut recorder = TestRecorder::start(&card, &memory, false).unwrap();
        recorder.append(&mut oracle).unwrap();
        recorder.flush(&mut oracle).unwrap();
        if boot % 3 == 0 {
            numbers.push(recorder.oops(&mut oracle, boot).unwrap());
            crashed += 1;
        }
        if boot % 7 == 0 {
            recorder.panic(&mut oracle, 1000 + boot);
            drop(recorder);
            let (result, outcome) = emergency(&card, &memory);
            assert_eq!(result, Ok(()));
            numbers.push(outcome.sequence.get());
            crashed += 1;
        }
    }
    let (crashes, [oops, panic, kernel, late]) = crashes_on(&card);
    assert_eq!((oops + panic, kernel, late), (crashed, 0, 0));
    assert_eq!(crashes.len(), 14);
    // The first two crashes are kept; no number is used twice.
    let first: Vec<u32> = crashes.keys().copied().take(2).collect();
    assert_eq!(first, [2, 3]);
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
}

/// REQ: X6 If all slots but the free one are taken, the self-test is written into the free one, and
/// the next crash overwrites it.
#[test]
fn a_full_card_loses_no_crash() {
    let card = small_card();
    let mut oracle = Oracle::default();
    let memory = retained_memory();
    let mut recorder = TestRecorder::start(&card, &memory, true).unwrap();
    for place in 0..3 {
        recorder.oops(&mut oracle, place).unwrap();
    }
    drop(recorder);
    let full = crashes_on(&card);
    assert_eq!(full.0.keys().copied().collect::<Vec<_>>(), [1, 2, 3]);
    let test = passes(&card, &memory);
    assert_eq!(test, 4);
    assert_eq!((crashes_on(&card), named(&card)), (full, Some(4)));

    let mut recorder = TestRecorder::start(&card, &memory, true).unwrap();
    assert_eq!(recorder.oops(&mut oracle, 9), Ok(5));
    assert_eq!(
        crashes_on(&card).0.keys().copied().collect::<Vec<_>>(),
        [1, 2, 5]
    );
    // Slot 3 was the free one, slot 2 is now; the ledger does not name the self-test any more.
    assert_eq!(named(&card), None);
    assert_eq!(passes(&card, &memory), 6);
    assert_eq!(named(&card), Some(6));
}

/// REQ: X5
/// REQ: X6 The self-test is interrupted after any write, with any selection of writes that can
/// survive it. No crash is lost or invented, no number of a crash is used twice, and the next
/// self-test passes.
#[test]
fn an_interrupted_self_test_changes_no_crash() {
    for full in [false, true] {
        for steps in 0.. {
            let card = small_card();
            let mut oracle = Oracle::default();
            let memory = retained_memory();
            let mut recorder = TestRecorder::start(&card, &memory, true).unwrap();
            for place in 0..if full { 3 } else { 1 } {
                recorder.oops(&mut oracle, place).unwrap();
            }
            drop(recorder);
            passes(&card, &memory);
            let before = crashes_on(&card);
            let card = card.after_reset();
            card.cut_after(steps);
            let done = write(&card, &memory).0.is_ok();
            for survivors in Survivors::each(card.unflushed()) {
                let card = card.after_cut(survivors);
                assert_eq!(crashes_on(&card), before, "{steps} {survivors:?}");
                let memory = retained_memory();
                let test = passes(&card, &memory);
                let mut recorder = TestRecorder::start(&card, &memory, true).unwrap();
                let next = recorder.oops(&mut oracle, 50).unwrap();
                assert!(next > test && before.0.keys().all(|number| *number < test));
                let after = crashes_on(&card).0;
                assert_eq!(after.len(), if full { 3 } else { 2 });
                assert!(after.contains_key(&next));
            }
            if done {
                assert!(steps >= 4);
                break;
            }
        }
    }
}

/// REQ: P9 If one ledger is damaged, or both, the self-test is not taken for a crash, and its
/// number is not used again.
#[test]
fn with_damaged_ledgers_it_is_not_taken_for_a_crash() {
    for copies in [&[0][..], &[1], &[0, 1]] {
        for crash_after in [false, true] {
            let card = big_card();
            let mut oracle = Oracle::default();
            let memory = retained_memory();
            let mut recorder = TestRecorder::start(&card, &memory, true).unwrap();
            recorder.oops(&mut oracle, 1).unwrap();
            drop(recorder);
            let test = passes(&card, &memory);
            if crash_after {
                let mut recorder = TestRecorder::start(&card, &memory, true).unwrap();
                recorder.oops(&mut oracle, 2).unwrap();
            }
            let before = crashes_on(&card);
            let scratch = blocks(16);
            let geometry = *mount(&card, &scratch).unwrap().geometry();
            for copy in copies {
                let block = 2048 + u64::from(geometry.ledger(*copy));
                card.poke(block, |bytes| bytes[20] ^= 1);
            }
            let after = crashes_on(&card);
            assert_eq!(
                after.0.keys().collect::<Vec<_>>(),
                before.0.keys().collect::<Vec<_>>(),
                "{copies:?} {crash_after}"
            );
            assert_eq!(after.1, before.1);
            let mut recorder = TestRecorder::start(&card, &memory, true).unwrap();
            let next = recorder.oops(&mut oracle, 3).unwrap();
            assert!(next > test && before.0.keys().all(|number| *number < next));
        }
    }
}

/// Every difference between the card and what was written is detected.
#[test]
fn every_difference_is_detected() {
    let card = small_card();
    let memory = retained_memory();
    let sequence = passes(&card, &memory);
    let slot = SLOTS + 3 * 8;
    // The header, the segment table, the message, the pattern, and the unused rest of the blocks.
    for (block, byte) in [
        (slot, 0),
        (slot, 100),
        (slot, 230),
        (slot, 500),
        (slot + 1, 3),
        (slot + 1, 400),
        (slot + 2, 0),
        (slot + 2, 511),
    ] {
        let card = card.duplicate();
        card.poke(block, |bytes| bytes[byte] ^= 0x10);
        let result = verify(&card, &memory, sequence);
        assert!(
            matches!(
                result,
                Err(Mismatch::Header | Mismatch::Checksum(_) | Mismatch::Block(_))
            ),
            "block {block} byte {byte}: {result:?}"
        );
    }
    for ledger in [LEDGER, 2048 + 192 - 16] {
        let card = card.duplicate();
        card.poke(ledger, |bytes| bytes[16] ^= 1);
        // A damaged newest ledger is restored from the crash header; the other copy is not needed.
        assert_eq!(verify(&card, &memory, sequence), Ok(()));
    }
    assert_eq!(
        verify(&card, &memory, sequence + 1),
        Err(Mismatch::NotNamed)
    );
    card.set_unreadable(slot + 2, true);
    assert_eq!(
        verify(&card, &memory, sequence),
        Err(Mismatch::Device(CardFailure::Unreadable))
    );
    card.poke(512 / 512, |bytes| bytes[0] ^= 1);
    let last = block_device::PolledDevice::block_count(&card) - 1;
    card.poke(last, |bytes| bytes[0] ^= 1);
    assert_eq!(verify(&card, &memory, sequence), Err(Mismatch::Lost));
}

/// REQ: M8 A card without a crashlog partition is not written.
#[test]
fn a_card_without_a_crashlog_partition_is_not_written() {
    let card = TestCard::new(4096);
    let memory = retained_memory();
    let (result, outcome) = write(&card, &memory);
    assert_eq!(result, Err(Error::Partition(PartitionError::NoTable)));
    assert_eq!(outcome.sequence.get(), 0);
    let counts = card.take_counts();
    assert_eq!((counts.written, counts.flushes), (0, 0));
}
