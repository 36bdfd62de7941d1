//! Receive loops, typed messages and sleep on top of the system calls.
//!
//! For servers without an Idol interface. [`recv`] receives once and calls one of two functions,
//! for notifications or for a message. A [`Message`] is converted into a reference to its content
//! and a [`Caller`], which allows one reply of the right type.
//!
//! Names and signatures are those of Hubris' `userlib::hl`.

use crate::message::{BorrowInfo, ClosedRecvError, RecvMessage};
use crate::{
    FromPrimitive, LeaseAccess, ReplyFaultReason, TaskId, lease_reaches, sys_borrow_info,
    sys_borrow_read, sys_borrow_write, sys_get_timer, sys_recv_closed, sys_recv_notification,
    sys_recv_open, sys_reply, sys_reply_fault, sys_set_timer,
};
use core::marker::PhantomData;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The notification that the sleep functions use. The build system assigns this bit to no task's
/// notifications.
pub const INTERNAL_TIMER_NOTIFICATION: u32 = 1 << 31;

/// The response code for an operation that the server does not know.
const UNKNOWN_OPERATION: u32 = 1;

/// Receives once, from any task. `notify` gets the bits of `mask` that were posted; `msg` gets a
/// message, and its error is sent back as the response code. `state` is passed to the one that is
/// called.
///
/// A message with an operation that is not an `O` is answered with code 1, one longer than `buffer`
/// faults its sender.
pub fn recv<'a, O, E, S>(
    buffer: &'a mut [u8],
    mask: u32,
    state: S,
    notify: impl FnOnce(S, u32),
    msg: impl FnOnce(S, O, Message<'a>) -> Result<(), E>,
) where
    O: FromPrimitive,
    E: Into<u32>,
{
    let received = sys_recv_open(buffer, mask);
    deliver(buffer, received, state, notify, msg);
}

/// As [`recv`], without notifications.
pub fn recv_without_notification<'a, O, E>(
    buffer: &'a mut [u8],
    msg: impl FnOnce(O, Message<'a>) -> Result<(), E>,
) where
    O: FromPrimitive,
    E: Into<u32>,
{
    recv(
        buffer,
        0,
        (),
        |(), _| (),
        |(), operation, message| msg(operation, message),
    );
}

/// As [`recv`], from `source` alone if there is one.
///
/// # Errors
///
/// If `source` has been restarted; neither function is called then.
pub fn recv_from<'a, O, E, S>(
    source: Option<TaskId>,
    buffer: &'a mut [u8],
    mask: u32,
    state: S,
    notify: impl FnOnce(S, u32),
    msg: impl FnOnce(S, O, Message<'a>) -> Result<(), E>,
) -> Result<(), ClosedRecvError>
where
    O: FromPrimitive,
    E: Into<u32>,
{
    let received = match source {
        Some(source) => sys_recv_closed(buffer, mask, source)?,
        None => sys_recv_open(buffer, mask),
    };
    deliver(buffer, received, state, notify, msg);
    Ok(())
}

/// As [`recv_from`], without notifications.
///
/// # Errors
///
/// If `source` has been restarted.
pub fn recv_from_without_notification<'a, O, E>(
    source: Option<TaskId>,
    buffer: &'a mut [u8],
    msg: impl FnOnce(O, Message<'a>) -> Result<(), E>,
) -> Result<(), ClosedRecvError>
where
    O: FromPrimitive,
    E: Into<u32>,
{
    recv_from(
        source,
        buffer,
        0,
        (),
        |(), _| (),
        |(), operation, message| msg(operation, message),
    )
}

/// Calls `notify` or `msg` with what was received.
fn deliver<'a, O, E, S>(
    buffer: &'a [u8],
    received: RecvMessage,
    state: S,
    notify: impl FnOnce(S, u32),
    msg: impl FnOnce(S, O, Message<'a>) -> Result<(), E>,
) where
    O: FromPrimitive,
    E: Into<u32>,
{
    let sender = received.sender;
    if sender == TaskId::KERNEL {
        notify(state, received.operation);
        return;
    }
    let Some(content) = buffer.get(..received.message_len) else {
        sys_reply_fault(sender, ReplyFaultReason::BadMessageSize);
        return;
    };
    let Some(operation) = O::from_u32(received.operation) else {
        sys_reply(sender, UNKNOWN_OPERATION, &[]);
        return;
    };
    let message = Message {
        content,
        sender,
        response_capacity: received.response_capacity,
        lease_count: received.lease_count,
    };
    if let Err(error) = msg(state, operation, message) {
        sys_reply(sender, error.into(), &[]);
    }
}

/// A message that waits for its reply.
#[derive(Debug)]
pub struct Message<'a> {
    content: &'a [u8],
    sender: TaskId,
    response_capacity: usize,
    lease_count: usize,
}

impl<'a> Message<'a> {
    /// The content as an `M`, and the right to reply with an `R`; `None` unless the message is
    /// exactly as long as an `M` and the sender has room for an `R`.
    ///
    /// # Panics
    ///
    /// If the buffer given to the receive function is not aligned for `M`.
    pub fn fixed<M, R>(self) -> Option<(&'a M, Caller<R>)>
    where
        M: FromBytes + KnownLayout + Immutable,
        R: IntoBytes,
    {
        if self.content.len() != size_of::<M>() || self.response_capacity < size_of::<R>() {
            return None;
        }
        let Ok(content) = M::ref_from_bytes(self.content) else {
            panic!()
        };
        Some((content, Caller::from(self.sender)))
    }

    /// As [`Self::fixed`], and `None` unless there are exactly `n` leases.
    ///
    /// # Panics
    ///
    /// As [`Self::fixed`].
    pub fn fixed_with_leases<M, R>(self, n: usize) -> Option<(&'a M, Caller<R>)>
    where
        M: FromBytes + KnownLayout + Immutable,
        R: IntoBytes,
    {
        if self.lease_count != n {
            return None;
        }
        self.fixed()
    }

    /// Number of leases.
    pub fn lease_count(&self) -> usize {
        self.lease_count
    }
}

/// A task that waits for one reply with an `R`. Holding one means having to reply: a task without a
/// reply waits forever.
#[derive(Debug)]
pub struct Caller<R> {
    id: TaskId,
    reply: PhantomData<fn(R)>,
}

impl<R> From<TaskId> for Caller<R> {
    fn from(id: TaskId) -> Self {
        Self {
            id,
            reply: PhantomData,
        }
    }
}

impl<R> Caller<R> {
    /// Replies with success and `message`.
    pub fn reply(self, message: R)
    where
        R: IntoBytes + Immutable,
    {
        sys_reply(self.id, 0, message.as_bytes());
    }

    /// Replies with a response code and no body.
    pub fn reply_fail(self, code: impl Into<u32>) {
        sys_reply(self.id, code.into(), &[]);
    }

    /// The `index`-th lease. It can be used until the reply.
    pub fn borrow(&self, index: usize) -> Borrow<'_> {
        Borrow {
            lender: self.id,
            index,
            caller: PhantomData,
        }
    }

    /// The task that waits.
    pub fn task_id(&self) -> TaskId {
        self.id
    }
}

/// A lease of a task that waits for this task's reply.
///
/// An index beyond the caller's leases faults this task; see [`Message::fixed_with_leases`].
#[derive(Debug)]
pub struct Borrow<'a> {
    lender: TaskId,
    index: usize,
    caller: PhantomData<&'a ()>,
}

impl Borrow<'_> {
    /// Attributes and length; `None` if the lender was restarted or its lease is invalid.
    pub fn info(&self) -> Option<BorrowInfo> {
        sys_borrow_info(self.lender, self.index)
    }

    /// Fills `dest` from byte `offset` on; `None` if the lease is too short or cannot be read.
    pub fn read_fully_at(&self, offset: usize, dest: &mut [u8]) -> Option<()> {
        (lease_reaches(self.lender, self.index, offset, LeaseAccess::Read)
            && sys_borrow_read(self.lender, self.index, offset, dest) == (0, dest.len()))
            .then_some(())
    }

    /// Reads a `T` at byte `offset`; `None` if the lease is too short or cannot be read.
    pub fn read_at<T>(&self, offset: usize) -> Option<T>
    where
        T: FromBytes + IntoBytes,
    {
        let mut value = T::new_zeroed();
        self.read_fully_at(offset, value.as_mut_bytes())?;
        Some(value)
    }

    /// Writes `value` at byte `offset`; `None` if the lease is too short or cannot be written.
    pub fn write_at<T>(&self, offset: usize, value: T) -> Option<()>
    where
        T: IntoBytes + Immutable,
    {
        self.write_fully_at(offset, value.as_bytes())
    }

    /// Writes all of `data` from byte `offset` on; `None` if the lease is too short or cannot be
    /// written.
    pub fn write_fully_at(&self, offset: usize, data: &[u8]) -> Option<()> {
        (lease_reaches(self.lender, self.index, offset, LeaseAccess::Write)
            && sys_borrow_write(self.lender, self.index, offset, data) == (0, data.len()))
            .then_some(())
    }
}

/// Sleeps until tick `deadline`.
///
/// Uses the task's timer, and sets it again afterwards if it was set before; a deadline that has
/// passed in the meantime fires then. Messages and other notifications stay pending during the
/// sleep.
pub fn sleep_until(deadline: u64) {
    let before = sys_get_timer();
    sys_set_timer(Some(deadline), INTERNAL_TIMER_NOTIFICATION);
    loop {
        sys_recv_notification(INTERNAL_TIMER_NOTIFICATION);
        // Any task may post the bit; only the timer clears its deadline.
        if sys_get_timer().deadline.is_none() {
            break;
        }
    }
    if let Some(deadline) = before.deadline {
        sys_set_timer(Some(deadline), before.on_dl);
    }
}

/// Sleeps for at least `ticks` full ticks: one is added, because the current one has begun already.
pub fn sleep_for(ticks: u64) {
    sleep_until(sys_get_timer().now.saturating_add(ticks).saturating_add(1));
}
