use super::*;
use crate::testing::{FORMAT, Seen, copy, drain, header, memory, memory_with};
use crate::{RingRecovery, Start};
use proptest::prelude::*;

fn numbering(next_page: u32) -> Numbering {
    Numbering {
        format: FORMAT,
        next_page,
        boot_offset: 0,
    }
}

/// Appends records of every length until the ring is full; returns them.
fn fill(ring: &LogRing<'_>, limit: usize) -> Vec<Seen> {
    let mut accepted = Vec::new();
    for number in 0..limit {
        let payload: Vec<u8> = (0..(number * 7) % 257)
            .map(|byte| (byte ^ number) as u8)
            .collect();
        match ring.append(&header((number % 5) as u16, number as u64), &payload) {
            Ok(sequence) => accepted.push(Seen {
                boot: ring.boot,
                sequence,
                task: (number % 5) as u16,
                payload,
            }),
            Err(AppendError::Full) => break,
            Err(error) => panic!("{error:?}"),
        }
    }
    accepted
}

#[test]
fn every_accepted_record_is_written() {
    for pages in [8, 16, 64, 128] {
        fill_and_write(&memory_with(pages), pages);
    }
}

fn fill_and_write(memory: &[Block], pages: usize) {
    let region = Region::over(memory).unwrap();
    assert_eq!(region.begin_boot(), Start::Cold);
    let (ring, recovery) = LogRing::recover(&region);
    assert_eq!(recovery, RingRecovery::default());
    let mut all = Vec::new();
    // The ring wraps five times.
    for _ in 0..6 {
        let accepted = fill(&ring, 10_000);
        assert!(accepted.len() >= 2 * pages);
        assert_eq!(ring.append(&header(0, 0), b"x"), Err(AppendError::Full));
        assert_eq!(drain(&ring), accepted);
        all.extend(accepted);
        assert_eq!(ring.durable(), ring.accepted());
    }
    let numbers: Vec<_> = all.iter().map(|record| record.sequence).collect();
    assert_eq!(numbers, (1..=all.len() as u32).collect::<Vec<_>>());
}

#[test]
fn a_payload_that_is_too_long_is_refused() {
    let memory = memory();
    let region = Region::over(&memory).unwrap();
    region.begin_boot();
    let (ring, _) = LogRing::recover(&region);
    assert_eq!(
        ring.append(&header(0, 0), &[0; 257]),
        Err(AppendError::TooLong)
    );
    assert_eq!(ring.append(&header(0, 0), &[0; 256]), Ok(1));
}

/// REQ: X5 A crash of the recorder between any two stores of an append leaves the records before
/// it, and the record whole or not at all, for a restart of the recorder as well as for the
/// emergency path; no number is used twice.
#[test]
fn an_interrupted_append_is_whole_or_not_there() {
    // So that the next append goes into an open page, closes one and opens the next, or opens the
    // first one.
    for before in [0, 1, 2, 5, 40] {
        let original = memory();
        let region = Region::over(&original).unwrap();
        region.begin_boot();
        let (ring, _) = LogRing::recover(&region);
        let mut accepted = fill(&ring, before);
        let payload = [0xA5; 253];
        for stop in 0.. {
            let memory = copy(&original);
            let region = Region::over(&memory).unwrap();
            // The recorder's view of the ring, over a copy of its memory.
            let interrupted = LogRing {
                region,
                boot: ring.boot,
                tail: ring.tail.clone(),
                head: ring.head.clone(),
                open: Cell::new(None),
                room: Cell::new(&[]),
                written: ring.written.clone(),
                next_record: ring.next_record.clone(),
                durable: ring.durable.clone(),
            };
            let head = ring.head.get();
            interrupted.open.set(ring.open.get().map(|_| OpenPage {
                block: interrupted.block(head).unwrap(),
                entry: interrupted.entry(head).unwrap(),
            }));
            if let Some(OpenPage { block, .. }) = interrupted.open.get() {
                let words = block.words();
                interrupted
                    .room
                    .set(&words[words.len() - ring.room.get().len()..]);
            }
            let mut steps = 0;
            let result = interrupted.append_stepwise(&header(7, 9), &payload, || {
                steps += 1;
                if steps > stop {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            });
            let whole = Seen {
                boot: 1,
                sequence: before as u32 + 1,
                task: 7,
                payload: payload.to_vec(),
            };

            let emergency = copy(&memory);
            let resumed = LogRing::resume(&Region::over(&emergency).unwrap());
            let accepted_after = resumed.accepted();
            let found = drain(&resumed);
            let (recovered, recovery) = LogRing::recover(&region);
            assert_eq!(recovery.damaged, 0);
            assert_eq!(recovered.accepted(), accepted_after);
            let next = recovered.append(&header(1, 1), b"next").unwrap();
            assert_eq!(next, accepted_after + 1);
            let mut after = drain(&recovered);
            assert_eq!(after.pop().unwrap().payload, b"next");
            assert_eq!(after, found);

            if found.len() > accepted.len() {
                assert_eq!(found.last(), Some(&whole));
            }
            assert_eq!(found[..accepted.len()], accepted);
            assert!(found.len() <= accepted.len() + 1);
            if let ControlFlow::Continue(result) = result {
                assert_eq!(result, Ok(whole.sequence));
                assert_eq!(found.len(), accepted.len() + 1);
                assert!(stop > 60);
                break;
            }
        }
        accepted.clear();
    }
}

/// REQ: X5 What was accepted and not written survives a reset of the system, under the boot it was
/// accepted in.
#[test]
fn a_warm_start_keeps_what_was_accepted() {
    let memory = memory();
    let region = Region::over(&memory).unwrap();
    region.begin_boot();
    let (ring, _) = LogRing::recover(&region);
    let mut accepted = fill(&ring, 100);
    let written = ring.next_run(&numbering(0), 7).unwrap().blocks.len();
    assert_eq!(written, 7);
    ring.mark_durable(written, |_, _| {});
    let durable = ring.durable() as usize;
    accepted.drain(..durable);

    assert_eq!(region.begin_boot(), Start::Warm);
    let (ring, recovery) = LogRing::recover(&region);
    assert_eq!(
        (recovery.damaged, region.boot(), ring.oldest_boot()),
        (0, 2, 1)
    );
    assert_eq!((ring.accepted(), ring.durable()), (0, 0));
    accepted.extend(fill(&ring, 10));
    assert_eq!(
        accepted.last().map(|record| (record.boot, record.sequence)),
        Some((2, 10))
    );
    assert_eq!(drain(&ring), accepted);
    assert_eq!((ring.durable(), ring.oldest_boot()), (10, 2));
}

/// REQ: X5 A page whose records are not what was accepted is dropped and counted, and not written
/// to the card.
#[test]
fn a_damaged_page_is_dropped_and_counted() {
    let original = memory();
    let region = Region::over(&original).unwrap();
    region.begin_boot();
    let (ring, _) = LogRing::recover(&region);
    let accepted = fill(&ring, 40);
    let (first, pages) = (ring.tail.get(), ring.closed_pages());
    assert!(pages > 2);
    for order in (first..).take(pages as usize) {
        let memory = copy(&original);
        let region = Region::over(&memory).unwrap();
        let damaged = LogRing::empty(&region).block(order).unwrap();
        // In the first record: the last word of its header, or its payload.
        let word = RECORDS + 3;
        damaged.set_word(word, damaged.word(word) ^ 1);
        let (recovered, recovery) = LogRing::recover(&region);
        assert_eq!(recovery.damaged, 1, "page {order}");
        let left = drain(&recovered);
        assert!(left.len() < accepted.len() && left.iter().all(|record| accepted.contains(record)));
    }
}

#[test]
fn a_restart_of_the_recorder_continues_the_numbers() {
    let memory = memory();
    let region = Region::over(&memory).unwrap();
    region.begin_boot();
    let (ring, _) = LogRing::recover(&region);
    fill(&ring, 30);
    drain(&ring);
    let (ring, _) = LogRing::recover(&region);
    // All is durable, and still the numbers continue.
    assert_eq!(
        (ring.accepted(), ring.durable(), ring.closed_pages()),
        (30, 30, 0)
    );
    assert_eq!(ring.append(&header(0, 0), b"more"), Ok(31));
    let ring = LogRing::resume(&region);
    assert_eq!(
        (ring.accepted(), ring.durable(), ring.closed_pages()),
        (31, 30, 1)
    );
}

/// REQ: X17 (in part: no number of a record is used twice because an entry is damaged)
///
/// One word of the newest page's entry is damaged, when its records are durable.
#[test]
fn a_damaged_entry_uses_no_number_twice() {
    for pages_before in [0, 1, 5, 8, 11] {
        for word in 0..6 {
            for value in [0, 1, u32::MAX, u32::from_le_bytes(*b"PAGE")] {
                let memory = memory_with(8);
                let region = Region::over(&memory).unwrap();
                region.begin_boot();
                let (ring, _) = LogRing::recover(&region);
                for page in 0..=pages_before {
                    fill(&ring, 2);
                    ring.close();
                    if page % 2 == 1 {
                        drain(&ring);
                    }
                }
                drain(&ring);
                let entry = ring.entry(pages_before).unwrap();
                entry.set_word(word, value);
                for recovered in [LogRing::resume(&region), LogRing::recover(&region).0] {
                    assert!(
                        recovered.accepted() >= ring.accepted(),
                        "{pages_before} pages before, word {word} is {value:#x}: {} after {}",
                        recovered.accepted(),
                        ring.accepted()
                    );
                }
            }
        }
    }
}

/// The word that would make an entry that was never used pass its check.
#[test]
fn an_entry_that_was_never_used_is_no_page() {
    let memory = memory();
    let region = Region::over(&memory).unwrap();
    region.begin_boot();
    let (ring, _) = LogRing::recover(&region);
    fill(&ring, 3);
    let order = u32::from_le_bytes(*b"PAGE");
    ring.entry(order).unwrap().set_word(1, order);
    let (recovered, _) = LogRing::recover(&region);
    assert_eq!(recovered.accepted(), 3);
}

#[test]
fn a_run_keeps_its_numbers_until_it_is_durable() {
    let memory = memory();
    let region = Region::over(&memory).unwrap();
    region.begin_boot();
    let (ring, _) = LogRing::recover(&region);
    fill(&ring, 200);
    let first = ring.next_run(&numbering(40), 16).unwrap();
    assert_eq!((first.blocks.len(), first.first_page), (16, 40));
    let before: Vec<_> = first.blocks.iter().map(crate::testing::bytes).collect();
    assert_eq!(ring.pending().unwrap().number, Some(40));
    fill(&ring, 50);
    let again = ring.next_run(&numbering(40), 99).unwrap();
    assert_eq!(again.blocks.len(), 16);
    assert_eq!(
        again
            .blocks
            .iter()
            .map(crate::testing::bytes)
            .collect::<Vec<_>>(),
        before
    );
    ring.mark_durable(16, |_, _| {});
    assert_eq!(ring.next_run(&numbering(56), 3).unwrap().blocks.len(), 3);
}

/// A card whose last page has a number near the last one.
#[test]
fn pages_get_the_numbers_that_are_left() {
    let memory = memory();
    let region = Region::over(&memory).unwrap();
    region.begin_boot();
    let (ring, _) = LogRing::recover(&region);
    fill(&ring, 100);
    assert!(ring.closed_pages() > 2);
    let run = ring.next_run(&numbering(u32::MAX - 2), 16).unwrap();
    assert_eq!((run.blocks.len(), run.first_page), (2, u32::MAX - 2));
    ring.mark_durable(2, |_, _| {});
    assert!(ring.next_run(&numbering(u32::MAX), 16).is_none());
    assert!(ring.closed_pages() > 0);
}

#[test]
fn released_bytes_are_the_accepted_bytes() {
    let memory = memory();
    let region = Region::over(&memory).unwrap();
    region.begin_boot();
    let (ring, _) = LogRing::recover(&region);
    let accepted = fill(&ring, 120);
    let bytes = |records: &[Seen]| {
        let mut held = [0usize; 5];
        for record in records {
            held[usize::from(record.task)] += page::record_len(record.payload.len());
        }
        held
    };
    let mut held = [0usize; 5];
    ring.for_each(|task, bytes| held[usize::from(task)] += bytes);
    assert_eq!(held, bytes(&accepted));
    ring.close();
    while let Some(run) = ring.next_run(&numbering(0), 16) {
        ring.mark_durable(run.blocks.len(), |task, bytes| {
            held[usize::from(task)] -= bytes
        });
    }
    assert_eq!(held, [0; 5]);
}

#[test]
fn boots_are_numbered_as_on_the_card() {
    let memory = memory();
    let region = Region::over(&memory).unwrap();
    region.begin_boot();
    let (ring, _) = LogRing::recover(&region);
    fill(&ring, 1);
    ring.close();
    region.rebase(FORMAT, 41, ring.oldest_boot());
    let numbering = Numbering {
        format: FORMAT,
        next_page: 0,
        boot_offset: region.boot_offset(),
    };
    let run = ring.next_run(&numbering, 1).unwrap();
    let page = crate::testing::bytes(&run.blocks[0]);
    assert_eq!(page::Page::parse(&page, FORMAT).unwrap().header.boot(), 42);
}

/// Two boots here, and a card whose last boot has the highest number but one.
#[test]
fn the_number_of_a_boot_does_not_wrap() {
    let memory = memory();
    let region = Region::over(&memory).unwrap();
    let (first, second) = (region.begin_boot(), region.begin_boot());
    assert_eq!((first, second), (crate::Start::Cold, crate::Start::Warm));
    let (ring, _) = LogRing::recover(&region);
    fill(&ring, 1);
    ring.close();
    region.rebase(FORMAT, u32::MAX - 1, 1);
    let numbering = Numbering {
        format: FORMAT,
        next_page: 0,
        boot_offset: region.boot_offset(),
    };
    let run = ring.next_run(&numbering, 1).unwrap();
    let page = crate::testing::bytes(&run.blocks[0]);
    let boot = page::Page::parse(&page, FORMAT).unwrap().header.boot();
    assert_eq!(boot, u32::MAX);
}

proptest! {
    /// REQ: X5 Whatever the region has been damaged to, a record that is found is one that was
    /// accepted, bit for bit; and nothing panics.
    #[test]
    fn damage_never_makes_up_a_record(
        count in 0usize..300,
        durable in 0usize..20,
        damage in proptest::collection::vec((any::<prop::sample::Index>(), 0usize..128, any::<u32>()), 0..40),
        in_control in any::<bool>(),
    ) {
        let memory = memory();
        let region = Region::over(&memory).unwrap();
        region.begin_boot();
        let (ring, _) = LogRing::recover(&region);
        let accepted = fill(&ring, count);
        if let Some(run) = ring.next_run(&numbering(0), durable) {
            ring.mark_durable(run.blocks.len(), |_, _| {});
        }
        for (block, word, value) in &damage {
            let blocks = if in_control { region.entries } else { &memory[..] };
            block.get(blocks).set_word(*word, *value);
        }
        let emergency = copy(&memory);
        let resumed = LogRing::resume(&Region::over(&emergency).unwrap());
        let (recovered, _) = LogRing::recover(&region);
        for ring in [resumed, recovered] {
            ring.for_each(|_, _| {});
            for record in drain(&ring) {
                prop_assert!(accepted.contains(&record), "{:?}", record);
            }
            // The ring still accepts records.
            let result = ring.append(&header(0, 0), b"after");
            prop_assert!(result.is_ok());
        }
    }

    #[test]
    fn garbage_is_a_cold_start(seed: u64, len in Region::MIN_LEN / 512..Region::len_with(128) / 512 + 40) {
        let memory: Vec<_> = (0..len).map(|_| Block::zeroed()).collect();
        let mut state = seed | 1;
        for block in &memory {
            for word in 0..128 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                block.set_word(word, (state >> 32) as u32);
            }
        }
        let region = Region::over(&memory).unwrap();
        let (ring, _) = LogRing::recover(&region);
        prop_assert_eq!(drain(&ring), vec![]);
        prop_assert_eq!(drain(&LogRing::resume(&region)), vec![]);
        prop_assert_eq!(region.begin_boot(), Start::Cold);
        prop_assert_eq!(region.boot(), 1);
        prop_assert!(region.mailbox().crash().is_none());
        prop_assert!(region.mailbox().oops().is_none());
        prop_assert_eq!(region.location().load(), None);
        prop_assert_eq!(region.location().next_page(), None);
        let (ring, recovery) = LogRing::recover(&region);
        prop_assert_eq!(recovery, RingRecovery::default());
        prop_assert_eq!(ring.append(&header(0, 0), b"first"), Ok(1));
    }
}
