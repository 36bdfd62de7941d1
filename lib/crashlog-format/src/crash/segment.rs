//! The segments of a record: what varies in length.

use crate::BLOCK_LEN;
use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout,
    little_endian::{U16, U32},
};

/// What a segment holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum SegmentKind {
    /// The panic message of the task, text.
    Message = 1,
    /// The stack of the task from its stack pointer on.
    Stack = 2,
    /// Notes of the supervisor, text.
    Note = 3,
    /// Memory as it was, from the segment's address on.
    Memory = 4,
    /// The epitaph of the kernel, text.
    Epitaph = 5,
    /// Names of registered regions, and what did not fit.
    Directory = 6,
    /// What every task was doing, as [`crate::TaskEntry`]s.
    Tasks = 7,
}

impl SegmentKind {
    /// Its name in a report.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Stack => "stack",
            Self::Note => "note",
            Self::Memory => "memory",
            Self::Epitaph => "epitaph",
            Self::Directory => "directory",
            Self::Tasks => "tasks",
        }
    }
}

impl TryFrom<u8> for SegmentKind {
    type Error = u8;

    fn try_from(value: u8) -> Result<Self, u8> {
        match value {
            1 => Ok(Self::Message),
            2 => Ok(Self::Stack),
            3 => Ok(Self::Note),
            4 => Ok(Self::Memory),
            5 => Ok(Self::Epitaph),
            6 => Ok(Self::Directory),
            7 => Ok(Self::Tasks),
            other => Err(other),
        }
    }
}

/// One entry of the segment table.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct Segment {
    kind: u8,
    /// Bits, see [`Segment::EXCERPT`].
    flags: u8,
    reserved: U16,
    /// First block, counted from the header's.
    block: U32,
    /// Bytes.
    length: U32,
    /// Bytes that there were before anything was cut (P10).
    original: U32,
    /// Where the bytes were in memory, if they were memory.
    address: U32,
    /// Checksum of the bytes alone, of no format: it can be had before the card is known.
    crc: U32,
}

impl Segment {
    /// A segment of `length` bytes, cut from `original`, at block `block` of the slot.
    #[must_use]
    pub fn new(
        kind: SegmentKind,
        block: u32,
        length: u32,
        original: u32,
        address: u32,
        crc: u32,
    ) -> Self {
        Self {
            kind: kind as u8,
            flags: 0,
            reserved: 0.into(),
            block: block.into(),
            length: length.into(),
            original: original.into(),
            address: address.into(),
            crc: crc.into(),
        }
    }

    /// The flag of an excerpt: no more than this was wanted, so nothing that belongs to the record is missing.
    const EXCERPT: u8 = 1 << 0;

    /// The same, as an excerpt of the `original` bytes, if it is one.
    #[must_use]
    pub const fn excerpt(mut self, is_excerpt: bool) -> Self {
        if is_excerpt {
            self.flags |= Self::EXCERPT;
        }
        self
    }

    /// Is it an excerpt: were no more bytes wanted than are there?
    #[must_use]
    pub const fn is_excerpt(&self) -> bool {
        self.flags & Self::EXCERPT != 0 && self.original.get() > self.length.get()
    }

    /// What it holds; the number if it is not known.
    ///
    /// # Errors
    /// The number.
    pub fn kind(&self) -> Result<SegmentKind, u8> {
        self.kind.try_into()
    }

    /// First block, counted from the header's.
    #[must_use]
    pub const fn block(&self) -> u32 {
        self.block.get()
    }

    /// Bytes in it.
    #[must_use]
    pub const fn length(&self) -> u32 {
        self.length.get()
    }

    /// Bytes that there were before anything was cut.
    #[must_use]
    pub const fn original(&self) -> u32 {
        self.original.get()
    }

    /// Where the bytes were in memory.
    #[must_use]
    pub const fn address(&self) -> u32 {
        self.address.get()
    }

    /// Checksum that the bytes must have.
    #[must_use]
    pub const fn crc(&self) -> u32 {
        self.crc.get()
    }

    /// Was something cut that belongs to the record (P10)? What an excerpt leaves out does not.
    #[must_use]
    pub const fn is_truncated(&self) -> bool {
        self.original.get() > self.length.get() && !self.is_excerpt()
    }

    /// Blocks it takes.
    #[must_use]
    pub const fn blocks(&self) -> u32 {
        self.length.get().div_ceil(BLOCK_LEN as u32)
    }
}
