//! Messages: SEND, RECV, REPLY, REPLY_FAULT on their general path.
//!
//! The fast path is [`crate::fast_path`].
//!
//! A message is copied once, from the sender's memory to the receiver's, when both are ready. The
//! task that is ready first blocks, with the arguments of its call still in its saved registers;
//! the call of the second one delivers. Each of the two is faulted for its own slices only,
//! whichever was first: the sender for message, reply buffer and lease table, the receiver for its
//! buffer.
//!
//! A SEND to a task that waits for it switches to that task without asking the scheduler: a
//! receiver is more important than its senders in any system that obeys the uphill rule. For the
//! same reason a REPLY never switches.
//!
//! Leases are checked in [`lease`].

pub(crate) mod lease;

use crate::arch::Received;
use crate::kipc;
use crate::outcome::{CallError, CallFault, CallOutcome};
use crate::syscalls::args::{RecvArgs, ReplyArgs, ReplyFaultArgs, SendArgs};
use crate::table::{Kernel, TaskHandle};
use crate::umem::{self, CopyFaults};
use abi::{FaultInfo, ReplyFaultReason, SchedState, TaskId, TaskState, UsageError};

/// SEND.
#[inline(always)]
pub(crate) fn send(kernel: &mut Kernel, caller: TaskHandle) -> CallOutcome {
    let target = SendArgs::of(&kernel[caller]).target;
    if target == TaskId::KERNEL {
        return kipc::handle(kernel, caller);
    }
    let callee = kernel.lookup(target)?;
    if kernel[callee]
        .state
        .can_accept_message_from(kernel[caller].id)
    {
        return match deliver(kernel, caller, callee) {
            Ok(()) => {
                kernel.hand_over(caller, callee);
                Ok(callee)
            }
            Err(faults) => refuse(kernel, caller, callee, faults),
        };
    }
    kernel.block(caller, SchedState::InSend(target));
    Ok(kernel.pick_next(caller))
}

/// The message could not be delivered to a waiting receiver. If only the receiver is at fault, the
/// sender blocks until the receiver is restarted.
#[cold]
#[inline(never)]
fn refuse(
    kernel: &mut Kernel,
    caller: TaskHandle,
    callee: TaskHandle,
    faults: CopyFaults,
) -> CallOutcome {
    if let Some(fault) = faults.destination {
        kernel.fault(callee, fault);
    }
    if let Some(fault) = faults.source {
        return Err(fault.into());
    }
    let target = kernel.id(callee);
    kernel.block(caller, SchedState::InSend(target));
    Ok(kernel.pick_next(caller))
}

/// RECV.
#[inline(always)]
pub(crate) fn recv(kernel: &mut Kernel, caller: TaskHandle) -> CallOutcome {
    let args = RecvArgs::of(&kernel[caller]);
    if kernel.take_notifications(caller, args.notifications) {
        return Ok(caller);
    }
    if let Some(source) = args.source {
        return recv_closed(kernel, caller, source);
    }
    if let Some(sender) = kernel.pick_sender(caller) {
        return recv_from_queue(kernel, caller, sender);
    }
    kernel.block(caller, SchedState::InRecv(None));
    Ok(kernel.pick_next(caller))
}

/// Receives from the first of the waiting senders whose slices are in order. Each sender before it
/// is faulted and so leaves the queue, which bounds the loop.
#[inline(never)]
fn recv_from_queue(kernel: &mut Kernel, caller: TaskHandle, first: TaskHandle) -> CallOutcome {
    let mut woken = false;
    let mut candidate = Some(first);
    while let Some(sender) = candidate {
        match deliver(kernel, sender, caller) {
            Ok(()) => {
                kernel.received(sender, caller);
                kernel[caller].set_returned();
                return Ok(kernel.pick_if(woken, caller));
            }
            Err(faults) => {
                if let Some(fault) = faults.source {
                    woken |= kernel.fault(sender, fault);
                }
                if let Some(fault) = faults.destination {
                    return Err(fault.into());
                }
            }
        }
        candidate = kernel.pick_sender(caller);
    }
    kernel.block(caller, SchedState::InRecv(None));
    Ok(kernel.pick_next(caller))
}

/// RECV from one task only, or from the kernel only: notifications.
#[inline(never)]
fn recv_closed(kernel: &mut Kernel, caller: TaskHandle, source: TaskId) -> CallOutcome {
    if source != TaskId::KERNEL {
        let sender = kernel.lookup(source)?;
        if kernel[sender].state.is_sending_to(kernel[caller].id) {
            match deliver(kernel, sender, caller) {
                Ok(()) => {
                    kernel.received(sender, caller);
                    kernel[caller].set_returned();
                    return Ok(caller);
                }
                Err(faults) => {
                    if let Some(fault) = faults.source {
                        kernel.fault(sender, fault);
                    }
                    if let Some(fault) = faults.destination {
                        return Err(fault.into());
                    }
                }
            }
        }
    }
    kernel.block(caller, SchedState::InRecv(Some(source)));
    kernel[caller].note_closed_receive();
    Ok(kernel.pick_next(caller))
}

/// Copies the message of `sender`, which is in SEND, to `receiver`, which is in RECV, and stores
/// the receiver's results. Does not change the state of either.
#[inline(always)]
fn deliver(
    kernel: &mut Kernel,
    sender: TaskHandle,
    receiver: TaskHandle,
) -> Result<(), CopyFaults> {
    let args = SendArgs::of(&kernel[sender]);
    let message = args.message.check().map_err(CopyFaults::of_source)?;
    let reply = args.reply.check().map_err(CopyFaults::of_source)?;
    let leases = args.leases.check().map_err(CopyFaults::of_source)?;
    let buffer = RecvArgs::of(&kernel[receiver]).buffer;
    let buffer = buffer.check().map_err(CopyFaults::of_destination)?;
    umem::copy(kernel, sender, message, receiver, buffer)?;
    let id = kernel[sender].id;
    kernel[receiver].save.set_received(Received {
        sender: id,
        operation: u32::from(args.operation),
        message_len: message.count(),
        reply_capacity: reply.count(),
        lease_count: leases.count(),
    });
    Ok(())
}

/// The client that REPLY or REPLY_FAULT is aimed at, if it (still) waits for the caller's reply.
#[inline(always)]
fn client(
    kernel: &Kernel,
    caller: TaskHandle,
    id: TaskId,
) -> Result<Option<TaskHandle>, CallError> {
    let client = match kernel.lookup(id) {
        Ok(client) => client,
        Err(CallError::Code(_)) => return Ok(None),
        Err(fault) => return Err(fault),
    };
    let caller = kernel[caller].id;
    match kernel[client].state {
        TaskState::Healthy(SchedState::InReply(to)) if to == caller => Ok(Some(client)),
        _ => Ok(None),
    }
}

/// REPLY.
#[inline(always)]
pub(crate) fn reply(kernel: &mut Kernel, caller: TaskHandle) -> CallOutcome {
    let args = ReplyArgs::of(&kernel[caller]);
    let Some(client) = client(kernel, caller, args.client)? else {
        return Ok(caller);
    };
    let message = args.message.check()?;
    let buffer = match SendArgs::of(&kernel[client]).reply.check() {
        Ok(buffer) => buffer,
        Err(error) => return fault_client(kernel, caller, client, error.into(), None),
    };
    if message.count() > buffer.count() {
        return Err(UsageError::ReplyTooBig.into());
    }
    match umem::copy(kernel, caller, message, client, buffer) {
        Ok(copied) => {
            kernel[client].save.set_response(args.code, copied);
            kernel.replied(client);
            Ok(caller)
        }
        Err(CopyFaults {
            source,
            destination: Some(fault),
        }) => fault_client(kernel, caller, client, fault, source),
        Err(CopyFaults {
            source,
            destination: None,
        }) => source.map_or(Ok(caller), |fault| Err(fault.into())),
    }
}

/// Faults the client, and the caller too if it has a fault of its own.
#[cold]
#[inline(never)]
fn fault_client(
    kernel: &mut Kernel,
    caller: TaskHandle,
    client: TaskHandle,
    fault: CallFault,
    own: Option<CallFault>,
) -> CallOutcome {
    kernel.fault(client, fault);
    own.map_or(Ok(caller), |fault| Err(fault.into()))
}

/// REPLY_FAULT.
pub(crate) fn reply_fault(kernel: &mut Kernel, caller: TaskHandle) -> CallOutcome {
    let args = ReplyFaultArgs::of(&kernel[caller]);
    let reason =
        ReplyFaultReason::try_from(args.reason).map_err(|()| UsageError::BadReplyFaultReason)?;
    if let Some(client) = client(kernel, caller, args.client)? {
        let server = kernel.id(caller);
        kernel.fault(client, FaultInfo::FromServer(server, reason));
    }
    Ok(caller)
}
