//! The task's trace: what it did last, for a debugger and for the next crash record.

use task_crashlog_api::{CrashLogError, Failure, SelfTest, UnsavedReason};

/// One entry.
#[derive(Clone, Copy, Eq, PartialEq, counters::Count)]
pub enum Trace {
    /// Nothing yet.
    #[count(skip)]
    None,
    /// The task began, with this many pages of the log in retained RAM, and found this many of them damaged.
    Started { pages: u32, damaged: u32 },
    /// The log on the card was located; the next page is this.
    Mounted { next_page: u32 },
    /// Nothing is being saved.
    RamOnly(UnsavedReason),
    /// Pages were written and are durable.
    Wrote { first_page: u32, count: u32 },
    /// A crash record was written.
    Recorded { sequence: u32 },
    /// A record of a crash that was found in retained RAM was written.
    RecordedLate { sequence: u32 },
    /// Failures of the kernel came so fast after one another that these were not kept.
    FailuresNotKept { count: u32 },
    /// A crash found in retained RAM does not pass its check and is lost.
    CrashDamaged,
    /// The card or the controller failed.
    Failed(Failure),
    /// Card and controller were suspended: 1 clock off, 2 card asleep, 3 power off.
    Suspended { how: u8 },
    /// There is something to do again.
    Resumed,
    /// The emergency path was tried, or not.
    SelfTest(SelfTest),
    /// A client was refused.
    Refused(#[count(children)] CrashLogError),
}
