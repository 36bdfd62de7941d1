//! Arguments and results of system calls: leases, messages, notifications, timers.

use abi::{Generation, LeaseAttributes, TaskId, ULease};
use core::marker::PhantomData;

/// Longest message that PANIC carries, in bytes; the kernel ignores the rest.
pub const PANIC_MESSAGE_MAX_LEN: usize = 128;

/// Memory lent to the server for the duration of one SEND.
///
/// The lifetime is that of the borrow of the memory, so no other code uses it while the server may.
#[derive(Debug)]
#[repr(transparent)]
pub struct Lease<'a> {
    entry: ULease,
    memory: PhantomData<&'a mut [u8]>,
}

impl<'a> Lease<'a> {
    /// Lends `x` for reading.
    #[inline(always)]
    pub fn read_only(x: &'a [u8]) -> Self {
        Self::new(LeaseAttributes::READ, x.as_ptr(), x.len())
    }

    /// Lends `x` for reading and writing.
    #[inline(always)]
    pub fn read_write(x: &'a mut [u8]) -> Self {
        Self::new(
            LeaseAttributes::READ.union(LeaseAttributes::WRITE),
            x.as_ptr(),
            x.len(),
        )
    }

    /// Lends `x` for writing.
    #[inline(always)]
    pub fn write_only(x: &'a mut [u8]) -> Self {
        Self::new(LeaseAttributes::WRITE, x.as_ptr(), x.len())
    }

    #[inline(always)]
    fn new(attributes: LeaseAttributes, base: *const u8, length: usize) -> Self {
        let entry = ULease {
            attributes,
            base_address: base.addr() as u32,
            length: length as u32,
        };
        Self {
            entry,
            memory: PhantomData,
        }
    }
}

impl<'a> From<&'a [u8]> for Lease<'a> {
    #[inline(always)]
    fn from(x: &'a [u8]) -> Self {
        Self::read_only(x)
    }
}

impl<'a> From<&'a mut [u8]> for Lease<'a> {
    #[inline(always)]
    fn from(x: &'a mut [u8]) -> Self {
        Self::read_write(x)
    }
}

/// What RECV returned: a message, or notifications if `sender` is [`TaskId::KERNEL`].
#[derive(Copy, Clone, Debug)]
pub struct RecvMessage {
    /// The sender.
    pub sender: TaskId,
    /// Operation number, or the notification bits.
    pub operation: u32,
    /// Length of the message in bytes. If it is longer than the buffer, the message was cut off.
    pub message_len: usize,
    /// Size of the sender's reply buffer in bytes.
    pub response_capacity: usize,
    /// Number of leases.
    pub lease_count: usize,
}

/// Why a receive from one particular task failed.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum ClosedRecvError {
    /// The task has been restarted and is now in this generation.
    Dead(Generation),
}

/// Notifications that a RECV returned and thereby cleared.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[repr(transparent)]
pub struct NotificationBits(u32);

impl NotificationBits {
    /// The notifications in `bits`.
    #[inline(always)]
    pub fn new(bits: u32) -> Self {
        Self(bits)
    }

    /// All bits.
    #[inline(always)]
    pub fn get_raw_bits(&self) -> u32 {
        self.0
    }

    /// Has any of the notifications in `mask` been received?
    ///
    /// A notification is a hint: it may have been posted before the task's last restart, or by any
    /// task. Where the condition that it signals can be checked, use [`Self::check_condition`], and
    /// for a timer [`Self::has_timer_fired`].
    #[inline(always)]
    pub fn check_notification_mask(&self, mask: u32) -> bool {
        self.0 & mask != 0
    }

    /// Has any of the notifications in `mask` been received, and does `condition` hold? `condition`
    /// is evaluated only in the first case.
    #[inline(always)]
    pub fn check_condition<F>(&self, mask: u32, condition: F) -> bool
    where
        F: Fn() -> bool,
    {
        self.check_notification_mask(mask) && condition()
    }

    /// Has the task's timer, set to post `mask`, really fired: is the bit set and no deadline
    /// pending?
    #[inline(always)]
    pub fn has_timer_fired(&self, mask: u32) -> bool {
        self.check_condition(mask, || crate::sys_get_timer().deadline.is_none())
    }
}

/// The time, and what the task's timer is set to.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct TimerState {
    /// Ticks (milliseconds, by convention) since boot.
    pub now: u64,
    /// Tick at which the timer fires; `None` if it is not set.
    pub deadline: Option<u64>,
    /// Notification bits that it posts then.
    pub on_dl: u32,
}

/// Result of BORROW_INFO.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct BorrowInfo {
    /// What the borrower may do.
    pub attributes: LeaseAttributes,
    /// Length in bytes.
    pub len: usize,
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::cell::Cell;

    #[test]
    fn a_lease_is_one_table_entry() {
        assert_eq!(size_of::<Lease<'_>>(), 12);
        assert_eq!(align_of::<Lease<'_>>(), 4);
        let mut memory = [0; 5];
        let attributes = |lease: Lease<'_>| (lease.entry.attributes.bits(), lease.entry.length);
        assert_eq!(attributes(Lease::from(&memory[..])), (1, 5));
        assert_eq!(attributes(Lease::write_only(&mut memory)), (2, 5));
        assert_eq!(attributes(Lease::from(&mut memory[..3])), (3, 3));
    }

    #[test]
    fn condition_is_evaluated_only_after_its_notification() {
        let calls = Cell::new(0);
        let condition = || {
            calls.set(calls.get() + 1);
            true
        };
        let bits = NotificationBits::new(0b100);
        assert!(!bits.check_condition(0b011, condition));
        assert_eq!(calls.get(), 0);
        assert!(bits.check_condition(0b110, condition));
        assert_eq!((calls.get(), bits.get_raw_bits()), (1, 0b100));
    }
}
