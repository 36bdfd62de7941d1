//! What is needed to use a card that was identified before.

use drv_sdhci::Bus;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The two families of cards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum CardKind {
    /// eMMC device (JESD84).
    Emmc = 1,
    /// SD memory card.
    Sd = 2,
}

/// What identification found out about a card, as plain data.
///
/// It is kept in retained memory, with a check, so that the emergency path can use a card that the
/// normal path identified. If it belongs to another card than the one in the slot, the card in the
/// slot does not answer to the address and has to be identified. All zeros is the location of no
/// card.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct CardLocation {
    /// Card identification register, bits 127:8 as the controller presents them.
    pub cid: [u32; 4],
    /// Capacity, blocks of 512 bytes.
    pub blocks: u32,
    /// Relative card address.
    pub rca: u16,
    /// See [`flag`].
    pub flags: u16,
    /// [`CardKind`] as a number; 0 is no card.
    pub kind: u8,
    /// Data lines in use: 1, 4 or 8.
    pub lines: u8,
    /// Not used; 0.
    pub reserved: [u8; 2],
}

/// Bits of [`CardLocation::flags`].
pub mod flag {
    /// Addresses are block numbers, not byte offsets.
    pub const SECTOR_ADDRESSING: u16 = 1 << 0;
    /// The bus runs with high-speed timing.
    pub const HIGH_SPEED: u16 = 1 << 1;
    /// The card understands CMD23.
    pub const SET_BLOCK_COUNT: u16 = 1 << 2;
    /// The card has reliable write.
    pub const RELIABLE_WRITE: u16 = 1 << 3;
    /// The card's volatile cache is on: data are durable only after a flush.
    pub const CACHE: u16 = 1 << 4;
    /// High-priority interrupt is enabled.
    pub const HPI: u16 = 1 << 5;
    /// High-priority interrupt is sent by CMD12; without this bit, by CMD13.
    pub const HPI_BY_CMD12: u16 = 1 << 6;
    /// The card is write-protected as a whole: by its CSD, or by the switch of an SD card.
    pub const READ_ONLY: u16 = 1 << 7;
    /// The card may be asleep: it has a sleep state, and the platform says that it wakes.
    pub const SLEEP: u16 = 1 << 8;
    /// The card was promised a notification before its power is cut.
    pub const POWER_OFF_NOTIFICATION: u16 = 1 << 9;
    /// Data move on both edges of the clock (eMMC), with high-speed timing.
    pub const DUAL_RATE: u16 = 1 << 10;
}

impl CardLocation {
    /// The family, or `None` if there is no card.
    #[must_use]
    pub const fn kind(&self) -> Option<CardKind> {
        match self.kind {
            1 => Some(CardKind::Emmc),
            2 => Some(CardKind::Sd),
            _ => None,
        }
    }

    /// Whether both are of the same card, by its identification register. The address is not
    /// compared: an SD card chooses a new one in each identification.
    #[must_use]
    pub fn is_of_same_card(&self, other: &Self) -> bool {
        self.kind == other.kind && self.cid == other.cid
    }

    /// Whether a bit of [`flag`] is set.
    #[must_use]
    pub const fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }

    pub(crate) fn set(&mut self, flag: u16, value: bool) {
        if value {
            self.flags |= flag;
        } else {
            self.flags &= !flag;
        }
    }

    /// The bus to the card, with the highest clock of the timing in use (SD 6.4.1.1 and 4.3.10,
    /// eMMC 10.5).
    #[must_use]
    pub const fn bus(&self) -> Bus {
        let high_speed = self.has(flag::HIGH_SPEED);
        let clock_hz = match (self.kind(), high_speed) {
            (None, _) => return Bus::IDENTIFICATION,
            (Some(CardKind::Emmc), false) => 26_000_000,
            (Some(CardKind::Emmc), true) => 52_000_000,
            (Some(CardKind::Sd), false) => 25_000_000,
            (Some(CardKind::Sd), true) => 50_000_000,
        };
        Bus {
            clock_hz,
            lines: self.lines,
            high_speed,
            dual_rate: high_speed && self.has(flag::DUAL_RATE),
        }
    }

    /// The argument of a data command for `count` blocks from block `block` on; `None` if the card
    /// does not have all of them, or the argument cannot express the address.
    #[must_use]
    pub fn address(&self, block: u64, count: usize) -> Option<u32> {
        let end = block.checked_add(u64::try_from(count).ok()?)?;
        if end > u64::from(self.blocks) {
            return None;
        }
        let block = u32::try_from(block).ok()?;
        if self.has(flag::SECTOR_ADDRESSING) {
            Some(block)
        } else {
            block.checked_mul(512)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{CardLocation, flag};

    #[test]
    fn two_locations_are_of_one_card_if_its_identification_is_the_same() {
        let card = CardLocation {
            cid: [1, 2, 3, 4],
            rca: 0x1234,
            kind: 2,
            lines: 4,
            ..CardLocation::default()
        };
        let moved = CardLocation {
            rca: 0x5678,
            lines: 1,
            ..card
        };
        let mut other = card;
        other.cid[3] += 1;
        assert!(card.is_of_same_card(&moved));
        assert!(!card.is_of_same_card(&other));
        assert!(!card.is_of_same_card(&CardLocation::default()));
    }

    #[test]
    fn addresses_stay_on_the_card() {
        let mut card = CardLocation {
            blocks: 100,
            kind: 1,
            ..CardLocation::default()
        };
        assert_eq!(card.address(99, 1), Some(99 * 512));
        assert_eq!(card.address(100, 0), Some(100 * 512));
        assert_eq!(card.address(99, 2), None);
        assert_eq!(card.address(100, 1), None);
        assert_eq!(card.address(u64::MAX, 1), None);
        card.blocks = u32::MAX;
        assert_eq!(
            card.address(0x80_0000, 1),
            None,
            "beyond the highest byte address"
        );
        card.flags = flag::SECTOR_ADDRESSING;
        assert_eq!(card.address(0x80_0000, 1), Some(0x80_0000));
        assert_eq!(card.address(u64::from(u32::MAX) - 1, 1), Some(u32::MAX - 1));
    }
}
