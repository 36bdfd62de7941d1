//! The crash log on a block device: the log, the crashes, and the ledger of them.
//!
//! # How it works
//!
//! [`find_partition`] finds the partition on a card, and [`Store::mount`] finds out what is in it.
//! After that there are two request paths:
//!
//! * [`normal`]: pages and crashes are written and read. It is asynchronous over
//!   [`BlockDevice`](block_device::BlockDevice), the same code for the target, where it waits for
//!   the card, and for a host, where a file is always ready;
//! * [`emergency`]: the log tail and one crash are written, synchronously over
//!   [`PolledDevice`](block_device::PolledDevice), from the retained region to the card.
//!
//! # What is guaranteed (X5)
//!
//! The card is assumed to write blocks whole or damaged (a damaged block fails its check), in any
//! order between two flushes.
//!
//! * **Pages** are written at the end of the stream, at most 16 between two flushes, and are valid
//!   when their checksums match. A page that holds durable records is not written again before the
//!   ring wraps to it.
//! * **Crashes** are written into a slot that the newest ledger has as free, flushed, and exist
//!   when the ledger that names them is durable. The newest ledger is never overwritten, only the
//!   one before it.
//! * **Snapshots** are written behind their crash, when that exists, and flushed; they exist when
//!   the ledger that names them is durable. Nothing of the crash is written again.
//! * So what was reported as durable remains, at whatever moment the power fails; and nothing is
//!   read that this format did not write, as the checksums are seeded with its random number.
//!
//! # Cancellation
//!
//! The future of a function that only reads may be dropped at any time. Dropped in the middle of a
//! write, what was being written is on the card or not, as after a power cut at that moment; the
//! [`Store`] must be mounted again before it is used.
//!
//! # How the end of the stream is found
//!
//! The ledger has a page number before which all pages are written; it is renewed every
//! [`CHECKPOINT`] pages. From there on pages are probed by bisection, and a window of [`MAX_RUN`]
//! pages after the place that was found is read: a power cut may have left a gap with pages after
//! it, but only within one run. See `end`.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

mod device;
pub mod emergency;
mod end;
mod format;
mod ledger;
pub mod normal;
mod partition;
mod port;
mod prepare;
mod ring;
mod search;
mod segment;
pub mod self_test;
mod snapshot;
mod store;
mod superblocks;
mod table;

#[cfg(test)]
mod tests;

pub use crashlog_retained::MAX_RUN;
pub use device::Polled;
pub use format::{FormatError, FormatOptions, adopt_partition, format_partition};
pub use ledger::find_ledger;
pub use normal::{
    CrashReadError, CrashReader, CrashWriteError, LogItem, LogReader, PageWriteError,
    SnapshotProgress, SnapshotStep, Tally,
};
pub use partition::{PartitionError, find_partition};
pub use port::{Exchange, Port, PortError, PortRequest, PortTransfer};
pub use prepare::{CrashBody, ExtraSegment};
pub use search::{Search, SearchError, find_log};
pub use store::{MountError, Store, StoreOptions};
pub use superblocks::WriteRefusal;
pub use table::{TableOptions, partition_place, write_table};

/// Number of pages after which the end of the stream is noted in the ledger again, which bounds the
/// search for it.
pub const CHECKPOINT: u32 = 2048;
