//! The memory of the system, or of one task, saved with a crash.
//!
//! # Where it is
//!
//! An *image* of the memory is made in retained RAM and copied as it is, block by block, into the
//! slot of its crash, behind the blocks that the crash itself takes
//! ([`crate::crash::CrashHeader::snapshot_block`]). It belongs to the crash from the moment at
//! which a durable ledger says so ([`crate::ledger::Ledger::has_snapshot`]). The crash is durable
//! before that, and nothing of the snapshot overwrites anything of it.
//!
//! # What is in an image
//!
//! | part | what |
//! |---|---|
//! | [`SnapshotHeader`] | one block: of which crash, how many regions and extents, how long |
//! | [`SnapshotRegion`]s | the regions that tasks have registered, by name |
//! | [`SnapshotExtent`]s | what memory there is: at most a page each, in the order of importance |
//! | data | the bytes of the extents, one after the other |
//!
//! Regions, extents and data follow one another without gaps; the data begin at a block boundary.
//!
//! Granules of an extent that hold nothing but zeros, or nothing but the fill of an unused stack,
//! are encoded in its map and have no data. An extent that was not saved says why. So an image
//! whose data were cut short, or of which a block is damaged, still says of every byte whether it
//! is there.

mod extent;
mod header;
mod region;
mod sum;

pub use extent::{ExtentKind, ExtentStatus, GranuleContent, SnapshotExtent};
pub use header::{SnapshotHeader, SnapshotKind};
pub use region::SnapshotRegion;
pub use sum::WordSum;

/// The owner of memory that is the kernel's; all other owners are indices of tasks.
pub const KERNEL_OWNER: u16 = u16::MAX;

/// Longest extent in bytes, which is also what the kernel saves without an interruption.
pub const EXTENT_MAX: usize = 4096;

/// Bytes that one entry of an extent's map stands for.
pub const GRANULE: usize = 256;

/// The word that fills unused stacks.
pub const STACK_FILL: u32 = 0xBADD_CAFE;
