//! Where things are in a partition, and the rules for it.
//!
//! Everything follows from three numbers. Blocks that are written again and again (ledger, slots, ring) share no 4 KiB
//! unit with the superblocks, which are never written again: flash cards tear neighbours.
//!
//! | blocks | what |
//! |---|---|
//! | 0 | superblock |
//! | 8 | ledger, copy of even generations |
//! | 16 .. 16 + slots * slot_blocks | record slots |
//! | next multiple of 8 .. end - 16 | stream ring |
//! | end - 16 | ledger, copy of odd generations |
//! | blocks - 1 | superblock, second copy |
//!
//! `end` is the number of blocks rounded down to a multiple of 8.

use core::fmt;

/// Blocks that are kept apart: the 4 KiB that cards and hosts like to write as one.
const UNIT: u32 = 8;
const FIRST_LEDGER: u32 = UNIT;
const FIRST_SLOT: u32 = 2 * UNIT;

/// The size of a partition and its division.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    blocks: u32,
    slots: u32,
    slot_blocks: u32,
}

/// What a geometry must obey (P1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// A partition has at most 2^32 - 1 blocks (2 TiB).
    Blocks,
    /// There are 3 to 22 record slots: one is always free, and the ledger names them all in one block.
    Slots,
    /// A record slot has 8 to 65536 blocks.
    SlotBlocks,
    /// The length of a slot is a multiple of 8 blocks (4 KiB).
    SlotUnit,
    /// What the slots leave of the partition is at least 128 pages of stream ring.
    RingPages,
}

/// A geometry that breaks a rule: the value, and the rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GeometryError {
    /// The rule.
    pub rule: Rule,
    /// The value that breaks it.
    pub value: u64,
}

impl fmt::Display for GeometryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.value;
        match self.rule {
            Rule::Blocks => write!(
                f,
                "partition of {value} blocks: at most 4294967295 are possible"
            ),
            Rule::Slots => write!(f, "{value} record slots: must be 3 to 22"),
            Rule::SlotBlocks => write!(f, "record slots of {value} blocks: must be 8 to 65536"),
            Rule::SlotUnit => write!(f, "record slots of {value} blocks: must be a multiple of 8"),
            Rule::RingPages => write!(
                f,
                "{value} blocks are left for the stream ring: must be 128 or more"
            ),
        }
    }
}

impl core::error::Error for GeometryError {}

impl Geometry {
    /// Most record slots: what a ledger can name.
    pub const MAX_SLOTS: u32 = 22;
    /// Fewest record slots.
    pub const MIN_SLOTS: u32 = 3;
    /// Longest record slot, in blocks.
    pub const MAX_SLOT_BLOCKS: u32 = 65536;
    /// Fewest pages of the stream ring.
    pub const MIN_RING_PAGES: u32 = 128;

    /// A partition of `blocks` blocks with `slots` record slots of `slot_blocks` blocks each.
    ///
    /// # Errors
    /// The first [`Rule`] that is broken, with the value that breaks it.
    pub fn new(blocks: u64, slots: u32, slot_blocks: u32) -> Result<Self, GeometryError> {
        let err = |rule, value: u64| Err(GeometryError { rule, value });
        if !(Self::MIN_SLOTS..=Self::MAX_SLOTS).contains(&slots) {
            return err(Rule::Slots, slots.into());
        }
        if !(UNIT..=Self::MAX_SLOT_BLOCKS).contains(&slot_blocks) {
            return err(Rule::SlotBlocks, slot_blocks.into());
        }
        if !slot_blocks.is_multiple_of(UNIT) {
            return err(Rule::SlotUnit, slot_blocks.into());
        }
        let Ok(count) = u32::try_from(blocks) else {
            return err(Rule::Blocks, blocks);
        };
        let geometry = Self {
            blocks: count,
            slots,
            slot_blocks,
        };
        let pages = geometry.last_ledger().saturating_sub(geometry.ring_first());
        if pages < Self::MIN_RING_PAGES {
            return err(Rule::RingPages, pages.into());
        }
        Ok(geometry)
    }

    /// Number of slots and blocks of a slot that suit a partition of `blocks` blocks: an eighth of it for the slots, and
    /// no slot larger than 256 KiB.
    #[must_use]
    pub fn recommended(blocks: u64) -> (u32, u32) {
        const SLOTS: u32 = 16;
        let share = u32::try_from(blocks / 8 / u64::from(SLOTS)).unwrap_or(u32::MAX);
        (SLOTS, (share / UNIT * UNIT).clamp(UNIT, 512))
    }

    /// Blocks of the partition.
    #[must_use]
    pub const fn blocks(&self) -> u32 {
        self.blocks
    }

    /// Number of record slots.
    #[must_use]
    pub const fn slots(&self) -> u32 {
        self.slots
    }

    /// Blocks of one record slot.
    #[must_use]
    pub const fn slot_blocks(&self) -> u32 {
        self.slot_blocks
    }

    /// The two blocks that hold a superblock.
    #[must_use]
    pub const fn superblocks(&self) -> [u32; 2] {
        [0, self.blocks.saturating_sub(1)]
    }

    /// The block of the ledger of generation `generation`.
    #[must_use]
    pub const fn ledger(&self, generation: u32) -> u32 {
        if generation.is_multiple_of(2) {
            FIRST_LEDGER
        } else {
            self.last_ledger()
        }
    }

    /// The first block of slot `index`, `None` if there is no such slot.
    #[must_use]
    pub fn slot(&self, index: u32) -> Option<u32> {
        // At most 22 * 65536 blocks: cannot overflow.
        (index < self.slots).then(|| FIRST_SLOT.wrapping_add(index.wrapping_mul(self.slot_blocks)))
    }

    /// The first block of the stream ring.
    #[must_use]
    pub const fn ring_first(&self) -> u32 {
        // A multiple of the unit, as the slots' length is.
        FIRST_SLOT.wrapping_add(self.slots.wrapping_mul(self.slot_blocks))
    }

    /// Pages of the stream ring.
    #[must_use]
    pub const fn ring_pages(&self) -> u32 {
        self.last_ledger().saturating_sub(self.ring_first())
    }

    /// The block of the stream page with number `sequence`.
    #[must_use]
    pub fn page(&self, sequence: u32) -> u32 {
        let position = sequence.checked_rem(self.ring_pages()).unwrap_or(0);
        self.ring_first().wrapping_add(position)
    }

    const fn last_ledger(&self) -> u32 {
        (self.blocks - self.blocks % UNIT).saturating_sub(2 * UNIT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// REQ: P1
    #[test]
    fn each_rule_is_named_with_its_value() {
        let broken =
            |blocks, slots, slot_blocks| Geometry::new(blocks, slots, slot_blocks).unwrap_err();
        assert_eq!(
            broken(4096, 2, 8),
            GeometryError {
                rule: Rule::Slots,
                value: 2
            }
        );
        assert_eq!(
            broken(4096, 23, 8),
            GeometryError {
                rule: Rule::Slots,
                value: 23
            }
        );
        assert_eq!(
            broken(4096, 4, 0),
            GeometryError {
                rule: Rule::SlotBlocks,
                value: 0
            }
        );
        assert_eq!(
            broken(4096, 4, 65544),
            GeometryError {
                rule: Rule::SlotBlocks,
                value: 65544
            }
        );
        assert_eq!(
            broken(4096, 4, 12),
            GeometryError {
                rule: Rule::SlotUnit,
                value: 12
            }
        );
        assert_eq!(
            broken(1 << 32, 4, 8),
            GeometryError {
                rule: Rule::Blocks,
                value: 1 << 32
            }
        );
        assert_eq!(
            broken(180, 4, 8),
            GeometryError {
                rule: Rule::RingPages,
                value: 112
            }
        );
        assert_eq!(
            broken(0, 4, 8),
            GeometryError {
                rule: Rule::RingPages,
                value: 0
            }
        );
        assert_eq!(
            broken(0, 4, 8).to_string(),
            "0 blocks are left for the stream ring: must be 128 or more"
        );
    }

    proptest! {
        /// REQ: P1
        /// Parts never overlap and never leave the partition, whatever numbers a superblock states.
        #[test]
        fn parts_are_disjoint_and_inside(blocks in any::<u64>(), small in 0u64..1 << 24, slots in 0u32..30, units in 0u32..9000) {
            for blocks in [blocks, small] {
                let Ok(geometry) = Geometry::new(blocks, slots, units * 8) else { continue };
                let [first, last] = geometry.superblocks();
                let mut parts = vec![(first, 1), (last, 1), (geometry.ledger(0), 1), (geometry.ledger(1), 1)];
                parts.extend((0..slots).map(|slot| (geometry.slot(slot).unwrap(), units * 8)));
                parts.push((geometry.ring_first(), geometry.ring_pages()));
                parts.sort_unstable();
                for pair in parts.windows(2) {
                    prop_assert!(pair[0].0 + pair[0].1 <= pair[1].0);
                }
                let (start, len) = *parts.last().unwrap();
                prop_assert!(u64::from(start) + u64::from(len) <= blocks);
                prop_assert_eq!(geometry.slot(slots), None);
                let pages = geometry.ring_pages();
                prop_assert_eq!(geometry.page(pages), geometry.ring_first());
                prop_assert_eq!(geometry.page(pages - 1), geometry.ring_first() + pages - 1);
            }
        }
    }
}
