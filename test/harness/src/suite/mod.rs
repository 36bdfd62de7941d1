//! The tests, on the host and in QEMU.
//!
//! A test is one run of something that may have many cases: `cargo test` of a crate, or a machine
//! that runs a suite of its own. The last line of the output counts the cases. Test names begin
//! with the subject; see `test/README.md` for the prefixes and their files.

mod boots;
mod card;
mod crash_loop;
mod demo;
mod dump;
mod dump_areas;
mod example;
mod failure;
mod fault_loop;
mod fuzz;
mod golden;
mod hiffy;
mod host;
mod hostile;
mod leftover;
mod matrix;
mod model;
mod mutants;
mod power;
mod proof;
mod scripts;
mod sd;
mod secrets;
mod self_test;
mod session;
mod stock;
mod sweep;
mod target;

pub use golden::run as run_golden;
pub use matrix::run as run_fault_matrix;

use anyhow::{Context, Result};
use libtest_mimic::Arguments;
use session::{Cases, Rig, Session};
use std::str::FromStr;
use std::sync::Arc;

/// Which tests to run, and how.
pub struct Selection {
    /// Also what takes hours.
    pub all: bool,
    /// Which part of that.
    pub shard: Shard,
    /// List the tests instead of running them.
    pub list: bool,
    /// How many tests run at a time.
    pub threads: Option<usize>,
    /// Only tests whose names contain this.
    pub filter: Option<String>,
}

/// One of several parts of what takes hours, so that it can run on several hosts or in several
/// nights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// The number of the part, from 1 on.
    pub number: u32,
    /// The number of parts.
    pub count: u32,
}

impl Default for Shard {
    fn default() -> Self {
        Self {
            number: 1,
            count: 1,
        }
    }
}

impl FromStr for Shard {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        text.split_once('/')
            .and_then(|(number, count)| {
                Some(Self {
                    number: number.parse().ok()?,
                    count: count.parse().ok()?,
                })
            })
            .filter(|shard| (1..=shard.count).contains(&shard.number) && shard.count <= 1_000)
            .with_context(|| {
                format!("`{text}` is not a shard K/N with 1 <= K <= N <= 1000, such as 2/6")
            })
    }
}

/// Runs the selected tests. Returns whether all passed.
pub fn run(selection: &Selection) -> Result<bool> {
    let session = Arc::new(Session::default());
    let mut trials = host::trials(&session)?;
    trials.extend(mutants::trials(
        &session,
        selection.all.then_some(selection.shard),
    )?);
    trials.extend(fuzz::trials(&session)?);
    trials.extend(demo::trials(&session));
    trials.extend(fault_loop::trials(&session));
    trials.extend(failure::trials(&session));
    trials.extend(leftover::trials(&session));
    trials.extend(card::trials(&session));
    trials.extend(boots::trials(&session));
    trials.extend(golden::trials(&session));
    trials.extend(self_test::trials(&session));
    trials.extend(power::trials(&session, selection.all));
    trials.extend(proof::trials(&session, selection.all));
    trials.extend(matrix::trials(&session));
    trials.extend(crash_loop::trials(&session, selection.all));
    trials.extend(sd::trials(&session));
    trials.extend(secrets::trials(&session));
    trials.extend(sweep::trials(
        &session,
        selection.all.then_some(selection.shard),
    ));
    trials.extend(dump::trials(&session));
    trials.extend(example::trials(&session));
    trials.extend(stock::trials(&session));
    trials.extend(scripts::trials(&session));
    trials.extend(target::trials(&session));
    trials.extend(model::trials(&session, selection.all));
    trials.extend(hostile::trials(&session, selection.all));
    trials.extend(hiffy::trials(&session));
    trials.extend(dump_areas::trials(&session));

    let arguments = Arguments {
        list: selection.list,
        filter: selection.filter.clone(),
        test_threads: selection.threads,
        ..Arguments::default()
    };
    let conclusion = libtest_mimic::run(&arguments, trials);
    if !selection.list {
        let (passed, failed) = session.counts();
        println!("{passed} passed, {failed} failed");
    }
    Ok(!conclusion.has_failed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_parsed() {
        assert_eq!(
            "2/6".parse::<Shard>().ok(),
            Some(Shard {
                number: 2,
                count: 6
            })
        );
        for wrong in ["0/6", "7/6", "1/0", "1/1001", "3", "a/b", "1/2/3", ""] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
        }
    }
}
