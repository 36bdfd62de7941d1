//! Where the memory of a snapshot comes from.

use super::SnapshotArea;
use block_device::{BLOCK_WORDS, Block};
use crashlog_format::crash::Name;
use crashlog_format::snapshot::{ExtentKind, ExtentStatus, SnapshotExtent};

/// A range of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryRange {
    /// Address of its first byte, a multiple of 4.
    pub base: u32,
    /// Its length in bytes, a multiple of 4.
    pub size: u32,
}

/// A region that a task has registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegisteredRegion {
    /// The name that the task gave it.
    pub name: Name,
    /// Index of the task.
    pub owner: u16,
    /// Address of its first byte.
    pub address: u32,
    /// Its length in bytes.
    pub length: u32,
    /// Whether it is registers of a peripheral.
    pub is_device: bool,
}

/// What is to be saved by one call: at most [`crashlog_format::snapshot::EXTENT_MAX`] bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotPiece {
    /// What memory it is. Of a device: one word.
    pub kind: ExtentKind,
    /// Whose: a task's index or [`crashlog_format::snapshot::KERNEL_OWNER`].
    pub owner: u16,
    /// Address of its first byte, a multiple of 4.
    pub address: u32,
    /// Its length in bytes, a multiple of 4.
    pub length: u32,
}

const ROW_WORDS: usize = size_of::<SnapshotExtent>() / 4;

/// A part of the table of extents of an image that is being made: what is to be saved next.
#[derive(Clone, Copy, Debug)]
pub struct ExtentRows<'a> {
    area: SnapshotArea<'a>,
    /// First word of the first of them.
    first: usize,
    count: usize,
}

impl<'a> ExtentRows<'a> {
    pub(super) const fn new(area: SnapshotArea<'a>, first: usize, count: usize) -> Self {
        Self { area, first, count }
    }

    /// How many there are.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.count
    }

    /// Owner, address and length of one of them; `None` beyond the last.
    #[must_use]
    pub fn owner_and_range(&self, index: usize) -> Option<(u16, MemoryRange)> {
        if index >= self.count {
            return None;
        }
        let at = self.first.wrapping_add(index.wrapping_mul(ROW_WORDS));
        let (base, whose) = (self.word(at)?, self.word(at.wrapping_add(1))?);
        let size = whose & 0xffff;
        Some(((whose >> 16) as u16, MemoryRange { base, size }))
    }

    /// The first `count` of them, or all if there are fewer.
    #[must_use]
    pub fn start(&self, count: usize) -> Self {
        Self {
            count: self.count.min(count),
            ..*self
        }
    }

    /// The area that they are in, and at which byte of it the first begins.
    #[must_use]
    pub fn place(&self) -> (&'a [Block], u32) {
        let place = u32::try_from(self.first.saturating_mul(4)).unwrap_or(u32::MAX);
        (self.area.blocks(), place)
    }

    /// Gives all of them this owner, and adds `distance` to their addresses: while they are saved
    /// from a copy.
    pub fn move_to(&self, owner: u16, distance: u32) {
        for index in 0..self.count {
            let at = self.first.wrapping_add(index.wrapping_mul(ROW_WORDS));
            let Some((_, range)) = self.owner_and_range(index) else {
                return;
            };
            self.set_word(at, range.base.wrapping_add(distance));
            self.set_word(at.wrapping_add(1), u32::from(owner) << 16 | range.size);
        }
    }

    fn set_word(&self, at: usize, value: u32) {
        if let Some(block) = self.area.blocks().get(at / BLOCK_WORDS) {
            block.set_word(at % BLOCK_WORDS, value);
        }
    }

    fn word(&self, at: usize) -> Option<u32> {
        let block = self.area.blocks().get(at / BLOCK_WORDS)?;
        Some(block.word(at % BLOCK_WORDS))
    }
}

/// What was saved of [`ExtentRows`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SavedRows {
    /// How many of them, from the first on, are done: saved, or with a reason why not.
    pub done: usize,
    /// How many bytes of data they have.
    pub stored: u32,
}

/// What was saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SavedMemory {
    /// Two bits for each granule; see `crashlog_format::snapshot::GranuleContent`.
    pub map: u32,
    /// How many bytes of data were stored: those of the granules that are data.
    pub stored: u32,
    /// The `crashlog_format::snapshot::WordSum` of the data.
    pub sum: u64,
}

/// The memory of a system: the kernel implements it, and the supervisor by means of the kernel.
///
/// Every call is bounded and returns.
pub trait SnapshotSource {
    /// Milliseconds since boot.
    fn now(&mut self) -> u64;

    /// The `n`-th range of memory of `owner` that belongs into a snapshot: memory that it can write
    /// and that is neither a device nor for DMA. `None` beyond the last.
    fn memory(&mut self, owner: u16, n: usize) -> Option<MemoryRange>;

    /// The entry of `task` in the kernel's task table.
    fn task_entry(&mut self, task: u16) -> Option<MemoryRange>;

    /// The `n`-th region that a task has registered; `None` beyond the last.
    fn region(&mut self, n: usize) -> Option<RegisteredRegion>;

    /// Stores the data of `piece`, all granules that are neither zeros nor stack fill, to byte
    /// `offset`, a multiple of 4, of `to`, which has room for the whole piece.
    ///
    /// # Errors
    /// Why it cannot be read.
    fn save(
        &mut self,
        piece: &SnapshotPiece,
        to: &[Block],
        offset: u32,
    ) -> Result<SavedMemory, ExtentStatus>;

    /// Saves some of `rows`, from the first on, as [`Self::save`] does, with one call of the
    /// kernel: their data follow each other from byte `offset` of the area on. Nothing is done if
    /// the first is not to be saved in this way, so it has to be saved alone.
    fn save_rows(&mut self, rows: &ExtentRows<'_>, offset: u32) -> SavedRows {
        let _ = (rows, offset);
        SavedRows::default()
    }
}
