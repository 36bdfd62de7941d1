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
//! makes a tick of it. Marks differ: a task that is ready and has done nothing since it sent has
//! just got its answer, and the server runs on until it waits again. Such a task in a loop may be
//! found there at every tick, so it counts as running.
//!
//! A message that is delivered at once marks no receiver, and its reply nobody: they switch to a
//! task that is more important, and back.

use crate::table::{Kernel, TaskHandle};
use crate::task::Task;
use crate::time;

/// How many ticks ago a task ran at the latest whose last mark is that it sent. The supervisor
/// takes a task that ran two ticks ago for one that runs.
const SENT: u32 = 2;
/// The same of a task whose last mark is that it was picked to run.
const PICKED: u32 = 3;

impl Task {
    /// It has run until now, and begins to wait for an answer.
    #[inline(always)]
    pub(crate) fn mark_sent(&mut self) {
        // The address is in a register already.
        self.mark = core::ptr::from_ref(self).addr() as u32;
    }
}

impl Kernel {
    /// The task to run instead of `current`, which has blocked or faulted.
    #[inline(always)]
    pub(crate) fn pick_next(&mut self, current: TaskHandle) -> TaskHandle {
        let next = self.pick(current);
        // Neither 0 nor the address of a task, and in a register already.
        self[next].mark = self.address();
        next
    }

    /// The tick at which `task` last ran, low word. If it ran since it was asked for last, but no
    /// tick has interrupted it, that is [`SENT`] or [`PICKED`] ticks ago, by its last mark.
    pub(crate) fn take_last_ran(&mut self, task: TaskHandle) -> u32 {
        let entry = &mut self[task];
        let sent = core::ptr::from_ref(&*entry).addr() as u32;
        let most = match core::mem::take(&mut entry.mark) {
            0 => return entry.last_ran,
            mark if mark == sent => SENT,
            _ => PICKED,
        };
        let now = time::low();
        if now.wrapping_sub(entry.last_ran) > most {
            entry.last_ran = now.wrapping_sub(most);
        }
        entry.last_ran
    }
}
