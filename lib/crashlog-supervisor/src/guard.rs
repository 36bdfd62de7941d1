//! A [`Supervisor`] for a `jefe` that is not ours, with few calls that cannot go wrong.
//!
//! What a supervisor can get wrong is in here instead:
//!
//! * A fault is handled once, and a new fault of a task is seen whoever has restarted it, and
//!   whatever `jefe` does with the task: the generation in the kernel says so. In an emergency this
//!   is how the recorder's own fault ends its try.
//! * An emergency begins when the last of the faults that were found together is described.
//! * In an emergency the timer has the time of [`Supervisor::deadline`] and no other: one that has
//!   passed would fire at once each time, and the recorder, which is less important, would never
//!   run.
//! * How often a task was restarted, since when it runs, and when its series of faults has ended is
//!   kept here; and a task that has reset the system repeatedly is started later.

use crate::{Consequence, Kernel, Supervisor, SupervisorConfig};
use abi::{SchedState, TaskState};
use crashlog_retained::Region;

/// What has been seen of a task.
#[derive(Copy, Clone, Debug, Default)]
struct TaskRun {
    /// Of the run that was seen last.
    generation: u8,
    /// When this run was seen first.
    since: u64,
    /// Was its fault handled?
    handled: bool,
    /// How many faults were handled in this boot.
    faults: u32,
    /// When the task is to be started; 0 if it was.
    start_at: u64,
}

/// The state of a supervisor of a system with `TASKS` tasks.
pub struct SupervisorGuard<'a, K, const TASKS: usize> {
    supervisor: Supervisor<'a, K>,
    tasks: [TaskRun; TASKS],
}

impl<'a, K: Kernel, const TASKS: usize> SupervisorGuard<'a, K, TASKS> {
    /// Begins a boot in `region`. To be called once, first of all: the recorder, which is less
    /// important than the supervisor, relies on it.
    ///
    /// Stops the tasks that are to be started later, before they run.
    pub fn new(config: SupervisorConfig, kernel: K, region: Region<'a>) -> Self {
        let mut guard = Self {
            supervisor: Supervisor::new(config, kernel, region),
            tasks: [TaskRun::default(); TASKS],
        };
        let now = guard.supervisor.kernel.now();
        for (task, run) in guard.tasks.iter_mut().enumerate().skip(1) {
            let delay = guard.supervisor.start_delay(task);
            let kernel = &mut guard.supervisor.kernel;
            let runs = |state| matches!(state, TaskState::Healthy(SchedState::Runnable));
            if delay != 0 && runs(kernel.state(task)) {
                kernel.stop(task);
                run.start_at = now.saturating_add(delay.into()).max(1);
            }
            run.generation = generation(kernel, task);
            run.since = now;
        }
        guard
    }

    /// Handles new faults, up to one after which the supervisor's own rule decides about the task,
    /// and returns that task: to be restarted, now or later, or left down. `None`: all are handled.
    ///
    /// To be called in a loop, when the kernel has posted the notification of faults. `is_held`:
    /// whether the supervisor leaves a task down anyway, as a debugger wants it. A task that is not
    /// returned must be left as it is.
    pub fn next_fault(&mut self, is_held: impl Fn(usize) -> bool) -> Option<usize> {
        let now = self.supervisor.kernel.now();
        for task in 1..TASKS {
            let kernel = &mut self.supervisor.kernel;
            let Some(run) = look(kernel, self.tasks.get_mut(task)?, task, now) else {
                continue;
            };
            run.handled = true;
            let (restarts, started) = (run.faults, run.since);
            run.faults = restarts.saturating_add(1);
            let consequence = self
                .supervisor
                .handle_fault(task, is_held(task), restarts, started);
            if consequence == Consequence::Restart {
                return Some(task);
            }
        }
        self.supervisor.enter_declared_emergency();
        None
    }

    /// To be called when the supervisor's timer has fired, or at any time.
    pub fn timer_fired(&mut self) {
        let now = self.supervisor.kernel.now();
        self.supervisor.check_deadline(now);
        if !self.may_act() {
            return;
        }
        for (task, run) in self.tasks.iter_mut().enumerate().skip(1) {
            let kernel = &mut self.supervisor.kernel;
            if run.start_at != 0 && run.start_at <= now {
                run.start_at = 0;
                kernel.restart(task);
            }
            look(kernel, run, task, now);
        }
        let tasks = &self.tasks;
        self.supervisor.end_healthy_series(now, |task| {
            let run = tasks.get(task)?;
            (!run.handled && run.start_at == 0).then_some(run.since)
        });
    }

    /// What the supervisor sets its timer to, if it wants `own` itself. To be asked whenever it
    /// sets it, and after each notification. It should fire every few seconds at least, so that
    /// series of faults end.
    #[must_use]
    pub fn timer(&self, own: Option<u64>) -> Option<u64> {
        if !self.may_act() {
            return self.supervisor.deadline();
        }
        let starts = self.tasks.iter().map(|run| run.start_at);
        let first = starts.filter(|start_at| *start_at != 0).min();
        own.into_iter().chain(first).min()
    }

    /// May the supervisor restart tasks and do what a debugger asks for? Not in an emergency, which
    /// ends with a reset.
    #[must_use]
    pub fn may_act(&self) -> bool {
        !self.supervisor.in_emergency()
    }

    /// The operation `emergency_done`, by task `caller`; returns its reply. Does not return if it
    /// ends the emergency, by a reset.
    pub fn emergency_done(&mut self, caller: usize) -> bool {
        self.supervisor.emergency_done(caller)
    }

    /// A task asks for a reset of the system. Returns whether the supervisor is to carry it out,
    /// now; not in an emergency, which ends with one.
    #[must_use]
    pub fn may_reset(&mut self, caller: usize) -> bool {
        let may = self.may_act();
        if may {
            self.supervisor.note_restart(caller);
            self.supervisor.end_trial();
        }
        may
    }
}

/// Looks at a task again; returns its entry if it has a new fault.
fn look<'r>(
    kernel: &mut impl Kernel,
    run: &'r mut TaskRun,
    task: usize,
    now: u64,
) -> Option<&'r mut TaskRun> {
    let generation = generation(kernel, task);
    if generation != run.generation {
        *run = TaskRun {
            generation,
            since: now,
            handled: false,
            ..*run
        };
    }
    (!run.handled && kernel.fault(task).is_some()).then_some(run)
}

fn generation(kernel: &mut impl Kernel, task: usize) -> u8 {
    let task = u16::try_from(task).unwrap_or(u16::MAX);
    kernel.current(task).generation().into()
}

#[cfg(test)]
mod tests;
