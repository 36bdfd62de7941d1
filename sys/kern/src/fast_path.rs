//! Fast path of SEND, REPLY and BORROW, the calls that every message consists of.
//!
//! Each function here completes its call if nothing is wrong with it, the other task waits for it
//! already, and all memory lies in the stack regions of the two tasks. Otherwise it changes nothing
//! and returns `None`, and the general path ([`message`](crate::message)) makes the call from the
//! beginning. The general path alone decides which task is faulted and with what.
//!
//! No check of the general path is left out: each is either made here, or follows from what is made
//! (stack regions of different tasks do not overlap; `startup` checks that). A function with one
//! way to succeed and one to give up keeps everything in registers; that is what makes it fast.

use crate::arch::Received;
use crate::syscalls::args::{BorrowArgs, LeaseArgs, RawSlice, RecvArgs, ReplyArgs, SendArgs};
use crate::table::{Kernel, TaskHandle};
use crate::task::PackedWait;
use crate::umem;
use abi::{LeaseAttributes, TaskId, ULease};

/// SEND to a task that is in an open RECV.
#[inline(always)]
pub(crate) fn send(kernel: &mut Kernel, caller: TaskHandle) -> Option<TaskHandle> {
    let args = SendArgs::of(&kernel[caller]);
    // `None` for kernel IPC: TaskId::KERNEL is not an index of the table.
    let callee = TaskHandle::new(args.target.index())?;
    if kernel[callee].wait != PackedWait::for_message(args.target) {
        return None;
    }
    args.reply.check().ok()?;
    args.leases.check().ok()?;
    let buffer = RecvArgs::of(&kernel[callee]).buffer;
    umem::copy_between_stacks(kernel, caller, args.message, callee, buffer)?;
    let sender = kernel[caller].id;
    kernel[callee].save.set_received(Received {
        sender,
        operation: u32::from(args.operation),
        message_len: args.message.count,
        reply_capacity: args.reply.count,
        lease_count: args.leases.count,
    });
    kernel.hand_over(caller, callee);
    Some(callee)
}

/// REPLY.
#[inline(always)]
pub(crate) fn reply(kernel: &mut Kernel, caller: TaskHandle) -> Option<TaskHandle> {
    let args = ReplyArgs::of(&kernel[caller]);
    let client = waiting_for_reply(kernel, caller, args.client)?;
    let buffer = SendArgs::of(&kernel[client]).reply;
    if args.message.count > buffer.count {
        return None;
    }
    umem::copy_between_stacks(kernel, caller, args.message, client, buffer)?;
    kernel[client]
        .save
        .set_response(args.code, args.message.count);
    kernel.replied(client);
    Some(caller)
}

/// BORROW_READ.
#[inline(always)]
pub(crate) fn borrow_read(kernel: &mut Kernel, caller: TaskHandle) -> Option<TaskHandle> {
    let args = BorrowArgs::of(&kernel[caller]);
    let (lender, leased) = leased_memory(kernel, caller, args, LeaseAttributes::READ)?;
    let copied = umem::copy_between_stacks(kernel, lender, leased, caller, args.buffer)?;
    kernel[caller].save.set_response(0, copied);
    Some(caller)
}

/// BORROW_WRITE.
#[inline(always)]
pub(crate) fn borrow_write(kernel: &mut Kernel, caller: TaskHandle) -> Option<TaskHandle> {
    let args = BorrowArgs::of(&kernel[caller]);
    let (lender, leased) = leased_memory(kernel, caller, args, LeaseAttributes::WRITE)?;
    let copied = umem::copy_between_stacks(kernel, caller, args.buffer, lender, leased)?;
    kernel[caller].save.set_response(0, copied);
    Some(caller)
}

/// BORROW_INFO.
#[inline(always)]
pub(crate) fn borrow_info(kernel: &mut Kernel, caller: TaskHandle) -> Option<TaskHandle> {
    let (_, lease) = find_lease(kernel, caller, LeaseArgs::of(&kernel[caller]))?;
    kernel[caller]
        .save
        .set_borrow_info(lease.attributes.bits(), lease.length);
    Some(caller)
}

/// The task that `id` names, if it waits for the caller's reply. It is never the caller itself.
#[inline(always)]
fn waiting_for_reply(kernel: &Kernel, caller: TaskHandle, id: TaskId) -> Option<TaskHandle> {
    let client = TaskHandle::new(id.index())?;
    (kernel[client].wait == PackedWait::for_reply(id, kernel[caller].id)).then_some(client)
}

/// The lease that `args` name, and its lender. The checks are those of `message::lease`.
#[inline(always)]
fn find_lease(
    kernel: &Kernel,
    caller: TaskHandle,
    args: LeaseArgs,
) -> Option<(TaskHandle, ULease)> {
    let lender = waiting_for_reply(kernel, caller, args.lender)?;
    let table = SendArgs::of(&kernel[lender]).leases;
    let lease = umem::read_lease_in_stack(&kernel[lender], table, args.index)?;
    Some((lender, lease))
}

/// The memory of that lease from the offset in `args` on, if the lease allows `wanted`.
#[inline(always)]
fn leased_memory(
    kernel: &Kernel,
    caller: TaskHandle,
    args: BorrowArgs,
    wanted: LeaseAttributes,
) -> Option<(TaskHandle, RawSlice<u8>)> {
    let (lender, lease) = find_lease(kernel, caller, args.lease)?;
    let rest = lease.length.checked_sub(args.offset)?;
    let base = lease.base_address.checked_add(args.offset)?;
    if !lease.attributes.contains(wanted) {
        return None;
    }
    Some((lender, RawSlice::new(base, rest)))
}
