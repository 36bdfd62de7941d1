//! The safe wrappers of the system calls.
//!
//! Each is inlined into its caller, so that constant arguments (lengths, masks, empty slices) cost
//! nothing; the system call itself is in the stubs at the top of the crate.
//!
//! All `unsafe` calls of stubs are sound for the same reason: the kernel reads and writes only the
//! slices that it is given, and only until the call returns; until then the slices are alive and,
//! where they are written, exclusively borrowed.

use crate::message::{
    BorrowInfo, ClosedRecvError, Lease, NotificationBits, RecvMessage, TimerState,
};
use abi::{
    IrqControlArg, IrqStatus, LeaseAttributes, ReplyFaultReason, TaskId, extract_new_generation,
};
use core::mem::MaybeUninit;

/// Arguments of SEND in the order of r4..r10.
#[repr(C)]
pub(crate) struct SendArguments {
    target_and_operation: u32,
    message: *const u8,
    message_length: usize,
    reply: *mut u8,
    reply_capacity: usize,
    leases: *const Lease<'static>,
    lease_count: usize,
}

/// Arguments of RECV in the order of r4..r7; the stub stores the results, r4..r9, over them.
#[repr(C)]
pub(crate) struct ReceiveBlock {
    /// Buffer address; then the response code.
    r4: usize,
    /// Buffer length; then the sender.
    r5: usize,
    /// Notification mask; then the operation.
    r6: usize,
    /// Source; then the message's length.
    r7: usize,
    /// Nothing; then the sender's reply capacity.
    r8: MaybeUninit<usize>,
    /// Nothing; then the number of leases.
    r9: MaybeUninit<usize>,
}

/// Arguments of BORROW_READ and BORROW_WRITE in the order of r4..r8.
#[repr(C)]
pub(crate) struct BorrowArguments {
    lender: u32,
    index: usize,
    offset: usize,
    memory: *const u8,
    length: usize,
}

/// The arguments as values, for [`crate::host`].
#[cfg(not(target_os = "none"))]
impl SendArguments {
    /// Target, operation, message, memory for the reply.
    ///
    /// # Safety
    ///
    /// The slices that the arguments were made of must still be borrowed.
    pub(crate) unsafe fn parts<'a>(&self) -> (TaskId, u16, &'a [u8], &'a mut [u8]) {
        // SAFETY: by the caller's promise; the memory for the reply is borrowed exclusively.
        let (message, reply) = unsafe {
            (
                core::slice::from_raw_parts(self.message, self.message_length),
                core::slice::from_raw_parts_mut(self.reply, self.reply_capacity),
            )
        };
        let target = TaskId((self.target_and_operation >> 16) as u16);
        (target, self.target_and_operation as u16, message, reply)
    }
}

#[cfg(not(target_os = "none"))]
impl ReceiveBlock {
    /// Calls `recv` with buffer and mask and stores what it returns.
    ///
    /// # Safety
    ///
    /// The buffer that the block was made of must still be borrowed.
    pub(crate) unsafe fn receive(&mut self, recv: impl FnOnce(&mut [u8], u32) -> RecvMessage) {
        assert_eq!(self.r7, 0, "a closed RECV: not implemented on a host");
        let pointer = core::ptr::with_exposed_provenance_mut(self.r4);
        // SAFETY: by the caller's promise; the buffer is borrowed exclusively.
        let buffer = unsafe { core::slice::from_raw_parts_mut(pointer, self.r5) };
        let message = recv(buffer, self.r6 as u32);
        self.r4 = 0;
        self.r5 = message.sender.0.into();
        self.r6 = message.operation as usize;
        self.r7 = message.message_len;
        self.r8.write(message.response_capacity);
        self.r9.write(message.lease_count);
    }
}

#[cfg(not(target_os = "none"))]
impl BorrowArguments {
    /// Lender, index, offset, and where to copy to.
    ///
    /// # Safety
    ///
    /// The arguments must be those of BORROW_READ, and their slice still be borrowed.
    pub(crate) unsafe fn destination<'a>(&self) -> (TaskId, usize, usize, &'a mut [u8]) {
        // SAFETY: by the caller's promise; the slice is borrowed exclusively.
        let dest = unsafe { core::slice::from_raw_parts_mut(self.memory.cast_mut(), self.length) };
        (TaskId(self.lender as u16), self.index, self.offset, dest)
    }

    /// Lender, index, offset, and what to copy.
    ///
    /// # Safety
    ///
    /// The slice that the arguments were made of must still be borrowed.
    pub(crate) unsafe fn source<'a>(&self) -> (TaskId, usize, usize, &'a [u8]) {
        // SAFETY: by the caller's promise.
        let src = unsafe { core::slice::from_raw_parts(self.memory, self.length) };
        (TaskId(self.lender as u16), self.index, self.offset, src)
    }
}

/// Marks the source of a closed receive.
const CLOSED: usize = 1 << 31;

/// Splits a stub's result: response code in the low word, length in the high one.
#[inline(always)]
fn code_and_length(result: u64) -> (u32, usize) {
    (result as u32, (result >> 32) as usize)
}

/// Sends `outgoing` to `target` as operation `operation`, and waits for the reply.
///
/// Returns the response code (0 is success by convention) and the length of the reply, which is in
/// `incoming`. The server may use `leases` until it replies. If the target is restarted, the code
/// is a dead code, which [`extract_new_generation`] recognises. A target that never replies blocks
/// the caller forever.
#[inline(always)]
pub fn sys_send(
    target: TaskId,
    operation: u16,
    outgoing: &[u8],
    incoming: &mut [u8],
    leases: &[Lease<'_>],
) -> (u32, usize) {
    let arguments = SendArguments {
        target_and_operation: u32::from(target.0) << 16 | u32::from(operation),
        message: outgoing.as_ptr(),
        message_length: outgoing.len(),
        reply: incoming.as_mut_ptr(),
        reply_capacity: incoming.len(),
        leases: leases.as_ptr().cast(),
        lease_count: leases.len(),
    };
    // SAFETY: see the module's description; `Lease` is laid out as the kernel's table entry.
    code_and_length(unsafe { crate::sys_send_stub(&raw const arguments) })
}

/// RECV as the kernel has it: returns the response code, too. All other receive functions call
/// this.
#[inline(always)]
fn receive(buffer: &mut [u8], notification_mask: u32, source: usize) -> (u32, RecvMessage) {
    let mut block = ReceiveBlock {
        r4: buffer.as_mut_ptr() as usize,
        r5: buffer.len(),
        r6: notification_mask as usize,
        r7: source,
        r8: MaybeUninit::uninit(),
        r9: MaybeUninit::uninit(),
    };
    // SAFETY: see the module's description.
    unsafe { crate::sys_recv_stub(&raw mut block) };
    // SAFETY: the stub has written all words of the block.
    let (capacity, leases) = unsafe { (block.r8.assume_init(), block.r9.assume_init()) };
    let message = RecvMessage {
        sender: TaskId(block.r5 as u16),
        operation: block.r6 as u32,
        message_len: block.r7,
        response_capacity: capacity,
        lease_count: leases,
    };
    (block.r4 as u32, message)
}

/// Waits for a message from any task, or for a notification in `notification_mask`. Notifications
/// come first.
///
/// The message is in `buffer`, cut off if it is longer.
#[inline(always)]
pub fn sys_recv_open(buffer: &mut [u8], notification_mask: u32) -> RecvMessage {
    // An open receive cannot fail; there is no code to look at.
    receive(buffer, notification_mask, 0).1
}

/// Waits for a message from `sender` alone, or for a notification in `notification_mask`.
///
/// # Errors
///
/// [`ClosedRecvError::Dead`] if `sender` has been restarted, before or during the call.
#[inline(always)]
pub fn sys_recv_closed(
    buffer: &mut [u8],
    notification_mask: u32,
    sender: TaskId,
) -> Result<RecvMessage, ClosedRecvError> {
    sys_recv(buffer, notification_mask, Some(sender)).map_err(|code| {
        // Dead codes are the only ones the kernel has; the low byte is the new generation.
        ClosedRecvError::Dead(extract_new_generation(code).unwrap_or(abi::Generation::ZERO))
    })
}

/// Waits for a message from `specific_sender`, or from anyone if that is `None`, or for a
/// notification in `notification_mask`.
///
/// # Errors
///
/// The kernel's response code, which is a dead code, if `specific_sender` has been restarted.
#[inline(always)]
pub fn sys_recv(
    buffer: &mut [u8],
    notification_mask: u32,
    specific_sender: Option<TaskId>,
) -> Result<RecvMessage, u32> {
    let source = specific_sender.map_or(0, |sender| CLOSED | usize::from(sender.0));
    match receive(buffer, notification_mask, source) {
        (0, message) => Ok(message),
        (code, _) => Err(code),
    }
}

/// Waits for any notification in `notification_mask`, and for nothing else. An empty mask waits
/// forever.
#[inline(always)]
pub fn sys_recv_notification(notification_mask: u32) -> NotificationBits {
    let source = CLOSED | usize::from(TaskId::KERNEL.0);
    // The kernel does not die, so there is no code to look at.
    NotificationBits::new(receive(&mut [], notification_mask, source).1.operation)
}

/// Replies to `peer`, which waits for it, with response code `code` and body `message`. Does
/// nothing if `peer` no longer waits.
///
/// A body longer than the peer's reply buffer faults the caller of this function.
#[inline(always)]
pub fn sys_reply(peer: TaskId, code: u32, message: &[u8]) {
    // SAFETY: see the module's description.
    unsafe { crate::sys_reply_stub(peer.0.into(), code, message.as_ptr(), message.len()) }
}

/// Replies to `task_id`, which waits for it, by faulting it. Does nothing if it no longer waits.
#[inline(always)]
pub fn sys_reply_fault(task_id: TaskId, reason: ReplyFaultReason) {
    // SAFETY: no memory is involved.
    unsafe { crate::sys_reply_fault_stub(task_id.0.into(), reason as u32) }
}

/// Sets the task's one timer to post `notifications` at `deadline` (ticks since boot), or stops it.
///
/// A deadline that has passed posts at once.
#[inline(always)]
pub fn sys_set_timer(deadline: Option<u64>, notifications: u32) {
    let (enable, deadline) = deadline.map_or((0, 0), |deadline| (1, deadline));
    // SAFETY: no memory is involved.
    unsafe {
        crate::sys_set_timer_stub(
            enable,
            deadline as u32,
            (deadline >> 32) as u32,
            notifications,
        )
    }
}

/// Sets the task's one timer to post `notifications` in `interval` ticks. Returns the deadline.
#[inline]
pub fn set_timer_relative(interval: u32, notifications: u32) -> u64 {
    let deadline = sys_get_timer().now.wrapping_add(u64::from(interval));
    sys_set_timer(Some(deadline), notifications);
    deadline
}

/// Reads the time and the task's timer.
#[inline(always)]
pub fn sys_get_timer() -> TimerState {
    // Uninitialised: zeroing would cost more instructions than the call.
    let mut words = MaybeUninit::<[u32; 6]>::uninit();
    // SAFETY: the stub writes the six words and nothing else.
    let words = unsafe {
        crate::sys_get_timer_stub(words.as_mut_ptr());
        words.assume_init()
    };
    let [
        now_low,
        now_high,
        is_set,
        deadline_low,
        deadline_high,
        on_dl,
    ] = words;
    let wide = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
    TimerState {
        now: wide(now_low, now_high),
        deadline: if is_set != 0 {
            Some(wide(deadline_low, deadline_high))
        } else {
            None
        },
        on_dl,
    }
}

/// Copies from byte `offset` of lease `index` of `lender` to `dest`, as many bytes as the shorter
/// of the two has.
///
/// Returns the response code and the number of bytes: code 0, [`abi::DEFECT`] if the lender or its
/// lease is at fault, or a dead code. An index or offset beyond the end faults the caller of this
/// function.
#[inline(always)]
pub fn sys_borrow_read(
    lender: TaskId,
    index: usize,
    offset: usize,
    dest: &mut [u8],
) -> (u32, usize) {
    let memory = dest.as_mut_ptr().cast_const();
    let arguments = BorrowArguments {
        lender: lender.0.into(),
        index,
        offset,
        memory,
        length: dest.len(),
    };
    // SAFETY: see the module's description; `memory` comes from an exclusive borrow.
    code_and_length(unsafe { crate::sys_borrow_read_stub(&raw const arguments) })
}

/// Copies `src` to byte `offset` of lease `index` of `lender`, as many bytes as the shorter of the
/// two has.
///
/// Results as for [`sys_borrow_read`].
#[inline(always)]
pub fn sys_borrow_write(lender: TaskId, index: usize, offset: usize, src: &[u8]) -> (u32, usize) {
    let arguments = BorrowArguments {
        lender: lender.0.into(),
        index,
        offset,
        memory: src.as_ptr(),
        length: src.len(),
    };
    // SAFETY: see the module's description.
    code_and_length(unsafe { crate::sys_borrow_write_stub(&raw const arguments) })
}

/// Asks for attributes and length of lease `index` of `lender`; `None` if the lender no longer
/// waits for this task's reply or its lease is invalid. An index beyond the last faults the caller
/// of this function.
#[inline(always)]
pub fn sys_borrow_info(lender: TaskId, index: usize) -> Option<BorrowInfo> {
    let mut words = MaybeUninit::<[u32; 3]>::uninit();
    // SAFETY: the stub writes the three words and nothing else.
    let words = unsafe {
        crate::sys_borrow_info_stub(lender.0.into(), index, words.as_mut_ptr());
        words.assume_init()
    };
    let [code, attributes, length] = words;
    if code != 0 {
        return None;
    }
    Some(BorrowInfo {
        attributes: LeaseAttributes::from_bits_truncate(attributes),
        len: length as usize,
    })
}

/// What a lease is accessed for.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum LeaseAccess {
    /// BORROW_READ.
    Read,
    /// BORROW_WRITE.
    Write,
}

/// Can lease `index` of `lender` be accessed at byte `offset` without a fault of the caller?
///
/// A lease is read anew from its lender's memory by each system call, so a client that lends the
/// memory that its lease table is in has it changed by the server's own writes. An offset that lay
/// in the lease when the lease was taken may be beyond its end later, or overflow the address, and
/// the kernel faults the server for either. Offset 0 is always right: ask before each access at
/// another one.
pub fn lease_reaches(lender: TaskId, index: usize, offset: usize, access: LeaseAccess) -> bool {
    if offset == 0 {
        return true;
    }
    if sys_borrow_info(lender, index).is_none_or(|info| info.len < offset) {
        return false;
    }
    // If the end of the lease overflows the address, this faults the lender.
    let at_the_start = match access {
        LeaseAccess::Read => sys_borrow_read(lender, index, 0, &mut []),
        LeaseAccess::Write => sys_borrow_write(lender, index, 0, &[]),
    };
    at_the_start == (0, 0)
}

#[inline(always)]
fn irq_control(mask: u32, control: IrqControlArg) {
    // SAFETY: no memory is involved.
    unsafe { crate::sys_irq_control_stub(mask, control.bits()) }
}

/// Enables or disables the interrupts that post notification `mask`, which must be one of the
/// task's own.
#[inline(always)]
pub fn sys_irq_control(mask: u32, enable: bool) {
    irq_control(
        mask,
        if enable {
            IrqControlArg::ENABLED
        } else {
            IrqControlArg::empty()
        },
    );
}

/// As [`sys_irq_control`], and clears what is pending: before it enables, or after it disables.
#[inline(always)]
pub fn sys_irq_control_clear_pending(mask: u32, enable: bool) {
    let enabled = if enable {
        IrqControlArg::ENABLED
    } else {
        IrqControlArg::empty()
    };
    irq_control(mask, enabled.union(IrqControlArg::CLEAR_PENDING));
}

/// Asks for the state of the interrupts that post notification `mask`, which must be one of the
/// task's own.
#[inline(always)]
pub fn sys_irq_status(mask: u32) -> IrqStatus {
    // SAFETY: no memory is involved.
    IrqStatus::from_bits_truncate(unsafe { crate::sys_irq_status_stub(mask) })
}

/// Faults this task with a message of at most
/// [`PANIC_MESSAGE_MAX_LEN`](crate::PANIC_MESSAGE_MAX_LEN) bytes; the kernel ignores the rest.
#[inline(always)]
pub fn sys_panic(msg: &[u8]) -> ! {
    // SAFETY: see the module's description; the message stays where it is, since the task never
    // runs on.
    unsafe { crate::sys_panic_stub(msg.as_ptr(), msg.len()) }
}

/// The current id of the task that `task_id` names in any of its generations.
#[inline(always)]
pub fn sys_refresh_task_id(task_id: TaskId) -> TaskId {
    // SAFETY: no memory is involved.
    TaskId(unsafe { crate::sys_refresh_task_id_stub(task_id.0.into()) } as u16)
}

/// Posts notification `bits` to `task_id`. Returns 0, or a dead code if the task has been
/// restarted.
#[inline(always)]
pub fn sys_post(task_id: TaskId, bits: u32) -> u32 {
    // SAFETY: no memory is involved.
    unsafe { crate::sys_post_stub(task_id.0.into(), bits) }
}
