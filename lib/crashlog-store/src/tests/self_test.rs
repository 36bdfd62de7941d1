//! The self-test of the emergency path: it proves the path and touches nothing that counts.

use super::card::{Card, Fault, Survivors};
use super::recorder::*;
use crate::emergency::Error;
use crate::self_test::{self, Mismatch};
use crate::*;
use block_device::Block;
use crashlog_format::Outcome;
use crashlog_retained::Region;
use std::collections::BTreeMap;

/// Ledger of even generations, and the slots of [`small_card`] and of [`big_card`], on the card.
const LEDGER: u64 = 2048 + 8;
const SLOTS: u64 = 2048 + 16;

/// A card with room for 14 records.
fn big_card() -> Card {
    card(320, 15, 8)
}

/// One boot begins with a self-test that writes, as the recorder's does.
fn write(card: &Card, memory: &[Block]) -> (Result<(), Error<Fault>>, Outcome) {
    let region = Region::over(memory).unwrap();
    region.begin_boot();
    self_test::describe(&region, 1, "crashlog", 77).unwrap();
    emergency(card, memory)
}

/// Then it reads back what it wrote.
fn verify(card: &Card, memory: &[Block], record: u32) -> Result<(), Mismatch<Fault>> {
    let region = Region::over(memory).unwrap();
    let stored = region.mailbox().crash().unwrap();
    self_test::verify(
        &mut card.clone(),
        "crashlog",
        record,
        &stored,
        region.scratch(),
    )
}

/// Both, which must succeed. Returns the number of the record.
fn passes(card: &Card, memory: &[Block]) -> u32 {
    let (result, outcome) = write(card, memory);
    assert_eq!(result, Ok(()));
    let record = outcome.record.get();
    assert_eq!(verify(card, memory, record), Ok(()));
    record
}

/// Records by number with what is counted for them, and all counters.
fn records(card: &Card) -> (BTreeMap<u32, Tally>, [u32; 4]) {
    let scratch = blocks(16);
    let mut store = mount(card, &scratch).unwrap();
    let mut records = BTreeMap::new();
    for index in 0..store.record_count() {
        let tally = store.tally(index).unwrap();
        let record = now(store.open_record(tally.sequence)).unwrap();
        for segment in 0..record.segments().len() {
            assert_eq!(now(record.check(&mut store, segment)), Ok(true));
        }
        records.insert(tally.sequence, tally);
    }
    let counters = store.counters();
    let counters = [
        counters.oops,
        counters.panic,
        counters.kernel,
        counters.late,
    ];
    (records, counters.map(|counter| counter.get()))
}

/// The number of the self-test's record that the card names.
fn named(card: &Card) -> Option<u32> {
    let scratch = blocks(16);
    Some(mount(card, &scratch).unwrap().self_test()?.sequence)
}

/// REQ: X6
/// REQ: P3
/// REQ: P9
/// Boot after boot: each self-test replaces the one before and costs the same few blocks, takes a number that is never
/// used again, and no slot, no counter and no record.
#[test]
fn each_replaces_the_one_before_and_counts_for_nothing() {
    let card = big_card();
    let mut oracle = Oracle::default();
    let memory = blocks(Region::MIN_LEN / 512);
    let mut numbers = Vec::new();
    let mut crashes = 0;
    for boot in 0..200 {
        let before = records(&card);
        card.take_counts();
        let (result, outcome) = write(&card, &memory);
        assert_eq!(result, Ok(()));
        let counts = card.take_counts();
        assert!(
            counts.written <= 4 && counts.flushes <= 4,
            "boot {boot}: {counts:?}"
        );
        let record = outcome.record.get();
        assert_eq!(verify(&card, &memory, record), Ok(()));
        assert_eq!(card.take_counts().written, 0);
        assert_eq!((records(&card), named(&card)), (before, Some(record)));
        numbers.push(record);

        let mut recorder = Recorder::start(&card, &memory, false).unwrap();
        recorder.append(&mut oracle).unwrap();
        recorder.flush(&mut oracle).unwrap();
        if boot % 3 == 0 {
            numbers.push(recorder.oops(&mut oracle, boot).unwrap());
            crashes += 1;
        }
        if boot % 7 == 0 {
            recorder.panic(&mut oracle, 1000 + boot);
            drop(recorder);
            let (result, outcome) = emergency(&card, &memory);
            assert_eq!(result, Ok(()));
            numbers.push(outcome.record.get());
            crashes += 1;
        }
    }
    let (records, [oops, panic, kernel, late]) = records(&card);
    assert_eq!((oops + panic, kernel, late), (crashes, 0, 0));
    assert_eq!(records.len(), 14);
    // The first ones are those of the first crashes; the numbers rise without one used twice.
    let first: Vec<u32> = records.keys().copied().take(2).collect();
    assert_eq!(first, [2, 3]);
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
}

/// REQ: X6
/// With every slot taken that can be, the test stands in the one that stays free, and the next crash takes it.
#[test]
fn a_full_card_loses_nothing_to_it() {
    let card = small_card();
    let mut oracle = Oracle::default();
    let memory = blocks(Region::MIN_LEN / 512);
    let mut recorder = Recorder::start(&card, &memory, true).unwrap();
    for place in 0..3 {
        recorder.oops(&mut oracle, place).unwrap();
    }
    drop(recorder);
    let full = records(&card);
    assert_eq!(full.0.keys().copied().collect::<Vec<_>>(), [1, 2, 3]);
    let test = passes(&card, &memory);
    assert_eq!(test, 4);
    assert_eq!((records(&card), named(&card)), (full, Some(4)));

    let mut recorder = Recorder::start(&card, &memory, true).unwrap();
    assert_eq!(recorder.oops(&mut oracle, 9), Ok(5));
    assert_eq!(
        records(&card).0.keys().copied().collect::<Vec<_>>(),
        [1, 2, 5]
    );
    // Slot 3 was the free one; slot 2 is now, and nothing of the test is left.
    assert_eq!(named(&card), None);
    assert_eq!(passes(&card, &memory), 6);
    assert_eq!(named(&card), Some(6));
}

/// REQ: X5
/// REQ: X6
/// Interrupted after any write, with whatever survives: no record is harmed, none appears, no number of a record is
/// used twice, and the next self-test passes.
#[test]
fn an_interrupted_test_harms_nothing() {
    for full in [false, true] {
        for steps in 0.. {
            let card = small_card();
            let mut oracle = Oracle::default();
            let memory = blocks(Region::MIN_LEN / 512);
            let mut recorder = Recorder::start(&card, &memory, true).unwrap();
            for place in 0..if full { 3 } else { 1 } {
                recorder.oops(&mut oracle, place).unwrap();
            }
            drop(recorder);
            passes(&card, &memory);
            let before = records(&card);
            let card = card.after_reset();
            card.cut_after(steps);
            let done = write(&card, &memory).0.is_ok();
            for survivors in Survivors::each(card.unflushed()) {
                let card = card.after_cut(survivors);
                assert_eq!(records(&card), before, "{steps} {survivors:?}");
                let memory = blocks(Region::MIN_LEN / 512);
                let test = passes(&card, &memory);
                let mut recorder = Recorder::start(&card, &memory, true).unwrap();
                let next = recorder.oops(&mut oracle, 50).unwrap();
                assert!(next > test && before.0.keys().all(|number| *number < test));
                let after = records(&card).0;
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

/// REQ: P9
/// A ledger that is damaged, or both, does not turn the test into a crash, and its number is not used again.
#[test]
fn a_lost_ledger_makes_no_crash_of_it() {
    for copies in [&[0][..], &[1], &[0, 1]] {
        for crash_after in [false, true] {
            let card = big_card();
            let mut oracle = Oracle::default();
            let memory = blocks(Region::MIN_LEN / 512);
            let mut recorder = Recorder::start(&card, &memory, true).unwrap();
            recorder.oops(&mut oracle, 1).unwrap();
            drop(recorder);
            let test = passes(&card, &memory);
            if crash_after {
                let mut recorder = Recorder::start(&card, &memory, true).unwrap();
                recorder.oops(&mut oracle, 2).unwrap();
            }
            let before = records(&card);
            let scratch = blocks(16);
            let geometry = *mount(&card, &scratch).unwrap().geometry();
            for copy in copies {
                let block = 2048 + u64::from(geometry.ledger(*copy));
                card.poke(block, |bytes| bytes[20] ^= 1);
            }
            let after = records(&card);
            assert_eq!(
                after.0.keys().collect::<Vec<_>>(),
                before.0.keys().collect::<Vec<_>>(),
                "{copies:?} {crash_after}"
            );
            assert_eq!(after.1, before.1);
            let mut recorder = Recorder::start(&card, &memory, true).unwrap();
            let next = recorder.oops(&mut oracle, 3).unwrap();
            assert!(next > test && before.0.keys().all(|number| *number < next));
        }
    }
}

/// What does not stand on the card as it was written is noticed, wherever it is.
#[test]
fn whatever_is_not_as_written_is_noticed() {
    let card = small_card();
    let memory = blocks(Region::MIN_LEN / 512);
    let record = passes(&card, &memory);
    let slot = SLOTS + 3 * 8;
    // The header, its table of segments, the message, the pattern; behind what is used nothing is looked at.
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
        let result = verify(&card, &memory, record);
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
        // The newest one is found again from its record, the one before is not needed.
        assert_eq!(verify(&card, &memory, record), Ok(()));
    }
    assert_eq!(verify(&card, &memory, record + 1), Err(Mismatch::NotNamed));
    card.set_unreadable(slot + 2, true);
    assert_eq!(
        verify(&card, &memory, record),
        Err(Mismatch::Device(Fault::Unreadable))
    );
    card.poke(512 / 512, |bytes| bytes[0] ^= 1);
    let last = block_device::PolledDevice::block_count(&card) - 1;
    card.poke(last, |bytes| bytes[0] ^= 1);
    assert_eq!(verify(&card, &memory, record), Err(Mismatch::Lost));
}

/// REQ: M8
/// A card without a partition of ours is not written.
#[test]
fn a_card_that_is_not_ours_is_not_written() {
    let card = Card::new(4096);
    let memory = blocks(Region::MIN_LEN / 512);
    let (result, outcome) = write(&card, &memory);
    assert_eq!(result, Err(Error::Partition(PartitionError::NoTable)));
    assert_eq!(outcome.record.get(), 0);
    let counts = card.take_counts();
    assert_eq!((counts.written, counts.flushes), (0, 0));
}
