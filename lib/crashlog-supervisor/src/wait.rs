//! Finds a task that waits for an answer for too long, or for ever.
//!
//! A task waits while it sends, or awaits a reply. The kernel keeps when it last ran, which is when
//! it began to wait, or the next check if no tick has interrupted it before. A task with a limit
//! (`wait-ms`) that has waited for longer is faulted; its crash has the chain of who waits for
//! whom. If the chain comes back to a task that is in it, nobody in that cycle will ever run, and
//! the task is faulted at once, that is, at the next check.

use crate::{Hang, Kernel, SupervisorConfig};
use abi::{SchedState, TaskState};
use crashlog_retained::CrashFault;

/// The first task that waits for longer than its limit, or in a cycle. `times` says when each task
/// last ran; `now` is the present tick, and `resumed` the one at which the system went on after a
/// debugger's halt, low words: the time before does not count.
#[inline(never)]
pub(crate) fn check(
    config: &SupervisorConfig,
    kernel: &mut impl Kernel,
    times: &[[u8; 4]],
    now: u32,
    resumed: u32,
) -> Option<Hang> {
    for (task, policy) in (0..).zip(config.tasks) {
        let limit = policy.wait_ms;
        if limit == 0 {
            continue;
        }
        let Some(chain) = Chain::of(kernel, task, config.tasks.len()) else {
            continue;
        };
        let ran = times.get(usize::from(task)).copied().unwrap_or_default();
        let waited = now.wrapping_sub(u32::from_le_bytes(ran));
        let ms = waited.min(now.wrapping_sub(resumed));
        if chain.is_cycle || ms >= limit {
            return Some(Hang {
                task,
                fault: CrashFault::encode_wait(ms, chain.tasks),
            });
        }
    }
    None
}

/// For whom a task waits, for whom that one waits, and so on.
struct Chain {
    /// Indices, then [`CrashFault::NO_TASK`].
    tasks: [u8; CrashFault::WAIT_TASKS],
    /// Somebody in the chain, which may be longer than what is kept of it, waits for one before it.
    is_cycle: bool,
}

impl Chain {
    /// `None` if the task does not wait. `tasks`: how many there are.
    fn of(kernel: &mut impl Kernel, task: u16, tasks: usize) -> Option<Self> {
        let mut chain = Self {
            tasks: [CrashFault::NO_TASK; CrashFault::WAIT_TASKS],
            is_cycle: false,
        };
        let mut next = peer(kernel, task)?;
        for place in 0..CrashFault::WAIT_TASKS {
            let (before, rest) = chain.tasks.split_at_mut_checked(place)?;
            chain.is_cycle = next == task || before.iter().any(|seen| u16::from(*seen) == next);
            // A task with a larger index ends the chain: no application here has so many.
            if let (Some(here), Ok(index)) = (rest.first_mut(), u8::try_from(next)) {
                *here = index;
            }
            if chain.is_cycle {
                break;
            }
            match peer(kernel, next) {
                Some(after) => next = after,
                None => return Some(chain),
            }
        }
        // A chain that is as long as there are tasks has one of them twice.
        let mut left = tasks;
        while !chain.is_cycle && left > 0 {
            match peer(kernel, next) {
                Some(after) => next = after,
                None => return Some(chain),
            }
            left = left.saturating_sub(1);
        }
        chain.is_cycle = true;
        Some(chain)
    }
}

/// For whom a task waits.
fn peer(kernel: &mut impl Kernel, task: u16) -> Option<u16> {
    match kernel.state(task.into()) {
        TaskState::Healthy(SchedState::InSend(peer) | SchedState::InReply(peer)) => {
            u16::try_from(peer.index()).ok()
        }
        TaskState::Healthy(_) | TaskState::Faulted { .. } => None,
    }
}

#[cfg(test)]
mod tests;
