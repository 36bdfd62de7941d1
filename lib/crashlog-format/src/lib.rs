//! The structures that the crash log keeps on a card, byte for byte.
//!
//! # What is in a partition
//!
//! The partition is found by its name in a GPT ([`gpt`]). It holds four things, in blocks of 512
//! bytes ([`Geometry`]):
//!
//! * two copies of a [`Superblock`], which is written when the partition is formatted and never
//!   again. It states the [`FormatId`], a random number that seeds all other checksums. So nothing
//!   that an earlier format, or anything else, left on the card passes the checks of this format;
//! * the **stream ring**: log [`page`]s of one block each. Page `s` is at position `s % pages`, so
//!   its number tells in which lap of the ring it was written, and the end of the stream is found
//!   by bisection;
//! * the **crash slots**: one [`crash`] each, a header block and the blocks of its segments, and
//!   the memory that was saved with it ([`snapshot`]);
//! * the **ledger**, two copies that are written alternately ([`ledger`]): one block that names the
//!   slots that hold a crash, and holds all counters. Writing it commits a crash, a repetition or
//!   an erasure, so each is applied whole or not at all.
//!
//! This crate turns these structures into values and back. It accesses no device and keeps no
//! state: the target, the host tool and the tests share it. `doc/format.md` describes every byte;
//! the test `document` compares the two.
//!
//! All integers are little-endian. Everything that is decoded may be hostile: every decoder checks
//! the bounds of what it returns, none panics, and none loops longer than its input.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

pub mod boot;
mod boot_end;
pub mod crash;
pub mod crc;
mod fault;
pub mod found;
mod geometry;
pub mod gpt;
mod last_ran;
pub mod ledger;
mod outcome;
pub mod page;
mod place;
pub mod snapshot;
mod stream;
mod superblock;
mod time_anchor;

pub use boot::BootRecord;
pub use boot_end::{BootEnd, BootEnds};
pub use crash::{Activity, CrashReason, LateReason, TaskEntry};
pub use crc::Crc32c;
pub use fault::{CrashFault, FaultSource, ReplyFaultReason, UsageError};
pub use geometry::{Geometry, GeometryError, GeometryRule};
pub use last_ran::LastRan;
pub use outcome::{EmergencyFailure, EmergencyStep, Outcome, OutcomePhase};
pub use place::PartitionPlace;
pub use stream::{Level, Stream};
pub use superblock::{Superblock, SuperblockContent, SuperblockError};
pub use time_anchor::TimeAnchor;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, little_endian};

/// Length of a block in bytes. All structures begin at a block boundary.
pub const BLOCK_LEN: usize = 512;

/// Version of all structures. Version 0, of before the superblock stated the place of its
/// partition, is not read.
pub const VERSION: u8 = 1;

/// The name of the partition.
pub const PARTITION_NAME: &str = "crashlog";

/// The random number that identifies one formatting of one partition.
///
/// It seeds the checksums of ledgers, page headers and crash headers. The superblock states it, so
/// it cannot seed that. The checksums of segments and log records are computed before the card is
/// known; a seeded header covers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(transparent)]
pub struct FormatId(little_endian::U64);

impl FormatId {
    /// The id with this number.
    #[must_use]
    pub const fn new(id: u64) -> Self {
        Self(little_endian::U64::new(id))
    }

    /// Its number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0.get()
    }

    /// A checksum over the id: the seed of the checksums of this format.
    #[must_use]
    pub fn crc(self) -> Crc32c {
        Crc32c::new().bytes(self.as_bytes())
    }
}

/// Why a structure on the card was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckError {
    /// The first word is this one instead of the structure's magic: the block holds something else,
    /// or nothing.
    Magic(u32),
    /// The version is this one, which this program does not know.
    Version(u8),
    /// The checksum does not match: the structure is damaged, half written, or of another format.
    Checksum,
    /// A field holds a value that the format does not allow.
    Field,
}

impl core::fmt::Display for CheckError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Magic(found) => write!(f, "magic is {found:#010x}"),
            Self::Version(found) => write!(f, "format version {found} is not known"),
            Self::Checksum => f.write_str("checksum does not match"),
            Self::Field => f.write_str("a field is out of range"),
        }
    }
}

impl core::error::Error for CheckError {}
