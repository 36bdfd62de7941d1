//! Dumps of tasks in memory: areas, and what is in them.
//!
//! A supervisor has memory for dumps, which is divided into areas of [`DUMP_AREA_SIZE`] bytes. When a task faults it
//! copies what is known of the task to the first areas that are free, and restarts it; a dump agent hands the areas out,
//! piece by piece, to whoever can do something with them.
//!
//! An area begins with a [`DumpAreaHeader`], which says where the next one is. A dump begins in an area with as many
//! [`DumpSegmentHeader`]s as there are segments, says with a [`DumpTask`] whose it is, and goes on with
//! [`DumpSegmentData`]: pieces of the segments, each compressed for itself. What does not fit is in the next area, whose
//! header counts no segments. A record lies in one area. Addresses in records are aligned to 4, so that the other kinds
//! of record, whose magic numbers are not, can be told apart.
//!
//! Everything is little endian. [`Areas`] keeps areas; nothing there believes what the memory says before it was checked,
//! because the agent can write it too.
//!
//! The one `unsafe` function, [`extern_words`], makes memory of an address.
//!
//! Interface: hubris-interface section 10.4, humility section 5.6.

#![no_std]

mod areas;
mod memory;

pub use areas::{Areas, Error, READ_LEN, Source};
pub use memory::{Memory, Words, extern_words};

use hubpack::SerializedSize;
use serde::{Deserialize, Serialize};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

const _: () = assert!(
    cfg!(target_endian = "little"),
    "structures are used as they are in memory"
);

/// Bytes of an area.
pub const DUMP_AREA_SIZE: u32 = 0x1000;

/// How an area begins.
pub const DUMP_MAGIC: [u8; 4] = [0x01, 0xde, 0xde, 0xad];
/// How an area begins while its header is being written.
pub const DUMP_UNINITIALIZED: [u8; 4] = [0xba, 0x0d, 0xca, 0xfe];
/// How a [`DumpTask`] begins.
pub const DUMP_TASK_MAGIC: [u8; 2] = [0xda, 0xda];
/// How a [`DumpRegister`] begins.
pub const DUMP_REGISTER_MAGIC: [u8; 2] = [0xab, 0xba];
/// Fills compressed data up to a multiple of 4.
pub const DUMP_SEGMENT_PAD: u8 = 0x55;

/// [`DumpAreaHeader::dumper`]: nobody yet.
pub const DUMPER_NONE: u8 = 0xff;
/// [`DumpAreaHeader::dumper`]: a debugger that plays the dumper.
pub const DUMPER_EMULATED: u8 = 0xfe;
/// [`DumpAreaHeader::dumper`]: another processor.
pub const DUMPER_EXTERNAL: u8 = 1;
/// [`DumpAreaHeader::dumper`]: the supervisor.
pub const DUMPER_JEFE: u8 = 2;

/// The compression of [`DumpSegmentData`].
pub type DumpLzss = lzss::Lzss<6, 4, 0x20, { 1 << 6 }, { 2 << 6 }>;

/// How an area begins.
#[derive(Copy, Clone, Debug, Eq, PartialEq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct DumpAreaHeader {
    /// [`DUMP_MAGIC`].
    pub magic: [u8; 4],
    /// Where the area is.
    pub address: u32,
    /// Bytes of it.
    pub length: u32,
    /// Bytes that are used, this header included.
    pub written: u32,
    /// A [`DumpContents`], by its number in memory.
    pub contents: u8,
    /// Who has written it: [`DUMPER_JEFE`] and others.
    pub dumper: u8,
    /// How many [`DumpSegmentHeader`]s follow.
    pub nsegments: u16,
    /// Where the next area is; 0 after the last.
    pub next: u32,
}

/// A piece of memory that is in the dump.
#[derive(Copy, Clone, Debug, Eq, PartialEq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct DumpSegmentHeader {
    /// Its first byte, aligned to 4.
    pub address: u32,
    /// Bytes, a multiple of 4.
    pub length: u32,
}

/// Whose dump it is.
#[derive(Copy, Clone, Debug, Eq, PartialEq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct DumpTask {
    /// [`DUMP_TASK_MAGIC`].
    pub magic: [u8; 2],
    /// Index of the task.
    pub id: u16,
    /// Zero.
    pub pad: u32,
    /// When it was dumped, in ticks since the start.
    pub time: u64,
}

impl DumpTask {
    /// A dump of task `id`, made at `time`.
    #[must_use]
    pub const fn new(id: u16, time: u64) -> Self {
        Self {
            magic: DUMP_TASK_MAGIC,
            id,
            pad: 0,
            time,
        }
    }
}

/// A register of the processor, in dumps of a whole system.
#[derive(Copy, Clone, Debug, Eq, PartialEq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct DumpRegister {
    /// [`DUMP_REGISTER_MAGIC`].
    pub magic: [u8; 2],
    /// Number of the register.
    pub register: u16,
    /// What was in it.
    pub value: u32,
}

/// How a piece of a segment begins; compressed bytes follow, and [`DUMP_SEGMENT_PAD`] up to a multiple of 4.
#[derive(Copy, Clone, Debug, Eq, PartialEq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct DumpSegmentData {
    /// Address of its first byte, aligned to 4.
    pub address: u32,
    /// Bytes that follow, without what fills them up.
    pub compressed_length: u16,
    /// Bytes that these become.
    pub uncompressed_length: u16,
}

/// What an area holds. Variant order is that in messages; in memory the numbers are others.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Serialize, Deserialize, SerializedSize)]
pub enum DumpContents {
    /// Nothing.
    Available,
    /// One task.
    SingleTask,
    /// The whole system.
    WholeSystem,
    /// Something else.
    Unknown,
    /// Memory of one task.
    TaskRegion,
}

impl From<u8> for DumpContents {
    /// Of the number in memory.
    fn from(number: u8) -> Self {
        match number {
            0 => Self::Available,
            1 => Self::SingleTask,
            2 => Self::WholeSystem,
            3 => Self::TaskRegion,
            _ => Self::Unknown,
        }
    }
}

impl From<DumpContents> for u8 {
    /// The number in memory.
    fn from(contents: DumpContents) -> Self {
        match contents {
            DumpContents::Available => 0,
            DumpContents::SingleTask => 1,
            DumpContents::WholeSystem => 2,
            DumpContents::TaskRegion => 3,
            DumpContents::Unknown => 0xff,
        }
    }
}

/// Memory for dumps: an area, or a region that areas are made of.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Serialize, Deserialize, SerializedSize)]
pub struct DumpAreaRegion {
    /// Address of its first byte.
    pub address: u32,
    /// Bytes.
    pub length: u32,
}

/// One dump area.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Serialize, Deserialize, SerializedSize)]
pub struct DumpArea {
    /// Where it is.
    pub region: DumpAreaRegion,
    /// What it holds.
    pub contents: DumpContents,
    /// Its number.
    pub index: u8,
}
