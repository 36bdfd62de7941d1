//! Crashes at every moment: the saboteur strikes after N ticks, for N from the begin of an operation to its end.
//!
//! A tick is less than an instruction. `./x test` takes some moments spread over each operation; `./x test --all` goes
//! through it in steps of nine instructions. Many crashes are made in one run of QEMU, one after the other, on one card;
//! after each the system starts again by itself, logs, and is looked at.

mod operation;
mod run;

use super::{Cases, Rig, Session, Shard};
use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use operation::{NEVER, OPERATIONS, Operation, Who};
use run::{StrikeOutcome, SweepRun};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Crashes on one card, after which another one is taken: more records than it has room for, but a log that is read fast.
const CRASHES_ON_A_CARD: usize = 40;
/// Moments of each operation that `./x test` takes.
const SAMPLE: u32 = 10;
/// Ticks between two moments otherwise. An instruction is 16/5 of a tick, so these are nine instructions, and as there is
/// no common factor, loops are hit in all their instructions.
const STEP: u32 = 29;
/// Between two lines that say how far it is.
const PATIENCE: Duration = Duration::from_secs(60);

/// One sweep: `sweep::<name>::<who>`.
struct Sweep {
    name: &'static str,
    app: &'static str,
    operation: Operation,
    who: Who,
}

/// REQ: M1, M2, M3, M4, K4, X1, X2, X5, P8: at whatever instruction of the recorder's work the system or the recorder
/// crashes, also when card and controller were suspended, the system restarts in time, the record and all log records that were
/// accepted are on the card, nothing older is harmed, and logging goes on.
///
/// Without a `shard` a sample.
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
        // It may take less than when it was measured: there are records on the card, by which its end is found.
        let least = (length / step / 2).max(1) as usize;
        ensure!(
            cases.passed >= least,
            "{} moments were struck in an operation of {length} ticks, in steps of {step}",
            cases.passed
        );
        Ok(cases)
    }
}

/// Says now and then how far a long sweep is.
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
            next: begin + PATIENCE,
        }
    }

    fn say(&mut self, passed: usize) {
        let now = Instant::now();
        if now >= self.next {
            self.next = now + PATIENCE;
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
