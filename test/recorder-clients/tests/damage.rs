//! Every word of the retained region and of the ledger is damaged, one at a time, and the system
//! starts on it.
//!
//! | variable | meaning |
//! |---|---|
//! | `RECORDER_DAMAGE` | one start in so many is made; 1 is all of them; 32 if not set |

use std::num::NonZero;

use recorder_clients::damage::{
    Copies, Damage, Place, Restart, Scene, log_after, scenes, start, start_with_many,
    strange_scenes,
};

/// Values that mean something somewhere in the region.
const LEGAL: [&[u8; 4]; 19] = [
    b"ARM1",
    b"ARM2",
    b"DONE",
    b"FAIL",
    b"NOTE",
    b"TEST",
    b"CTX!",
    b"CTXN",
    b"TSKS",
    b"OPEN",
    b"CLOS",
    b"NUMB",
    b"PAGE",
    b"HIST",
    b"LOCA",
    b"CRSH",
    b"CLSN",
    b"\0\0\0\0",
    b"\x01\0\0\0",
];

/// The word of a ledger at which its entries begin.
const ENTRIES_FROM: usize = 18;

/// Values that mean nothing, or too much, in place of `value`.
fn illegal(value: u32) -> [u32; 20] {
    [
        u32::MAX,
        u32::MAX - 1,
        0x8000_0000,
        0x7FFF_FFFF,
        0x5A5A_5A5A,
        0xFFFF_0000,
        0x0000_FFFF,
        2,
        127,
        128,
        256,
        512,
        4_096,
        !value,
        value ^ 1,
        value ^ 0x8000_0000,
        value.wrapping_add(1),
        value.wrapping_sub(1),
        value.rotate_left(8),
        value.swap_bytes(),
    ]
}

/// REQ: X17 (in part: some whole states that pass their checks, on the host)
#[test]
fn the_system_comes_up_with_values_that_no_system_has() {
    for scene in scenes().into_iter().chain(strange_scenes()) {
        for restart in [Restart::System, Restart::Recorder] {
            for card in [true, false] {
                if let Err(error) = start(&scene, None, restart, card) {
                    panic!("{}, {restart:?}, card {card}: {error}", scene.name);
                }
            }
        }
    }
}

/// REQ: X17 (in part: a ledger with which the numbers of pages end)
///
/// The last pages are used, and after them the log is kept in RAM.
#[test]
fn the_system_comes_up_when_the_numbers_of_pages_end() {
    for scene in scenes() {
        for value in u32::MAX - 8..=u32::MAX {
            for copies in Copies::ALL {
                for restart in [Restart::System, Restart::Recorder] {
                    let (place, word) = (Place::Ledger(copies), 7);
                    let damage = Damage { place, word, value };
                    if let Err(error) = start(&scene, Some(damage), restart, true) {
                        panic!("{}, {restart:?}, {damage:x?}: {error}", scene.name);
                    }
                }
            }
        }
    }
}

/// REQ: X17 (in part: the log says that a crash that waited is damaged)
#[test]
fn the_log_says_that_a_crash_that_waited_is_damaged() {
    let said = |damage| {
        let scenes = scenes();
        let log = log_after(&scenes[0], damage).expect("it comes up");
        log.iter()
            .any(|text| text.contains("is damaged: it is not on the card"))
    };
    let word_of_context = |value| Damage {
        place: Place::Region(2),
        word: 0,
        value,
    };
    assert!(said(word_of_context(0)));
    // A word behind the log, which nobody reads.
    let unused = Damage {
        place: Place::Region(0),
        word: 127,
        value: 0,
    };
    assert!(!said(unused));
}

/// A sample of the starts that are possible, and what has failed.
struct Sample {
    /// One in so many is made.
    every: NonZero<u32>,
    possible: u32,
    made: u32,
    failed: Vec<String>,
}

impl Sample {
    fn new() -> Self {
        let every = match std::env::var("RECORDER_DAMAGE") {
            Ok(text) => text.parse().expect("RECORDER_DAMAGE is a number above 0"),
            Err(_) => const { NonZero::new(32).unwrap() },
        };
        Self {
            every,
            possible: 0,
            made: 0,
            failed: Vec::new(),
        }
    }

    fn try_start(&mut self, scene: &Scene, damage: Damage, restart: Restart, card: bool) {
        self.possible += 1;
        // Mixed, so that the sample has all values and all ways of starting.
        let mixed = self.possible.wrapping_mul(0x9E37_79B1) >> 12;
        if !mixed.is_multiple_of(self.every.get()) {
            return;
        }
        self.made += 1;
        if let Err(error) = start(scene, Some(damage), restart, card) {
            self.failed.push(format!(
                "{}: {damage:x?}, {restart:?}, card {card}: {error}",
                scene.name
            ));
        }
    }

    fn assert_all_came_up(self) {
        println!("{} starts of {}", self.made, self.possible);
        assert!(
            self.made > 0,
            "no start was made: RECORDER_DAMAGE is too large"
        );
        let first = self.failed.iter().take(20).cloned().collect::<Vec<_>>();
        assert!(
            first.is_empty(),
            "{} starts have failed:\n{}",
            self.failed.len(),
            first.join("\n")
        );
    }
}

/// REQ: X17 (in part: one word of retained RAM at a time, on the host)
#[test]
fn the_system_comes_up_whatever_a_word_of_retained_ram_says() {
    let mut sample = Sample::new();
    for scene in scenes() {
        for (block, word, value) in scene.words() {
            let legal = LEGAL.map(|bytes| u32::from_le_bytes(*bytes));
            for value in legal.into_iter().chain(illegal(value)) {
                for restart in [Restart::System, Restart::Recorder] {
                    for card in [true, false] {
                        let place = Place::Region(block);
                        let damage = Damage { place, word, value };
                        sample.try_start(&scene, damage, restart, card);
                    }
                }
            }
        }
    }
    sample.assert_all_came_up();
}

/// REQ: X17 (in part: several words of retained RAM at a time, at random, on the host)
///
/// As many times as `RECORDER_RANDOM` says; 2 000 if it is not set. The generator begins with
/// `RECORDER_SEED`; 1 if it is not set.
#[test]
fn the_system_comes_up_whatever_some_words_of_retained_ram_say() {
    let number = |name: &str, otherwise| match std::env::var(name) {
        Ok(text) => text.parse::<u64>().expect("a number"),
        Err(_) => otherwise,
    };
    let (times, mut state) = (number("RECORDER_RANDOM", 2_000), number("RECORDER_SEED", 1));
    let mut random = |below: usize| {
        // The steps of a well-known linear generator; its upper half is used.
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let scenes = scenes();
    let words: Vec<_> = scenes.iter().map(Scene::words).collect();
    for round in 0..times {
        let index = random(scenes.len());
        let damage: Vec<_> = (0..2 + random(7))
            .map(|_| {
                let (block, word, old) = words[index][random(words[index].len())];
                let value = match random(3) {
                    0 => u32::from_le_bytes(*LEGAL[random(LEGAL.len())]),
                    1 => illegal(old)[random(20)],
                    // Of another place.
                    _ => words[index][random(words[index].len())].2,
                };
                let place = Place::Region(block);
                Damage { place, word, value }
            })
            .collect();
        let restart = [Restart::System, Restart::Recorder][random(2)];
        let card = random(4) != 0;
        if let Err(error) = start_with_many(&scenes[index], &damage, restart, card) {
            panic!(
                "round {round}, {}, {restart:?}, card {card}, {damage:x?}: {error}",
                scenes[index].name
            );
        }
    }
}

/// REQ: X17 (in part: one word of the ledger at a time, its checksum right, on the host)
#[test]
fn the_system_comes_up_whatever_a_word_of_the_ledger_says() {
    let mut sample = Sample::new();
    for scene in scenes() {
        let ledger = scene.ledger();
        for (word, value) in ledger.iter().enumerate() {
            // Words of the other fields are legal in this one, or close to it.
            let others = ledger.iter().copied().take(ENTRIES_FROM);
            for value in others.chain(illegal(*value)) {
                for copies in Copies::ALL {
                    for restart in [Restart::System, Restart::Recorder] {
                        let place = Place::Ledger(copies);
                        let damage = Damage { place, word, value };
                        sample.try_start(&scene, damage, restart, true);
                    }
                }
            }
        }
    }
    sample.assert_all_came_up();
}
