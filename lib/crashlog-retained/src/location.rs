//! The location cache: where the log is on the card.
//!
//! With it an emergency write need not search the card. The cache is a hint that is verified:
//! before it writes anything the emergency write reads the ledger from the card and compares its
//! format id with the expected one.

use crate::words::{check, load, publish, store, words};
use block_device::Block;
use core::sync::atomic::AtomicU32;
use crashlog_format::{FormatId, Geometry};

/// How many bytes the card driver may keep here to recognise its card and to address it.
pub const CARD_LOCATION_LEN: usize = 64;

const MAGIC: u32 = u32::from_le_bytes(*b"LOCA");
const CHECK: usize = 0;
const FIELDS: usize = 1;
const FIELD_WORDS: usize = 8;
const CARD: usize = FIELDS + FIELD_WORDS;
const CARD_WORDS: usize = CARD_LOCATION_LEN / 4;
const COVERED: usize = FIELD_WORDS + CARD_WORDS;
/// First words of two copies of [count, next page, check]. The words from `BACKUP` (`region.rs`) on
/// are the region's.
const NEXT_PAGE: [usize; 2] = [32, 36];
const NEXT_PAGE_WORDS: usize = 3;

/// Where the log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location {
    /// First block of the partition on the device.
    pub first: u64,
    /// How the partition is divided.
    pub geometry: Geometry,
    /// Its format.
    pub format: FormatId,
    /// How many unacknowledged crashes are never overwritten.
    pub keep_first: u32,
    /// What the card driver needs to know about the card.
    pub card: [u8; CARD_LOCATION_LEN],
}

/// The location cache.
#[derive(Clone, Copy, Debug)]
pub struct LocationCache<'a>(&'a Block);

impl<'a> LocationCache<'a> {
    pub(crate) const fn new(block: &'a Block) -> Self {
        Self(block)
    }

    /// Invalidates the location.
    pub fn invalidate(&self) {
        self.0
            .set_word(CHECK, !check(MAGIC, words(self.0, FIELDS, COVERED)));
    }

    /// Invalidates the location unless it belongs to the card that is present. `is_there` decides
    /// that from what the driver has kept of its card.
    pub fn forget_unless(&self, is_there: impl FnOnce(&[u8; CARD_LOCATION_LEN]) -> bool) {
        if let Some(location) = self.load()
            && !is_there(&location.card)
        {
            self.invalidate();
        }
    }

    /// Stores `location`, and that page `next_page` is the next to be written.
    pub fn store(&self, location: &Location, next_page: u32) {
        self.invalidate();
        let geometry = &location.geometry;
        let [first, format] = [location.first, location.format.get()].map(halves);
        let fields = [
            first[0],
            first[1],
            geometry.blocks(),
            geometry.slots(),
            geometry.slot_blocks(),
            format[0],
            format[1],
            location.keep_first,
        ];
        for (word, value) in words(self.0, FIELDS, FIELD_WORDS).iter().zip(fields) {
            store(word, value);
        }
        self.0.copy_from(CARD * 4, &location.card);
        self.set_next_page(next_page);
        self.0
            .set_word(CHECK, check(MAGIC, words(self.0, FIELDS, COVERED)));
    }

    /// The location, if there is one and it passes its check.
    #[must_use]
    pub fn load(&self) -> Option<Location> {
        if self.0.word(CHECK) != check(MAGIC, words(self.0, FIELDS, COVERED)) {
            return None;
        }
        let fields: &[AtomicU32; FIELD_WORDS] =
            words(self.0, FIELDS, FIELD_WORDS).try_into().ok()?;
        let [
            first_low,
            first_high,
            blocks,
            slots,
            slot_blocks,
            format_low,
            format_high,
            keep_first,
        ] = fields.each_ref().map(load);
        let mut card = [0; CARD_LOCATION_LEN];
        self.0.copy_to(CARD * 4, &mut card);
        Some(Location {
            first: whole(first_low, first_high),
            geometry: Geometry::new(blocks.into(), slots, slot_blocks).ok()?,
            format: FormatId::new(whole(format_low, format_high)),
            keep_first,
            card,
        })
    }

    /// Stores that every page before `next_page` is durable. Call it before the ring releases these
    /// pages: a page that is still in the ring is recognised by its number. In the other order, an
    /// interruption in between would leave a page that neither place knows of, and the next write
    /// would overwrite it.
    pub fn set_next_page(&self, next_page: u32) {
        let (count, _) = self.newest().unwrap_or((0, 0));
        let count = count.wrapping_add(1);
        let [_, second] = NEXT_PAGE;
        let [first, _] = NEXT_PAGE;
        let copy = words(
            self.0,
            if count & 1 == 0 { first } else { second },
            NEXT_PAGE_WORDS,
        );
        let [to_count, to_page, to_check] = copy else {
            return;
        };
        store(to_count, count);
        store(to_page, next_page);
        publish(to_check, check(MAGIC, copy.get(..2).unwrap_or(&[])));
    }

    /// The next page to be written; `None` if neither copy passes its check.
    #[must_use]
    pub fn next_page(&self) -> Option<u32> {
        self.newest().map(|(_, page)| page)
    }

    fn newest(&self) -> Option<(u32, u32)> {
        let [first, second] = NEXT_PAGE.map(|at| self.copy(at));
        match (first, second) {
            (Some(first), Some(second)) => {
                let ahead = second.0.wrapping_sub(first.0);
                Some(if ahead < 1 << 31 { second } else { first })
            }
            (first, second) => first.or(second),
        }
    }

    fn copy(&self, at: usize) -> Option<(u32, u32)> {
        let copy = words(self.0, at, NEXT_PAGE_WORDS);
        let [count, page, expected] = copy else {
            return None;
        };
        let sound = load(expected) == check(MAGIC, copy.get(..2)?);
        sound.then(|| (load(count), load(page)))
    }
}

fn halves(value: u64) -> [u32; 2] {
    [value as u32, (value >> 32) as u32]
}

fn whole(low: u32, high: u32) -> u64 {
    u64::from(low) | u64::from(high) << 32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{FORMAT, copy, memory};
    use proptest::prelude::*;

    fn location() -> Location {
        Location {
            first: 0x1_0000_0800,
            geometry: Geometry::new(4096, 4, 16).unwrap(),
            format: FORMAT,
            keep_first: 2,
            card: core::array::from_fn(|index| index as u8),
        }
    }

    #[test]
    fn a_location_is_kept_until_it_is_invalidated() {
        let block = Block::zeroed();
        let cache = LocationCache::new(&block);
        assert_eq!((cache.load(), cache.next_page()), (None, None));
        cache.store(&location(), 9);
        assert_eq!(
            (cache.load(), cache.next_page()),
            (Some(location()), Some(9))
        );
        for page in 10..20 {
            cache.set_next_page(page);
            assert_eq!(cache.next_page(), Some(page));
        }
        cache.invalidate();
        assert_eq!(cache.load(), None);
    }

    #[test]
    fn another_card_invalidates_the_location() {
        let block = Block::zeroed();
        let cache = LocationCache::new(&block);
        // Without a location there is nothing to ask about.
        cache.forget_unless(|_| panic!("asked about a card without a location"));
        cache.store(&location(), 9);
        cache.forget_unless(|card| *card == location().card);
        assert_eq!(cache.load(), Some(location()));
        cache.forget_unless(|card| card[1] != 1);
        assert_eq!(cache.load(), None);
    }

    proptest! {
        /// A next page that is half written, or damaged, leaves the one before it, or none.
        #[test]
        fn damage_is_noticed(damage in proptest::collection::vec((0usize..40, any::<u32>()), 1..3)) {
            let original = memory();
            let cache = LocationCache::new(&original[0]);
            cache.store(&location(), 9);
            cache.set_next_page(10);
            cache.set_next_page(11);
            let memory = copy(&original[..1]);
            for (word, value) in damage {
                memory[0].set_word(word, value);
            }
            let cache = LocationCache::new(&memory[0]);
            prop_assert!(cache.load().is_none() || cache.load() == Some(location()));
            prop_assert!(matches!(cache.next_page(), None | Some(10 | 11)));
        }
    }
}
