//! Clients that act at random, against the recorder.
//!
//! | variable | meaning |
//! |---|---|
//! | `RECORDER_STEPS` | number of steps; 1 000 000 if not set |
//! | `RECORDER_SEED` | the seed of the run; 1 if not set |
//! | `RECORDER_CASE` | plays this case only, and prints its steps |
//! | `RECORDER_PAGES` | pages of the log ring; 128 if not set |

use recorder_clients::random::{Case, play, set_ring_pages, shrink, steps};

/// Steps of a case.
const LENGTH: usize = 2_000;

fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    match text.parse() {
        Ok(number) => Some(number),
        Err(_) => panic!("{name}={text}: not a number"),
    }
}

/// REQ: X7
#[test]
fn no_client_disturbs_the_recorder() {
    let count = variable("RECORDER_STEPS").unwrap_or(1_000_000);
    play_cases(
        variable("RECORDER_PAGES").map_or(128, |pages| pages as usize),
        count,
    );
}

/// In a retained region of 64 KiB.
#[test]
fn no_client_disturbs_a_recorder_with_a_short_log_ring() {
    play_cases(64, 100_000);
}

/// In one of 32 KiB.
#[test]
fn no_client_disturbs_a_recorder_with_the_shortest_log_ring() {
    play_cases(8, 100_000);
}

fn play_cases(pages: usize, count: u64) {
    set_ring_pages(pages);
    let seed = variable("RECORDER_SEED").unwrap_or(1);
    let cases = match variable("RECORDER_CASE") {
        Some(case) => case..case + 1,
        None => 0..count.div_ceil(LENGTH as u64),
    };
    println!("seed {seed}");
    let mut total = [0; 4];
    for number in cases {
        let steps = steps(Case { seed, number }, LENGTH);
        match play(&steps) {
            Ok(played) => {
                let [records, replies, restarts, crashes] = &mut total;
                *records += played.records;
                *replies += played.replies as usize;
                *restarts += played.restarts as usize;
                *crashes += played.crashes;
            }
            Err(error) => {
                let left = shrink(&steps, &error);
                for (index, step) in left.iter().enumerate() {
                    println!("{index}: {step:?}");
                }
                let shortest = play(&left).err();
                panic!(
                    "seed {seed}, case {number}: {error}\n\
                     with {} of its steps (above): {}\n\
                     again: RECORDER_PAGES={pages} RECORDER_SEED={seed} RECORDER_CASE={number} \
                     cargo test -p recorder-clients --test random",
                    left.len(),
                    shortest.unwrap_or_default()
                );
            }
        }
    }
    println!("records, replies, restarts, crashes: {total:?}");
}
