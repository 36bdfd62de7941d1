//! The state of every task at a failure of the kernel or the supervisor: a segment of the crash.
//!
//! One entry of 32 bytes for each task, in the order of the image's task table.

use crate::CrashFault;
use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout,
    little_endian::{U16, U32},
};

/// The state of one task when the kernel, or the supervisor, failed.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct TaskEntry {
    /// How often it had been restarted.
    pub restarts: U32,
    /// Notifications that were posted and not received yet.
    pub notifications: U32,
    /// Its program counter; 0 if its registers could not be read.
    pub pc: U32,
    /// Its stack pointer; 0 if its registers could not be read.
    pub sp: U32,
    /// Task id of the task that it waited for; has a meaning only for some values of [`Activity`].
    pub peer: U16,
    /// Its priority; 0 is the highest.
    pub priority: u8,
    activity: u8,
    flags: u8,
    fault: [u8; TaskEntry::FAULT_LEN],
}

/// What a task was doing, or had been doing when it faulted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Activity {
    /// Not started.
    Stopped = 0,
    /// Ready to run, or running.
    Runnable = 1,
    /// Waiting for `peer` to receive its message.
    Sending = 2,
    /// Waiting for the reply of `peer`.
    AwaitingReply = 3,
    /// Waiting for a message of any task.
    Receiving = 4,
    /// Waiting for a message of `peer` alone.
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

/// Flag: the task was running.
const CURRENT: u8 = 1;
/// Flag: the task was faulted.
const FAULTED: u8 = 2;

impl TaskEntry {
    /// Length of the encoded fault, in bytes; the longest encoding has 7.
    const FAULT_LEN: usize = 11;

    /// The entry of a task that was doing this. `peer` is a task id, where `activity` needs one.
    #[must_use]
    pub fn new(activity: Activity, peer: u16) -> Self {
        Self {
            activity: activity as u8,
            peer: peer.into(),
            ..Self::default()
        }
    }

    /// Marks the task as the one that was running.
    pub fn set_current(&mut self) {
        self.flags |= CURRENT;
    }

    /// Marks the task as faulted. `fault` is the encoding of its `FaultInfo`.
    pub fn set_fault(&mut self, fault: &[u8]) {
        self.flags |= FAULTED;
        for (to, from) in self.fault.iter_mut().zip(fault) {
            *to = *from;
        }
    }

    /// What the task was doing.
    ///
    /// # Errors
    /// The number on the card, if this program does not know it.
    pub fn activity(&self) -> Result<Activity, u8> {
        self.activity.try_into()
    }

    /// Whether the task was running.
    #[must_use]
    pub const fn is_current(&self) -> bool {
        self.flags & CURRENT != 0
    }

    /// Whether the task was faulted.
    #[must_use]
    pub const fn is_faulted(&self) -> bool {
        self.flags & FAULTED != 0
    }

    /// Its fault; `None` if it was not faulted, or if this program does not know the fault.
    #[must_use]
    pub fn fault(&self) -> Option<CrashFault> {
        self.is_faulted()
            .then(|| CrashFault::decode(&self.fault))
            .flatten()
    }
}

const _: () = assert!(size_of::<TaskEntry>() == 32);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_entry_holds_what_was_set() {
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
            Some(CrashFault::StackOverflow {
                address: 0x8000_0010
            })
        );
    }

    proptest! {
        /// Any bytes can be read as an entry, without a panic.
        #[test]
        fn any_bytes_are_an_entry(bytes: [u8; 32]) {
            let entry = TaskEntry::read_from_bytes(&bytes).unwrap();
            let _ = (entry.activity(), entry.fault());
            prop_assert_eq!(entry.as_bytes(), &bytes);
        }
    }
}
