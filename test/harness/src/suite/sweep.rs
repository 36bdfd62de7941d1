//! Crashes at each moment of an operation: the saboteur strikes N ticks after its start, for N up
//! to its end.
//!
//! A tick is shorter than an instruction. `./x test` takes some moments spread over each operation;
//! `./x test --all` advances in steps of nine instructions. Many crashes are made in one run of
//! QEMU and on one card; after each the system restarts and logs, and the card is checked.

mod operation;
mod run;

use super::{Cases, Rig, Session, Shard};
use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use operation::{NEVER, OPERATIONS, Operation, Who};
use run::{StrikeOutcome, SweepRun};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Crashes on one card before it is replaced: more than it has slots, but few enough that its log
/// is read fast.
const CRASHES_ON_A_CARD: usize = 40;
/// Moments of each operation that `./x test` takes.
const SAMPLE: u32 = 10;
/// Ticks between two moments with `--all`. An instruction is 16/5 of a tick, so this is about nine
/// instructions; there is no common factor, so that all instructions of a loop are hit.
const STEP: u32 = 29;
/// Time between two messages about the progress.
const INTERVAL: Duration = Duration::from_secs(60);

/// One sweep: `sweep::<name>::<who>`.
struct Sweep {
    name: &'static str,
    app: &'static str,
    operation: Operation,
    who: Who,
}

/// REQ: M1, M2, M3, M4, K4, X1, X2, X5, P8: if the system or the recorder crashes at any
/// instruction of the recorder's work, also while card and controller are suspended, the system
/// restarts in time, the crash and all log records that were accepted are on the card, nothing
/// older has changed, and logging goes on.
///
/// Without a `shard` a sample of the moments is tested.
pub fn trials(session: &Arc<Session>, shard: Option<Shard>) -> Vec<Trial> {
    let mut trials = Vec::new();
    for (name, app, operation) in OPERATIONS {
        for (who, victim) in [
            (Who::Another, "another-task-fails"),
            (Who::Recorder, "the-recorder-fails"),
        ] {
            let sweep = Sweep {
                name,
                app,
                operation,
                who,
            };
            trials.push(
                session.trial(format!("sweep::{name}::{victim}"), sweep.app, move |rig| {
                    sweep.go(rig, shard)
                }),
            );
        }
    }
    trials
}

impl Sweep {
    fn go(&self, rig: &Rig, shard: Option<Shard>) -> Result<Cases> {
        let length = SweepRun::start(rig, self.operation, self.who)?.measure()?;
        let (first, step) = match shard {
            Some(shard) => (STEP * shard.number - STEP / 2, STEP * shard.count),
            None => (length / SAMPLE / 2, length / SAMPLE),
        };
        let (first, step) = (first.max(1), step.max(1));
        let mut progress = Progress::new(self, length / step);
        let mut cases = Cases::default();
        let mut run = SweepRun::start(rig, self.operation, self.who)?;
        for ticks in (first..NEVER).step_by(step as usize) {
            if run.crashes == CRASHES_ON_A_CARD {
                run = run.with_another_card()?;
            }
            let outcome = run
                .strike(ticks)
                .with_context(|| format!("struck after {ticks} ticks"))?;
            match outcome {
                StrikeOutcome::Crashed => cases.passed += 1,
                StrikeOutcome::Over => break,
            }
            progress.say(cases.passed);
        }
        // The operation may be shorter than when it was measured, because there are crashes on the
        // card.
        let least = (length / step / 2).max(1) as usize;
        ensure!(
            cases.passed >= least,
            "{} moments were struck in an operation of {length} ticks, in steps of {step}",
            cases.passed
        );
        Ok(cases)
    }
}

/// Reports the progress of a long sweep.
struct Progress {
    what: String,
    moments: u32,
    begin: Instant,
    next: Instant,
}

impl Progress {
    fn new(sweep: &Sweep, moments: u32) -> Self {
        let begin = Instant::now();
        let who = match sweep.who {
            Who::Another => "another task",
            Who::Recorder => "the recorder",
        };
        Self {
            what: format!("sweep::{}, {who} fails", sweep.name),
            moments,
            begin,
            next: begin + INTERVAL,
        }
    }

    fn say(&mut self, passed: usize) {
        let now = Instant::now();
        if now >= self.next {
            self.next = now + INTERVAL;
            let each = (now - self.begin).as_secs_f64() / passed.max(1) as f64;
            let left = f64::from(self.moments) - passed as f64;
            eprintln!(
                "{}: {passed} of about {} moments passed, {:.0} minutes left",
                self.what,
                self.moments,
                (left * each / 60.0).max(0.0)
            );
        }
    }
}
