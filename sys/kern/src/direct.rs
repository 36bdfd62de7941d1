//! The short way of the calls that every message is made of: SEND to a task that waits for it, BORROW, REPLY.
//!
//! Each function here does the whole of its call if there is nothing to be said against any part of it and all memory
//! lies in the regions of the two tasks' stacks; otherwise it does nothing and returns `None`. Then the call is made
//! by the function in [`message`](crate::message) that knows all its rules, from the beginning. Nothing is checked less
//! than there: what is not checked here cannot be otherwise (stacks of different tasks do not overlap, which is checked
//! at start), and every check that fails leads there. It is worth a second function because it has one way out, and so
//! needs no memory but registers.

use crate::table::{Kernel, TaskHandle};
use crate::umem;
use abi::{LeaseAttributes, SchedState, TaskId, TaskState, ULease};
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
    // The kernel itself is no task of the table.
    let callee = kernel.lookup(TaskId((target >> 16) as u16)).ok()?;
    let id = kernel[caller].id;
    if !kernel[callee].state.can_accept_message_from(id) {
        return None;
    }
    let message = UserSlice::<u8>::new(message, message_len).ok()?;
    let reply = UserSlice::<u8>::new(reply, reply_len).ok()?;
    let leases = UserSlice::<ULease>::new(leases, lease_count).ok()?;
    let [buffer, buffer_len, ..] = kernel[callee].save.arguments();
    let buffer = UserSlice::<u8>::new(buffer, buffer_len).ok()?;
    umem::copy_between_stacks(kernel, caller, message, callee, buffer)?;
    kernel[callee].save.set_received(
        id,
        target & 0xffff,
        message.count(),
        reply.count(),
        leases.count(),
    );
    kernel.hand_over(caller, callee);
    Some(callee)
}

/// REPLY.
#[inline(always)]
pub(crate) fn reply(kernel: &mut Kernel, caller: TaskHandle) -> Option<TaskHandle> {
    let client = waiting_for_reply(kernel, caller)?;
    let [_, code, message, message_len, ..] = kernel[caller].save.arguments();
    let message = UserSlice::<u8>::new(message, message_len).ok()?;
    let [_, _, _, buffer, buffer_len, ..] = kernel[client].save.arguments();
    let buffer = UserSlice::<u8>::new(buffer, buffer_len).ok()?;
    if message.count() > buffer.count() {
        return None;
    }
    let copied = umem::copy_between_stacks(kernel, caller, message, client, buffer)?;
    kernel[client].save.set_response(code, copied);
    kernel.replied(client);
    Some(caller)
}

/// BORROW_READ.
#[inline(always)]
pub(crate) fn borrow_read(kernel: &mut Kernel, caller: TaskHandle) -> Option<TaskHandle> {
    let [_, _, _, buffer, len, ..] = kernel[caller].save.arguments();
    let buffer = UserSlice::new(buffer, len).ok()?;
    let (lender, leased) = leased_memory(kernel, caller, LeaseAttributes::READ)?;
    let copied = umem::copy_between_stacks(kernel, lender, leased, caller, buffer)?;
    kernel[caller].save.set_response(0, copied);
    Some(caller)
}

/// BORROW_WRITE.
#[inline(always)]
pub(crate) fn borrow_write(kernel: &mut Kernel, caller: TaskHandle) -> Option<TaskHandle> {
    let [_, _, _, buffer, len, ..] = kernel[caller].save.arguments();
    let buffer = UserSlice::new(buffer, len).ok()?;
    let (lender, leased) = leased_memory(kernel, caller, LeaseAttributes::WRITE)?;
    let copied = umem::copy_between_stacks(kernel, caller, buffer, lender, leased)?;
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
    let client = kernel.lookup(TaskId(id as u16)).ok()?;
    match kernel[client].state {
        TaskState::Healthy(SchedState::InReply(to)) if to == kernel[caller].id => Some(client),
        _ => None,
    }
}

/// The lease that the caller's arguments 0 and 1 name.
#[inline(always)]
fn lease(kernel: &Kernel, caller: TaskHandle) -> Option<(TaskHandle, ULease)> {
    let lender = waiting_for_reply(kernel, caller)?;
    let [_, index, ..] = kernel[caller].save.arguments();
    let [_, _, _, _, _, table, count] = kernel[lender].save.arguments();
    let table = UserSlice::<ULease>::new(table, count).ok()?;
    let task = &kernel[lender];
    if !task.arch.in_stack_region(table.base(), table.end()) {
        return None;
    }
    let lease = umem::read_lease(task, table, index).ok()??;
    Some((lender, lease))
}

/// The memory behind that lease, from the caller's offset (argument 2) on.
#[inline(always)]
fn leased_memory(
    kernel: &Kernel,
    caller: TaskHandle,
    wanted: LeaseAttributes,
) -> Option<(TaskHandle, UserSlice<u8>)> {
    let (lender, lease) = lease(kernel, caller)?;
    let [_, _, offset, ..] = kernel[caller].save.arguments();
    let rest = lease.length.checked_sub(offset)?;
    let base = lease.base_address.checked_add(offset)?;
    if !lease.attributes.contains(wanted) {
        return None;
    }
    Some((lender, UserSlice::new(base, rest).ok()?))
}
