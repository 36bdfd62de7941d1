//! The system calls: which number is which, and those that are too short for a module of their own.
//!
//! Each call is a function from the kernel's state and the caller to who runs next, or to why the call stops
//! ([`Stop`]). Arguments are read from, and results written to, the caller's saved registers. The exception entry goes
//! through [`KERNEL_CALLS`], so that each call has a stack frame of its own size.

use crate::direct;
use crate::entry::{try_with_kernel, with_kernel};
use crate::message::{self, lease};
use crate::outcome::{CallFault, Outcome, Stop};
use crate::table::{Kernel, TaskHandle};
use crate::task::Task;
use crate::{interrupts, time};
use abi::{Sysnum, TaskId, UsageError};
use core::ptr::NonNull;

/// What the exception entry calls with the running task; returns the task to run next.
///
/// # Safety
///
/// Called from there only.
pub(crate) type Handler = unsafe extern "C" fn(NonNull<Task>) -> NonNull<Task>;

/// Number of system calls.
pub(crate) const COUNT: usize = 14;

/// Rows are number, call, and where there is one the call's short way.
macro_rules! table {
    ($($number:ident => $call:expr $(; $direct:path)?,)*) => {
        /// The system calls by number; after the last, what happens to all other numbers.
        pub(crate) static KERNEL_CALLS: [Handler; COUNT + 1] = {
            let numbers = [$(Sysnum::$number as usize),*];
            let mut i = 0;
            while i < COUNT {
                assert!(numbers[i] == i, "calls must be listed in the order of their numbers");
                i += 1;
            }
            [$({
                // Not part of the short way: its registers are few.
                #[inline(never)]
                unsafe extern "C" fn handler(task: NonNull<Task>) -> NonNull<Task> {
                    // SAFETY: a new kernel entry, see `Handler`.
                    unsafe { with_kernel(task, |kernel, caller| settle(kernel, caller, $call)) }
                }
                $(
                    unsafe extern "C" fn direct(task: NonNull<Task>) -> NonNull<Task> {
                        // SAFETY: as above.
                        match unsafe { try_with_kernel(task, $direct) } {
                            Some(next) => next,
                            // SAFETY: the same entry, of which nothing has been made yet.
                            None => unsafe { handler(task) },
                        }
                    }
                    let handler = direct;
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
    Send => message::send; direct::send,
    Recv => message::recv,
    Reply => message::reply; direct::reply,
    SetTimer => time::set_timer,
    BorrowRead => lease::borrow_read; direct::borrow_read,
    BorrowWrite => lease::borrow_write; direct::borrow_write,
    BorrowInfo => lease::borrow_info; direct::borrow_info,
    IrqControl => interrupts::irq_control,
    Panic => |_, _| Err(CallFault::Panic.into()),
    GetTimer => time::get_timer,
    RefreshTaskId => refresh_task_id,
    Post => post,
    ReplyFault => message::reply_fault,
    IrqStatus => interrupts::irq_status,
}

/// Makes a call and sees to it that it ends as it says.
#[inline(always)]
fn settle(
    kernel: &mut Kernel,
    caller: TaskHandle,
    call: impl FnOnce(&mut Kernel, TaskHandle) -> Outcome,
) -> TaskHandle {
    match call(kernel, caller) {
        Ok(next) => next,
        Err(Stop::Code(code)) => {
            kernel[caller].save.set_response(code, 0);
            caller
        }
        Err(Stop::Fault(fault)) => kernel.fault_current(caller, fault),
    }
}

/// REFRESH_TASK_ID: the present name of the task that a name, of whatever generation, belongs to.
fn refresh_task_id(kernel: &mut Kernel, caller: TaskHandle) -> Outcome {
    let id = TaskId(kernel[caller].save.arguments()[0] as u16);
    let task = TaskHandle::new(id.index()).ok_or(UsageError::TaskOutOfRange)?;
    let current = kernel[task].id;
    kernel[caller].save.set_refreshed(current);
    Ok(caller)
}

/// POST: notification bits for any task. Goes straight to the target if that wakes it and it is more important.
fn post(kernel: &mut Kernel, caller: TaskHandle) -> Outcome {
    let [id, bits, ..] = kernel[caller].save.arguments();
    let target = kernel.lookup(TaskId(id as u16))?;
    kernel[caller].save.set_response(0, 0);
    let woken = kernel.post(target, bits);
    if woken
        && kernel[target]
            .priority
            .is_more_important_than(kernel[caller].priority)
    {
        return Ok(target);
    }
    Ok(caller)
}
