//! Power cuts: at every write, with every selection of writes that can survive it.

use super::card::{CardFailure, Survivors, TestCard, mix};
use super::recorder::*;
use crate::*;
use crashlog_format::EmergencyStep;

/// Everything that a recorder does with a card: it writes pages, crashes, repetitions and erasures.
fn life(card: &TestCard, oracle: &mut Oracle) -> Result<(), Failed> {
    let memory = retained_memory();
    let mut recorder = TestRecorder::start(card, &memory, true)?;
    for _ in 0..5 {
        recorder.append(oracle).unwrap();
    }
    recorder.flush(oracle)?;
    let first = recorder.oops(oracle, 1)?;
    for _ in 0..12 {
        recorder.append(oracle).unwrap();
    }
    recorder.oops(oracle, 2)?;
    recorder.flush(oracle)?;
    recorder.oops(oracle, 1)?;
    recorder.erase(oracle, first)?;
    recorder.append(oracle).unwrap();
    recorder.oops(oracle, 3)?;
    recorder.flush(oracle)
}

/// A card with some pages and a crash, and the oracle that knows them.
fn used_card(pages: u32) -> (TestCard, Oracle) {
    let card = super::recorder::card(288, 16, 8);
    let mut oracle = Oracle::default();
    let memory = retained_memory();
    let mut recorder = TestRecorder::start(&card, &memory, true).unwrap();
    while recorder.store.next_page() < pages {
        recorder.append(&mut oracle).unwrap();
        if recorder.ring.closed_pages() >= 3 {
            recorder.flush(&mut oracle).unwrap();
        }
    }
    recorder.flush(&mut oracle).unwrap();
    recorder.oops(&mut oracle, 9).unwrap();
    oracle.power_cut();
    (card, oracle)
}

/// REQ: X5
/// REQ: P3 Power fails at every block written and at every flush. Of the writes that were not
/// flushed, all, none, any one, all but one, or all up to one are on the card, and one may be torn.
/// Everything that was reported as durable is on the card, nothing is that was not written, the
/// counters are right, and the recorder continues, then and after the next cut.
#[test]
fn every_cut_of_a_small_life() {
    // The ring is empty; partly filled; about to come round to its start.
    for pages in [0, 40, 123] {
        let (card, before) = used_card(pages);
        let mut cuts = 0;
        for steps in 0.. {
            let card = card.duplicate();
            let mut oracle = before.clone();
            card.cut_after(steps);
            let result = life(&card, &mut oracle);
            oracle.power_cut();
            for survivors in Survivors::each(card.unflushed()) {
                cuts += 1;
                let card = card.after_cut(survivors);
                let mut oracle = oracle.clone();
                oracle.check(&content(&card));
                life(&card, &mut oracle).unwrap();
                oracle.check(&content(&card));
            }
            if result.is_ok() {
                break;
            }
        }
        assert!(cuts > 150, "{cuts}");
    }
}

/// As [`life`], with each action repeated that fails for another reason than a power cut.
fn stubborn_life(card: &TestCard, oracle: &mut Oracle, give_up: bool) -> Result<(), Failed> {
    fn again<T>(mut action: impl FnMut() -> Result<T, Failed>) -> Result<T, Failed> {
        match action() {
            Err(Failed::Device(CardFailure::Failed)) => action(),
            result => result,
        }
    }
    let memory = retained_memory();
    let mut recorder = TestRecorder::start(card, &memory, true)?;
    for _ in 0..6 {
        recorder.append(oracle).unwrap();
    }
    again(|| recorder.flush(oracle))?;
    let mut numbers = Vec::new();
    for place in [1, 2, 1, 3] {
        let number = match recorder.oops(oracle, place) {
            Err(Failed::Device(CardFailure::Failed)) if give_up => {
                // Another crash is written instead.
                recorder.region.mailbox().oops().unwrap().clear();
                recorder.oops(oracle, 10 + place)
            }
            Err(Failed::Device(CardFailure::Failed)) => {
                recorder.write_oopses(oracle).map(Option::unwrap)
            }
            result => result,
        };
        numbers.push(number?);
    }
    again(|| recorder.erase(oracle, numbers[0]))?;
    recorder.append(oracle).unwrap();
    again(|| recorder.flush(oracle))
}

/// REQ: X5
/// REQ: K3 Any write or flush fails, carried out or not, and is repeated; then power is cut at any
/// of the next writes. The recorder assumes nothing about the outcome of the failed one.
#[test]
fn a_failed_write_and_then_a_cut() {
    let (card, before) = used_card(20);
    for (failure, written, give_up) in (0..).flat_map(|failure| {
        [(false, false), (false, true), (true, false), (true, true)].map(|(a, b)| (failure, a, b))
    }) {
        let mut failed = false;
        for steps in failure..failure + 12 {
            let card = card.duplicate();
            let mut oracle = before.clone();
            card.fail_after(failure, written);
            card.cut_after(steps);
            let _ = stubborn_life(&card, &mut oracle, give_up);
            failed |= card.has_failed();
            oracle.power_cut();
            for survivors in Survivors::each(card.unflushed()) {
                oracle.check(&content(&card.after_cut(survivors)));
            }
        }
        if !failed {
            assert!(failure > 20);
            break;
        }
    }
}

/// REQ: X5
/// REQ: K5 Chains of boots. Each ends with a power cut at any moment, or with a reset of the
/// system, which retained memory and card survive, or with a crash whose emergency write is cut,
/// reset or completed.
#[test]
fn chains_of_cuts_and_resets() {
    for seed in 0..400 {
        chain(seed);
    }
}

fn chain(seed: u64) {
    let mut card = card(4096, 22, 8);
    let mut oracle = Oracle::default();
    let mut memory = retained_memory();
    let mut draw = Draw::new(seed);
    for _ in 0..15 {
        card.cut_after(draw.below(90) as usize);
        let crashed = boot(&card, &memory, &mut oracle, &mut draw).is_ok();
        if crashed {
            let (result, outcome) = emergency(&card, &memory);
            if result.is_ok() {
                let time = *oracle.crashes.last().unwrap();
                oracle.durable_crashes.insert(time, outcome.sequence.get());
            }
            if outcome.finished(EmergencyStep::LogTail) {
                oracle.all_durable();
            }
        }
        if draw.below(3) == 0 {
            // A power cut: the retained memory is lost, and is zero or random afterwards.
            oracle.power_cut();
            card = card.after_cut(Survivors::Random(draw.below(u64::MAX)));
            memory = retained_memory();
            if draw.below(2) == 0 {
                for (index, block) in memory.iter().enumerate() {
                    block.fill(mix(index as u64) as u32);
                }
            }
        } else {
            card = card.after_reset();
        }
        oracle.check(&content(&card));
    }
    // There is no power cut in the last boot: everything accepted before is written, late crashes,
    // too.
    boot(&card, &memory, &mut oracle, &mut Draw::flushing()).ok();
    assert!(oracle.waiting.is_empty());
    oracle.check(&content(&card));
}

const OPS: u64 = 20;
const FLUSH: u64 = 10;

/// Random numbers of a seed.
#[derive(Clone)]
pub struct Draw(Option<u64>);

impl Draw {
    pub fn new(seed: u64) -> Self {
        Self(Some(mix(seed)))
    }

    /// Not random: a boot that writes everything that waits, and does nothing else.
    pub fn flushing() -> Self {
        Self(None)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        match &mut self.0 {
            Some(state) => {
                *state = mix(*state);
                *state % limit
            }
            None if limit == OPS => FLUSH,
            None => 0,
        }
    }
}

/// One boot. `Ok` if it ends with a crash of the system, whose context is in the mailbox.
pub fn boot(
    card: &TestCard,
    memory: &[block_device::Block],
    oracle: &mut Oracle,
    draw: &mut Draw,
) -> Result<(), Failed> {
    let mut recorder = TestRecorder::start(card, memory, true)?;
    recorder.write_late(oracle)?;
    for step in 0..40 {
        match draw.below(OPS) {
            0..10 => {
                for _ in 0..draw.below(9) {
                    recorder.append(oracle).ok();
                }
            }
            FLUSH..14 => recorder.flush(oracle)?,
            14 | 15 => drop(recorder.oops(oracle, draw.below(10) as u32)?),
            16 => {
                // Only the recorder is restarted.
                recorder = TestRecorder::start(card, memory, false)?;
            }
            17 => {
                let count = recorder.store.crash_count();
                let index = draw.below(4) as u32;
                if count > 4
                    && let Some(tally) = recorder.store.tally(index)
                {
                    recorder.erase(oracle, tally.sequence)?;
                }
            }
            _ if step > 10 => break,
            _ => {}
        }
    }
    recorder.panic(oracle, draw.below(10) as u32);
    Ok(())
}

/// A card that ignores flushes can lose what was reported as durable. It can be mounted all the
/// same, and nothing is read that was not written.
#[test]
fn a_card_that_ignores_flushes_shows_nothing_invented() {
    for seed in 0..200 {
        let card = small_card();
        card.ignore_flushes();
        card.cut_after(20 + seed as usize);
        let mut oracle = Oracle::default();
        let _ = life(&card, &mut oracle).and_then(|()| life(&card, &mut oracle));
        let card = card.after_cut(Survivors::Random(seed));
        // Such a card may lose anything, so nothing is required to be on it.
        oracle.durable.clear();
        oracle.durable_crashes.clear();
        let scratch = blocks(16);
        if let Ok(mut store) = mount(&card, &scratch) {
            let buffer = blocks(1);
            let mut reader = LogReader::new(&store, &buffer);
            while let Some(item) = now(reader.next(&mut store)).unwrap() {
                if let LogItem::Record { record, .. } = item {
                    let key = (record.boot, record.sequence);
                    assert_eq!(oracle.accepted.get(&key).unwrap(), record.payload);
                }
            }
        }
    }
}
