//! Normal operation: what the recorder and the host tool do with a mounted partition.
//!
//! Writing pages of the log (`pages`), reading the log (`log`), and writing, reading, acknowledging and erasing crashes
//! (`crashes`). Its counterpart is [`crate::emergency`]; mounting, the ledger and the places of pages are shared by both.

mod crashes;
mod log;
mod pages;

pub use crashes::{CrashReadError, CrashReader, CrashWriteError, Tally};
pub use log::{LogItem, LogReader};
pub use pages::PageWriteError;
