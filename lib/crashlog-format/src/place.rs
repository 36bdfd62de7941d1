//! Where a partition is: what its table says of it, and its superblock.

use crate::gpt::Guid;

/// The place of a partition on its card, and its identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionPlace {
    /// Its first block on the card. 0 if the place is not known.
    pub first: u64,
    /// Number of its blocks.
    pub blocks: u64,
    /// The unique GUID of its entry in the table. Zeros if the place is not known.
    pub guid: Guid,
}

impl PartitionPlace {
    /// The place of a partition of `blocks` blocks that was formatted apart from its card. No
    /// partition of a table has it: block 0 belongs to the table.
    #[must_use]
    pub const fn unknown(blocks: u64) -> Self {
        Self {
            first: 0,
            blocks,
            guid: Guid([0; 16]),
        }
    }

    /// Whether it is known where the partition is.
    #[must_use]
    pub const fn is_known(&self) -> bool {
        self.first != 0
    }
}
