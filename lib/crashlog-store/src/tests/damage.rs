//! Damage: flipped bits, unreadable blocks, damaged ledgers.

use super::card::mix;
use super::recorder::*;
use crate::*;

/// A card with `pages` pages and three crashes, and the oracle that knows them.
fn used(pages: u32) -> (super::card::TestCard, Oracle) {
    let card = card(320, 16, 8);
    let mut oracle = Oracle::default();
    let memory = retained_memory();
    let mut recorder = TestRecorder::start(&card, &memory, true).unwrap();
    while recorder.store.next_page() < pages {
        recorder.append(&mut oracle).unwrap();
        if recorder.ring.closed_pages() >= 2 {
            recorder.flush(&mut oracle).unwrap();
        }
    }
    for place in 0..3 {
        recorder.oops(&mut oracle, place).unwrap();
    }
    recorder.oops(&mut oracle, 1).unwrap();
    (card, oracle)
}

/// REQ: X5 A bit that is flipped in one transfer changes nothing, whichever read of a mount it is.
#[test]
fn a_bit_flipped_in_transfer_changes_nothing() {
    for pages in [3, 60, 131, 500] {
        let (card, oracle) = used(pages);
        let end = content(&card).next_page;
        for read in 0..60 {
            for bit in [0, 37, 70, 100, 131, 300, 2000] {
                card.flip(read, bit);
                let scratch = blocks(16);
                let store = mount(&card, &scratch).unwrap();
                assert_eq!(
                    (store.next_page(), store.crash_count()),
                    (end, 3),
                    "read {read} bit {bit}"
                );
            }
        }
        card.flip(usize::MAX, 0);
        oracle.check(&content(&card));
    }
}

/// REQ: X5 Whichever block of the stream is damaged or unreadable, the next page is written after
/// the newest page, no other page is overwritten, and the damage is reported.
#[test]
fn no_damaged_page_stops_the_log() {
    for pages in [1, 2, 20, 70, 129, 200, 400] {
        let (card, _) = used(pages);
        let whole = content(&card);
        let ring_first = 2048 + 16 + 16 * 8;
        for position in 0..whole.ring_pages {
            let block = u64::from(ring_first + position);
            let card = card.duplicate();
            let unreadable = mix(block).is_multiple_of(2);
            let in_header = mix(block).is_multiple_of(3);
            if unreadable {
                card.set_unreadable(block, true);
            } else {
                card.poke(block, |bytes| bytes[if in_header { 14 } else { 60 }] ^= 4);
            }
            let last = (whole.next_page - 1) % whole.ring_pages == position;
            let scratch = blocks(16);
            let memory = retained_memory();
            let end = mount(&card, &scratch).unwrap().next_page();
            // The newest page may be overwritten if nothing of it can be read.
            let expected = if last && !unreadable && in_header {
                end.max(whole.next_page - 1)
            } else {
                end.max(whole.next_page)
            };
            assert_eq!(end, expected, "{pages} pages, position {position}");
            assert!(end <= whole.next_page + 1);

            let mut oracle = Oracle {
                clock: 1 << 32,
                ..Oracle::default()
            };
            let mut recorder = TestRecorder::start(&card, &memory, true).unwrap();
            recorder.append(&mut oracle).unwrap();
            let before: Vec<_> = (0..whole.ring_pages)
                .map(|at| card.peek(u64::from(ring_first + at)))
                .collect();
            if recorder.flush(&mut oracle).is_err() {
                continue;
            }
            let written = recorder.store.next_page() - 1;
            for (at, before) in (0..whole.ring_pages).zip(before) {
                let changed = card.peek(u64::from(ring_first + at)) != before;
                assert_eq!(changed, at == written % whole.ring_pages);
            }
            if !unreadable {
                let after = content(&card);
                let key = *oracle.durable.keys().next().unwrap();
                assert!(after.log.iter().any(|(found, _)| *found == key));
                assert!(key.0 > 1, "no boot number is used twice");
            }
        }
    }
}

/// REQ: P9
/// REQ: P3 With a damaged copy of the ledger at most the last change of a counter or an
/// acknowledgement is lost, but no crash; and no sequence number is used twice.
#[test]
fn a_damaged_ledger_loses_no_crash() {
    for copy in [0u32, 1] {
        for byte in [0, 4, 8, 12, 20, 90, 391] {
            let (card, oracle) = used(10);
            let scratch = blocks(16);
            let block = 2048 + u64::from(mount(&card, &scratch).unwrap().geometry().ledger(copy));
            card.poke(block, |bytes| bytes[byte] ^= 0x40);
            let mut found = content(&card);
            assert_eq!(found.crashes.len(), 3);
            assert!(found.oops >= 3);
            // The damaged copy may have had the last change, a repetition.
            found.oops = 4;
            oracle.check(&found);

            let mut oracle = oracle.clone();
            oracle.power_cut();
            let memory = retained_memory();
            let mut recorder = TestRecorder::start(&card, &memory, true).unwrap();
            assert_eq!(recorder.oops(&mut oracle, 7).unwrap(), 4);
            drop(recorder);
            assert_eq!(content(&card).crashes.len(), 4);
        }
    }
}

/// REQ: X5 The last change was a new crash, and the copy of the ledger that names it is damaged:
/// the crash is found in its slot, by the next mount and by an emergency write.
#[test]
fn a_crash_that_only_a_damaged_ledger_names_is_found() {
    for in_emergency in [false, true] {
        for (more, byte) in [(0, 30), (1, 30), (0, 12), (1, 13), (0, 0)] {
            let (card, mut oracle) = used(10);
            let memory = retained_memory();
            let mut recorder = TestRecorder::start(&card, &memory, true).unwrap();
            for place in 0..=more {
                recorder.oops(&mut oracle, 20 + place).unwrap();
            }
            recorder.panic(&mut oracle, 30);
            let newest = [0, 1]
                .map(|copy| 2048 + u64::from(recorder.store.geometry().ledger(copy)))
                .into_iter()
                .max_by_key(|block| card.peek(*block)[12])
                .unwrap();
            card.poke(newest, |bytes| bytes[byte] ^= 4);
            let crashes = 3 + more as usize + 1;
            if in_emergency {
                let (result, outcome) = emergency(&card, &memory);
                assert_eq!(
                    (result, outcome.sequence.get()),
                    (Ok(()), crashes as u32 + 1)
                );
                oracle
                    .durable_crashes
                    .insert(*oracle.crashes.last().unwrap(), outcome.sequence.get());
                oracle.check(&content(&card));
                assert_eq!(content(&card).crashes.len(), crashes + 1);
            } else {
                oracle.check(&content(&card));
                assert_eq!(content(&card).crashes.len(), crashes);
            }
        }
    }
}

/// Both copies of the ledger are damaged: all crashes are found in their slots, and the counters
/// are those of the last crash.
#[test]
fn without_a_ledger_crashes_are_found_in_their_slots() {
    let (card, oracle) = used(10);
    for copy in [0, 1] {
        let scratch = blocks(16);
        let block = mount(&card, &scratch).unwrap().geometry().ledger(copy);
        card.poke(2048 + u64::from(block), |bytes| bytes[77] ^= 1);
    }
    let mut found = content(&card);
    assert_eq!((found.crashes.len(), found.oops), (3, 3));
    found.oops = 4;
    oracle.check(&found);
    let memory = retained_memory();
    let mut recorder = TestRecorder::start(&card, &memory, true).unwrap();
    assert_eq!(recorder.oops(&mut oracle.clone(), 7).unwrap(), 4);
    assert_eq!(recorder.store.newest_crash(), Some(4));
}

/// A crash whose slot is damaged is reported as such, and the others can be read.
#[test]
fn a_damaged_crash_is_reported() {
    let (card, _) = used(10);
    let scratch = blocks(16);
    let mut store = mount(&card, &scratch).unwrap();
    let slot = 2048 + u64::from(store.geometry().slot(0).unwrap());
    card.poke(slot, |bytes| bytes[30] ^= 1);
    assert!(matches!(
        now(store.open_crash(1)),
        Err(CrashReadError::Header(_))
    ));
    card.poke(slot, |bytes| bytes[30] ^= 1);
    card.poke(slot + 2, |bytes| bytes[3] ^= 1);
    let crash = now(store.open_crash(1)).unwrap();
    assert_eq!(now(crash.check(&mut store, 0)), Ok(true));
    assert_eq!(now(crash.check(&mut store, 1)), Ok(false));
    assert!(now(store.open_crash(2)).is_ok());
    assert!(matches!(
        now(store.open_crash(9)),
        Err(CrashReadError::NoSuchCrash)
    ));
}

/// Whatever a card holds, it is read without a panic and in bounded time.
#[test]
fn hostile_cards_are_harmless() {
    for seed in 0..300 {
        let (card, _) = used(20);
        for hit in 0..1 + seed % 40 {
            let draw = mix(seed * 1000 + hit);
            // Any byte of the partition.
            card.poke(2048 + draw % 320, |bytes| {
                bytes[(draw >> 32) as usize % 512] = (draw >> 24) as u8
            });
        }
        let scratch = blocks(16);
        let Ok(mut store) = mount(&card, &scratch) else {
            continue;
        };
        let buffer = blocks(3);
        let mut reader = LogReader::new(&store, &buffer);
        let mut items = 0;
        while let Some(item) = now(reader.next(&mut store)).unwrap() {
            items += usize::from(matches!(item, LogItem::Record { .. }));
        }
        assert!(items < 200);
        for index in 0..store.crash_count() {
            let tally = store.tally(index).unwrap();
            if let Ok(crash) = now(store.open_crash(tally.sequence)) {
                for segment in 0..crash.segments().len() {
                    let _ = now(crash.check(&mut store, segment)).unwrap();
                    let mut out = [0; 512];
                    let _ = now(crash.read(&mut store, segment, 3, &mut out)).unwrap();
                }
            }
        }
    }
}
