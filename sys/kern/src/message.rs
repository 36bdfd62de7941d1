//! Messages: SEND, RECV, REPLY, REPLY_FAULT.
//!
//! A message is copied once, from the sender's memory to the receiver's, at the moment both are ready. Whoever
//! arrives first waits, with the arguments of its call still in its saved registers; whoever arrives second does the
//! delivery, and is blamed, as the first is, for exactly its own slices: the sender for message, reply buffer and
//! lease table, the receiver for its buffer.
//!
//! A SEND to a task that is waiting for it goes straight to that task, past the scheduler: the receiver is more
//! important than the sender in any system that obeys the uphill rule. A REPLY never switches, for the same reason.

pub(crate) mod lease;

use crate::kipc;
use crate::outcome::{CallFault, Outcome, Stop};
use crate::table::{Kernel, TaskHandle};
use crate::umem::{self, Blame};
use abi::{FaultInfo, ReplyFaultReason, SchedState, TaskId, TaskState, ULease, UsageError};
use kerncore::slice::UserSlice;

/// SEND.
#[inline(always)]
pub(crate) fn send(kernel: &mut Kernel, caller: TaskHandle) -> Outcome {
    let target = TaskId((kernel[caller].save.arguments()[0] >> 16) as u16);
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
            Err(blame) => refuse(kernel, caller, callee, blame),
        };
    }
    kernel.block(caller, SchedState::InSend(target));
    Ok(kernel.pick(caller))
}

/// The message could not be delivered to a waiting receiver. A sender that is not to blame waits for the receiver's
/// restart.
#[cold]
#[inline(never)]
fn refuse(kernel: &mut Kernel, caller: TaskHandle, callee: TaskHandle, blame: Blame) -> Outcome {
    if let Some(fault) = blame.to {
        kernel.fault(callee, fault);
    }
    if let Some(fault) = blame.from {
        return Err(fault.into());
    }
    let target = kernel.id(callee);
    kernel.block(caller, SchedState::InSend(target));
    Ok(kernel.pick(caller))
}

/// RECV.
#[inline(always)]
pub(crate) fn recv(kernel: &mut Kernel, caller: TaskHandle) -> Outcome {
    /// Argument 3: only from the task in the low half.
    const CLOSED: u32 = 1 << 31;

    let [_, _, mask, source, ..] = kernel[caller].save.arguments();
    if kernel.take_notifications(caller, mask) {
        return Ok(caller);
    }
    if source & CLOSED != 0 {
        return recv_closed(kernel, caller, TaskId(source as u16));
    }
    if let Some(sender) = kernel.pick_sender(caller) {
        return recv_from_queue(kernel, caller, sender);
    }
    kernel.block(caller, SchedState::InRecv(None));
    Ok(kernel.pick(caller))
}

/// Receives from the first of the waiting senders whose slices are in order. Each that is not is faulted, and no longer
/// waits: so this ends.
#[inline(never)]
fn recv_from_queue(kernel: &mut Kernel, caller: TaskHandle, first: TaskHandle) -> Outcome {
    let mut woken = false;
    let mut candidate = Some(first);
    while let Some(sender) = candidate {
        match deliver(kernel, sender, caller) {
            Ok(()) => {
                kernel.received(sender, caller);
                return Ok(kernel.pick_if(woken, caller));
            }
            Err(blame) => {
                if let Some(fault) = blame.from {
                    woken |= kernel.fault(sender, fault);
                }
                if let Some(fault) = blame.to {
                    return Err(fault.into());
                }
            }
        }
        candidate = kernel.pick_sender(caller);
    }
    kernel.block(caller, SchedState::InRecv(None));
    Ok(kernel.pick(caller))
}

/// RECV from one task only, or from the kernel only: notifications.
#[inline(never)]
fn recv_closed(kernel: &mut Kernel, caller: TaskHandle, source: TaskId) -> Outcome {
    if source != TaskId::KERNEL {
        let sender = kernel.lookup(source)?;
        if kernel[sender].state.is_sending_to(kernel[caller].id) {
            match deliver(kernel, sender, caller) {
                Ok(()) => {
                    kernel.received(sender, caller);
                    return Ok(caller);
                }
                Err(blame) => {
                    if let Some(fault) = blame.from {
                        kernel.fault(sender, fault);
                    }
                    if let Some(fault) = blame.to {
                        return Err(fault.into());
                    }
                }
            }
        }
    }
    kernel.block(caller, SchedState::InRecv(Some(source)));
    Ok(kernel.pick(caller))
}

/// Copies the message of `sender`, which is in SEND, to `receiver`, which is in RECV, and gives the receiver its
/// results. The states are the caller's business.
#[inline(always)]
fn deliver(kernel: &mut Kernel, sender: TaskHandle, receiver: TaskHandle) -> Result<(), Blame> {
    let [
        target,
        message,
        message_len,
        reply,
        reply_len,
        leases,
        lease_count,
    ] = kernel[sender].save.arguments();
    let message = UserSlice::<u8>::new(message, message_len).map_err(Blame::from_side)?;
    let reply = UserSlice::<u8>::new(reply, reply_len).map_err(Blame::from_side)?;
    let leases = UserSlice::<ULease>::new(leases, lease_count).map_err(Blame::from_side)?;
    let [buffer, buffer_len, ..] = kernel[receiver].save.arguments();
    let buffer = UserSlice::<u8>::new(buffer, buffer_len).map_err(Blame::to_side)?;
    umem::copy(kernel, sender, message, receiver, buffer)?;
    let id = kernel[sender].id;
    kernel[receiver].save.set_received(
        id,
        target & 0xffff,
        message.count(),
        reply.count(),
        leases.count(),
    );
    Ok(())
}

/// The client that REPLY or REPLY_FAULT is aimed at, if it is (still) waiting for the caller's reply.
#[inline(always)]
fn client(kernel: &Kernel, caller: TaskHandle) -> Result<Option<TaskHandle>, Stop> {
    let id = TaskId(kernel[caller].save.arguments()[0] as u16);
    let client = match kernel.lookup(id) {
        Ok(client) => client,
        Err(Stop::Code(_)) => return Ok(None),
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
pub(crate) fn reply(kernel: &mut Kernel, caller: TaskHandle) -> Outcome {
    let Some(client) = client(kernel, caller)? else {
        return Ok(caller);
    };
    let [_, code, message, message_len, ..] = kernel[caller].save.arguments();
    let message = UserSlice::<u8>::new(message, message_len)?;
    let [_, _, _, buffer, buffer_len, ..] = kernel[client].save.arguments();
    let buffer = match UserSlice::<u8>::new(buffer, buffer_len) {
        Ok(buffer) => buffer,
        Err(error) => return blame_client(kernel, caller, client, error.into(), None),
    };
    if message.count() > buffer.count() {
        return Err(UsageError::ReplyTooBig.into());
    }
    match umem::copy(kernel, caller, message, client, buffer) {
        Ok(copied) => {
            kernel[client].save.set_response(code, copied);
            kernel.replied(client);
            Ok(caller)
        }
        Err(Blame {
            from,
            to: Some(fault),
        }) => blame_client(kernel, caller, client, fault, from),
        Err(Blame { from, to: None }) => from.map_or(Ok(caller), |fault| Err(fault.into())),
    }
}

#[cold]
#[inline(never)]
fn blame_client(
    kernel: &mut Kernel,
    caller: TaskHandle,
    client: TaskHandle,
    fault: CallFault,
    own: Option<CallFault>,
) -> Outcome {
    kernel.fault(client, fault);
    own.map_or(Ok(caller), |fault| Err(fault.into()))
}

/// REPLY_FAULT.
pub(crate) fn reply_fault(kernel: &mut Kernel, caller: TaskHandle) -> Outcome {
    let reason = kernel[caller].save.arguments()[1];
    let reason =
        ReplyFaultReason::try_from(reason).map_err(|()| UsageError::BadReplyFaultReason)?;
    if let Some(client) = client(kernel, caller)? {
        let server = kernel.id(caller);
        kernel.fault(client, FaultInfo::FromServer(server, reason));
    }
    Ok(caller)
}
