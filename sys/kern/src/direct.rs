//! The short way of the calls that every message is made of: SEND to a task that waits for it, BORROW, REPLY.
//!
//! Each function here does the whole of its call if there is nothing to be said against any part of it and all memory
//! lies in the regions of the two tasks' stacks; otherwise it does nothing and returns `None`. Then the call is made
//! by the function in [`message`](crate::message) that knows all its rules, from the beginning. Nothing is checked less
//! than there: what is not checked here cannot be otherwise (stacks of different tasks do not overlap, which is checked
//! at start), and every check that fails leads there. It is worth a second function because it has one way out, and so
//! needs no memory but registers.

use crate::table::{Kernel, TaskHandle};
use crate::task::Meeting;
use crate::umem;
use abi::{LeaseAttributes, TaskId, ULease};
use kerncore::slice::UserSlice;

/// SEND.
#[inline(always)]
pub(crate) fn send(kernel: &mut Kernel, caller: TaskHandle) -> Option<TaskHandle> {
    let [
        target,
        message,
        message_len,
        reply,
        reply_len,
        leases,
        lease_count,
    ] = kernel[caller].save.arguments();
    let id = TaskId((target >> 16) as u16);
    // The kernel itself is no task of the table.
    let callee = TaskHandle::new(id.index())?;
    if kernel[callee].meeting != Meeting::receive(id) {
        return None;
    }
    UserSlice::<u8>::new(reply, reply_len).ok()?;
    UserSlice::<ULease>::new(leases, lease_count).ok()?;
    let [buffer, buffer_len, ..] = kernel[callee].save.arguments();
    let message = [message, message_len];
    umem::copy_between_stacks(kernel, caller, message, callee, [buffer, buffer_len])?;
    let sender = kernel[caller].id;
    kernel[callee]
        .save
        .set_received(sender, target & 0xffff, message_len, reply_len, lease_count);
    kernel.hand_over(caller, callee);
    Some(callee)
}

/// REPLY.
#[inline(always)]
pub(crate) fn reply(kernel: &mut Kernel, caller: TaskHandle) -> Option<TaskHandle> {
    let client = waiting_for_reply(kernel, caller)?;
    let [_, code, message, message_len, ..] = kernel[caller].save.arguments();
    let [_, _, _, buffer, buffer_len, ..] = kernel[client].save.arguments();
    if message_len > buffer_len {
        return None;
    }
    let message = [message, message_len];
    umem::copy_between_stacks(kernel, caller, message, client, [buffer, buffer_len])?;
    kernel[client].save.set_response(code, message_len);
    kernel.replied(client);
    Some(caller)
}

/// BORROW_READ.
#[inline(always)]
pub(crate) fn borrow_read(kernel: &mut Kernel, caller: TaskHandle) -> Option<TaskHandle> {
    let [_, _, _, buffer, len, ..] = kernel[caller].save.arguments();
    let (lender, leased) = leased_memory(kernel, caller, LeaseAttributes::READ)?;
    let copied = umem::copy_between_stacks(kernel, lender, leased, caller, [buffer, len])?;
    kernel[caller].save.set_response(0, copied);
    Some(caller)
}

/// BORROW_WRITE.
#[inline(always)]
pub(crate) fn borrow_write(kernel: &mut Kernel, caller: TaskHandle) -> Option<TaskHandle> {
    let [_, _, _, buffer, len, ..] = kernel[caller].save.arguments();
    let (lender, leased) = leased_memory(kernel, caller, LeaseAttributes::WRITE)?;
    let copied = umem::copy_between_stacks(kernel, caller, [buffer, len], lender, leased)?;
    kernel[caller].save.set_response(0, copied);
    Some(caller)
}

/// BORROW_INFO.
#[inline(always)]
pub(crate) fn borrow_info(kernel: &mut Kernel, caller: TaskHandle) -> Option<TaskHandle> {
    let (_, lease) = lease(kernel, caller)?;
    kernel[caller]
        .save
        .set_borrow_info(lease.attributes.bits(), lease.length);
    Some(caller)
}

/// The task that argument 0 names, if it waits for the caller's reply. That is another task than the caller.
#[inline(always)]
fn waiting_for_reply(kernel: &Kernel, caller: TaskHandle) -> Option<TaskHandle> {
    let [id, ..] = kernel[caller].save.arguments();
    let id = TaskId(id as u16);
    let client = TaskHandle::new(id.index())?;
    (kernel[client].meeting == Meeting::reply(id, kernel[caller].id)).then_some(client)
}

/// The lease that the caller's arguments 0 and 1 name.
#[inline(always)]
fn lease(kernel: &Kernel, caller: TaskHandle) -> Option<(TaskHandle, ULease)> {
    let lender = waiting_for_reply(kernel, caller)?;
    let [_, index, ..] = kernel[caller].save.arguments();
    let [_, _, _, _, _, table, count] = kernel[lender].save.arguments();
    let lease = umem::read_lease_in_stack(&kernel[lender], table, count, index)?;
    Some((lender, lease))
}

/// The memory behind that lease, from the caller's offset (argument 2) on.
#[inline(always)]
fn leased_memory(
    kernel: &Kernel,
    caller: TaskHandle,
    wanted: LeaseAttributes,
) -> Option<(TaskHandle, [u32; 2])> {
    let (lender, lease) = lease(kernel, caller)?;
    let [_, _, offset, ..] = kernel[caller].save.arguments();
    let rest = lease.length.checked_sub(offset)?;
    let base = lease.base_address.checked_add(offset)?;
    if !lease.attributes.contains(wanted) {
        return None;
    }
    Some((lender, [base, rest]))
}
