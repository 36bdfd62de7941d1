//! Where the memory of a snapshot comes from.

use block_device::Block;
use crashlog_format::crash::Name;
use crashlog_format::snapshot::{ExtentKind, ExtentStatus};

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
}
