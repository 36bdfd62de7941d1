//! Finds a task that holds the processor, and has it faulted; as it does with one that waits for an
//! answer for too long (`wait.rs`), and with one that shows no sign of life (`alive.rs`).
//!
//! A task *holds* the processor from the time at which the last less important task ran, for as
//! long as it runs itself or waits for the answer of a server. Time in which it was ready and more
//! important tasks ran is not counted, and ends nothing. A task that holds it for longer than its
//! limit is in a *hang*: it never waits, so that no less important task can run.
//!
//! Two things follow from this definition:
//!
//! * Calls that are answered at once do not help a task that loops: between its calls nothing that
//!   is less important runs. A task that waits for an event, whichever way, lets the others run.
//! * The culprit is the least important of the tasks that run, not those that starve, and not a
//!   server that it calls in its loop. The least important task of all, normally `idle`, has no
//!   limit. Of several tasks of one priority that run, those that wait for an event when it is
//!   looked are not: they have let the others run.
//!
//! [`HangWatch::check`] looks every [`CHECK_MS`] milliseconds at the ticks at which each task last
//! ran, which the kernel keeps. A check counts for [`LONGEST_STEP_MS`] at most: a system that a
//! debugger has halted meanwhile is not in a hang.

use crate::{Kernel, Supervisor, SupervisorConfig, alive, wait};
use abi::{SchedState, TaskState};
use crashlog_retained::CrashFault;

/// Milliseconds between two checks. One that comes earlier than after half of it does nothing.
pub const CHECK_MS: u32 = 100;

/// How many milliseconds one check counts for at most.
const LONGEST_STEP_MS: u32 = 150;

/// A ready task that ran this many milliseconds ago, or less, holds the processor. Of one that has
/// just got the answer of a server the kernel says exactly this number: see `who_ran` there.
const NOW_MS: u32 = 2;

/// Counts for how long tasks have held the processor.
#[derive(Debug)]
pub struct HangWatch<'a> {
    /// The tick of the last check, low word.
    since: u32,
    /// The tick of the last check that came so late that the system was halted before, low word.
    resumed: u32,
    /// When each task last ran, as the kernel reports it.
    times: &'a mut [[u8; 4]],
    /// For how many milliseconds each task has held the processor.
    held: &'a mut [u32],
    /// For how many milliseconds each task has shown no sign of life.
    away: &'a mut [u32],
    /// The hang that was found last, until the fault is handled.
    found: Option<Hang>,
}

/// A task that holds the processor, that waits for an answer for too long, or that shows no sign of
/// life.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct Hang {
    /// The task, by index.
    pub(crate) task: u16,
    /// The fault, as a crash has it: kind, milliseconds, and who could not run or who has to
    /// answer.
    pub(crate) fault: [u8; CrashFault::MAX_LEN],
}

impl<'a> HangWatch<'a> {
    /// Nothing has run yet. The slices need an element for each task; tasks beyond them are not
    /// watched.
    #[must_use]
    pub fn new(times: &'a mut [[u8; 4]], held: &'a mut [u32], away: &'a mut [u32]) -> Self {
        Self {
            since: 0,
            resumed: 0,
            times,
            held,
            away,
            found: None,
        }
    }

    /// Looks for a task that has held the processor, waited for an answer, or shown no sign of life
    /// for its limit, at `now` milliseconds since boot. Returns its index.
    #[inline(never)]
    fn check(
        &mut self,
        config: &SupervisorConfig,
        kernel: &mut impl Kernel,
        now: u64,
    ) -> Option<usize> {
        let now = now as u32;
        let step = now.wrapping_sub(self.since);
        if step < CHECK_MS / 2 || !kernel.run_times(self.times) {
            return None;
        }
        self.since = now;
        if step > LONGEST_STEP_MS {
            self.resumed = now;
        }
        // Its fault is over, without having been handled here.
        let is_over = |hang: &Hang| kernel.fault(hang.task.into()).is_none();
        if self.found.as_ref().is_some_and(is_over) {
            self.found = None;
        }
        let counted = step.min(LONGEST_STEP_MS);
        let times = &*self.times;
        let starved = |task| age(times, task, now) > Some(step);
        let silent = alive::check(config, kernel, self.away, counted, starved);
        let found = self
            .check_processor(config, kernel, now, step)
            .or_else(|| wait::check(config, kernel, self.times, now, self.resumed))
            .or(silent)?;
        self.found = Some(found);
        Some(found.task.into())
    }

    /// Looks for a task that has held the processor for its limit; `step`: milliseconds since the
    /// last check.
    fn check_processor(
        &mut self,
        config: &SupervisorConfig,
        kernel: &mut impl Kernel,
        now: u32,
        step: u32,
    ) -> Option<Hang> {
        let times = &*self.times;
        let age = |task| age(times, task, now);
        let ran = |task: &&u16| **task != 0 && age(**task).is_some_and(|age| age <= step);
        let priority = |task: u16| config.task(task.into()).priority;
        let mut running = config.by_priority.iter().rev().filter(ran);
        let lowest = *running.next()?;
        let level = priority(lowest);
        let shared = running.next().is_some_and(|task| priority(*task) == level);
        let least = config.by_priority.last()?;
        let is_least = priority(*least) == level;
        let mut found = None;
        for (task, held) in (0..).zip(&mut *self.held) {
            if priority(task) > level {
                continue;
            }
            if is_least || priority(task) < level || !shared && task != lowest {
                *held = 0;
                continue;
            }
            let ago = age(task).unwrap_or(u32::MAX);
            let holds = match kernel.state(task.into()) {
                TaskState::Healthy(SchedState::InSend(_) | SchedState::InReply(_)) => ago <= step,
                TaskState::Healthy(SchedState::Runnable) => ago <= NOW_MS,
                TaskState::Healthy(_) | TaskState::Faulted { .. } => {
                    // It is the others of its priority that keep the less important ones from
                    // running.
                    if shared {
                        *held = 0;
                    }
                    false
                }
            };
            if !holds {
                continue;
            }
            *held = held.saturating_add(step.min(LONGEST_STEP_MS));
            let limit = config.task(task.into()).hang_ms;
            if found.is_none() && limit != 0 && *held >= limit {
                found = Some((task, core::mem::take(held)));
            }
        }
        let (task, ms) = found?;
        Some(Hang {
            task,
            fault: CrashFault::encode_hang(ms, starved(config, kernel, level)),
        })
    }

    /// A task that others may wait for is not started yet: no wait and no silence up to `now`
    /// counts.
    fn excuse_waits(&mut self, now: u64) {
        self.resumed = now as u32;
        self.away.fill(0);
    }

    /// The fault of `task`, if its hang was found and the fault not handled yet.
    pub(crate) fn fault_of(&self, task: usize) -> Option<&[u8]> {
        let found = self.found.as_ref();
        let hang = found.filter(|hang| usize::from(hang.task) == task)?;
        Some(&hang.fault)
    }

    /// `task` has shown a sign of life.
    pub(crate) fn set_alive(&mut self, task: usize) {
        if let Some(away) = self.away.get_mut(task) {
            *away = 0;
        }
    }

    /// The fault of `task` was handled.
    pub(crate) fn handled(&mut self, task: usize) {
        if self.fault_of(task).is_some() {
            self.found = None;
        }
    }
}

/// How many milliseconds before `now` a task ran last.
fn age(times: &[[u8; 4]], task: u16, now: u32) -> Option<u32> {
    let time = times.get(usize::from(task))?;
    Some(now.wrapping_sub(u32::from_le_bytes(*time)))
}

/// The tasks that are ready to run and less important than `level`: bit N for the task with index
/// N.
fn starved(config: &SupervisorConfig, kernel: &mut impl Kernel, level: u8) -> u64 {
    let mut starved = 0;
    for (task, bit) in (0..config.tasks.len()).zip(0..u64::BITS) {
        if config.task(task).priority > level
            && matches!(kernel.state(task), TaskState::Healthy(SchedState::Runnable))
        {
            starved |= 1 << bit;
        }
    }
    starved
}

impl<'a, K: Kernel> Supervisor<'a, K> {
    /// Gives it what it needs to find hangs. Without it none are found.
    pub fn set_hang_watch(&mut self, hangs: HangWatch<'a>) {
        self.hangs = Some(hangs);
    }

    /// Faults a task that has held the processor, waited for an answer, or shown no sign of life
    /// for too long. To be called every [`CHECK_MS`] milliseconds; not in an emergency, whose
    /// deadlines are the supervisor's.
    ///
    /// The fault is handled as any other: the kernel reports it.
    pub fn check_hangs(&mut self, now: u64) {
        if self.emergency.is_active() {
            return;
        }
        let is_put_off = self.puts_off_starts(now);
        let Some(hangs) = &mut self.hangs else { return };
        if let Some(task) = hangs.check(&self.config, &mut self.kernel, now) {
            self.kernel.inject_fault(task);
        }
        if is_put_off {
            // After the check, which counts the time before it: less than any limit.
            hangs.excuse_waits(now);
        }
    }
}

#[cfg(test)]
mod tests;
