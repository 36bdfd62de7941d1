//! Power cuts: at every possible write, with everything that can survive one.

use super::card::{Card, Fault, Survivors, mix};
use super::recorder::*;
use crate::*;
use crashlog_retained::Region;

/// The life of a recorder that writes pages, records, repetitions and erasures.
fn life(card: &Card, oracle: &mut Oracle) -> Result<(), Failed> {
    let memory = blocks(Region::MIN_LEN / 512);
    let mut recorder = Recorder::start(card, &memory, true)?;
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

/// A card on which some pages and records were written, and the oracle that knows them.
fn used_card(pages: u32) -> (Card, Oracle) {
    let card = super::recorder::card(288, 16, 8);
    let mut oracle = Oracle::default();
    let memory = blocks(Region::MIN_LEN / 512);
    let mut recorder = Recorder::start(&card, &memory, true).unwrap();
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
/// REQ: P3
/// Power fails at every block written and at every flush; of what was not flushed, everything, nothing, any one, all but
/// one, or all up to one is there, and one may be torn. Whatever was reported durable is there, nothing is there that
/// was not written, counters neither forget nor invent, and the recorder goes on, then and after the next cut.
#[test]
fn every_cut_of_a_small_life() {
    // The stream begins, goes on, and comes round to its beginning.
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

/// As [`life`], trying everything again that fails and is not for want of power.
fn stubborn_life(card: &Card, oracle: &mut Oracle, give_up: bool) -> Result<(), Failed> {
    fn again<T>(mut action: impl FnMut() -> Result<T, Failed>) -> Result<T, Failed> {
        match action() {
            Err(Failed::Device(Fault::Failed)) => action(),
            result => result,
        }
    }
    let memory = blocks(Region::MIN_LEN / 512);
    let mut recorder = Recorder::start(card, &memory, true)?;
    for _ in 0..6 {
        recorder.append(oracle).unwrap();
    }
    again(|| recorder.flush(oracle))?;
    let mut numbers = Vec::new();
    for place in [1, 2, 1, 3] {
        let number = match recorder.oops(oracle, place) {
            Err(Failed::Device(Fault::Failed)) if give_up => {
                // Another crash takes its place.
                recorder.region.mailbox().oops().unwrap().clear();
                recorder.oops(oracle, 10 + place)
            }
            Err(Failed::Device(Fault::Failed)) => {
                recorder.record_oopses(oracle).map(Option::unwrap)
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
/// REQ: K3
/// Any one write or flush fails, done or not, and is tried again; then power is cut at any of the next writes. The
/// recorder never takes for granted what it does not know.
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
/// REQ: K5
/// Many boots in a row; each ends with a power cut at any moment, or with a reset of the system that leaves retained
/// memory and card as they are, or with a crash whose emergency write is itself cut, reset or finished.
#[test]
fn chains_of_cuts_and_resets() {
    for seed in 0..400 {
        chain(seed);
    }
}

fn chain(seed: u64) {
    let mut card = card(4096, 22, 8);
    let mut oracle = Oracle::default();
    let mut memory = blocks(Region::MIN_LEN / 512);
    let mut draw = {
        let mut state = mix(seed);
        move |below: u64| {
            state = mix(state);
            state % below
        }
    };
    for _ in 0..15 {
        card.cut_after(draw(90) as usize);
        let crashed = boot(&card, &memory, &mut oracle, &mut draw).is_ok();
        if crashed {
            let (result, outcome) = emergency(&card, &memory);
            if result.is_ok() {
                let time = *oracle.crashes.last().unwrap();
                oracle.recorded.insert(time, outcome.record.get());
                oracle.all_durable();
            }
        }
        if draw(3) == 0 {
            // Power is lost, and with it the retained memory: sometimes it is zero, sometimes garbage.
            oracle.power_cut();
            card = card.after_cut(Survivors::Random(draw(u64::MAX)));
            memory = blocks(Region::MIN_LEN / 512);
            if draw(2) == 0 {
                for (index, block) in memory.iter().enumerate() {
                    block.fill(mix(index as u64) as u32);
                }
            }
        } else {
            card = card.after_reset();
        }
        oracle.check(&content(&card));
    }
    // The last boot has all the power it needs: what was accepted before is written, late records too.
    boot(&card, &memory, &mut oracle, &mut |below| {
        if below == OPS { FLUSH } else { 0 }
    })
    .ok();
    assert!(oracle.waiting.is_empty());
    oracle.check(&content(&card));
}

const OPS: u64 = 20;
const FLUSH: u64 = 10;

/// One boot: `Ok` if it ends with a crash of the system, whose context is in the mailbox.
fn boot(
    card: &Card,
    memory: &[block_device::Block],
    oracle: &mut Oracle,
    draw: &mut impl FnMut(u64) -> u64,
) -> Result<(), Failed> {
    let mut recorder = Recorder::start(card, memory, true)?;
    recorder.record_late(oracle)?;
    for step in 0..40 {
        match draw(OPS) {
            0..10 => {
                for _ in 0..draw(9) {
                    recorder.append(oracle).ok();
                }
            }
            FLUSH..14 => recorder.flush(oracle)?,
            14 | 15 => drop(recorder.oops(oracle, draw(10) as u32)?),
            16 => {
                // The recorder alone is restarted.
                recorder = Recorder::start(card, memory, false)?;
            }
            17 => {
                let count = recorder.store.record_count();
                let index = draw(4) as u32;
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
    recorder.panic(oracle, draw(10) as u32);
    Ok(())
}

/// A card whose flush does nothing can lose what it reported durable; it still never shows anything that was not
/// written, and can be mounted.
#[test]
fn a_card_that_lies_is_mounted_all_the_same() {
    for seed in 0..200 {
        let card = small_card();
        card.lie();
        card.cut_after(20 + seed as usize);
        let mut oracle = Oracle::default();
        let _ = life(&card, &mut oracle).and_then(|()| life(&card, &mut oracle));
        let card = card.after_cut(Survivors::Random(seed));
        // A lying card loses without a trace what was promised; nothing is required to be there.
        oracle.durable.clear();
        oracle.recorded.clear();
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
