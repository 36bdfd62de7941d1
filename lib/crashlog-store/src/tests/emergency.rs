//! The emergency write: interrupted anywhere, with and without a valid location.

use super::card::{Survivors, TestCard};
use super::recorder::*;
use crate::emergency::Error;
use crate::*;
use block_device::Block;
use crashlog_format::{EmergencyStep, Outcome, OutcomePhase};
use crashlog_retained::{EmergencyFailure, MailboxState, Region};

/// A recorder that was interrupted: some pages are on the card, the write of some was begun, others
/// are in memory only. The mailbox is armed.
fn busy(card: &TestCard, memory: &[Block], oracle: &mut Oracle, in_flight: usize) {
    let mut recorder = TestRecorder::start(card, memory, true).unwrap();
    for _ in 0..30 {
        recorder.append(oracle).unwrap();
    }
    recorder.flush(oracle).unwrap();
    recorder.oops(oracle, 50).unwrap();
    for _ in 0..24 {
        recorder.append(oracle).unwrap();
    }
    if in_flight < 20 {
        // The write of a run is interrupted after this number of blocks.
        card.cut_after(in_flight);
        let _ = recorder.flush(oracle);
        recorder.append(oracle).unwrap();
    }
    recorder.panic(oracle, 51);
}

/// The last crash is durable and has this sequence number.
fn crash_is_durable(oracle: &mut Oracle, number: u32) {
    oracle
        .durable_crashes
        .insert(*oracle.crashes.last().unwrap(), number);
    oracle.all_durable();
}

/// REQ: C3
/// REQ: X5 Wherever the recorder was interrupted, everything that it had accepted is on the card
/// after the emergency write, and the crash; and the log is continued after the restart.
#[test]
fn everything_accepted_is_saved() {
    for in_flight in 0..21 {
        let card = small_card();
        let mut oracle = Oracle::default();
        let memory = retained_memory();
        busy(&card, &memory, &mut oracle, in_flight);
        let card = card.after_reset();
        card.take_counts();
        let (result, outcome) = emergency(&card, &memory);
        assert_eq!(result, Ok(()), "in flight {in_flight}");
        assert_eq!(
            (outcome.phase(), outcome.sequence.get()),
            (OutcomePhase::Complete, 2)
        );
        for step in [
            EmergencyStep::Located,
            EmergencyStep::LogTail,
            EmergencyStep::Crash,
            EmergencyStep::Commit,
        ] {
            assert!(outcome.finished(step));
        }
        let counts = card.take_counts();
        assert_eq!(
            counts.read, 3,
            "only the two ledgers and the place of the next page"
        );
        crash_is_durable(&mut oracle, 2);
        oracle.check(&content(&card));

        let mut recorder = TestRecorder::start(&card, &memory, true).unwrap();
        recorder.write_late(&mut oracle).unwrap();
        recorder.append(&mut oracle).unwrap();
        recorder.flush(&mut oracle).unwrap();
        let after = content(&card);
        oracle.check(&after);
        assert_eq!(after.damaged, []);
        assert_eq!(after.crashes.len(), 2);
    }
}

/// REQ: X5
/// REQ: X3
/// REQ: K5 The emergency write is interrupted after any write, by a power cut with any selection of
/// writes that can survive it, or by a reset. Nothing durable is lost, and no part of a crash is
/// visible. After a reset it is done again at once, or the next boot writes the crash late; then
/// everything that was accepted is on the card.
#[test]
fn an_interrupted_emergency_write_can_be_done_again() {
    for in_flight in [0, 1, 3, 20] {
        for steps in 0.. {
            let card = small_card();
            let mut oracle = Oracle::default();
            let memory = retained_memory();
            busy(&card, &memory, &mut oracle, in_flight);
            let card = card.after_reset();
            card.cut_after(steps);
            let (_, outcome) = emergency(&card, &memory);
            let done = outcome.finished(EmergencyStep::LogTail);
            if outcome.finished(EmergencyStep::Commit) {
                let crash = *oracle.crashes.last().unwrap();
                oracle.durable_crashes.insert(crash, outcome.sequence.get());
            }

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
                    Region::over(&memory)
                        .unwrap()
                        .mailbox()
                        .arm_minimal(1_000, EmergencyFailure::Recorder);
                    let (result, outcome) = emergency(&card, &memory);
                    assert_eq!(result, Ok(()));
                    crash_is_durable(&mut oracle, outcome.sequence.get());
                }
                let mut recorder = TestRecorder::start(&card, &memory, true).unwrap();
                recorder.write_late(&mut oracle).unwrap();
                oracle.check(&content(&card.after_cut(Survivors::None)));
                recorder.flush(&mut oracle).unwrap();
                let found = content(&card.after_cut(Survivors::None));
                oracle.check(&found);
                assert_eq!((found.crashes.len(), found.panic), (2, 1));
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

/// REQ: P8 The emergency write is the first write of a boot, and no location is known. The crashes
/// and pages of earlier boots are found first, and kept.
#[test]
fn a_crash_before_the_card_is_known_overwrites_nothing() {
    let card = small_card();
    let mut oracle = Oracle::default();
    let memory = retained_memory();
    busy(&card, &memory, &mut oracle, 20);
    assert_eq!(emergency(&card, &memory).0, Ok(()));
    crash_is_durable(&mut oracle, 2);

    // Power-on. Nothing is mounted; two lines are logged, of boot 1 as the card is not known; then
    // a crash.
    let memory = retained_memory();
    let (region, ring) = cold_boot(&memory);
    for sequence in 1..=2 {
        assert_eq!(ring.append(&line(1), b"early"), Ok(sequence));
        oracle.accepted.insert((2, sequence), b"early".to_vec());
        oracle.waiting.insert((2, sequence));
    }
    let mut context = crashlog_retained::CrashContext::new(
        crashlog_retained::CrashReason::Panic,
        1,
        "early",
        &[8],
    );
    context.boot = region.boot();
    context.time = 1 << 40;
    region.mailbox().write_crash().unwrap().finish(&context);
    region.mailbox().arm(1_000);
    oracle.crashes.insert(context.time);
    let (result, outcome) = emergency(&card, &memory);
    assert_eq!((result, outcome.sequence.get()), (Ok(()), 3));
    crash_is_durable(&mut oracle, 3);
    let found = content(&card);
    oracle.check(&found);
    assert_eq!(found.crashes.len(), 3);
}

/// The location cache is wrong in various ways: the card does not confirm it, and is searched.
#[test]
fn a_stale_location_is_detected() {
    // Another board has used the card meanwhile: it has written pages, crashes, or both.
    for (pages, crashes) in [(3, 0), (0, 1), (3, 1), (0, 3), (20, 2)] {
        let card = small_card();
        let mut oracle = Oracle::default();
        let memory = retained_memory();
        busy(&card, &memory, &mut oracle, 20);

        let other_memory = retained_memory();
        let mut other = Oracle {
            clock: 1 << 32,
            ..Oracle::default()
        };
        let mut board = TestRecorder::start(&card, &other_memory, true).unwrap();
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
        // Nothing of the other board was overwritten; this board's pages and crash have the numbers
        // after it.
        for key in other.durable.keys() {
            assert!(
                found
                    .log
                    .iter()
                    .any(|(there, payload)| there == key && other.accepted[key] == *payload)
            );
        }
        for number in other.durable_crashes.values() {
            let evicted = crashes > 1;
            assert!(evicted || found.crashes.values().any(|(there, _)| there == number));
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
                .crashes
                .values()
                .any(|(there, _)| *there == outcome.sequence.get())
        );
    }
}

/// REQ: M8 The card was replaced by one without a crashlog partition: it is not written, and
/// retained memory keeps everything.
#[test]
fn an_exchanged_card_is_not_written() {
    let card = small_card();
    let mut oracle = Oracle::default();
    let memory = retained_memory();
    busy(&card, &memory, &mut oracle, 20);
    let foreign = TestCard::new(4096);
    let (result, outcome) = emergency(&foreign, &memory);
    assert_eq!(result, Err(Error::Partition(PartitionError::NoTable)));
    assert!(!outcome.finished(EmergencyStep::Located));
    assert_eq!(foreign.take_counts().written, 0);
    // Too small for the partition in the location cache.
    let tiny = TestCard::new(100);
    assert!(emergency(&tiny, &memory).0.is_err());
    assert_eq!(tiny.take_counts().written, 0);
    // When the first card is back, nothing is lost.
    let mut recorder = TestRecorder::start(&card, &memory, true).unwrap();
    recorder.write_late(&mut oracle).unwrap();
    recorder.flush(&mut oracle).unwrap();
    oracle.check(&content(&card));
    assert_eq!(oracle.durable_crashes.len(), 2);
}

/// With a damaged context the crash cannot be written, but the log is.
#[test]
fn the_log_is_saved_without_a_context() {
    let card = small_card();
    let mut oracle = Oracle::default();
    let memory = retained_memory();
    busy(&card, &memory, &mut oracle, 20);
    // The second block of the mailbox.
    memory[2].set_word(9, !memory[2].word(9));
    let (result, outcome) = emergency(&card, &memory);
    assert_eq!(result, Err(Error::Context));
    assert!(outcome.finished(EmergencyStep::LogTail) && !outcome.finished(EmergencyStep::Crash));
    oracle.all_durable();
    oracle.check(&content(&card));
}

/// Whatever damage the retained region has, the emergency write ends, does not panic, writes
/// nothing outside of the partition, and overwrites nothing durable.
#[test]
fn a_damaged_region_harms_nothing() {
    for seed in 0..400u64 {
        let card = small_card();
        let mut oracle = Oracle::default();
        let memory = retained_memory();
        busy(
            &card,
            &memory,
            &mut oracle,
            if seed % 2 == 0 { 20 } else { 3 },
        );
        let card = card.after_reset();
        for hit in 0..1 + seed % 12 {
            let draw = super::card::mix(seed << 8 | hit);
            // Everything but pages and scratch memory: header, mailbox, location, control words of
            // the ring.
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
    let memory = retained_memory();
    busy(&card, &memory, &mut oracle, 20);
    card.take_counts();
    let (_, outcome): (_, Outcome) = emergency(&card, &memory);
    let counts = card.take_counts();
    assert_eq!(usize::from(outcome.blocks.get()), counts.written);
    // Header, message, stack and ledger.
    assert_eq!(outcome.blocks.get() - outcome.pages.get(), 4);
}

/// A card that is so slow, or fails, that the time is up after two writes has the crash. What is
/// missing of the log tail is written in the next boot, before its own log, and then belongs to the
/// crash; without retained memory the crash is still whole.
///
/// REQ: P11 (in part: the fault is durable before the log lines)
///
/// REQ: X5 (in part: a log tail that the emergency could not write)
#[test]
fn a_crash_whose_tail_was_not_written_is_durable_and_gets_it_in_the_next_boot() {
    for (steps, kept) in (6..).flat_map(|steps| [(steps, true), (steps, false)]) {
        let card = small_card();
        let mut oracle = Oracle::default();
        let memory = retained_memory();
        busy(&card, &memory, &mut oracle, 20);
        let card = card.after_reset();
        // Flush; header, message and stack, flush; ledger, flush: seven steps, two commands.
        card.cut_after(steps);
        let (result, outcome) = emergency(&card, &memory);
        if outcome.finished(EmergencyStep::LogTail) {
            assert!(steps > 8);
            break;
        }
        assert_eq!(result.is_ok(), steps > 6, "{steps}");
        if result.is_err() {
            continue;
        }
        assert!(outcome.finished(EmergencyStep::Commit));
        assert_eq!(
            Region::over(&memory).unwrap().mailbox().state(),
            MailboxState::Done
        );
        oracle
            .durable_crashes
            .insert(*oracle.crashes.last().unwrap(), 2);
        let (card, memory) = if kept {
            (card.after_reset(), memory)
        } else {
            oracle.power_cut();
            (card.after_cut(Survivors::None), retained_memory())
        };
        oracle.check(&content(&card));
        let mut recorder = TestRecorder::start(&card, &memory, true).unwrap();
        recorder.write_late(&mut oracle).unwrap();
        recorder.append(&mut oracle).unwrap();
        recorder.flush(&mut oracle).unwrap();
        let found = content(&card.after_cut(Survivors::None));
        oracle.check(&found);
        assert_eq!((found.crashes.len(), found.panic), (2, 1));
        if kept {
            assert_eq!(found.damaged, []);
            assert_eq!(found.log.len(), oracle.accepted.len());
        }
    }
}

/// A ledger that normal operation has written and not flushed is made durable before anything is
/// overwritten that it has made free.
///
/// REQ: X5 (in part: what a cache has)
#[test]
fn what_was_not_flushed_before_the_crash_is_flushed_first() {
    let mut tried = 0;
    for steps in 0..12 {
        for cut in 0..12 {
            let card = small_card();
            let mut oracle = Oracle::default();
            let memory = retained_memory();
            let mut recorder = TestRecorder::start(&card, &memory, true).unwrap();
            recorder.append(&mut oracle).unwrap();
            recorder.flush(&mut oracle).unwrap();
            for place in 1..=6 {
                recorder.oops(&mut oracle, place).unwrap();
            }
            // A crash for which another one goes ends somewhere.
            card.cut_after(steps);
            let _ = recorder.oops(&mut oracle, 7);
            // Those that are not kept may go. That each entry of the ledger has its crash is
            // checked when the contents are read.
            oracle.durable_crashes.clear();
            recorder.panic(&mut oracle, 51);
            drop(recorder);
            let card = card.after_reset();
            tried += usize::from(card.unflushed() > 0);
            card.cut_after(cut);
            let (result, outcome) = emergency(&card, &memory);
            if result.is_ok() {
                let crash = *oracle.crashes.last().unwrap();
                oracle.durable_crashes.insert(crash, outcome.sequence.get());
            }
            oracle.power_cut();
            for survivors in Survivors::each(card.unflushed()) {
                oracle.check(&content(&card.after_cut(survivors)));
            }
        }
    }
    assert!(tried > 20, "{tried}");
}
