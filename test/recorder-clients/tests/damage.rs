//! Every word of the retained region is damaged, one at a time, and the system starts on it.
//!
//! | variable | meaning |
//! |---|---|
//! | `RECORDER_DAMAGE` | one start in so many is made; 1 is all of them; 32 if not set |

use recorder_clients::damage::{Damage, Restart, scenes, start, strange_scenes};

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

/// REQ: X17 (in part: one word of retained RAM at a time, on the host)
#[test]
fn the_system_comes_up_whatever_a_word_of_retained_ram_says() {
    let every = match std::env::var("RECORDER_DAMAGE") {
        Ok(text) => text.parse().expect("RECORDER_DAMAGE is a number above 0"),
        Err(_) => 32,
    };
    let mut failed = Vec::new();
    let mut number = 0_u32;
    let mut made = 0;
    for scene in scenes() {
        for (block, word, value) in scene.words() {
            let legal = LEGAL.map(|bytes| u32::from_le_bytes(*bytes));
            for value in legal.into_iter().chain(illegal(value)) {
                for restart in [Restart::System, Restart::Recorder] {
                    for card in [true, false] {
                        number += 1;
                        // Mixed, so that the sample has all values and all ways of starting.
                        if !(number.wrapping_mul(0x9E37_79B1) >> 12).is_multiple_of(every) {
                            continue;
                        }
                        made += 1;
                        let damage = Damage { block, word, value };
                        if let Err(error) = start(&scene, Some(damage), restart, card) {
                            failed.push(format!(
                                "{}: {damage:x?}, {restart:?}, card {card}: {error}",
                                scene.name
                            ));
                        }
                    }
                }
            }
        }
    }
    println!("{made} starts of {number}");
    let first = failed.iter().take(20).cloned().collect::<Vec<_>>();
    assert!(
        failed.is_empty(),
        "{} starts have failed:\n{}",
        failed.len(),
        first.join("\n")
    );
}
