//! What happens between the processor's exception entry and its return.
//!
//! The assembly in `arch` has saved the running task and calls one of these functions with its entry in the task table; it
//! gets back whom to resume. For each there is exactly one [`Kernel`], which is the proof that nothing else is looking at the
//! kernel's state.

use crate::table::{Kernel, Next, Stop, TaskHandle};
use crate::task::Task;
use crate::{arch, interrupts, time};
use core::ptr::NonNull;

/// Calls `work` with the kernel's state and the running task, and does what it decides.
///
/// # Safety
///
/// Called once per kernel entry, with the task that was running.
#[inline(always)]
pub(crate) unsafe fn with_kernel(
    current: NonNull<Task>,
    work: impl FnOnce(&mut Kernel, TaskHandle) -> Result<Next, Stop>,
) -> NonNull<Task> {
    // SAFETY: the caller's promise: a new entry, so there is no other `Kernel`.
    let mut kernel = unsafe { Kernel::enter() };
    // SAFETY: the running task is an element of the table.
    let current = unsafe { TaskHandle::from_entry(current) };
    let next = match work(&mut kernel, current) {
        Ok(Next::Stay) => current,
        Ok(Next::Switch(task)) => task,
        Ok(Next::Pick) => {
            let id = kernel.id(current);
            kernel.pick(id)
        }
        Err(stop) => stopped(&mut kernel, current, stop),
    };
    next.entry()
}

/// The call did not end with its ordinary results.
#[cold]
#[inline(never)]
fn stopped(kernel: &mut Kernel, current: TaskHandle, stop: Stop) -> TaskHandle {
    match stop {
        Stop::Code(code) => {
            kernel[current].save.set_response(code, 0);
            current
        }
        Stop::Fault(fault) => {
            kernel.fault(current, fault);
            let id = kernel.id(current);
            kernel.pick(id)
        }
    }
}

/// An interrupt. A task that has become runnable preempts the running one if it is strictly more important.
pub(crate) fn interrupt(kernel: &mut Kernel, current: TaskHandle) -> Result<Next, Stop> {
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
    let id = kernel.id(current);
    let best = kernel.pick(id);
    if kernel[best]
        .priority
        .is_more_important_than(kernel[current].priority)
    {
        return Ok(Next::Switch(best));
    }
    Ok(Next::Stay)
}
