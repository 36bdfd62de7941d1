//! The processor-independent half of a kernel entry.
//!
//! The exception vectors (`arch::arm_a::entry`) have saved the running task and call in here with
//! its entry in the task table; they get back the entry of the task to resume. Each kernel entry
//! makes exactly one [`Kernel`], which proves that no other code uses the kernel's state.
//!
//! The way of a fault from here on: [`Kernel::fault_current`] marks the task as faulted and posts
//! the fault notification to the supervisor, which runs next if nothing more important does.

use crate::table::{Kernel, TaskHandle};
use crate::task::Task;
use crate::{arch, fail, interrupts, time};
use core::ptr::NonNull;

/// Calls `work` with the kernel's state and the running task. Returns the task to run next.
///
/// # Safety
///
/// Called once per kernel entry, with the task that was running.
#[inline(always)]
pub(crate) unsafe fn with_kernel(
    current: NonNull<Task>,
    work: impl FnOnce(&mut Kernel, TaskHandle) -> TaskHandle,
) -> NonNull<Task> {
    // SAFETY: the caller's promise: a new entry, so there is no other `Kernel`.
    let mut kernel = unsafe { Kernel::enter() };
    // SAFETY: the running task is an element of the table.
    let current = unsafe { TaskHandle::from_entry(current) };
    work(&mut kernel, current).entry()
}

/// As [`with_kernel`], for a fast path: `work` returns `None`, and must have changed nothing, if
/// the general path is to handle the entry.
///
/// # Safety
///
/// As for [`with_kernel`], which may be called for the same entry if this returns `None`.
#[inline(always)]
pub(crate) unsafe fn try_with_kernel(
    current: NonNull<Task>,
    work: impl FnOnce(&mut Kernel, TaskHandle) -> Option<TaskHandle>,
) -> Option<NonNull<Task>> {
    // SAFETY: as in `with_kernel`; the `Kernel` is gone when this returns.
    let mut kernel = unsafe { Kernel::enter() };
    // SAFETY: the running task is an element of the table.
    let current = unsafe { TaskHandle::from_entry(current) };
    work(&mut kernel, current).map(TaskHandle::entry)
}

/// Handles one interrupt. A task that it made runnable preempts the running one if it is strictly
/// more important.
pub(crate) fn interrupt(kernel: &mut Kernel, current: TaskHandle) -> TaskHandle {
    match arch::gic::take() {
        arch::gic::Taken::Timer => {
            let ticks = arch::timer::acknowledge();
            arch::gic::end_timer();
            if arch::hang_timer::is_late() {
                fail::fail_of_hang(kernel);
            }
            time::advance(kernel, current, ticks);
        }
        arch::gic::Taken::Device(irq) => {
            interrupts::taken(kernel, irq);
            arch::gic::end(irq);
        }
        arch::gic::Taken::Spurious => {}
    }
    let best = kernel.pick(current);
    if kernel[best]
        .priority
        .is_more_important_than(kernel[current].priority)
    {
        return best;
    }
    current
}
