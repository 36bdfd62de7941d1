//! System calls by number, and those that are too short for a module of their own.
//!
//! Each call is a function from the kernel's state and the caller to a [`CallOutcome`]. It reads
//! its arguments ([`args`]) from the caller's saved registers and stores its results there. The
//! exception entry calls through [`KERNEL_CALLS`] instead of a `match`, so that each call has a
//! stack frame of its own size.

pub(crate) mod args;

use crate::entry::{try_with_kernel, with_kernel};
use crate::fast_path;
use crate::message::{self, lease};
use crate::outcome::{CallError, CallFault, CallOutcome};
use crate::table::{Kernel, TaskHandle};
use crate::task::Task;
use crate::{interrupts, time};
use abi::{Sysnum, UsageError};
use args::{PostArgs, RefreshTaskIdArgs};
use core::ptr::NonNull;

/// What the exception entry calls with the running task; returns the task to run next.
///
/// # Safety
///
/// Called from there only.
pub(crate) type Handler = unsafe extern "C" fn(NonNull<Task>) -> NonNull<Task>;

/// Number of system calls.
pub(crate) const COUNT: usize = 14;

/// Each row has the number, the call on the general path, and its fast path if it has one.
macro_rules! table {
    ($($number:ident => $call:expr $(; $fast:path)?,)*) => {
        /// The system calls by number. The entry after the last is for all other numbers.
        pub(crate) static KERNEL_CALLS: [Handler; COUNT + 1] = {
            let numbers = [$(Sysnum::$number as usize),*];
            let mut i = 0;
            while i < COUNT {
                assert!(numbers[i] == i, "calls must be listed in the order of their numbers");
                i += 1;
            }
            [$({
                // Never inlined into the fast path, which would then save the registers of both.
                #[inline(never)]
                unsafe extern "C" fn handler(task: NonNull<Task>) -> NonNull<Task> {
                    // SAFETY: a new kernel entry, see `Handler`.
                    unsafe {
                        with_kernel(task, |kernel, caller| {
                            let outcome = $call(kernel, caller);
                            apply_outcome(kernel, caller, outcome)
                        })
                    }
                }
                $(
                    unsafe extern "C" fn fast(task: NonNull<Task>) -> NonNull<Task> {
                        // SAFETY: as above.
                        match unsafe { try_with_kernel(task, $fast) } {
                            Some(next) => next,
                            // SAFETY: still the same entry: the fast path has changed nothing.
                            None => unsafe { handler(task) },
                        }
                    }
                    let handler = fast;
                )?
                handler
            },)* {
                unsafe extern "C" fn handler(task: NonNull<Task>) -> NonNull<Task> {
                    // SAFETY: as above.
                    unsafe {
                        with_kernel(task, |kernel, caller| {
                            kernel.fault_current(caller, UsageError::BadSyscallNumber)
                        })
                    }
                }
                handler
            }]
        };
    };
}

table! {
    Send => message::send; fast_path::send,
    Recv => message::recv,
    Reply => message::reply; fast_path::reply,
    SetTimer => time::set_timer,
    BorrowRead => lease::borrow_read; fast_path::borrow_read,
    BorrowWrite => lease::borrow_write; fast_path::borrow_write,
    BorrowInfo => lease::borrow_info; fast_path::borrow_info,
    IrqControl => interrupts::irq_control,
    Panic => panic,
    GetTimer => time::get_timer,
    RefreshTaskId => refresh_task_id,
    Post => post,
    ReplyFault => message::reply_fault,
    IrqStatus => interrupts::irq_status,
}

/// Gives the caller what its call ends with: nothing more, a response code, or a fault. Returns the
/// task to run next.
#[inline(always)]
fn apply_outcome(kernel: &mut Kernel, caller: TaskHandle, outcome: CallOutcome) -> TaskHandle {
    match outcome {
        Ok(next) => next,
        Err(CallError::Code(code)) => {
            kernel[caller].save.set_response(code, 0);
            caller
        }
        Err(CallError::Fault(fault)) => kernel.fault_current(caller, fault),
    }
}

/// PANIC. The message stays in the caller's registers and memory, where [`args::PanicArgs`] finds
/// it.
#[inline(always)]
fn panic(_: &mut Kernel, _: TaskHandle) -> CallOutcome {
    Err(CallFault::Panic.into())
}

/// REFRESH_TASK_ID: the current id of a task, from an id of any generation.
fn refresh_task_id(kernel: &mut Kernel, caller: TaskHandle) -> CallOutcome {
    let args = RefreshTaskIdArgs::of(&kernel[caller]);
    let task = TaskHandle::new(args.task.index()).ok_or(UsageError::TaskOutOfRange)?;
    let current = kernel[task].id;
    kernel[caller].save.set_refreshed(current);
    Ok(caller)
}

/// POST: notification bits for any task. A target that this wakes and that is more important than
/// the caller runs next.
fn post(kernel: &mut Kernel, caller: TaskHandle) -> CallOutcome {
    let args = PostArgs::of(&kernel[caller]);
    let target = kernel.lookup(args.target)?;
    kernel[caller].save.set_response(0, 0);
    let woken = kernel.post(target, args.notifications);
    if woken
        && kernel[target]
            .priority
            .is_more_important_than(kernel[caller].priority)
    {
        return Ok(target);
    }
    Ok(caller)
}
