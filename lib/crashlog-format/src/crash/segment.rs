//! Segments: the parts of a crash that vary in length.

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
    /// The stack of the task, from its stack pointer on.
    Stack = 2,
    /// What the kernel said of its own failure, text.
    Epitaph = 5,
    /// What every task was doing: one [`crate::TaskEntry`] each.
    Tasks = 7,
}

impl SegmentKind {
    /// Its name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Stack => "stack",
            Self::Epitaph => "epitaph",
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
            5 => Ok(Self::Epitaph),
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
    /// First block, counted from the first block of the slot.
    block: U32,
    /// Length in bytes.
    length: U32,
    /// Length in bytes before anything was cut (P10).
    original: U32,
    /// Address of the bytes in memory; 0 if they are not a copy of memory.
    address: U32,
    /// Checksum of the bytes, not seeded with the format: so it can be computed before the card is
    /// known.
    crc: U32,
}

impl Segment {
    /// A segment of `length` of `original` bytes, at block `block` of the slot. `crc` is the
    /// [`crate::Crc32c`] of its bytes; `address` is where they were in memory, or 0.
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

    /// Flag of an excerpt: only `length` of the `original` bytes were to be saved, so nothing is
    /// missing.
    const EXCERPT: u8 = 1 << 0;

    /// The same segment, marked as an excerpt if `is_excerpt`.
    #[must_use]
    pub const fn excerpt(mut self, is_excerpt: bool) -> Self {
        if is_excerpt {
            self.flags |= Self::EXCERPT;
        }
        self
    }

    /// Whether it is an excerpt: it is shorter than the original on purpose.
    #[must_use]
    pub const fn is_excerpt(&self) -> bool {
        self.flags & Self::EXCERPT != 0 && self.original.get() > self.length.get()
    }

    /// What it holds.
    ///
    /// # Errors
    /// The number on the card, if this program does not know it.
    pub fn kind(&self) -> Result<SegmentKind, u8> {
        self.kind.try_into()
    }

    /// First block, counted from the first block of the slot.
    #[must_use]
    pub const fn block(&self) -> u32 {
        self.block.get()
    }

    /// Length in bytes.
    #[must_use]
    pub const fn length(&self) -> u32 {
        self.length.get()
    }

    /// Length in bytes before anything was cut.
    #[must_use]
    pub const fn original(&self) -> u32 {
        self.original.get()
    }

    /// Address of the bytes in memory; 0 if they are not a copy of memory.
    #[must_use]
    pub const fn address(&self) -> u32 {
        self.address.get()
    }

    /// The [`crate::Crc32c`] that the bytes must have.
    #[must_use]
    pub const fn crc(&self) -> u32 {
        self.crc.get()
    }

    /// Whether bytes are missing that were to be saved (P10). An excerpt is not truncated.
    #[must_use]
    pub const fn is_truncated(&self) -> bool {
        self.original.get() > self.length.get() && !self.is_excerpt()
    }

    /// Length in blocks.
    #[must_use]
    pub const fn blocks(&self) -> u32 {
        self.length.get().div_ceil(BLOCK_LEN as u32)
    }
}
