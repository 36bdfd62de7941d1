//! Arguments of the system calls, by name.
//!
//! A call's arguments are in its caller's saved r4 to r10. Which register holds which argument is
//! ABI, and is written down here only: the fast path (`fast_path`) and the general path (`message`,
//! `time`, ...) read the same structures. A blocked task keeps its arguments until the kernel
//! stores results over them, so they can be read again when another task's call completes the
//! blocked one.
//!
//! `of` only loads and splits words; it checks nothing. It must stay `#[inline(always)]`: a field
//! that the reader does not use is then not loaded, and a structure costs no instruction more than
//! the bare registers.

use crate::task::Task;
use abi::{TaskId, ULease, UsageError};
use core::marker::PhantomData;
use kerncore::slice::{Element, UserSlice};

/// A slice as a task passes it: two words that have not been checked in any way.
#[derive(Copy, Clone, Debug)]
pub(crate) struct RawSlice<T> {
    /// Address of the first byte.
    pub(crate) base: u32,
    /// Number of elements.
    pub(crate) count: u32,
    element: PhantomData<T>,
}

impl<T: Element> RawSlice<T> {
    /// `count` elements from address `base` on.
    #[inline(always)]
    pub(crate) fn new(base: u32, count: u32) -> Self {
        Self {
            base,
            count,
            element: PhantomData,
        }
    }

    /// The slice, if it is well formed. Who may access it is another question ([`crate::umem`]).
    #[inline(always)]
    pub(crate) fn check(self) -> Result<UserSlice<T>, UsageError> {
        UserSlice::new(self.base, self.count)
    }
}

/// SEND.
#[derive(Copy, Clone, Debug)]
pub(crate) struct SendArgs {
    /// Receiver of the message; [`TaskId::KERNEL`] for kernel IPC.
    pub(crate) target: TaskId,
    /// What the message asks for.
    pub(crate) operation: u16,
    /// The message.
    pub(crate) message: RawSlice<u8>,
    /// Buffer for the reply.
    pub(crate) reply: RawSlice<u8>,
    /// Table of the memory that the receiver may borrow until it replies.
    pub(crate) leases: RawSlice<ULease>,
}

impl SendArgs {
    /// The arguments of a task whose last call is SEND.
    #[inline(always)]
    pub(crate) fn of(task: &Task) -> Self {
        let [
            target_and_operation,
            message,
            message_len,
            reply,
            reply_len,
            leases,
            lease_count,
        ] = task.save.arguments();
        Self {
            target: TaskId((target_and_operation >> 16) as u16),
            operation: target_and_operation as u16,
            message: RawSlice::new(message, message_len),
            reply: RawSlice::new(reply, reply_len),
            leases: RawSlice::new(leases, lease_count),
        }
    }
}

/// RECV.
#[derive(Copy, Clone, Debug)]
pub(crate) struct RecvArgs {
    /// Buffer for the message.
    pub(crate) buffer: RawSlice<u8>,
    /// Mask of the notifications that end the call.
    pub(crate) notifications: u32,
    /// The only task to receive from ([`TaskId::KERNEL`]: notifications only); `None` for any task.
    pub(crate) source: Option<TaskId>,
}

impl RecvArgs {
    /// The arguments of a task whose last call is RECV.
    #[inline(always)]
    pub(crate) fn of(task: &Task) -> Self {
        /// In `source`: only from the task in the low half.
        const CLOSED: u32 = 1 << 31;

        let [buffer, buffer_len, notifications, source, ..] = task.save.arguments();
        Self {
            buffer: RawSlice::new(buffer, buffer_len),
            notifications,
            source: if source & CLOSED != 0 {
                Some(TaskId(source as u16))
            } else {
                None
            },
        }
    }
}

/// REPLY.
#[derive(Copy, Clone, Debug)]
pub(crate) struct ReplyArgs {
    /// The task to answer.
    pub(crate) client: TaskId,
    /// Response code that it gets.
    pub(crate) code: u32,
    /// Body of the reply.
    pub(crate) message: RawSlice<u8>,
}

impl ReplyArgs {
    /// The arguments of a task whose last call is REPLY.
    #[inline(always)]
    pub(crate) fn of(task: &Task) -> Self {
        let [client, code, message, message_len, ..] = task.save.arguments();
        Self {
            client: TaskId(client as u16),
            code,
            message: RawSlice::new(message, message_len),
        }
    }
}

/// REPLY_FAULT.
#[derive(Copy, Clone, Debug)]
pub(crate) struct ReplyFaultArgs {
    /// The task to fault.
    pub(crate) client: TaskId,
    /// An [`abi::ReplyFaultReason`], if it is a valid one.
    pub(crate) reason: u32,
}

impl ReplyFaultArgs {
    /// The arguments of a task whose last call is REPLY_FAULT.
    #[inline(always)]
    pub(crate) fn of(task: &Task) -> Self {
        let [client, reason, ..] = task.save.arguments();
        Self {
            client: TaskId(client as u16),
            reason,
        }
    }
}

/// BORROW_INFO: which lease is meant. BORROW_READ and BORROW_WRITE begin with the same two
/// arguments.
#[derive(Copy, Clone, Debug)]
pub(crate) struct LeaseArgs {
    /// The task whose lease it is.
    pub(crate) lender: TaskId,
    /// Index in the lender's lease table.
    pub(crate) index: u32,
}

impl LeaseArgs {
    /// The arguments of a task whose last call is BORROW_INFO, BORROW_READ or BORROW_WRITE.
    #[inline(always)]
    pub(crate) fn of(task: &Task) -> Self {
        let [lender, index, ..] = task.save.arguments();
        Self {
            lender: TaskId(lender as u16),
            index,
        }
    }
}

/// BORROW_READ and BORROW_WRITE.
#[derive(Copy, Clone, Debug)]
pub(crate) struct BorrowArgs {
    /// The lease to copy from or to.
    pub(crate) lease: LeaseArgs,
    /// Where in the lease the copy begins, in bytes.
    pub(crate) offset: u32,
    /// The caller's own memory, the other end of the copy.
    pub(crate) buffer: RawSlice<u8>,
}

impl BorrowArgs {
    /// The arguments of a task whose last call is BORROW_READ or BORROW_WRITE.
    #[inline(always)]
    pub(crate) fn of(task: &Task) -> Self {
        let [_lender, _index, offset, buffer, buffer_len, ..] = task.save.arguments();
        Self {
            lease: LeaseArgs::of(task),
            offset,
            buffer: RawSlice::new(buffer, buffer_len),
        }
    }
}

/// SET_TIMER.
#[derive(Copy, Clone, Debug)]
pub(crate) struct SetTimerArgs {
    /// Set the timer; otherwise stop it.
    pub(crate) enable: bool,
    /// Tick at which it fires.
    pub(crate) deadline: u64,
    /// Notifications that it posts then.
    pub(crate) notifications: u32,
}

impl SetTimerArgs {
    /// The arguments of a task whose last call is SET_TIMER.
    #[inline(always)]
    pub(crate) fn of(task: &Task) -> Self {
        let [enable, deadline_low, deadline_high, notifications, ..] = task.save.arguments();
        let deadline = u64::from(deadline_low) | u64::from(deadline_high) << 32;
        Self {
            enable: enable != 0,
            deadline,
            notifications,
        }
    }
}

/// POST.
#[derive(Copy, Clone, Debug)]
pub(crate) struct PostArgs {
    /// The task to notify.
    pub(crate) target: TaskId,
    /// Notifications that it gets.
    pub(crate) notifications: u32,
}

impl PostArgs {
    /// The arguments of a task whose last call is POST.
    #[inline(always)]
    pub(crate) fn of(task: &Task) -> Self {
        let [target, notifications, ..] = task.save.arguments();
        Self {
            target: TaskId(target as u16),
            notifications,
        }
    }
}

/// REFRESH_TASK_ID.
#[derive(Copy, Clone, Debug)]
pub(crate) struct RefreshTaskIdArgs {
    /// An id of the task, of any generation.
    pub(crate) task: TaskId,
}

impl RefreshTaskIdArgs {
    /// The arguments of a task whose last call is REFRESH_TASK_ID.
    #[inline(always)]
    pub(crate) fn of(task: &Task) -> Self {
        let [id, ..] = task.save.arguments();
        Self {
            task: TaskId(id as u16),
        }
    }
}

/// IRQ_CONTROL.
#[derive(Copy, Clone, Debug)]
pub(crate) struct IrqControlArgs {
    /// Mask of the notification that the interrupts post.
    pub(crate) notification: u32,
    /// [`abi::IrqControlArg`], if all its bits are valid.
    pub(crate) control: u32,
}

impl IrqControlArgs {
    /// The arguments of a task whose last call is IRQ_CONTROL.
    #[inline(always)]
    pub(crate) fn of(task: &Task) -> Self {
        let [notification, control, ..] = task.save.arguments();
        Self {
            notification,
            control,
        }
    }
}

/// IRQ_STATUS.
#[derive(Copy, Clone, Debug)]
pub(crate) struct IrqStatusArgs {
    /// Mask of the notification that the interrupts post.
    pub(crate) notification: u32,
}

impl IrqStatusArgs {
    /// The arguments of a task whose last call is IRQ_STATUS.
    #[inline(always)]
    pub(crate) fn of(task: &Task) -> Self {
        let [notification, ..] = task.save.arguments();
        Self { notification }
    }
}

/// PANIC.
#[derive(Copy, Clone, Debug)]
pub(crate) struct PanicArgs {
    /// The message.
    pub(crate) message: RawSlice<u8>,
}

impl PanicArgs {
    /// The arguments of a task whose last call is PANIC. They stay readable until the task is
    /// restarted.
    #[inline(always)]
    pub(crate) fn of(task: &Task) -> Self {
        let [message, message_len, ..] = task.save.arguments();
        Self {
            message: RawSlice::new(message, message_len),
        }
    }
}
