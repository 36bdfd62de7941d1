//! One iteration of a server's receive loop.

use crate::{ClientError, RequestError};
use core::marker::PhantomData;
use userlib::{
    FromPrimitive, NotificationBits, RecvMessage, ReplyFaultReason, TaskId, sys_recv, sys_reply,
    sys_reply_fault,
};

/// The part of a server that handles notifications.
pub trait NotificationHandler {
    /// Mask of the notifications for which [`dispatch`] waits, beside messages; 0 for none.
    fn current_notification_mask(&self) -> u32;

    /// Called with the notifications that were received.
    fn handle_notification(&mut self, bits: NotificationBits);
}

/// The operations of an interface. Implemented by generated code.
pub trait ServerOp: FromPrimitive + Copy {
    /// Does [`Server::handle`] itself check a request against [`Self::max_reply_size`] and
    /// [`Self::required_lease_count`] first? Generated code does, because both are constants once
    /// it knows the operation.
    const CHECKED_BY_HANDLE: bool = false;

    /// The longest reply, in bytes.
    fn max_reply_size(self) -> usize;

    /// Exact number of leases that the operation takes.
    fn required_lease_count(self) -> usize;
}

/// A server of the operations `Op`. Implemented by generated code.
pub trait Server<Op: ServerOp> {
    /// The only task to receive from; `None` for all.
    fn recv_source(&self) -> Option<TaskId>;

    /// Called if that task turns out to have been restarted.
    fn closed_recv_fail(&mut self);

    /// Decodes a message, calls the operation, replies if it succeeds.
    ///
    /// # Errors
    ///
    /// If it fails; no reply has been sent then, and the caller of this function sends it.
    fn handle(
        &mut self,
        op: Op,
        incoming: &[u8],
        rm: &RecvMessage,
    ) -> Result<(), RequestError<u16>>;
}

/// Receives a message or notifications, and handles them.
///
/// `buffer` must have room for the longest message of the interface (the generated
/// `INCOMING_SIZE`).
#[inline]
pub fn dispatch<S: NotificationHandler, Op: ServerOp>(buffer: &mut [u8], server: &mut S)
where
    for<'a> (PhantomData<Op>, &'a mut S): Server<Op>,
{
    let mask = server.current_notification_mask();
    let mut operations = (PhantomData::<Op>, &mut *server);
    let Ok(message) = sys_recv(buffer, mask, operations.recv_source()) else {
        operations.closed_recv_fail();
        return;
    };
    if message.sender == TaskId::KERNEL {
        // An empty mask cannot be notified; testing it lets the compiler drop the handler of
        // servers without one.
        if mask != 0 {
            server.handle_notification(NotificationBits::new(message.operation));
        }
        return;
    }
    match request(buffer, &mut operations, &message) {
        Ok(()) => {}
        Err(RequestError::Runtime(code)) => sys_reply(message.sender, code.into(), &[]),
        Err(RequestError::Fail(error)) => {
            if let Some(fault) = error.into_fault() {
                sys_reply_fault(message.sender, fault);
            }
        }
    }
}

/// Makes the checks that are common to all operations, then calls the server.
#[inline(always)]
fn request<Op: ServerOp>(
    buffer: &[u8],
    server: &mut impl Server<Op>,
    message: &RecvMessage,
) -> Result<(), RequestError<u16>> {
    let Some(incoming) = buffer.get(..message.message_len) else {
        return Err(RequestError::Fail(refused(
            ReplyFaultReason::BadMessageSize,
        )));
    };
    let Some(op) = Op::from_u32(message.operation) else {
        return Err(RequestError::Fail(refused(
            ReplyFaultReason::UndefinedOperation,
        )));
    };
    if !Op::CHECKED_BY_HANDLE {
        if message.response_capacity < op.max_reply_size() {
            return Err(RequestError::Fail(refused(
                ReplyFaultReason::ReplyBufferTooSmall,
            )));
        }
        if message.lease_count != op.required_lease_count() {
            return Err(RequestError::Fail(refused(ReplyFaultReason::BadLeases)));
        }
    }
    server.handle(op, incoming, message)
}

/// The client's error for a fault. Out of line, and with a small number as argument, so that it
/// adds next to nothing to the path of requests that succeed.
#[cold]
#[inline(never)]
fn refused(reason: ReplyFaultReason) -> ClientError {
    match reason {
        ReplyFaultReason::UndefinedOperation => ClientError::UnknownOperation,
        ReplyFaultReason::BadMessageSize => ClientError::BadMessageSize,
        ReplyFaultReason::ReplyBufferTooSmall => ClientError::ReplyBufferTooSmall,
        _ => ClientError::BadLease,
    }
}
