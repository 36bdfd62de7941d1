//! What memory of a task, or of the kernel, belongs into a snapshot.

use abi::TaskDumpRegion;

/// All memory of a task, or of the kernel, that belongs into a snapshot.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
pub struct SavedRanges {
    /// Base and size of each, little-endian.
    ranges: [[[u8; 4]; 2]; Self::MAX],
    count: usize,
}

impl SavedRanges {
    /// Most ranges of one owner.
    pub const MAX: usize = 8;

    /// Replaces them by those that `response` stores to its argument; it returns how many bytes. In
    /// place: a copy takes as many instructions as the call of the kernel.
    #[inline(always)]
    pub fn replace(&mut self, response: impl FnOnce(&mut [u8]) -> usize) {
        let length = response(self.ranges.as_flattened_mut().as_flattened_mut());
        self.count = (length / size_of::<TaskDumpRegion>()).min(Self::MAX);
    }

    /// One of them; `None` beyond the last.
    #[must_use]
    pub fn get(&self, n: usize) -> Option<TaskDumpRegion> {
        let [base, size] = self.ranges.get(..self.count)?.get(n)?;
        Some(TaskDumpRegion {
            base: u32::from_le_bytes(*base),
            size: u32::from_le_bytes(*size),
        })
    }
}
