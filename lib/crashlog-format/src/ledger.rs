//! The ledger: which slots hold a crash, how many there were, where the next goes.
//!
//! # What the ledger guarantees
//!
//! The ledger is one block, kept in two copies that are written alternately. A generation number
//! says which copy is newer, and its parity which copy is written next, so the newest copy is never
//! overwritten. If power fails while a copy is written, whether by a reliable write or not, the
//! other copy is intact. Each change (a new crash, a repetition, an erasure) is therefore applied
//! whole or not at all.
//!
//! A crash is written into a **free** slot and flushed; it exists from the moment at which a
//! durable ledger names it. One slot is always free: the ledger that names a new crash in the last
//! free slot also releases another slot. So no durable crash is overwritten before the new crash is
//! durable.
//!
//! # Which crashes are kept (X6)
//!
//! * A crash that equals one in a slot (equal signature: task, kind of fault, place, and text of a
//!   panic without its numbers) is counted in the entry of that one.
//! * The first N crashes that are not acknowledged are never overwritten. Of the others, after all
//!   acknowledged ones, the oldest of the task that has most is overwritten first.
//! * Erasing a crash releases its slot. Its sequence number is never used again (P9).
//!
//! # The self-test
//!
//! The recorder's self-test is written like a crash but is none, and must not take a slot from a
//! crash. It is written into the last **free** slot, which remains free. The header of the ledger
//! names it, until the next self-test replaces it or a crash is written into its slot. It has a
//! sequence number of its own and is in no counter.

mod change;
mod entry;
mod plan;
mod rebuild;

pub use entry::{CrashCounters, CrashEntry, CrashSummary};
pub use plan::{CrashPlan, Exhausted};

use crate::{BLOCK_LEN, CheckError, FormatId, Geometry, VERSION};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, little_endian::U32};

const SLOTS: usize = Geometry::MAX_SLOTS as usize;
/// Offset of the first entry.
const HEADER_LEN: usize = BLOCK_LEN - SLOTS * ENTRY_LEN;
const ENTRY_LEN: usize = size_of::<CrashEntry>();
/// Offset of the number of entries in use.
const USED_AT: usize = core::mem::offset_of!(Ledger, used);
/// Offset of the first byte that the checksum covers: the one after the checksum.
const COVERED_FROM: usize = 8;

/// The ledger, as on the card.
#[derive(Clone, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Ledger {
    magic: U32,
    crc: U32,
    version: u8,
    slots: u8,
    /// Number of entries in use. Slots from this number on are free, whatever bytes the block has
    /// for them.
    used: u8,
    /// Slot of the last self-test.
    test_slot: u8,
    generation: U32,
    /// Sequence number of the next crash or self-test.
    next_sequence: U32,
    /// One bit for each slot, set if its crash is acknowledged.
    acknowledged: U32,
    boot: U32,
    next_page: U32,
    counters: CrashCounters,
    /// The last self-test; sequence number 0 if there is none.
    test: CrashEntry,
    /// One bit for each slot, set if a snapshot belongs to its crash.
    snapshots: U32,
    entries: [CrashEntry; SLOTS],
}

impl Ledger {
    /// First word: `CLLG`.
    pub const MAGIC: u32 = u32::from_le_bytes(*b"CLLG");

    /// Index of the block's word that holds the generation.
    pub const GENERATION_WORD: usize = 3;

    /// All zeros: memory for a ledger, which fails [`Ledger::check`].
    pub const ZERO: Self = Self {
        magic: U32::ZERO,
        crc: U32::ZERO,
        version: 0,
        slots: 0,
        used: 0,
        test_slot: 0,
        generation: U32::ZERO,
        next_sequence: U32::ZERO,
        acknowledged: U32::ZERO,
        boot: U32::ZERO,
        next_page: U32::ZERO,
        counters: CrashCounters {
            oops: U32::ZERO,
            panic: U32::ZERO,
            kernel: U32::ZERO,
            late: U32::ZERO,
        },
        test: CrashEntry::NONE,
        snapshots: U32::ZERO,
        entries: [const { CrashEntry::NONE }; SLOTS],
    };

    /// The ledger of a new partition; generation 0.
    #[must_use]
    pub fn new(format: FormatId, geometry: &Geometry) -> Self {
        Self::empty(format, geometry.slots(), 0)
    }

    /// A sealed ledger of `slots` free slots.
    #[must_use]
    pub fn empty(format: FormatId, slots: u32, generation: u32) -> Self {
        let mut ledger = Self::new_zeroed_with_magic();
        ledger.slots = u8::try_from(slots.min(Geometry::MAX_SLOTS)).unwrap_or(0);
        ledger.generation = generation.into();
        ledger.next_sequence = 1.into();
        ledger.seal(format);
        ledger
    }

    fn new_zeroed_with_magic() -> Self {
        Self {
            magic: Self::MAGIC.into(),
            version: VERSION,
            ..Self::ZERO
        }
    }

    /// Checks a ledger that was read from a partition of this format and geometry.
    ///
    /// # Errors
    /// The first check that failed.
    pub fn check(&self, format: FormatId, geometry: &Geometry) -> Result<(), CheckError> {
        if self.magic.get() != Self::MAGIC {
            return Err(CheckError::Magic(self.magic.get()));
        }
        if u32::from(self.slots) != geometry.slots() {
            return Err(CheckError::Field);
        }
        if self.version != VERSION {
            return Err(CheckError::Version(self.version));
        }
        if self.crc.get() != self.checksum(format) {
            return Err(CheckError::Checksum);
        }
        // The next crash gets a number that no other has.
        let next = self.next_sequence.get();
        let is_used = |entry: &CrashEntry| entry.sequence.get() >= next;
        if is_used(&self.test)
            || self.live().any(|(_, entry)| is_used(entry))
            || self.free().is_none()
        {
            return Err(CheckError::Field);
        }
        Ok(())
    }

    /// Computes and stores the checksum. Every change has to be followed by this before the ledger
    /// is written.
    pub fn seal(&mut self, format: FormatId) {
        self.crc = self.checksum(format).into();
    }

    fn checksum(&self, format: FormatId) -> u32 {
        self.covered()
            .get(COVERED_FROM..)
            .map_or(0, |bytes| format.crc().bytes(bytes).value())
    }

    /// Copies a ledger from its block: `read` copies bytes from an offset of the block. Entries
    /// that are not in use are not copied and keep their contents.
    pub fn load(&mut self, read: impl Fn(usize, &mut [u8])) {
        let Some((header, entries)) = self.as_mut_bytes().split_at_mut_checked(HEADER_LEN) else {
            return;
        };
        read(0, header);
        let used = header.get(USED_AT).copied().unwrap_or(0);
        if let Some(entries) = entries.get_mut(..usize::from(used).saturating_mul(ENTRY_LEN)) {
            read(HEADER_LEN, entries);
        }
    }

    /// The bytes in use: the header and the entries in use. No reader looks at the rest of the
    /// block.
    #[must_use]
    pub fn covered(&self) -> &[u8] {
        let length = HEADER_LEN.saturating_add(self.used().saturating_mul(ENTRY_LEN));
        self.as_bytes().get(..length).unwrap_or(&[])
    }

    fn used(&self) -> usize {
        usize::from(self.used.min(self.slots)).min(SLOTS)
    }

    /// Number of this state of the ledger. Each change adds one; it wraps.
    #[must_use]
    pub const fn generation(&self) -> u32 {
        self.generation.get()
    }

    /// Whether this state is newer than `other`, if they are less than 2^31 changes apart.
    #[must_use]
    pub const fn is_newer_than(&self, other: &Self) -> bool {
        let ahead = self.generation().wrapping_sub(other.generation());
        ahead != 0 && ahead < 1 << 31
    }

    /// The sequence number of the next crash or self-test.
    #[must_use]
    pub const fn next_sequence(&self) -> u32 {
        self.next_sequence.get()
    }

    /// The newest boot that this ledger was told of.
    #[must_use]
    pub const fn boot(&self) -> u32 {
        self.boot.get()
    }

    /// All pages of the stream ring with smaller numbers are written. The search for the end of the
    /// stream starts here.
    #[must_use]
    pub const fn next_page(&self) -> u32 {
        self.next_page.get()
    }

    /// Crashes since the partition was formatted.
    #[must_use]
    pub const fn counters(&self) -> &CrashCounters {
        &self.counters
    }

    /// Number of crashes in the slots.
    #[must_use]
    pub fn len(&self) -> u32 {
        count(self.live())
    }

    /// Number of crashes in the slots that are not acknowledged.
    #[must_use]
    pub fn unacknowledged(&self) -> u32 {
        count(self.live().filter(|(slot, _)| !self.is_acknowledged(*slot)))
    }

    /// Whether no slot holds a crash.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.live().next().is_none()
    }

    /// The entry of the crash in `slot`; `None` if the slot is free or does not exist.
    #[must_use]
    pub fn entry(&self, slot: u32) -> Option<&CrashEntry> {
        self.live()
            .find(|(index, _)| *index == slot)
            .map(|(_, entry)| entry)
    }

    /// The `index`-th crash, from 0, oldest first: its slot and its entry. Of crashes with equal
    /// numbers, which no recorder writes, the one in the lower slot is first.
    #[must_use]
    pub fn by_age(&self, index: u32) -> Option<(u32, &CrashEntry)> {
        let older = |slot: u32, entry: &CrashEntry| {
            let age = (entry.sequence.get(), slot);
            count(
                self.live()
                    .filter(|(slot, entry)| (entry.sequence.get(), *slot) < age),
            )
        };
        self.live()
            .find(|(slot, entry)| older(*slot, entry) == index)
    }

    /// The crash with this sequence number: its slot and its entry.
    #[must_use]
    pub fn by_sequence(&self, sequence: u32) -> Option<(u32, &CrashEntry)> {
        self.live()
            .find(|(_, entry)| entry.sequence.get() == sequence)
    }

    /// The last self-test, slot and entry; `None` if there is none, or if a crash was written into
    /// its slot.
    #[must_use]
    pub fn self_test(&self) -> Option<(u32, &CrashEntry)> {
        let slot = u32::from(self.test_slot);
        let there =
            self.test.sequence.get() != 0 && slot < self.slots.into() && self.entry(slot).is_none();
        there.then_some((slot, &self.test))
    }

    /// Whether this is the sequence number of the last self-test.
    #[must_use]
    pub fn is_self_test(&self, sequence: u32) -> bool {
        self.self_test()
            .is_some_and(|(_, test)| test.sequence.get() == sequence)
    }

    /// Whether the crash in `slot` is acknowledged.
    #[must_use]
    pub const fn is_acknowledged(&self, slot: u32) -> bool {
        self.acknowledged.get() & bit(slot) != 0
    }

    /// Whether a snapshot of the crash in `slot` was written whole. If not, what is behind the
    /// crash in its slot may be a snapshot that was cut short.
    #[must_use]
    pub const fn has_snapshot(&self, slot: u32) -> bool {
        self.snapshots.get() & bit(slot) != 0
    }

    /// The first free slot.
    fn free(&self) -> Option<u32> {
        let used = self.used() as u32;
        let gap = self
            .entries()
            .find(|(_, entry)| entry.sequence.get() == 0)
            .map(|(slot, _)| slot);
        gap.or((used < self.slots.into()).then_some(used))
    }

    /// Slots that hold a crash, with their entries.
    fn live(&self) -> impl Iterator<Item = (u32, &CrashEntry)> {
        self.entries()
            .filter(|(_, entry)| entry.sequence.get() != 0)
    }

    /// The slots in use, with their entries; a free slot among them has sequence number 0.
    fn entries(&self) -> impl Iterator<Item = (u32, &CrashEntry)> {
        // Not `zip` with a range: it checks for an overflow, and the emergency path must not
        // contain a panic.
        self.entries
            .get(..self.used())
            .unwrap_or(&[])
            .iter()
            .scan(0u32, |next, entry| {
                let slot = *next;
                *next = slot.wrapping_add(1);
                Some((slot, entry))
            })
    }
}

/// Number of items; at most the number of slots, so the sum does not overflow.
fn count(items: impl Iterator) -> u32 {
    items.fold(0, |count: u32, _| count.wrapping_add(1))
}

const fn bit(slot: u32) -> u32 {
    1u32.wrapping_shl(slot)
}

const _: () = assert!(size_of::<Ledger>() == BLOCK_LEN && ENTRY_LEN == 20 && HEADER_LEN == 72);

#[cfg(test)]
mod tests {
    use super::*;

    /// The next crash would get a number that is in use, and be read as the other one.
    #[test]
    fn a_ledger_whose_next_number_is_in_use_is_refused() {
        let (format, geometry) = (FormatId::new(7), Geometry::new(4096, 4, 8).unwrap());
        let entry = |sequence: u32| CrashEntry {
            sequence: sequence.into(),
            ..CrashEntry::NONE
        };
        for (number, expected) in [
            (2, Ok(())),
            (3, Err(CheckError::Field)),
            (4, Err(CheckError::Field)),
        ] {
            let mut ledger = Ledger::new(format, &geometry);
            ledger.next_sequence = 3.into();
            let mut tested = ledger.clone();
            (ledger.used, ledger.entries[0]) = (1, entry(number));
            tested.test = entry(number);
            for mut ledger in [ledger, tested] {
                ledger.seal(format);
                assert_eq!(ledger.check(format, &geometry), expected, "{number}");
            }
        }
    }
}
