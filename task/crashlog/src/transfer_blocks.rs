//! The retained region's scratch blocks, divided among those who transfer them.

use block_device::Block;
use crashlog_retained::Region;

/// The blocks of the retained region that commands and transfers use.
pub struct TransferBlocks<'a> {
    /// ADMA2 descriptors.
    pub table: &'a Block,
    /// Registers of the card that are read as data, EXT_CSD for instance.
    pub card: &'a Block,
    /// Pages that clients read.
    pub client: &'a Block,
    /// Blocks for `crashlog-store`.
    pub store: &'a [Block],
}

impl<'a> TransferBlocks<'a> {
    /// Divides the region's scratch blocks; `None` if there are fewer than three.
    pub fn of(region: &Region<'a>) -> Option<Self> {
        let [table, card, client, store @ ..] = region.scratch() else {
            return None;
        };
        Some(Self {
            table,
            card,
            client,
            store,
        })
    }
}
