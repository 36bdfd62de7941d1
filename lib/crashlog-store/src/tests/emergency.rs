//! The emergency write: interrupted anywhere, with or without what it would like to know.

use super::card::{Card, Survivors};
use super::recorder::*;
use crate::emergency::Error;
use crate::*;
use block_device::Block;
use crashlog_format::{Outcome, Phase, Step};
use crashlog_retained::Region;

/// A recorder in the middle of its work: pages on the card, pages whose write was begun, pages in memory only.
fn busy(card: &Card, memory: &[Block], oracle: &mut Oracle, in_flight: usize) {
    let mut recorder = Recorder::start(card, memory, true).unwrap();
    for _ in 0..30 {
        recorder.append(oracle).unwrap();
    }
    recorder.flush(oracle).unwrap();
    recorder.oops(oracle, 50).unwrap();
    for _ in 0..24 {
        recorder.append(oracle).unwrap();
    }
    if in_flight < 20 {
        // The write of a run is interrupted after this many blocks.
        card.cut_after(in_flight);
        let _ = recorder.flush(oracle);
        recorder.append(oracle).unwrap();
    }
    recorder.panic(oracle, 51);
}

/// The last crash is recorded as number `number`.
fn recorded(oracle: &mut Oracle, number: u32) {
    oracle
        .recorded
        .insert(*oracle.crashes.last().unwrap(), number);
    oracle.all_durable();
}

/// REQ: C3
/// REQ: X5
/// Whatever the recorder was doing, everything that it had accepted is on the card after the emergency write, with the
/// record; and the log goes on afterwards.
#[test]
fn everything_accepted_is_saved() {
    for in_flight in 0..21 {
        let card = small_card();
        let mut oracle = Oracle::default();
        let memory = blocks(Region::MIN_LEN / 512);
        busy(&card, &memory, &mut oracle, in_flight);
        let card = card.after_reset();
        card.take_counts();
        let (result, outcome) = emergency(&card, &memory);
        assert_eq!(result, Ok(()), "in flight {in_flight}");
        assert_eq!(
            (outcome.phase(), outcome.record.get()),
            (Phase::Complete, 2)
        );
        for step in [Step::Located, Step::LogTail, Step::Record, Step::Commit] {
            assert!(outcome.finished(step));
        }
        let counts = card.take_counts();
        assert_eq!(
            counts.read, 3,
            "only what is needed to be sure of the place"
        );
        recorded(&mut oracle, 2);
        oracle.check(&content(&card));

        let mut recorder = Recorder::start(&card, &memory, true).unwrap();
        recorder.record_late(&mut oracle).unwrap();
        recorder.append(&mut oracle).unwrap();
        recorder.flush(&mut oracle).unwrap();
        let after = content(&card);
        oracle.check(&after);
        assert_eq!(after.damaged, []);
        assert_eq!(after.records.len(), 2);
    }
}

/// REQ: X5
/// REQ: X3
/// REQ: K5
/// Interrupted after any write, by a power cut with everything that can survive it or by a reset, the emergency write
/// harms nothing that was durable and leaves no half record. After a reset it is done again at once, or the next boot
/// writes the record late: then everything accepted is there.
#[test]
fn an_interrupted_emergency_write_can_be_done_again() {
    for in_flight in [0, 1, 3, 20] {
        for steps in 0.. {
            let card = small_card();
            let mut oracle = Oracle::default();
            let memory = blocks(Region::MIN_LEN / 512);
            busy(&card, &memory, &mut oracle, in_flight);
            let card = card.after_reset();
            card.cut_after(steps);
            let done = emergency(&card, &memory).0.is_ok();

            let mut cut = oracle.clone();
            cut.power_cut();
            for survivors in Survivors::each(card.unflushed()) {
                cut.check(&content(&card.after_cut(survivors)));
            }

            for again in [false, true] {
                let card = card.after_reset();
                let memory = duplicate(&memory);
                let mut oracle = oracle.clone();
                if again {
                    Region::over(&memory).unwrap().mailbox().arm_minimal();
                    let (result, outcome) = emergency(&card, &memory);
                    assert_eq!(result, Ok(()));
                    recorded(&mut oracle, outcome.record.get());
                }
                let mut recorder = Recorder::start(&card, &memory, true).unwrap();
                recorder.record_late(&mut oracle).unwrap();
                oracle.check(&content(&card.after_cut(Survivors::None)));
                recorder.flush(&mut oracle).unwrap();
                let found = content(&card.after_cut(Survivors::None));
                oracle.check(&found);
                assert_eq!((found.records.len(), found.panic), (2, 1));
                assert_eq!(found.damaged, []);
            }
            if done {
                assert!(steps > 10);
                break;
            }
        }
    }
}

fn duplicate(memory: &[Block]) -> Vec<Block> {
    let copy = blocks(memory.len());
    for (from, to) in memory.iter().zip(&copy) {
        for word in 0..128 {
            to.set_word(word, from.word(word));
        }
    }
    copy
}

/// REQ: P8
/// The very first write of a boot is the emergency write, nothing is known, and old records and pages are there: they
/// are found first, and stay.
#[test]
fn a_crash_before_the_card_is_known_overwrites_nothing() {
    let card = small_card();
    let mut oracle = Oracle::default();
    let memory = blocks(Region::MIN_LEN / 512);
    busy(&card, &memory, &mut oracle, 20);
    assert_eq!(emergency(&card, &memory).0, Ok(()));
    recorded(&mut oracle, 2);

    // Power-on; nothing is mounted; two lines are logged (of boot 1, as far as anybody knows) and it crashes.
    let memory = blocks(Region::MIN_LEN / 512);
    let region = Region::over(&memory).unwrap();
    region.begin_boot();
    let (ring, _) = crashlog_retained::LogRing::recover(&region);
    let header = crashlog_retained::RecordHeader {
        stream: crashlog_retained::Stream::Event,
        level: crashlog_retained::Level::Warn,
        task: 1,
        lost: 0,
        time: 1,
    };
    for sequence in 1..=2 {
        assert_eq!(ring.append(&header, b"early"), Ok(sequence));
        oracle.accepted.insert((2, sequence), b"early".to_vec());
        oracle.waiting.insert((2, sequence));
    }
    let mut context =
        crashlog_retained::CrashContext::new(crashlog_retained::Reason::Panic, 1, "early", &[8]);
    context.boot = region.boot();
    context.time = 1 << 40;
    region.mailbox().write_crash().unwrap().finish(&context);
    region.mailbox().arm();
    oracle.crashes.insert(context.time);
    let (result, outcome) = emergency(&card, &memory);
    assert_eq!((result, outcome.record.get()), (Ok(()), 3));
    recorded(&mut oracle, 3);
    let found = content(&card);
    oracle.check(&found);
    assert_eq!(found.records.len(), 3);
}

/// What is remembered about the card is wrong in any way: the card itself is asked.
#[test]
fn a_stale_location_is_noticed() {
    // Another board has used the card meanwhile: pages, a record, both.
    for (pages, crashes) in [(3, 0), (0, 1), (3, 1), (0, 3), (20, 2)] {
        let card = small_card();
        let mut oracle = Oracle::default();
        let memory = blocks(Region::MIN_LEN / 512);
        busy(&card, &memory, &mut oracle, 20);

        let other_memory = blocks(Region::MIN_LEN / 512);
        let mut other = Oracle {
            clock: 1 << 32,
            ..Oracle::default()
        };
        let mut board = Recorder::start(&card, &other_memory, true).unwrap();
        for _ in 0..pages {
            board.append(&mut other).unwrap();
            board.flush(&mut other).unwrap();
        }
        for place in 0..crashes {
            board.oops(&mut other, place).unwrap();
        }
        drop(board);

        let (result, outcome) = emergency(&card, &memory);
        assert_eq!(result, Ok(()));
        let found = content(&card);
        // Nothing of the other board was overwritten; ours was numbered behind it.
        for key in other.durable.keys() {
            assert!(
                found
                    .log
                    .iter()
                    .any(|(there, payload)| there == key && other.accepted[key] == *payload)
            );
        }
        for number in other.recorded.values() {
            let evicted = crashes > 1;
            assert!(evicted || found.records.values().any(|(there, _)| there == number));
        }
        for payload in oracle.accepted.values() {
            assert_eq!(
                found
                    .log
                    .iter()
                    .filter(|(_, there)| there == payload)
                    .count(),
                1
            );
        }
        assert!(
            found
                .records
                .values()
                .any(|(there, _)| *there == outcome.record.get())
        );
    }
}

/// REQ: M8
/// The card was exchanged for one that is not ours: it is not written, and memory keeps everything.
#[test]
fn an_exchanged_card_is_not_written() {
    let card = small_card();
    let mut oracle = Oracle::default();
    let memory = blocks(Region::MIN_LEN / 512);
    busy(&card, &memory, &mut oracle, 20);
    let foreign = Card::new(4096);
    let (result, outcome) = emergency(&foreign, &memory);
    assert_eq!(result, Err(Error::Partition(PartitionError::NoTable)));
    assert!(!outcome.finished(Step::Located));
    assert_eq!(foreign.take_counts().written, 0);
    // Too small for the partition that is remembered.
    let tiny = Card::new(100);
    assert!(emergency(&tiny, &memory).0.is_err());
    assert_eq!(tiny.take_counts().written, 0);
    // With the right card back, nothing is lost.
    let mut recorder = Recorder::start(&card, &memory, true).unwrap();
    recorder.record_late(&mut oracle).unwrap();
    recorder.flush(&mut oracle).unwrap();
    oracle.check(&content(&card));
    assert_eq!(oracle.recorded.len(), 2);
}

/// A damaged context costs the record, not the log.
#[test]
fn the_log_is_saved_without_a_context() {
    let card = small_card();
    let mut oracle = Oracle::default();
    let memory = blocks(Region::MIN_LEN / 512);
    busy(&card, &memory, &mut oracle, 20);
    // The second block of the mailbox.
    memory[2].set_word(9, !memory[2].word(9));
    let (result, outcome) = emergency(&card, &memory);
    assert_eq!(result, Err(Error::Context));
    assert!(outcome.finished(Step::LogTail) && !outcome.finished(Step::Record));
    oracle.all_durable();
    oracle.check(&content(&card));
}

/// Whatever happened to the retained region, the emergency write ends, does not panic, writes nothing outside of the
/// partition, and harms nothing on the card.
#[test]
fn a_damaged_region_harms_nothing() {
    for seed in 0..400u64 {
        let card = small_card();
        let mut oracle = Oracle::default();
        let memory = blocks(Region::MIN_LEN / 512);
        busy(
            &card,
            &memory,
            &mut oracle,
            if seed % 2 == 0 { 20 } else { 3 },
        );
        let card = card.after_reset();
        for hit in 0..1 + seed % 12 {
            let draw = super::card::mix(seed << 8 | hit);
            // The header, the mailbox, the location, the ring's control: everything but pages and scratch.
            let block = &memory[(draw % 40) as usize];
            block.set_word((draw >> 16) as usize % 48, (draw >> 32) as u32);
        }
        let outside: Vec<_> = (0..2048)
            .chain(2048 + 192..2048 + 192 + 33)
            .map(|at| card.peek(at))
            .collect();
        let _ = emergency(&card, &memory);
        let after: Vec<_> = (0..2048)
            .chain(2048 + 192..2048 + 192 + 33)
            .map(|at| card.peek(at))
            .collect();
        assert!(outside == after, "seed {seed}");
        let found = content(&card);
        for key in oracle.durable.keys() {
            assert!(
                found
                    .log
                    .iter()
                    .any(|(there, payload)| there == key && oracle.accepted[key] == *payload)
            );
        }
        for (_, payload) in &found.log {
            assert!(oracle.accepted.values().any(|accepted| accepted == payload));
        }
    }
}

#[test]
fn the_outcome_counts_what_was_written() {
    let card = small_card();
    let mut oracle = Oracle::default();
    let memory = blocks(Region::MIN_LEN / 512);
    busy(&card, &memory, &mut oracle, 20);
    card.take_counts();
    let (_, outcome): (_, Outcome) = emergency(&card, &memory);
    let counts = card.take_counts();
    assert_eq!(usize::from(outcome.blocks.get()), counts.written);
    // Header, message, stack and ledger.
    assert_eq!(outcome.blocks.get() - outcome.pages.get(), 4);
}
