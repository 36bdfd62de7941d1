//! The extended card-specific data register of eMMC (eMMC 7.4): 512 bytes, read as a block.

use crate::proto::ext_csd;
use block_device::Block;

/// The fields of the register that a driver needs: properties that do not change while the card is
/// in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtCsd {
    /// Revision of the register.
    pub revision: u8,
    /// Capacity, blocks of 512 bytes, of cards with sector addressing.
    pub sectors: u32,
    /// Timings that the card supports: bit 0 is 26 MHz, bit 1 is 52 MHz, bit 2 is dual data rate at
    /// 52 MHz with lines of 1.8 or 3 V.
    pub timings: u8,
    /// The card takes data in sectors of 4 KiB only.
    pub large_sectors: bool,
    /// The card has reliable write of a single block.
    pub reliable_write: bool,
    /// Size of the volatile cache, KiB; 0 is no cache.
    pub cache_kib: u32,
    /// High-priority interrupt: bit 0 is set if the card has it, bit 1 if it is sent by CMD12.
    pub hpi: u8,
    /// The card has a sleep state (CMD5).
    pub sleep: bool,
}

impl ExtCsd {
    /// Parses the register. `None` if its revision is impossible, as when a bus reads all ones.
    #[must_use]
    pub fn parse(block: &Block) -> Option<Self> {
        let parsed = Self {
            revision: byte(block, ext_csd::EXT_CSD_REV),
            sectors: word(block, ext_csd::SEC_COUNT),
            timings: byte(block, ext_csd::DEVICE_TYPE),
            large_sectors: byte(block, ext_csd::DATA_SECTOR_SIZE) != 0,
            reliable_write: byte(block, ext_csd::REL_WR_SEC_C) != 0,
            cache_kib: word(block, ext_csd::CACHE_SIZE),
            hpi: byte(block, ext_csd::HPI_FEATURES) & 3,
            sleep: matches!(byte(block, ext_csd::S_A_TIMEOUT), 1..=0x17),
        };
        (parsed.revision <= 0x3F).then_some(parsed)
    }

    /// Whether the card takes a notification before its power is cut: eMMC 4.5 and later.
    pub(crate) const fn has_power_off_notification(&self) -> bool {
        self.revision >= 6
    }

    /// PARTITION_CONFIG, if it does not select the user area: the byte that does.
    pub(crate) fn other_partition(block: &Block) -> Option<u8> {
        let config = byte(block, ext_csd::PARTITION_CONFIG.into());
        (config & 7 != 0).then_some(config & !7)
    }

    /// Whether the cache is on now.
    pub(crate) fn is_cache_on(block: &Block) -> bool {
        byte(block, ext_csd::CACHE_CTRL.into()) & 1 != 0
    }
}

/// Inlined: with a constant index it is one load and a mask.
#[inline(always)]
fn byte(block: &Block, index: usize) -> u8 {
    (block.word(index / 4) >> (index % 4 * 8)) as u8
}

/// A number of four bytes at any index, aligned or not.
#[inline(always)]
fn word(block: &Block, index: usize) -> u32 {
    let byte = |offset| byte(block, index.wrapping_add(offset));
    u32::from_le_bytes([byte(0), byte(1), byte(2), byte(3)])
}
