//! Finds a task that shows no sign of life: one with a limit (`alive-within-ms`) that has neither
//! come back to its receive in that time nor called `alive` of the supervisor.
//!
//! It may compute, call servers, wait for an answer, or sleep in a loop: what it does in place of
//! its work does not matter. So this finds what the limits for the processor and for answers do not
//! find, such as a task that polls for something that never happens and sleeps between.
//!
//! Time in which the task is ready, and more important tasks keep it from running, does not count.

use crate::{Hang, Kernel, Supervisor, SupervisorConfig};
use abi::{SchedState, TaskState};
use crashlog_retained::CrashFault;

/// Adds `step` milliseconds for each task that has shown no sign of life since the last check, and
/// returns the first one that has reached its limit. `away` has the time of each task; `starved`
/// says whether a task has not run since the last check.
#[inline(never)]
pub(crate) fn check(
    config: &SupervisorConfig,
    kernel: &mut impl Kernel,
    away: &mut [u32],
    step: u32,
    starved: impl Fn(u16) -> bool,
) -> Option<Hang> {
    let mut found = None;
    for ((task, policy), away) in (0..).zip(config.tasks).zip(away) {
        let limit = policy.alive_ms;
        if limit == 0 {
            continue;
        }
        let index = usize::from(task);
        let (is_up, is_ready) = match kernel.state(index) {
            TaskState::Healthy(SchedState::Stopped) | TaskState::Faulted { .. } => (false, false),
            TaskState::Healthy(SchedState::Runnable) => (true, true),
            TaskState::Healthy(_) => (true, false),
        };
        if kernel.take_return(index) || !is_up {
            *away = 0;
        } else if !(is_ready && starved(task)) {
            *away = away.saturating_add(step);
        }
        if found.is_none() && *away >= limit {
            let fault = CrashFault::encode_not_alive(*away);
            found = Some(Hang { task, fault });
        }
    }
    found
}

impl<K: Kernel> Supervisor<'_, K> {
    /// A task says that it is alive.
    pub fn alive(&mut self, task: usize) {
        if let Some(hangs) = &mut self.hangs {
            hangs.set_alive(task);
        }
    }
}

#[cfg(test)]
mod tests;
