//! Who ran when: from this the supervisor finds a task that never waits.
//!
//! Each task's entry has the tick at which it last ran, as far as a less important task's running
//! shows that a more important one has waited, or that it waits for an answer. These write to it:
//!
//! * The tick, for the task that it interrupts: [`time::advance`].
//! * A task that blocks or faults, for the task that runs instead: [`Kernel::pick_next`]. It is the
//!   only way by which a less important task gets the processor, so no wait between two ticks is
//!   overlooked.
//! * A task that sends, for itself: it begins to wait now.
//!
//! The last two are part of each IPC round trip, and leave a mark only; [`Kernel::take_last_ran`]
//! makes a tick of it.
//!
//! A message that is delivered at once marks no receiver, and its reply nobody: they switch to a
//! task that is more important, and back.

use crate::table::{Kernel, TaskHandle};
use crate::task::Task;
use crate::time;

/// How many ticks ago a task ran at the latest that has run since it was asked for last. The
/// supervisor takes a task that ran so many ticks ago for one that runs.
const UNSEEN: u32 = 3;

impl Task {
    /// It runs, or has run until now.
    #[inline(always)]
    pub(crate) fn mark_ran(&mut self) {
        // Any value but 0: the address is in a register already.
        self.ran = core::ptr::from_mut(self).addr() as u32;
    }
}

impl Kernel {
    /// The task to run instead of `current`, which has blocked or faulted.
    #[inline(always)]
    pub(crate) fn pick_next(&mut self, current: TaskHandle) -> TaskHandle {
        let next = self.pick(current);
        self[next].mark_ran();
        next
    }

    /// The tick at which `task` last ran, low word. If it ran since it was asked for last, but no
    /// tick has interrupted it, that is [`UNSEEN`] ticks ago.
    pub(crate) fn take_last_ran(&mut self, task: TaskHandle) -> u32 {
        let entry = &mut self[task];
        let now = time::low();
        if core::mem::take(&mut entry.ran) != 0 && now.wrapping_sub(entry.last_ran) > UNSEEN {
            entry.last_ran = now.wrapping_sub(UNSEEN);
        }
        entry.last_ran
    }
}
