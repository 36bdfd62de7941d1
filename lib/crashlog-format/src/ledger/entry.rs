//! What the ledger knows of a crash, of the record in a slot, and of all crashes together.

use crate::Reason;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, little_endian::U32};

/// A slot, as the ledger knows it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct Entry {
    /// Sequence number of the record in the slot; 0 if the slot is free.
    pub sequence: U32,
    /// Task, fault and place of the crash; see [`crate::record::signature`].
    pub signature: U32,
    /// How often the same crash came again.
    pub repeats: U32,
    /// Boot of the last repetition; of the record itself if there was none.
    pub last_boot: U32,
    /// When, in milliseconds since the start of that boot; 2^32 - 1 if it is more than fits.
    pub last_time: U32,
}

impl Entry {
    pub(super) const NONE: Self = Self {
        sequence: U32::ZERO,
        signature: U32::ZERO,
        repeats: U32::ZERO,
        last_boot: U32::ZERO,
        last_time: U32::ZERO,
    };
}

/// Crashes since the partition was formatted (P3), repetitions included.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct Counters {
    /// One task was restarted.
    pub oops: U32,
    /// A task's fault restarted the system.
    pub panic: U32,
    /// The kernel or the supervisor failed.
    pub kernel: U32,
    /// How many of all of these were written after the restart.
    pub late: U32,
}

impl Counters {
    /// With one more crash counted. A self-test is none.
    #[must_use]
    pub fn with(mut self, crash: &Crash) -> Self {
        let add = |counter: &mut U32| *counter = counter.get().saturating_add(1).into();
        add(match crash.reason {
            Reason::Oops => &mut self.oops,
            Reason::Panic => &mut self.panic,
            Reason::Kernel => &mut self.kernel,
            Reason::SelfTest => return self,
        });
        if crash.late {
            add(&mut self.late);
        }
        self
    }
}

/// A crash, as far as the ledger takes notice of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crash {
    /// What it did to the system.
    pub reason: Reason,
    /// Is it recorded after the restart?
    pub late: bool,
    /// Task, fault and place; see [`crate::record::signature`].
    pub signature: u32,
    /// The boot it happened in.
    pub boot: u32,
    /// When, in milliseconds since the start of the boot.
    pub time: u64,
}

impl Crash {
    pub(super) fn time32(&self) -> u32 {
        u32::try_from(self.time).unwrap_or(u32::MAX)
    }
}
