//! What happens between the processor's exception entry and its return.
//!
//! The assembly in `arch` has saved the running task and calls one of these functions with its entry in the task
//! table; it gets back whom to resume. For each there is exactly one [`Kernel`], which is the proof that nothing else
//! is looking at the kernel's state.

use crate::table::{Kernel, TaskHandle};
use crate::task::Task;
use crate::{arch, interrupts, time};
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

/// Calls `work` as [`with_kernel`] does, for what may turn out not to be its business: then it has changed nothing, and
/// the entry is as if it had not happened.
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

/// An interrupt. A task that has become runnable preempts the running one if it is strictly more important.
pub(crate) fn interrupt(kernel: &mut Kernel, current: TaskHandle) -> TaskHandle {
    match arch::gic::take() {
        arch::gic::Taken::Timer => {
            let ticks = arch::timer::acknowledge();
            arch::gic::end_timer();
            time::advance(kernel, ticks);
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
