//! A crash in its slot: a header block, then the blocks of its segments.
//!
//! The header ([`CrashHeader`]) holds everything whose size is known, at fixed offsets, and a table
//! of the segments ([`Segment`]), whose length varies. Each segment begins at a block boundary, so
//! data that is already in whole blocks, such as a dump area, is written from where it is. The
//! header and each segment have a checksum of their own. Whether the slot holds a crash at all is
//! decided by the [`crate::ledger`] alone.

mod header;
mod reason;
mod segment;
mod signature;
mod tasks;

pub use header::{CrashHeader, KnownRegisters, Name, REGISTER_NAMES};
pub use reason::{CrashReason, LateReason};
pub use segment::{Segment, SegmentKind};
pub use signature::{signature, signature_task, text_sum};
pub use tasks::{Activity, TaskEntry};
