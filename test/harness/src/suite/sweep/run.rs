//! One machine that crashes again and again during the same operation.

use super::operation::{NEVER, OOPS, Operation, PANIC, Who};
use crate::evidence::{Evidence, Expected};
use crate::sabotage::{Deed, Failing, RecorderState, Stop, System, Work, task};
use crate::suite::Rig;
use anyhow::{Context, Result, bail, ensure};
use std::path::PathBuf;

/// The outcome of one strike.
pub enum StrikeOutcome {
    /// The system crashed, and every check passed.
    Crashed,
    /// The operation ended before the strike.
    Over,
}

/// One run of QEMU.
pub struct SweepRun<'r> {
    rig: &'r Rig,
    operation: Operation,
    who: Who,
    card: PathBuf,
    system: System,
    evidence: Evidence,
    /// Strikes on this card.
    pub crashes: usize,
    /// At an earlier moment the task whose failure is the operation had left a crash. At all later
    /// moments it must, too.
    failed: bool,
}

impl<'r> SweepRun<'r> {
    /// Switches on, with a new card.
    pub fn start(rig: &'r Rig, operation: Operation, who: Who) -> Result<Self> {
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

    /// Starts again with a new card.
    pub fn with_another_card(self) -> Result<Self> {
        Ok(Self {
            failed: self.failed,
            ..Self::start(self.rig, self.operation, self.who)?
        })
    }

    /// Measures the ticks that the operation takes, with strikes that do nothing. The result is at
    /// most an eighth too high.
    pub fn measure(mut self) -> Result<u32> {
        let (mut less, mut enough) = (0, 1_024);
        while self.takes_longer(enough)? {
            less = enough;
            enough *= 2;
            ensure!(enough < NEVER, "the operation does not end");
        }
        while enough - less > enough / 8 {
            let middle = less.midpoint(enough);
            if self.takes_longer(middle)? {
                less = middle;
            } else {
                enough = middle;
            }
        }
        Ok(enough)
    }

    fn takes_longer(&mut self, ticks: u32) -> Result<bool> {
        let first = self.begin(ticks, Deed::Nothing)?;
        let mut stop = first;
        while stop != Stop::Ready {
            stop = self.system.go()?;
        }
        self.system.reset()?;
        self.system.go_to(Stop::Ready)?;
        Ok(first == Stop::Struck)
    }

    /// Strikes that many ticks after the start of the operation.
    pub fn strike(&mut self, ticks: u32) -> Result<StrikeOutcome> {
        let deed = match self.who {
            // A different address each time: otherwise it would count as a repetition.
            Who::Another => Deed::Jump(0x100 + 4 * self.crashes as u32),
            Who::Recorder => Deed::Fault(task::CRASHLOG),
        };
        match self.begin(ticks, deed)? {
            Stop::Struck => {}
            // The operation has ended: it is done, or, if it ends with a restart, the next boot has
            // begun.
            Stop::Done | Stop::Ready | Stop::Start => return Ok(StrikeOutcome::Over),
            stop => bail!("the machine stopped at {stop:?}"),
        }
        let seen = self.system.seen()?;
        self.boot()?;
        self.check(seen.accepted)?;
        self.crashes += 1;
        Ok(StrikeOutcome::Crashed)
    }

    /// Starts the operation, and runs to the strike or to its end.
    fn begin(&mut self, ticks: u32, deed: Deed) -> Result<Stop> {
        match self.operation {
            Operation::Start => {
                self.system.reset()?;
                self.system.strike_after_start(ticks, deed)?;
            }
            Operation::Work(work) => {
                let work = self.distinct(work);
                self.system.work(work, ticks, deed)?;
            }
            Operation::Resume(work) => {
                self.system.work(Work::Sleep(30), 0, Deed::Nothing)?;
                self.system.go_to(Stop::Done)?;
                self.system.go_to(Stop::Ready)?;
                let state = self.system.seen()?.state;
                ensure!(
                    state == RecorderState::Suspended,
                    "the card should be suspended, but the recorder says {state:?}"
                );
                let work = self.distinct(work);
                self.system.work(work, ticks, deed)?;
            }
        }
        self.system.go()
    }

    /// Boots, and checks that logging goes on.
    fn boot(&mut self) -> Result<()> {
        let seen = self.system.boot()?;
        ensure!(
            matches!(seen.state, RecorderState::Ready | RecorderState::Suspended)
                && seen.durable >= 1
                && seen.error == 0,
            "logging does not go on: {seen:?}"
        );
        Ok(())
    }

    /// The same work, but a crash that is part of it has a different address each time.
    fn distinct(&self, work: Work) -> Work {
        match work {
            Work::Fail { fatal: true, .. } => Work::Fail {
                fatal: true,
                how: Failing(Failing::TEXT.0, [0x1_0001 + 4 * self.crashes as u32, 0, 0]),
            },
            work => work,
        }
    }

    /// Checks the card.
    fn check(&mut self, accepted: u32) -> Result<()> {
        let struck = Expected::panic(match self.who {
            Who::Another => "saboteur",
            Who::Recorder => "crashlog",
        });
        let is_panic = matches!(
            self.operation,
            Operation::Work(PANIC) | Operation::Resume(PANIC)
        );
        // What fails in the operation itself, unless the strike came before.
        let failing = match self.operation {
            _ if is_panic => Some(Expected::panic("fatal").whenever()),
            Operation::Work(OOPS) => Some(Expected::oops("victim").whenever()),
            _ => None,
        };
        let now = Evidence::take(&self.rig.tool, &self.card)?;
        let has_failed = failing.filter(|expected| {
            now.crashes.iter().any(|crash| {
                crash["task"] == expected.task && !self.evidence.crashes.contains(crash)
            })
        });
        ensure!(
            has_failed.is_some() || !self.failed,
            "a crash is missing that was there when the strike came earlier"
        );
        self.failed = has_failed.is_some();
        let expected: Vec<_> = match has_failed {
            // The strike came in the emergency of the other crash, so the next boot writes it.
            Some(failed) if is_panic => vec![failed, struck.late()],
            Some(failed) => vec![struck, failed],
            None => vec![struck],
        };
        self.evidence
            .leads_to(&now, &self.rig.tool, &self.card, &expected, accepted)
            .context("the card is not as it should be")?;
        self.evidence = now;
        Ok(())
    }
}
