//! Where the structures are in a partition, and the rules for it.
//!
//! Three numbers decide everything: blocks of the partition, slots, and blocks of a slot. Blocks
//! that are written repeatedly (ledger, slots, ring) share no 4 KiB unit with the superblocks,
//! which are written once: a flash card that loses power during a write may damage other blocks of
//! the same unit.
//!
//! | blocks | what |
//! |---|---|
//! | 0 | superblock |
//! | 8 | ledger, copy of even generations |
//! | 16 .. 16 + slots * slot_blocks | crash slots |
//! | next multiple of 8 .. end - 16 | stream ring |
//! | end - 16 | ledger, copy of odd generations |
//! | blocks - 1 | superblock, second copy |
//!
//! `end` is the number of blocks rounded down to a multiple of 8.

use core::fmt;

/// Blocks in a unit of 4 KiB, which cards and hosts usually write as a whole.
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

/// The rules that a geometry obeys (P1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GeometryRule {
    /// A partition has at most 2^32 - 1 blocks (2 TiB).
    Blocks,
    /// There are 3 to 22 crash slots: one is always free, and the ledger has to name them all in
    /// one block.
    Slots,
    /// A crash slot has 8 to 65536 blocks.
    SlotBlocks,
    /// The length of a slot is a multiple of 8 blocks (4 KiB).
    SlotUnit,
    /// The slots leave at least 128 pages of the partition for the stream ring.
    RingPages,
}

/// A geometry that breaks a rule: the value, and the rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GeometryError {
    /// The rule.
    pub rule: GeometryRule,
    /// The value that breaks it.
    pub value: u64,
}

impl fmt::Display for GeometryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.value;
        match self.rule {
            GeometryRule::Blocks => write!(
                f,
                "partition of {value} blocks: at most 4294967295 are possible"
            ),
            GeometryRule::Slots => write!(f, "{value} crash slots: must be 3 to 22"),
            GeometryRule::SlotBlocks => {
                write!(f, "crash slots of {value} blocks: must be 8 to 65536")
            }
            GeometryRule::SlotUnit => {
                write!(f, "crash slots of {value} blocks: must be a multiple of 8")
            }
            GeometryRule::RingPages => write!(
                f,
                "{value} blocks are left for the stream ring: must be 128 or more"
            ),
        }
    }
}

impl core::error::Error for GeometryError {}

impl Geometry {
    /// Greatest number of crash slots: a ledger has 22 entries.
    pub const MAX_SLOTS: u32 = 22;
    /// Number of crash slots, unless another is asked for.
    pub const DEFAULT_SLOTS: u32 = 16;
    /// Smallest number of crash slots.
    pub const MIN_SLOTS: u32 = 3;
    /// Greatest length of a crash slot, in blocks.
    pub const MAX_SLOT_BLOCKS: u32 = 65536;
    /// Smallest number of pages in the stream ring.
    pub const MIN_RING_PAGES: u32 = 128;

    /// The geometry of a partition of `blocks` blocks with `slots` crash slots of `slot_blocks`
    /// blocks each.
    ///
    /// # Errors
    /// The first [`GeometryRule`] that is broken, with the value that breaks it.
    pub fn new(blocks: u64, slots: u32, slot_blocks: u32) -> Result<Self, GeometryError> {
        let err = |rule, value: u64| Err(GeometryError { rule, value });
        if !(Self::MIN_SLOTS..=Self::MAX_SLOTS).contains(&slots) {
            return err(GeometryRule::Slots, slots.into());
        }
        if !(UNIT..=Self::MAX_SLOT_BLOCKS).contains(&slot_blocks) {
            return err(GeometryRule::SlotBlocks, slot_blocks.into());
        }
        if !slot_blocks.is_multiple_of(UNIT) {
            return err(GeometryRule::SlotUnit, slot_blocks.into());
        }
        let Ok(count) = u32::try_from(blocks) else {
            return err(GeometryRule::Blocks, blocks);
        };
        let geometry = Self {
            blocks: count,
            slots,
            slot_blocks,
        };
        let pages = geometry.last_ledger().saturating_sub(geometry.ring_first());
        if pages < Self::MIN_RING_PAGES {
            return err(GeometryRule::RingPages, pages.into());
        }
        Ok(geometry)
    }

    /// A number of slots, and of blocks of a slot, for a partition of `blocks` blocks: together the
    /// slots take an eighth of it, and none is longer than 256 KiB.
    #[must_use]
    pub fn recommended(blocks: u64) -> (u32, u32) {
        let share = u32::try_from(blocks / 8 / u64::from(Self::DEFAULT_SLOTS)).unwrap_or(u32::MAX);
        (Self::DEFAULT_SLOTS, (share / UNIT * UNIT).clamp(UNIT, 512))
    }

    /// Number of blocks of the partition.
    #[must_use]
    pub const fn blocks(&self) -> u32 {
        self.blocks
    }

    /// Number of crash slots.
    #[must_use]
    pub const fn slots(&self) -> u32 {
        self.slots
    }

    /// Length of a crash slot, in blocks.
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
        // A multiple of the unit, as the length of a slot is one.
        FIRST_SLOT.wrapping_add(self.slots.wrapping_mul(self.slot_blocks))
    }

    /// Number of pages in the stream ring.
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
                rule: GeometryRule::Slots,
                value: 2
            }
        );
        assert_eq!(
            broken(4096, 23, 8),
            GeometryError {
                rule: GeometryRule::Slots,
                value: 23
            }
        );
        assert_eq!(
            broken(4096, 4, 0),
            GeometryError {
                rule: GeometryRule::SlotBlocks,
                value: 0
            }
        );
        assert_eq!(
            broken(4096, 4, 65544),
            GeometryError {
                rule: GeometryRule::SlotBlocks,
                value: 65544
            }
        );
        assert_eq!(
            broken(4096, 4, 12),
            GeometryError {
                rule: GeometryRule::SlotUnit,
                value: 12
            }
        );
        assert_eq!(
            broken(1 << 32, 4, 8),
            GeometryError {
                rule: GeometryRule::Blocks,
                value: 1 << 32
            }
        );
        assert_eq!(
            broken(180, 4, 8),
            GeometryError {
                rule: GeometryRule::RingPages,
                value: 112
            }
        );
        assert_eq!(
            broken(0, 4, 8),
            GeometryError {
                rule: GeometryRule::RingPages,
                value: 0
            }
        );
        assert_eq!(
            broken(0, 4, 8).to_string(),
            "0 blocks are left for the stream ring: must be 128 or more"
        );
    }

    proptest! {
        /// REQ: P1 The parts do not overlap and lie inside the partition, whatever numbers a
        /// superblock states.
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
