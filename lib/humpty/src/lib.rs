//! Dumps of tasks in memory: dump areas, and the format of their content.
//!
//! A supervisor has memory for dumps, which is divided into areas of [`DUMP_AREA_SIZE`] bytes. When
//! a task faults the supervisor copies its state and memory to the first free areas, and restarts
//! it. Clients read the areas through a dump agent, piece by piece.
//!
//! An area begins with a [`DumpAreaHeader`], which has the address of the next one. A dump begins
//! in an area with one [`DumpSegmentHeader`] for each segment, then a [`DumpTask`] that names the
//! task, then [`DumpSegmentData`]: pieces of the segments, each compressed separately. What does
//! not fit continues in the next area, whose header counts no segments. None of these structures
//! crosses the end of an area. They are told apart by their first bytes: addresses are aligned to
//! 4, and the magic numbers of the other kinds are not.
//!
//! Everything is little endian. [`Areas`] manages areas. It checks everything that it reads from
//! them before it uses it, because the dump agent can write there, too.
//!
//! The only `unsafe` function, [`extern_words`], makes memory of an address.
//!
//! Format and compression are those of Hubris' crate `humpty`, which Humility reads.

#![no_std]

mod areas;
mod memory;
pub mod udp;

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

/// The first bytes of an area.
pub const DUMP_MAGIC: [u8; 4] = [0x01, 0xde, 0xde, 0xad];
/// The first bytes of an area while its header is being written.
pub const DUMP_UNINITIALIZED: [u8; 4] = [0xba, 0x0d, 0xca, 0xfe];
/// The first bytes of a [`DumpTask`].
pub const DUMP_TASK_MAGIC: [u8; 2] = [0xda, 0xda];
/// The first bytes of a [`DumpRegister`].
pub const DUMP_REGISTER_MAGIC: [u8; 2] = [0xab, 0xba];
/// Pads compressed data to a multiple of 4 bytes.
pub const DUMP_SEGMENT_PAD: u8 = 0x55;

/// [`DumpAreaHeader::dumper`]: none yet.
pub const DUMPER_NONE: u8 = 0xff;
/// [`DumpAreaHeader::dumper`]: a debugger in place of a dumper.
pub const DUMPER_EMULATED: u8 = 0xfe;
/// [`DumpAreaHeader::dumper`]: another processor.
pub const DUMPER_EXTERNAL: u8 = 1;
/// [`DumpAreaHeader::dumper`]: the supervisor.
pub const DUMPER_JEFE: u8 = 2;

/// The compression of [`DumpSegmentData`].
pub type DumpLzss = lzss::Lzss<6, 4, 0x20, { 1 << 6 }, { 2 << 6 }>;

/// The header of an area.
#[derive(Copy, Clone, Debug, Eq, PartialEq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct DumpAreaHeader {
    /// [`DUMP_MAGIC`].
    pub magic: [u8; 4],
    /// Address of the area.
    pub address: u32,
    /// How many bytes it has.
    pub length: u32,
    /// How many bytes are used, this header included.
    pub written: u32,
    /// The number in memory of a [`DumpContents`].
    pub contents: u8,
    /// What has written it: [`DUMPER_JEFE`] or another of these constants.
    pub dumper: u8,
    /// How many [`DumpSegmentHeader`]s follow.
    pub nsegments: u16,
    /// Address of the next area; 0 for the last.
    pub next: u32,
}

/// A segment: a range of memory that is in the dump.
#[derive(Copy, Clone, Debug, Eq, PartialEq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct DumpSegmentHeader {
    /// Its first byte, aligned to 4.
    pub address: u32,
    /// How many bytes it has, a multiple of 4.
    pub length: u32,
}

/// The task that was dumped.
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

/// The header of a piece of a segment. Compressed bytes follow, padded to a multiple of 4 with
/// [`DUMP_SEGMENT_PAD`].
#[derive(Copy, Clone, Debug, Eq, PartialEq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct DumpSegmentData {
    /// Address of its first byte, aligned to 4.
    pub address: u32,
    /// How many compressed bytes follow, without the padding.
    pub compressed_length: u16,
    /// How many bytes they decompress to.
    pub uncompressed_length: u16,
}

/// What an area contains. Messages encode the order of variants; memory has other numbers, by
/// [`u8::from`].
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
    /// How many bytes it has.
    pub length: u32,
}

/// One dump area.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Serialize, Deserialize, SerializedSize)]
pub struct DumpArea {
    /// Where it is.
    pub region: DumpAreaRegion,
    /// What it contains.
    pub contents: DumpContents,
    /// Its number.
    pub index: u8,
}
