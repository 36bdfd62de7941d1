//! Memory that survives a restart, of a task or of the system.
//!
//! # Theory of operation
//!
//! Supervisor and recorder share one region of RAM that no image is loaded to. It holds what must outlive a crash until
//! it is on the card:
//!
//! | part | written by | what |
//! |---|---|---|
//! | header | supervisor | number of the boot; how cold and warm starts are told apart |
//! | [`Mailbox`] | both | the crash being recorded, its outcome, and faults of single tasks that wait |
//! | [`FailureSlot`] | kernel | a failure of the kernel or the supervisor that waits to be recorded |
//! | [`HistorySlot`] | supervisor, kernel | faults that came again and again |
//! | [`LocationCache`] | recorder | where on the card the log is |
//! | [`LogRing`] | recorder | log records accepted and not yet durable |
//! | scratch | recorder | blocks for data on the way to or from the card |
//! | dump area | supervisor | memory saved at a crash |
//!
//! After a restart any of it may be garbage: at power-on all of it is, and a fault can leave any step half done. So
//! every part has a check of its own, nothing is used that does not pass it, and every change is made in an order in
//! which stopping after any single store leaves either the old state or the new one. Everything is words that are read
//! and written whole ([`Block`]s of atomics); no reference to a Rust value ever points into the region.
//!
//! The controller transfers blocks directly from here, so the region must be one that it can read and that no cache
//! hides from it (`dma` in the memory map).
//!
//! # Boots
//!
//! Boots are counted here, from 1 at power-on. On the card they are counted since it was formatted. What is added to get
//! from one to the other becomes known when the card is mounted ([`Region::rebase`]), and is applied when something
//! is written: records made before the card was found come out right, too (P7).
#![cfg_attr(not(test), no_std)]
// The one exception is `Region::claim`, which turns an address range into blocks.
#![deny(unsafe_code)]

mod context;
mod failure;
mod history;
mod location;
mod mailbox;
mod region;
mod ring;
mod words;

#[cfg(test)]
mod testing;

pub use block_device::Block;
pub use context::{ContextWriter, CrashContext, Excerpt, StoredContext};
pub use crashlog_format::crash::signature;
/// What the crate needs of `crashlog-format`, re-exported: `page` has the layout of log records.
pub use crashlog_format::page::{self, LogHeader};
pub use crashlog_format::{Activity, TaskEntry};
pub use crashlog_format::{
    CrashReason, EmergencyFailure, EmergencyStep, Level, Outcome, OutcomePhase, Stream,
};
pub use failure::{FailureSlot, FailureWriter, StoredFailure};
pub use history::{History, HistorySlot, Series};
pub use location::{CARD_LOCATION_LEN, Location, LocationCache};
pub use mailbox::{Mailbox, MailboxState, Oops, SelfTest};
pub use region::{Region, Start};
pub use ring::{AppendError, LogRing, MAX_RUN, Numbering, Pending, Record, Recovery, Run};
