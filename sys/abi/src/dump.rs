//! Types of the kernel IPC about memory, panic message and registers of a task.

use serde::{Deserialize, Serialize};

/// A piece of a task's memory that may be dumped.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct TaskDumpRegion {
    /// First byte.
    pub base: u32,
    /// Length in bytes.
    pub size: u32,
}

/// Why there is no panic message to read.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[repr(u32)]
pub enum ReadPanicMessageError {
    /// The task is not faulted, or not by PANIC.
    TaskNotPanicked = 1,
    /// Its message does not lie in its own memory.
    BadPanicBuffer = 2,
}

impl TryFrom<u32> for ReadPanicMessageError {
    type Error = ();

    fn try_from(value: u32) -> Result<Self, ()> {
        match value {
            1 => Ok(Self::TaskNotPanicked),
            2 => Ok(Self::BadPanicBuffer),
            _ => Err(()),
        }
    }
}

/// How many words [`Kipcnum::ReadTaskRegisters`](crate::Kipcnum::ReadTaskRegisters) answers with:
/// r0 to r12, sp, lr, pc, psr. This project's own; not in upstream.
pub const TASK_REGISTERS: usize = 17;

/// Memory that was saved for a snapshot. This project's own; not in upstream.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct SavedExtent {
    /// What each granule holds, two bits each, from bit 0 on: data (0), [`SavedExtent::ZEROS`] or
    /// [`SavedExtent::FILL`].
    pub map: u32,
    /// How many bytes were stored: those of the granules that are data, one after the other.
    pub stored: u32,
    /// Checksum of the stored words. It begins with [`SavedExtent::SUM_SEED`], and each word makes
    /// it `low * SUM_FACTOR + high + word` of its own low and high 32 bits.
    pub sum: u64,
}

impl SavedExtent {
    /// No memory, or nothing of it.
    pub const NOTHING: Self = Self {
        map: 0,
        stored: 0,
        sum: Self::SUM_SEED,
    };
    /// Bytes that may be saved at once: the kernel is not interrupted meanwhile.
    pub const MAX: u32 = 4096;
    /// Bytes of a granule; the last may have fewer.
    pub const GRANULE: u32 = 256;
    /// The granule holds nothing but zeros.
    pub const ZEROS: u32 = 1;
    /// The granule holds nothing but the fill of an unused stack.
    pub const FILL: u32 = 2;
    /// The word that fills unused stacks.
    pub const STACK_FILL: u32 = 0xBADD_CAFE;
    /// The checksum of no words.
    pub const SUM_SEED: u64 = 0x9E37_79B9_7F4A_7C15;
    /// See [`SavedExtent::sum`].
    pub const SUM_FACTOR: u32 = 0xFFFE_B81B;
    /// [`Kipcnum::SaveAndReinitTask`](crate::Kipcnum::SaveAndReinitTask) copies this much at most,
    /// for the same reason.
    pub const MAX_BEFORE_RESTART: u32 = 65536;
    /// Most ranges of memory of one owner that belong into a snapshot.
    pub const MAX_RANGES: usize = 8;
}

/// An entry of the list that [`Kipcnum::SaveMemoryList`](crate::Kipcnum::SaveMemoryList) works
/// through, as words. It is the entry of the table of extents of a snapshot (doc/format.md), so the
/// supervisor can name a part of that table. This project's own; not in upstream.
///
/// | word | what |
/// |---|---|
/// | 0 | address |
/// | 1 | length (low half), owner (high half) |
/// | 2 | kind (lowest byte), status (next byte), for the supervisor (high half) |
/// | 3 | [`SavedExtent::map`] |
/// | 4, 5 | [`SavedExtent::sum`] |
///
/// The kernel reads the first three words, and stores status, map and sum.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct ListedExtent;

impl ListedExtent {
    /// Words of an entry.
    pub const WORDS: usize = 6;
    /// Most entries that one call saves.
    pub const MAX: u32 = 16;
    /// The highest kind that is plain memory. Another, or 0, ends the list before it.
    pub const LAST_MEMORY_KIND: u32 = 2;
    /// Status: it was saved.
    pub const SAVED: u32 = 0;
    /// Status: it is longer than what is left of the destination.
    pub const NO_ROOM: u32 = 2;
    /// Status: [`SaveMemoryError::NotReadable`], or it overlaps the destination.
    pub const NOT_READABLE: u32 = 4;
}

/// Why memory was not saved. This project's own; not in upstream.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[repr(u32)]
pub enum SaveMemoryError {
    /// The owner may not read all of it, or it is not plain memory (of a device: is no device); or
    /// it is longer than [`SavedExtent::MAX`], empty, or not of whole aligned words.
    NotReadable = 1,
    /// The caller may not write all of the destination, or it is not aligned to words, or the
    /// kernel may not write it, or it is part of what is to be saved.
    Destination = 2,
    /// The device did not answer: a bus fault.
    BusFault = 3,
}

impl TryFrom<u32> for SaveMemoryError {
    type Error = ();

    fn try_from(value: u32) -> Result<Self, ()> {
        match value {
            1 => Ok(Self::NotReadable),
            2 => Ok(Self::Destination),
            3 => Ok(Self::BusFault),
            _ => Err(()),
        }
    }
}

/// The owner of the kernel's own memory; other owners are indices of tasks. Not in upstream.
pub const KERNEL_MEMORY: u32 = 0xFFFF;
