//! A campaign of power cuts: random lives of a recorder, a cut at every write of the last boot and
//! of the emergency that ends it, and every selection of the writes that can survive the cut.
//!
//! | variable | meaning |
//! |---|---|
//! | `POWER_CUT_STATES` | number of states of a card that are checked; 100 000 if not set |
//! | `POWER_CUT_EXHAUSTIVE` | up to so many unflushed writes every selection is checked; 8 if not set, at most 12 |
//! | `POWER_CUT_SEED` | the first life; 1 if not set |

use super::card::{Survivors, TestCard, mix};
use super::power::{Draw, boot};
use super::recorder::*;
use crate::*;
use block_device::Block;
use crashlog_format::{EmergencyStep, FormatId};
use crashlog_retained::{MailboxState, Region};

/// Selections that are checked where not all are.
const SAMPLE: u64 = 64;

fn variable(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{name}={text}: not a number")),
        Err(_) => default,
    }
}

/// REQ: X5
/// REQ: P3 Whatever a card has been through, and whichever of the unflushed writes are on it, whole
/// or one of them torn: everything that was reported as durable is there, nothing is that was not
/// written, no number is used again, and the next boot goes on from it, cut or not.
#[test]
fn every_selection_of_writes_that_can_survive_a_cut() {
    let wanted = variable("POWER_CUT_STATES", 100_000);
    let exhaustive = variable("POWER_CUT_EXHAUSTIVE", 8).min(12) as usize;
    let mut states = 0;
    let mut lives = 0;
    let first = variable("POWER_CUT_SEED", 1);
    for seed in first.. {
        if states >= wanted {
            break;
        }
        let mut life = Life::begin(seed, exhaustive);
        life.cut_everywhere();
        states += life.states;
        lives += 1;
    }
    println!("{states} states of {lives} lives, from seed {first}");
}

/// A card in use, what its recorder has in memory, and what has to be on it.
struct Life {
    card: TestCard,
    memory: Vec<Block>,
    oracle: Oracle,
    draw: Draw,
    exhaustive: usize,
    states: u64,
}

/// The system after a cut, before it is decided what survives.
struct Cut {
    card: TestCard,
    oracle: Oracle,
}

impl Life {
    /// A card of a random geometry, which may have an older format underneath, and some boots.
    fn begin(seed: u64, exhaustive: usize) -> Self {
        let mut draw = Draw::new(seed);
        let (blocks, slots) = [(192, 4), (288, 16), (600, 22)][draw.below(3) as usize];
        let card = card(blocks, slots, 8);
        let mut life = Self {
            card,
            memory: retained_memory(),
            oracle: Oracle::default(),
            draw,
            exhaustive,
            states: 0,
        };
        if life.draw.below(2) == 0 {
            life.boots(3);
            life.format_anew();
        }
        let count = life.draw.below(5);
        life.boots(count);
        life
    }

    /// The partition is formatted; memory is new. What was on it is not read again.
    fn format_anew(&mut self) {
        let scratch = blocks(16);
        let geometry = *mount(&self.card, &scratch).unwrap().geometry();
        let options = FormatOptions {
            format: FormatId::new(0xF1),
            slots: Some(geometry.slots()),
            slot_blocks: Some(geometry.slot_blocks()),
            place: table_entry(&self.card).place,
        };
        now(format_partition(&mut window(&self.card), &options)).unwrap();
        self.card = self.card.after_cut(Survivors::All);
        self.memory = retained_memory();
        self.oracle = Oracle::default();
    }

    /// Boots that end with a crash, a power cut or a reset.
    fn boots(&mut self, count: u64) {
        for _ in 0..count {
            self.card.cut_after(30 + self.draw.below(200) as usize);
            boot_and_emergency(&self.card, &self.memory, &mut self.oracle, &mut self.draw);
            if self.draw.below(2) == 0 {
                self.oracle.power_cut();
                let survivors = Survivors::Random(self.draw.below(u64::MAX));
                self.card = self.card.after_cut(survivors);
                self.memory = retained_memory();
            } else {
                self.card = self.card.after_reset();
            }
            self.oracle.check(&content(&self.card));
        }
    }

    /// The next boot, cut at every write and flush.
    fn cut_everywhere(&mut self) {
        let mut before: Option<Cut> = None;
        for steps in 0.. {
            let card = self.card.duplicate();
            let memory = copied(&self.memory);
            let mut oracle = self.oracle.clone();
            let mut draw = self.draw.clone();
            card.cut_after(steps);
            boot_and_emergency(&card, &memory, &mut oracle, &mut draw);
            let ended = !card.has_lost_power();
            self.warm(&card, &memory, &oracle, steps);
            self.stopped(&card, &memory, &oracle);

            oracle.power_cut();
            let cut = Cut { card, oracle };
            let unflushed = cut.card.unflushed();
            for survivors in Survivors::each(unflushed) {
                self.check(&cut, survivors);
            }
            // Of the writes between two flushes, the last cut has all.
            let flushed = before.replace(cut);
            if let Some(flushed) = flushed.filter(|cut| cut.card.unflushed() > unflushed) {
                self.check_selections(&flushed);
            }
            if ended {
                break;
            }
        }
        if let Some(last) = before {
            self.check_selections(&last);
        }
    }

    /// The card keeps power and cache, and the next boot has what was in memory.
    fn warm(&mut self, card: &TestCard, memory: &[Block], oracle: &Oracle, steps: usize) {
        if !steps.is_multiple_of(4) {
            return;
        }
        let card = card.after_reset();
        let mut oracle = oracle.clone();
        boot(&card, &copied(memory), &mut oracle, &mut Draw::flushing()).unwrap();
        assert!(oracle.waiting.is_empty());
        oracle.check(&content(&card));
        self.states += 1;
    }

    /// The recorder is stopped, with what it has written still in the card's cache, and enters its
    /// emergency path, which is cut.
    fn stopped(&mut self, card: &TestCard, memory: &[Block], oracle: &Oracle) {
        let card = card.after_reset();
        let memory = copied(memory);
        let mut oracle = oracle.clone();
        let region = Region::over(&memory).unwrap();
        if matches!(region.mailbox().state(), MailboxState::Empty) {
            oracle.clock += 1;
            arm_panic(&region, oracle.clock, self.draw.below(10) as u32);
            oracle.crashes.insert(oracle.clock);
        }
        card.cut_after(self.draw.below(12) as usize);
        emergency_write(&card, &memory, &mut oracle);
        oracle.power_cut();
        let cut = Cut { card, oracle };
        for survivors in Survivors::each(cut.card.unflushed()) {
            self.check(&cut, survivors);
        }
    }

    /// Every selection of the unflushed writes, or a sample if there are many.
    fn check_selections(&mut self, cut: &Cut) {
        let count = cut.card.unflushed();
        if count <= self.exhaustive {
            for mask in 0..1_u32 << count {
                self.check(cut, Survivors::Selected { mask, torn: None });
                let torn = mix(u64::from(mask)) as usize % count.max(1);
                if mask >> torn & 1 != 0 {
                    let torn = Some(torn);
                    self.check(cut, Survivors::Selected { mask, torn });
                }
            }
        } else {
            for _ in 0..SAMPLE {
                let seed = self.draw.below(u64::MAX);
                self.check(cut, Survivors::Random(seed));
            }
        }
    }

    fn check(&mut self, cut: &Cut, survivors: Survivors) {
        self.states += 1;
        let card = cut.card.after_cut(survivors);
        cut.oracle.check(&content(&card));
        if !self.states.is_multiple_of(16) {
            return;
        }
        // The next boot is cut, too, and goes on after that.
        let mut oracle = cut.oracle.clone();
        card.cut_after(self.draw.below(40) as usize);
        let memory = retained_memory();
        boot_and_emergency(&card, &memory, &mut oracle, &mut self.draw);
        oracle.power_cut();
        let card = card.after_cut(Survivors::Random(self.draw.below(u64::MAX)));
        oracle.check(&content(&card));
        let memory = retained_memory();
        boot(&card, &memory, &mut oracle, &mut Draw::flushing()).unwrap();
        oracle.check(&content(&card));
        self.states += 2;
    }
}

fn copied(memory: &[Block]) -> Vec<Block> {
    let copies = blocks(memory.len());
    for (to, from) in copies.iter().zip(memory) {
        for word in 0..block_device::BLOCK_WORDS {
            to.set_word(word, from.word(word));
        }
    }
    copies
}

/// A boot that ends with a crash and its emergency write, if the power lasts so long.
fn boot_and_emergency(card: &TestCard, memory: &[Block], oracle: &mut Oracle, draw: &mut Draw) {
    if boot(card, memory, oracle, draw).is_ok() {
        emergency_write(card, memory, oracle);
    }
}

/// The emergency write of the crash in the mailbox, which is the newest.
fn emergency_write(card: &TestCard, memory: &[Block], oracle: &mut Oracle) {
    let (result, outcome) = emergency(card, memory);
    if result.is_ok() {
        let time = *oracle.crashes.last().unwrap();
        oracle.durable_crashes.insert(time, outcome.sequence.get());
    }
    if outcome.finished(EmergencyStep::LogTail) {
        oracle.all_durable();
    }
}
