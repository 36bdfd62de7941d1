//! The bytes that the crash log keeps on a card.
//!
//! # Theory of operation
//!
//! A partition, found by name in a GPT ([`gpt`]), holds four things, all in blocks of 512 bytes:
//!
//! * two copies of a [`Superblock`], written when the partition is formatted and never again. It carries the
//!   [`FormatId`], a random number that seeds every other checksum: what an earlier format (or anything else) left on
//!   the card can never be taken for a part of this one;
//! * the **stream ring**: log [`page`]s of one block each. Page number `s` lives at position `s % pages`, so the number
//!   alone says which of two laps a page belongs to and the end is found by bisection;
//! * the **record slots**: one crash [`record`] each, of a header block and the blocks of its segments;
//! * the **ledger**, two copies written in turn ([`ledger`]): one block that names the slots that hold a record and
//!   carries every counter. Writing it is what commits a record, a repetition or an erasure, so each of them happens
//!   whole or not at all.
//!
//! This crate turns these structures into values and back. It never touches a device and has no state: the target, the
//! host tool and the tests share it. `doc/format.md` describes every byte; a test holds the two together.
//!
//! All integers are little-endian. Everything decoded is hostile until checked: every decoder bounds what it returns,
//! none panics, none loops longer than its input.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

pub mod crc;
mod fault;
pub mod found;
mod geometry;
pub mod gpt;
pub mod ledger;
mod outcome;
pub mod page;
pub mod record;
mod stream;
mod superblock;
mod tasks;

pub use crc::Crc32c;
pub use fault::{Fault, ReplyFault, Source, Usage};
pub use geometry::{Geometry, GeometryError, Rule};
pub use outcome::{Failure, Outcome, Phase, Step};
pub use record::{LateReason, Reason};
pub use stream::{Level, Stream};
pub use superblock::{Superblock, SuperblockError};
pub use tasks::{Activity, TaskEntry};

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, little_endian};

/// Bytes in a block, the unit of everything on the card.
pub const BLOCK_LEN: usize = 512;

/// Version of every structure here. It is 0 while the format may still change.
pub const VERSION: u8 = 0;

/// The name of the partition.
pub const PARTITION_NAME: &str = "crashlog";

/// The random number that identifies one formatting of one partition.
///
/// It seeds the checksum of every structure but the superblock, which states it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(transparent)]
pub struct FormatId(little_endian::U64);

impl FormatId {
    /// From its number.
    #[must_use]
    pub const fn new(id: u64) -> Self {
        Self(little_endian::U64::new(id))
    }

    /// Its number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0.get()
    }

    /// A checksum that has seen the id: the beginning of every checksum of this format.
    #[must_use]
    pub fn crc(self) -> Crc32c {
        Crc32c::new().bytes(self.as_bytes())
    }
}

/// Why a structure was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckError {
    /// The first word is not the structure's own: something else, or nothing, is here.
    Magic(u32),
    /// It is of a version that this program does not know.
    Version(u8),
    /// The checksum does not match: damaged, half written, or of another format.
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
