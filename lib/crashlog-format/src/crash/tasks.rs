//! The state of every task, as a segment of a record of a kernel failure.
//!
//! One entry of 32 bytes for each task, in the order of the table of tasks.

use crate::Fault;
use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout,
    little_endian::{U16, U32},
};

/// One task when the kernel, or the supervisor, failed.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct TaskEntry {
    /// How often it had been restarted.
    pub restarts: U32,
    /// Notifications that were posted and not yet received.
    pub notifications: U32,
    /// Where it was; 0 if its registers could not be read.
    pub pc: U32,
    /// Its stack pointer; 0 if its registers could not be read.
    pub sp: U32,
    /// Task id of whom it waited for, where that means something.
    pub peer: U16,
    /// Its priority; 0 is the most important.
    pub priority: u8,
    activity: u8,
    flags: u8,
    fault: [u8; TaskEntry::FAULT_LEN],
}

/// What a task was doing, or had been doing when it faulted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Activity {
    /// It was not started.
    Stopped = 0,
    /// It could run.
    Runnable = 1,
    /// It waited for `peer` to receive its message.
    Sending = 2,
    /// It waited for the answer of `peer`.
    AwaitingReply = 3,
    /// It waited for messages of anybody.
    Receiving = 4,
    /// It waited for a message of `peer` alone.
    ReceivingFrom = 5,
}

impl TryFrom<u8> for Activity {
    type Error = u8;

    fn try_from(value: u8) -> Result<Self, u8> {
        Ok(match value {
            0 => Self::Stopped,
            1 => Self::Runnable,
            2 => Self::Sending,
            3 => Self::AwaitingReply,
            4 => Self::Receiving,
            5 => Self::ReceivingFrom,
            other => return Err(other),
        })
    }
}

/// The task was the one that ran.
const CURRENT: u8 = 1;
/// The task was faulted.
const FAULTED: u8 = 2;

impl TaskEntry {
    /// Bytes of a fault that are kept; the longest that exists has 7.
    const FAULT_LEN: usize = 11;

    /// A task that was doing this, with `peer` where that means something.
    #[must_use]
    pub fn new(activity: Activity, peer: u16) -> Self {
        Self {
            activity: activity as u8,
            peer: peer.into(),
            ..Self::default()
        }
    }

    /// Marks it as the one that ran.
    pub fn set_current(&mut self) {
        self.flags |= CURRENT;
    }

    /// Marks it as faulted; `fault` is `FaultInfo` in its wire encoding.
    pub fn set_fault(&mut self, fault: &[u8]) {
        self.flags |= FAULTED;
        for (to, from) in self.fault.iter_mut().zip(fault) {
            *to = *from;
        }
    }

    /// What it was doing.
    ///
    /// # Errors
    /// The number, if it is not known.
    pub fn activity(&self) -> Result<Activity, u8> {
        self.activity.try_into()
    }

    /// Was it the one that ran?
    #[must_use]
    pub const fn is_current(&self) -> bool {
        self.flags & CURRENT != 0
    }

    /// Was it faulted?
    #[must_use]
    pub const fn is_faulted(&self) -> bool {
        self.flags & FAULTED != 0
    }

    /// Its fault, if it had one that this program knows.
    #[must_use]
    pub fn fault(&self) -> Option<Fault> {
        self.is_faulted()
            .then(|| Fault::decode(&self.fault))
            .flatten()
    }
}

const _: () = assert!(size_of::<TaskEntry>() == 32);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn says_what_it_was_told() {
        let mut entry = TaskEntry::new(Activity::AwaitingReply, 0x0403);
        assert_eq!(entry.activity(), Ok(Activity::AwaitingReply));
        assert_eq!(entry.peer.get(), 0x0403);
        assert!(!entry.is_faulted() && !entry.is_current());
        assert_eq!(entry.fault(), None);
        entry.set_fault(&[1, 0x10, 0, 0, 0x80]);
        entry.set_current();
        assert!(entry.is_faulted() && entry.is_current());
        assert_eq!(
            entry.fault(),
            Some(Fault::StackOverflow {
                address: 0x8000_0010
            })
        );
    }

    proptest! {
        /// Whatever a card holds, reading it is safe.
        #[test]
        fn any_bytes_are_an_entry(bytes: [u8; 32]) {
            let entry = TaskEntry::read_from_bytes(&bytes).unwrap();
            let _ = (entry.activity(), entry.fault());
            prop_assert_eq!(entry.as_bytes(), &bytes);
        }
    }
}
