//! Streams and records of the crash log on a block device.
//!
//! # Theory of operation
//!
//! [`find_partition`] finds the partition on a card, [`Store::mount`] what is in it; then pages and records are written
//! and read. All of it is asynchronous over [`BlockDevice`](block_device::BlockDevice), one sequential piece of code
//! for the target, where a card takes its time, and for a host, where a file is always ready. [`emergency`] does the
//! part that a crash needs once more, synchronously over [`PolledDevice`](block_device::PolledDevice), straight from
//! the retained region to the card.
//!
//! # What is promised (X5)
//!
//! Blocks are written whole or not at all (a torn block is one that fails its check), in any order between two flushes.
//!
//! * **Pages** are written at the end of the stream, at most 16 between two flushes, and count when their checksum
//!   holds. A page that holds durable records is not written again before the ring comes round to it.
//! * **Records** are written into a slot that is free by the newest ledger, flushed, and exist when the ledger that names
//!   them is durable. The newest ledger is never overwritten, only the one before.
//! * So whatever was reported durable stays, whatever moment the power fails in; and what is found afterwards was
//!   written by someone who meant it: everything has a checksum that begins with the random number of the format.
//!
//! # How the end of the stream is found
//!
//! The ledger says that everything before some page is written; it is renewed every [`CHECKPOINT`] pages. From there on
//! pages are probed by bisection, and around the place found a window of [`MAX_RUN`] pages is read: a power cut may have
//! left a gap with pages behind it, but never beyond one run. See `end`.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

mod device;
pub mod emergency;
mod end;
mod format;
mod journal;
mod log;
mod pages;
mod partition;
mod port;
mod prepare;
mod records;
mod search;
pub mod self_test;
mod store;

#[cfg(test)]
mod tests;

pub use crashlog_retained::MAX_RUN;
pub use device::Polled;
pub use format::{FormatError, FormatOptions, TableOptions, format_partition, write_table};
pub use log::{LogItem, LogReader};
pub use pages::WriteError;
pub use partition::{Partition, PartitionError, find_partition};
pub use port::{Exchange, Need, Port, PortError, Transfer};
pub use prepare::{Body, Extra};
pub use records::{ReadError, RecordError, RecordReader, Tally};
pub use search::{Search, SearchError, find_log};
pub use store::{MountError, Options, Store};

/// Pages after which the ledger is renewed, so that the end of the stream is found from nearby.
pub const CHECKPOINT: u32 = 2048;
