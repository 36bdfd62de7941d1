//! The system calls: which number is which, and those that are too short for a module of their own.
//!
//! Each call is a function from the kernel's state and the caller to who runs next, or to why the call stops
//! ([`Stop`]). Arguments are read from, and results written to, the caller's saved registers.

use crate::table::{Kernel, Next, Stop, TaskHandle};
use crate::{interrupts, message, message::lease, time};
use abi::{FaultInfo, Sysnum, TaskId, UsageError};

/// Carries out the system call whose number and arguments are in the caller's saved registers.
#[inline(always)]
pub(crate) fn call(kernel: &mut Kernel, caller: TaskHandle) -> Result<Next, Stop> {
    match Sysnum::try_from(kernel[caller].save.call_number()) {
        Ok(Sysnum::Send) => message::send(kernel, caller),
        Ok(Sysnum::Recv) => message::recv(kernel, caller),
        Ok(Sysnum::Reply) => message::reply(kernel, caller),
        Ok(Sysnum::SetTimer) => time::set_timer(kernel, caller),
        Ok(Sysnum::BorrowRead) => lease::borrow_read(kernel, caller),
        Ok(Sysnum::BorrowWrite) => lease::borrow_write(kernel, caller),
        Ok(Sysnum::BorrowInfo) => lease::borrow_info(kernel, caller),
        Ok(Sysnum::IrqControl) => interrupts::irq_control(kernel, caller),
        Ok(Sysnum::Panic) => Err(Stop::Fault(FaultInfo::Panic)),
        Ok(Sysnum::GetTimer) => time::get_timer(kernel, caller),
        Ok(Sysnum::RefreshTaskId) => refresh_task_id(kernel, caller),
        Ok(Sysnum::Post) => post(kernel, caller),
        Ok(Sysnum::ReplyFault) => message::reply_fault(kernel, caller),
        Ok(Sysnum::IrqStatus) => interrupts::irq_status(kernel, caller),
        Err(()) => Err(UsageError::BadSyscallNumber.into()),
    }
}

/// REFRESH_TASK_ID: the present name of the task that a name, of whatever generation, belongs to.
fn refresh_task_id(kernel: &mut Kernel, caller: TaskHandle) -> Result<Next, Stop> {
    let id = TaskId(kernel[caller].save.arguments()[0] as u16);
    let task = TaskHandle::new(id.index()).ok_or(UsageError::TaskOutOfRange)?;
    let current = kernel[task].id;
    kernel[caller].save.set_refreshed(current);
    Ok(Next::Stay)
}

/// POST: notification bits for any task. Goes straight to the target if that wakes it and it is more important.
fn post(kernel: &mut Kernel, caller: TaskHandle) -> Result<Next, Stop> {
    let [id, bits, ..] = kernel[caller].save.arguments();
    let target = kernel.lookup(TaskId(id as u16))?;
    kernel[caller].save.set_response(0, 0);
    let woken = kernel.post(target, bits);
    if woken
        && kernel[target]
            .priority
            .is_more_important_than(kernel[caller].priority)
    {
        return Ok(Next::Switch(target));
    }
    Ok(Next::Stay)
}
