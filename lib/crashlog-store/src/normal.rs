//! Normal operation: reading and writing a mounted partition.
//!
//! Writing pages of the log (`pages`), reading the log (`log`), writing, reading, acknowledging and
//! erasing crashes (`crashes`), and writing snapshots of them (`snapshot`). Its counterpart is
//! [`crate::emergency`]; mounting, the ledger and the places of pages are shared by both.

mod crashes;
mod log;
mod pages;
mod snapshot;

pub use crashes::{CrashReadError, CrashReader, CrashWriteError, Tally};
pub use log::{LogItem, LogReader};
pub use pages::PageWriteError;
pub use snapshot::{SnapshotProgress, SnapshotStep};
