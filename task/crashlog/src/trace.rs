//! The task's trace: what it did last, for a debugger and for the next crash.

use task_crashlog_api::{
    CrashLogError, DeviceFailure, ReadOnlyReason, SelfTestReport, UnsavedReason,
};

/// One entry of the trace.
#[derive(Clone, Copy, Eq, PartialEq, counters::Count)]
pub enum Trace {
    /// An entry that was never written.
    #[count(skip)]
    None,
    /// The task began. It found this many pages of the log in retained RAM, of which so many were
    /// damaged.
    Started { pages: u32, damaged: u32 },
    /// Starts before this one have ended early, so crashes in retained RAM are set aside; also the
    /// pages of the log?
    // Once in a start, so not counted.
    #[count(skip)]
    SetAside { pages: bool },
    /// The log on the card was located.
    Mounted { next_page: u32 },
    /// Nothing is being saved, for this reason.
    RamOnly(UnsavedReason),
    /// The log on the card can be read, and is not written, for this reason.
    ReadOnly(ReadOnlyReason),
    /// Pages were written and are durable.
    Wrote { first_page: u32, count: u32 },
    /// A crash was written.
    WroteCrash { sequence: u32 },
    /// A crash that an earlier boot left in retained RAM was written.
    WroteLateCrash { sequence: u32 },
    /// This many failures of the kernel were counted but not kept, because retained RAM held an
    /// earlier one.
    FailuresNotKept { count: u32 },
    /// A crash in retained RAM did not pass its check and is lost.
    CrashDamaged,
    /// An image in retained RAM was written as the snapshot of this crash, or discarded, as there
    /// is none for it.
    SnapshotDone { sequence: Option<u32> },
    /// The card or the controller failed.
    Failed(DeviceFailure),
    /// Card and controller were suspended: 1 clock off, 2 card asleep, 3 power off.
    Suspended { how: u8 },
    /// Card and controller are about to be resumed.
    Resumed,
    /// Result of the self-test.
    SelfTest(SelfTestReport),
    /// A call was refused with this error.
    Refused(#[count(children)] CrashLogError),
}
