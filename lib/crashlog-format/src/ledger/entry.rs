//! What the ledger holds of each crash, and of all crashes together.

use crate::CrashReason;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, little_endian::U32};

/// The ledger's entry of one slot.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct CrashEntry {
    /// Sequence number of the crash in the slot; 0 if the slot is free.
    pub sequence: U32,
    /// Task, fault and place of the crash; see [`crate::crash::signature`].
    pub signature: U32,
    /// How often the same crash was repeated.
    pub repeats: U32,
    /// Boot of the last repetition; of the crash itself if there was none.
    pub last_boot: U32,
    /// Time of it, in milliseconds since the start of that boot; 2^32 - 1 if it was later than that.
    pub last_time: U32,
}

impl CrashEntry {
    /// The entry of a free slot.
    pub(super) const NONE: Self = Self {
        sequence: U32::ZERO,
        signature: U32::ZERO,
        repeats: U32::ZERO,
        last_boot: U32::ZERO,
        last_time: U32::ZERO,
    };
}

/// Numbers of crashes since the partition was formatted (P3), repetitions included. They saturate.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct CrashCounters {
    /// Crashes after which one task was restarted.
    pub oops: U32,
    /// Crashes of a task after which the system was restarted.
    pub panic: U32,
    /// Failures of the kernel or the supervisor.
    pub kernel: U32,
    /// How many of all of these were written only after the restart.
    pub late: U32,
}

impl CrashCounters {
    /// These counters with one more crash. A self-test is not counted.
    #[must_use]
    pub fn with(mut self, crash: &CrashSummary) -> Self {
        let add = |counter: &mut U32| *counter = counter.get().saturating_add(1).into();
        add(match crash.reason {
            CrashReason::Oops => &mut self.oops,
            CrashReason::Panic => &mut self.panic,
            CrashReason::Kernel => &mut self.kernel,
            CrashReason::SelfTest => return self,
        });
        if crash.late {
            add(&mut self.late);
        }
        self
    }
}

/// What the ledger needs to know of a crash, or of a self-test, that is to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CrashSummary {
    /// What it did to the system; of a self-test [`CrashReason::SelfTest`].
    pub reason: CrashReason,
    /// Whether it is written only after the restart.
    pub late: bool,
    /// Task, fault and place; see [`crate::crash::signature`].
    pub signature: u32,
    /// The boot in which it happened.
    pub boot: u32,
    /// Time of it, in milliseconds since the start of the boot.
    pub time: u64,
}

impl CrashSummary {
    /// The time as an entry holds it.
    pub(super) fn time32(&self) -> u32 {
        u32::try_from(self.time).unwrap_or(u32::MAX)
    }
}
