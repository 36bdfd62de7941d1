//! Crashes at every moment: the saboteur strikes after N ticks, for N from the begin of an operation to its end.
//!
//! A tick is less than an instruction. `./x test` takes some moments spread over each operation; `./x test --all` goes
//! through it in steps of a few instructions. Many crashes are made in one run of QEMU, one after the other, on one card;
//! after each the system starts again by itself, logs, and is looked at.

use super::{Bench, Cases, Rig};
use crate::evidence::{Crash, Evidence};
use crate::sabotage::{APP, Deed, Failing, State, Stop, System, Work, task};
use anyhow::{Context, Result, bail, ensure};
use libtest_mimic::Trial;
use std::path::PathBuf;
use std::sync::Arc;

/// Crashes on one card, after which another one is taken: more records than it has room for, but a log that is read fast.
const CRASHES_ON_A_CARD: usize = 40;
/// Moments of each operation that `./x test` takes.
const SAMPLE: u32 = 10;
/// Ticks between two moments otherwise. It has no factor in common with the length of an instruction in ticks (6/5), so
/// that loops are hit in all their instructions.
const STEP: u32 = 13;

/// Ticks that no operation takes: half a second.
const NEVER: u32 = 1 << 24;
/// Ticks between two moments of the sample, for an operation that ends in a restart: it takes about 60 000.
const RESTART: u32 = 6_000;

/// What is struck.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Operation {
    /// The start of the system, up to the recorder being ready.
    Start,
    /// Work of the recorder's client.
    Work(Work),
}

/// Who fails.
#[derive(Clone, Copy)]
enum Who {
    /// The saboteur, and with it the system, whatever the recorder is doing.
    Another,
    /// The recorder.
    Recorder,
}

/// An operation and who fails in it: `sweep::<operation>::<who>`.
const SWEEPS: [(&str, Operation, Who); 11] = [
    ("start", Operation::Start, Who::Another),
    ("start", Operation::Start, Who::Recorder),
    ("append", Operation::Work(Work::Append(12)), Who::Another),
    ("append", Operation::Work(Work::Append(12)), Who::Recorder),
    ("flush", Operation::Work(Work::Flush(5)), Who::Another),
    ("flush", Operation::Work(Work::Flush(5)), Who::Recorder),
    ("oops", OOPS, Who::Another),
    ("oops", OOPS, Who::Recorder),
    ("read", Operation::Work(Work::Read), Who::Another),
    ("emergency", PANIC, Who::Another),
    ("emergency", PANIC, Who::Recorder),
];

const OOPS: Operation = Operation::Work(Work::Fail {
    fatal: false,
    how: Failing::AFTER,
});

const PANIC: Operation = Operation::Work(Work::Fail {
    fatal: true,
    how: Failing::TEXT,
});

/// REQ: M1, M2, M3, X2, X5, P8: at whatever instruction of the recorder's work the system or the recorder crashes, the
/// record and all log records that were accepted are on the card, nothing older is harmed, and logging goes on.
pub fn trials(bench: &Arc<Bench>, all: bool) -> Vec<Trial> {
    SWEEPS
        .into_iter()
        .map(|(name, operation, who)| {
            let victim = match who {
                Who::Another => "another-task-fails",
                Who::Recorder => "the-recorder-fails",
            };
            bench.trial(format!("sweep::{name}::{victim}"), APP, move |rig| {
                sweep(rig, operation, who, all)
            })
        })
        .collect()
}

/// What came of one strike.
enum Outcome {
    /// The system crashed, and everything was as it should.
    Crashed,
    /// The operation was over before; it takes so many ticks, if its end is not a restart.
    Over(Option<u32>),
}

fn sweep(rig: &Rig, operation: Operation, who: Who, all: bool) -> Result<Cases> {
    let mut cases = Cases::default();
    let mut run = Run::start(rig, operation, who)?;
    let mut step = STEP;
    if !all {
        // A strike that is too late tells how long the operation takes.
        let Outcome::Over(length) = run.strike(NEVER)? else {
            bail!("the operation takes longer than half a second");
        };
        step = length.map_or(RESTART, |length| length / SAMPLE).max(1);
        run = Run::start(rig, operation, who)?;
    }
    for ticks in (1 + step / 2..NEVER).step_by(step as usize) {
        if run.crashes == CRASHES_ON_A_CARD {
            let failed = run.failed;
            run = Run::start(rig, operation, who)?;
            run.failed = failed;
        }
        let outcome = run
            .strike(ticks)
            .with_context(|| format!("struck after {ticks} ticks"))?;
        match outcome {
            Outcome::Crashed => cases.passed += 1,
            Outcome::Over(_) => break,
        }
    }
    ensure!(cases.passed > 0, "nothing was struck");
    Ok(cases)
}

/// One run of QEMU.
struct Run<'r> {
    rig: &'r Rig,
    operation: Operation,
    who: Who,
    card: PathBuf,
    system: System,
    evidence: Evidence,
    crashes: usize,
    /// The task whose failure is the operation has left a record in an earlier run: so it must from now on.
    failed: bool,
}

impl<'r> Run<'r> {
    fn start(rig: &'r Rig, operation: Operation, who: Who) -> Result<Self> {
        let card = rig.artefacts.path("card.img");
        let _ = std::fs::remove_file(&card);
        rig.tool.format(&card)?;
        let system = System::start(&rig.qemu, &rig.image, Some(&card), &rig.artefacts)?;
        let evidence = Evidence::take(&rig.tool, &card)?;
        let mut run = Self {
            rig,
            operation,
            who,
            card,
            system,
            evidence,
            crashes: 0,
            failed: false,
        };
        run.boot()?;
        Ok(run)
    }

    /// Starts up, and sees that logging goes on.
    fn boot(&mut self) -> Result<()> {
        let seen = self.system.boot()?;
        ensure!(
            seen.state == State::Ready && seen.durable >= 1 && seen.error == 0,
            "logging does not go on: {seen:?}"
        );
        Ok(())
    }

    fn strike(&mut self, ticks: u32) -> Result<Outcome> {
        let deed = match self.who {
            // Another address each time, or it would be a repetition of the crash before.
            Who::Another => Deed::Jump(0x100 + 4 * self.crashes as u32),
            Who::Recorder => Deed::Fault(task::CRASHLOG),
        };
        let stop = match self.operation {
            Operation::Start => {
                self.system.reset()?;
                self.system.strike_after_start(ticks, deed)?;
                self.system.go()?
            }
            Operation::Work(work) => {
                let work = self.distinct(work);
                self.system.work(work, ticks, deed)?;
                self.system.go()?
            }
        };
        if stop != Stop::Struck {
            // The end of the operation: done, or, if it ends in a restart, the next boot.
            ensure!(
                matches!(stop, Stop::Done | Stop::Ready | Stop::Start),
                "came to {stop:?}"
            );
            let ticks = match stop {
                Stop::Start => None,
                _ => Some(self.system.ticks()?),
            };
            return Ok(Outcome::Over(ticks));
        }
        let seen = self.system.seen()?;
        self.boot()?;
        self.check(seen.accepted)?;
        self.crashes += 1;
        Ok(Outcome::Crashed)
    }

    /// The same work; a crash that is part of it is at another place each time.
    fn distinct(&self, work: Work) -> Work {
        match work {
            Work::Fail { fatal: true, .. } => Work::Fail {
                fatal: true,
                how: Failing(Failing::TEXT.0, [0x1_0001 + 4 * self.crashes as u32, 0, 0]),
            },
            work => work,
        }
    }

    /// Looks for what must be on the card now.
    fn check(&mut self, accepted: u32) -> Result<()> {
        let struck = Crash::panic(match self.who {
            Who::Another => "saboteur",
            Who::Recorder => "crashlog",
        });
        // What fails in the operation itself, if the strike did not come before.
        let failing = match self.operation {
            OOPS => Some(Crash::oops("victim").whenever()),
            PANIC => Some(Crash::panic("fatal").whenever()),
            _ => None,
        };
        let now = Evidence::take(&self.rig.tool, &self.card)?;
        let has_failed = failing.filter(|crash| {
            now.records.iter().any(|record| {
                record["task"] == crash.task && !self.evidence.records.contains(record)
            })
        });
        ensure!(
            has_failed.is_some() || !self.failed,
            "a record is missing that was there when the strike came earlier"
        );
        self.failed = has_failed.is_some();
        let crashes: Vec<_> = match (self.operation, has_failed) {
            // The emergency was another's, so the strike was noted and written by the next boot.
            (PANIC, Some(failed)) => vec![failed, struck.late()],
            (_, Some(failed)) => vec![struck, failed],
            (_, None) => vec![struck],
        };
        let (now, _) = self
            .evidence
            .after(&self.rig.tool, &self.card, &crashes, accepted)?;
        self.evidence = now;
        Ok(())
    }
}
