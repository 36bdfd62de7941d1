//! The ledger: which slots hold a record, what is counted, and which record goes where.
//!
//! # Theory of operation
//!
//! The ledger is one block. A generation number says which of its two copies is newer, and its parity which copy is
//! written next, so the newest one is never overwritten. Reliable write or not, a cut while it is written leaves the
//! one before; each change (a new record, a repetition, an erasure) is therefore made whole or not at all.
//!
//! A record is written into a **free** slot, flushed, and exists from the moment the ledger names it. One slot is
//! always free: the ledger that names a new record in the last free slot also releases another. So nothing that is
//! durable is touched before the new record is.
//!
//! # What is kept (X6)
//!
//! * A crash like one that is already there (same task, fault and place) is counted there.
//! * The first N records that nobody has acknowledged stay. Of the rest the oldest goes, acknowledged ones first.
//! * Erasing a record releases its slot; its number is never used again (P9).
//!
//! # The record of a self-test
//!
//! It is no crash, and takes nothing from one: it stands in the last **free** slot, which stays free. The header of the
//! ledger names it, until the next self-test replaces it or a crash needs its slot. It has a number of its own, and is
//! in no counter.

mod change;
mod crash;
mod plan;

pub use crash::{Counters, Crash, Entry};
pub use plan::{Exhausted, Plan};

use crate::{BLOCK_LEN, CheckError, FormatId, Geometry, VERSION};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, little_endian::U32};

const SLOTS: usize = Geometry::MAX_SLOTS as usize;
/// Bytes before the entries.
const HEADER_LEN: usize = BLOCK_LEN - SLOTS * ENTRY_LEN;
const ENTRY_LEN: usize = size_of::<Entry>();
/// Where the header says how many entries there are.
const USED_AT: usize = core::mem::offset_of!(Ledger, used);
/// The checksum covers what follows it.
const COVERED_FROM: usize = 8;

/// The ledger, as on the card.
#[derive(Clone, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Ledger {
    magic: U32,
    crc: U32,
    version: u8,
    slots: u8,
    /// Entries behind this many are free slots, whatever the block holds there.
    used: u8,
    /// Slot of the self-test's record.
    test_slot: u8,
    generation: U32,
    next_record: U32,
    /// One bit for each slot whose record was acknowledged.
    acknowledged: U32,
    boot: U32,
    next_page: U32,
    counters: Counters,
    /// The record of the last self-test; sequence number 0 if there is none.
    test: Entry,
    more: U32,
    entries: [Entry; SLOTS],
}

impl Ledger {
    /// First word: `CLLG`.
    pub const MAGIC: u32 = u32::from_le_bytes(*b"CLLG");

    /// Word of the block that holds the generation.
    pub const GENERATION_WORD: usize = 3;

    /// All zeros: no ledger, but room for one.
    pub const ZERO: Self = Self {
        magic: U32::ZERO,
        crc: U32::ZERO,
        version: 0,
        slots: 0,
        used: 0,
        test_slot: 0,
        generation: U32::ZERO,
        next_record: U32::ZERO,
        acknowledged: U32::ZERO,
        boot: U32::ZERO,
        next_page: U32::ZERO,
        counters: Counters {
            oops: U32::ZERO,
            panic: U32::ZERO,
            kernel: U32::ZERO,
            late: U32::ZERO,
        },
        test: Entry::NONE,
        more: U32::ZERO,
        entries: [const { Entry::NONE }; SLOTS],
    };

    /// The ledger of a new partition; generation 0.
    #[must_use]
    pub fn new(format: FormatId, geometry: &Geometry) -> Self {
        Self::rebuilt(format, geometry.slots(), 0)
    }

    /// An empty ledger of `slots` slots, sealed.
    #[must_use]
    pub fn rebuilt(format: FormatId, slots: u32, generation: u32) -> Self {
        let mut ledger = Self::new_zeroed_with_magic();
        ledger.slots = u8::try_from(slots.min(Geometry::MAX_SLOTS)).unwrap_or(0);
        ledger.generation = generation.into();
        ledger.next_record = 1.into();
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

    /// Checks a block of a partition with `geometry`.
    ///
    /// # Errors
    /// What is wrong with it.
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
        if self.next_record.get() == 0 || self.free().is_none() {
            return Err(CheckError::Field);
        }
        Ok(())
    }

    /// Makes the checksum right.
    pub fn seal(&mut self, format: FormatId) {
        self.crc = self.checksum(format).into();
    }

    fn checksum(&self, format: FormatId) -> u32 {
        self.covered()
            .get(COVERED_FROM..)
            .map_or(0, |bytes| format.crc().bytes(bytes).value())
    }

    /// Takes a ledger from where it is: `read` copies bytes from an offset of its block. Only what carries something is
    /// copied.
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

    /// The bytes that carry something; the rest of the block is not looked at.
    #[must_use]
    pub fn covered(&self) -> &[u8] {
        let length = HEADER_LEN.saturating_add(self.used().saturating_mul(ENTRY_LEN));
        self.as_bytes().get(..length).unwrap_or(&[])
    }

    fn used(&self) -> usize {
        usize::from(self.used.min(self.slots)).min(SLOTS)
    }

    /// Number of this state; one more with each change. Wraps.
    #[must_use]
    pub const fn generation(&self) -> u32 {
        self.generation.get()
    }

    /// Is this state newer than `other`?
    #[must_use]
    pub const fn is_newer_than(&self, other: &Self) -> bool {
        let ahead = self.generation().wrapping_sub(other.generation());
        ahead != 0 && ahead < 1 << 31
    }

    /// The sequence number of the next record.
    #[must_use]
    pub const fn next_record(&self) -> u32 {
        self.next_record.get()
    }

    /// The newest boot that this ledger has heard of.
    #[must_use]
    pub const fn boot(&self) -> u32 {
        self.boot.get()
    }

    /// Every stream page with a smaller number is written. A starting point for the search of the end.
    #[must_use]
    pub const fn next_page(&self) -> u32 {
        self.next_page.get()
    }

    /// Crashes since the partition was formatted.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Number of records.
    #[must_use]
    pub fn len(&self) -> u32 {
        count(self.live())
    }

    /// Is there no record?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.live().next().is_none()
    }

    /// What the ledger knows about a slot; `None` if it is free or does not exist.
    #[must_use]
    pub fn entry(&self, slot: u32) -> Option<&Entry> {
        self.live()
            .find(|(index, _)| *index == slot)
            .map(|(_, entry)| entry)
    }

    /// The `index`-th record, oldest first, with its slot.
    #[must_use]
    pub fn by_age(&self, index: u32) -> Option<(u32, &Entry)> {
        let older = |sequence: u32| {
            count(
                self.live()
                    .filter(|(_, entry)| entry.sequence.get() < sequence),
            )
        };
        self.live()
            .find(|(_, entry)| older(entry.sequence.get()) == index)
    }

    /// The record with number `sequence`, with its slot.
    #[must_use]
    pub fn by_sequence(&self, sequence: u32) -> Option<(u32, &Entry)> {
        self.live()
            .find(|(_, entry)| entry.sequence.get() == sequence)
    }

    /// The record of the last self-test, with its slot, as long as no crash has taken that.
    #[must_use]
    pub fn self_test(&self) -> Option<(u32, &Entry)> {
        let slot = u32::from(self.test_slot);
        let there =
            self.test.sequence.get() != 0 && slot < self.slots.into() && self.entry(slot).is_none();
        there.then_some((slot, &self.test))
    }

    /// Is this the number of the self-test's record?
    #[must_use]
    pub fn is_self_test(&self, sequence: u32) -> bool {
        self.self_test()
            .is_some_and(|(_, test)| test.sequence.get() == sequence)
    }

    /// Was the record in `slot` acknowledged?
    #[must_use]
    pub const fn is_acknowledged(&self, slot: u32) -> bool {
        self.acknowledged.get() & bit(slot) != 0
    }

    fn free(&self) -> Option<u32> {
        let used = self.used() as u32;
        let gap = self
            .entries()
            .find(|(_, entry)| entry.sequence.get() == 0)
            .map(|(slot, _)| slot);
        gap.or((used < self.slots.into()).then_some(used))
    }

    fn live(&self) -> impl Iterator<Item = (u32, &Entry)> {
        self.entries()
            .filter(|(_, entry)| entry.sequence.get() != 0)
    }

    fn entries(&self) -> impl Iterator<Item = (u32, &Entry)> {
        // Not `zip` with a range: that would check for an overflow that cannot be, and panic.
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

/// How many there are; at most as many as slots.
fn count(items: impl Iterator) -> u32 {
    items.fold(0, |count: u32, _| count.wrapping_add(1))
}

const fn bit(slot: u32) -> u32 {
    1u32.wrapping_shl(slot)
}

const _: () = assert!(size_of::<Ledger>() == BLOCK_LEN && ENTRY_LEN == 20 && HEADER_LEN == 72);
