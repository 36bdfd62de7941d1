//! Memory that survives a restart of a task and a reset of the system.
//!
//! # Theory of operation
//!
//! Supervisor and recorder share one region of RAM that no image is loaded to. It holds what must
//! survive a crash until it is on the card:
//!
//! | part | written by | what |
//! |---|---|---|
//! | header | supervisor | number of the boot; tells a cold start from a warm one |
//! | [`BootEndSlot`] | supervisor, kernel | how this boot is about to end, how those before did, who ran last |
//! | [`ResetCauseSlot`] | kernel | what the chip says of the last reset |
//! | [`TaskStates`] | supervisor | what every task was doing a short time ago |
//! | [`Trial`] | both | how often the system has just failed with what is here |
//! | [`Mailbox`] | both | the crash of an emergency, its outcome, and oopses |
//! | [`FailureSlot`] | kernel | a failure of the kernel or of the supervisor |
//! | [`HistorySlot`] | supervisor, kernel | faults that repeat |
//! | [`LocationCache`] | recorder | where on the card the log is |
//! | [`LogRing`] | recorder | log records accepted and not yet durable |
//! | scratch | recorder | blocks for data on the way to or from the card |
//! | dump area ([`SnapshotArea`]) | supervisor, kernel | the image of a snapshot |
//!
//! After a restart any of it may be garbage: at power-on all of it is, and a fault can interrupt
//! any change. So every part has a check of its own, nothing is used that does not pass it, and
//! every change is made in an order in which stopping after any single store leaves either the old
//! state or the new one. The region is accessed by whole words only ([`Block`]s of atomics); no
//! reference to a Rust value ever points into it.
//!
//! The controller transfers blocks directly from here by DMA, so the region must be memory that it
//! can read and that is not cached (`dma` in the memory map).
//!
//! # Boots
//!
//! Boots are counted here, from 1 at power-on. On the card they are counted since it was formatted.
//! The difference becomes known when the card is mounted ([`Region::rebase`]), and is added when
//! something is written: so records that were accepted before the card was found have the right
//! boot, too.
#![cfg_attr(not(test), no_std)]
// The only `unsafe` function is `Region::claim`, which turns an address range into blocks.
#![deny(unsafe_code)]

mod boot_end;
mod context;
mod failure;
mod history;
mod location;
mod mailbox;
mod region;
mod reset_cause;
mod ring;
mod snapshot;
mod task_states;
mod trial;
mod words;

#[cfg(test)]
mod testing;

pub use block_device::{BLOCK_LEN, Block};
pub use boot_end::BootEndSlot;
pub use context::{ContextWriter, CrashContext, Excerpt, StoredContext};
pub use crashlog_format::crash::{Name, signature, text_sum};
/// What the crate needs of `crashlog-format`, re-exported: `page` has the layout of log records.
pub use crashlog_format::page::{self, LogHeader};
pub use crashlog_format::snapshot::{ExtentKind, ExtentStatus, KERNEL_OWNER, SnapshotKind};
pub use crashlog_format::{Activity, BootEnd, BootEnds, CrashFault, LastRan, TaskEntry};
pub use crashlog_format::{
    CrashReason, EmergencyFailure, EmergencyStep, Level, Outcome, OutcomePhase, Stream,
};
pub use failure::{FailureSlot, FailureWriter, StoredFailure};
pub use history::{History, HistorySlot, Series};
pub use location::{CARD_LOCATION_LEN, Location, LocationCache};
pub use mailbox::{Mailbox, MailboxState, Oops, SelfTestProgress};
pub use region::{Region, Start};
pub use reset_cause::{ResetCause, ResetCauseSlot};
pub use ring::{
    AppendError, LogRing, MAX_RUN, Numbering, PageRun, PendingPage, Record, RingRecovery,
};
pub use snapshot::{
    ExtentRows, MemoryRange, RegisteredRegion, SavedMemory, SavedRows, SnapshotArea, SnapshotFacts,
    SnapshotPiece, SnapshotSource,
};
pub use task_states::{NotedTasks, TaskNow, TaskStates};
pub use trial::{Trial, TrialStage};
