//! Who ran when: from this the supervisor finds a task that never waits.
//!
//! Each task's entry has the tick at which it last ran, as far as a less important task's running
//! shows that a more important one has waited. Two places write it:
//!
//! * The tick, for the task that it interrupts: [`interrupted`].
//! * A task that blocks or faults, for the task that runs instead: [`Kernel::pick_next`]. It is the
//!   only way by which a less important task gets the processor, so no wait between two ticks is
//!   overlooked.
//!
//! A message that is delivered at once, and its reply, write nothing: they switch to a task that is
//! more important, and back.

use crate::table::{Kernel, TaskHandle};
use crate::time;

/// The task that a tick interrupts has run until now. Called before the tick is counted.
#[inline(always)]
pub(crate) fn interrupted(kernel: &mut Kernel, task: TaskHandle) {
    kernel[task].last_ran = time::low();
}

impl Kernel {
    /// The task to run instead of `current`, which has blocked or faulted.
    #[inline(always)]
    pub(crate) fn pick_next(&mut self, current: TaskHandle) -> TaskHandle {
        let next = self.pick(current);
        self[next].last_ran = time::low();
        next
    }
}
