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

use crate::{BLOCK_LEN, CheckError, FormatId, Geometry, Reason, VERSION};
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

/// A slot, as the ledger knows it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct Entry {
    /// Sequence number of the record in the slot; 0 if the slot is free.
    pub sequence: U32,
    /// Task, fault and place of the crash; see [`crate::record::signature`].
    pub signature: U32,
    /// How often the same crash came again.
    pub repeats: U32,
    /// Boot of the last repetition; of the record itself if there was none.
    pub last_boot: U32,
    /// When, in milliseconds since the start of that boot; 2^32 - 1 if it is more than fits.
    pub last_time: U32,
}

impl Entry {
    const NONE: Self = Self {
        sequence: U32::ZERO,
        signature: U32::ZERO,
        repeats: U32::ZERO,
        last_boot: U32::ZERO,
        last_time: U32::ZERO,
    };
}

/// Crashes since the partition was formatted (P3), repetitions included.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct Counters {
    /// One task was restarted.
    pub oops: U32,
    /// A task's fault restarted the system.
    pub panic: U32,
    /// The kernel or the supervisor failed.
    pub kernel: U32,
    /// How many of all of these were written after the restart.
    pub late: U32,
}

impl Counters {
    /// With one more crash counted. A self-test is none.
    #[must_use]
    pub fn with(mut self, crash: &Crash) -> Self {
        let add = |counter: &mut U32| *counter = counter.get().saturating_add(1).into();
        add(match crash.reason {
            Reason::Oops => &mut self.oops,
            Reason::Panic => &mut self.panic,
            Reason::Kernel => &mut self.kernel,
            Reason::SelfTest => return self,
        });
        if crash.late {
            add(&mut self.late);
        }
        self
    }
}

/// What is to be done with a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// It was committed before: an earlier try came further than it could tell.
    Known {
        /// The slot of its record.
        slot: u32,
    },
    /// One like it is in `slot` already: count it there.
    Repeat {
        /// The slot of the earlier record.
        slot: u32,
    },
    /// Write it into `slot`.
    New {
        /// A free slot.
        slot: u32,
        /// The slot to release with the same ledger, so that one stays free.
        release: Option<u32>,
    },
    /// The record of a self-test: write it into `slot`, which stays free.
    Test {
        /// A free slot, the last.
        slot: u32,
    },
}

/// A crash, as far as the ledger takes notice of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crash {
    /// What it did to the system.
    pub reason: Reason,
    /// Is it recorded after the restart?
    pub late: bool,
    /// Task, fault and place; see [`crate::record::signature`].
    pub signature: u32,
    /// The boot it happened in.
    pub boot: u32,
    /// When, in milliseconds since the start of the boot.
    pub time: u64,
}

impl Crash {
    fn time32(&self) -> u32 {
        u32::try_from(self.time).unwrap_or(u32::MAX)
    }
}

impl Plan {
    /// The slot of the record.
    #[must_use]
    pub const fn slot(self) -> u32 {
        let (Self::Known { slot }
        | Self::Repeat { slot }
        | Self::New { slot, .. }
        | Self::Test { slot }) = self;
        slot
    }

    /// The slot that a record is to be written into, if one is to be written.
    #[must_use]
    pub const fn writes(self) -> Option<u32> {
        match self {
            Self::New { slot, .. } | Self::Test { slot } => Some(slot),
            Self::Known { .. } | Self::Repeat { .. } => None,
        }
    }
}

/// Every sequence number has been used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exhausted;

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

    /// Was the record in `slot` acknowledged?
    #[must_use]
    pub const fn is_acknowledged(&self, slot: u32) -> bool {
        self.acknowledged.get() & bit(slot) != 0
    }

    /// Says what to do with a crash, keeping the first `keep_first` unacknowledged records.
    ///
    /// # Errors
    /// [`Exhausted`] if it needs a sequence number and none is left.
    pub fn plan(&self, crash: &Crash, keep_first: u32) -> Result<Plan, Exhausted> {
        if crash.reason == Reason::SelfTest {
            return self.plan_test();
        }
        let same = |(slot, entry): &(u32, &Entry)| {
            entry.signature.get() == crash.signature && !self.is_acknowledged(*slot)
        };
        let newest = self
            .live()
            .filter(same)
            .max_by_key(|(_, entry)| entry.sequence.get());
        if let Some((slot, entry)) = newest {
            let known =
                entry.last_boot.get() == crash.boot && entry.last_time.get() == crash.time32();
            return Ok(if known {
                Plan::Known { slot }
            } else {
                Plan::Repeat { slot }
            });
        }
        if self.next_record() == u32::MAX {
            return Err(Exhausted);
        }
        let slot = self.free().ok_or(Exhausted)?;
        let release = if self.len().saturating_add(1) < u32::from(self.slots) {
            None
        } else {
            self.victim(keep_first)
        };
        Ok(Plan::New { slot, release })
    }

    /// Says where the record of a self-test goes. As far from the next crash's as there is room: it stays the longer.
    #[inline(never)]
    fn plan_test(&self) -> Result<Plan, Exhausted> {
        if self.next_record() == u32::MAX {
            return Err(Exhausted);
        }
        let mut slots = 0..u32::from(self.slots);
        let slot = slots.rfind(|slot| self.entry(*slot).is_none());
        slot.map(|slot| Plan::Test { slot }).ok_or(Exhausted)
    }

    /// Carries out a plan and counts the crash; returns the sequence number of the record. The ledger is to be sealed
    /// and written afterwards.
    pub fn commit(&mut self, plan: Plan, crash: &Crash) -> u32 {
        let boot = crash.boot.into();
        let time = crash.time32().into();
        match plan {
            Plan::Known { slot } => {
                return self.entry(slot).map_or(0, |entry| entry.sequence.get());
            }
            Plan::Repeat { slot } => {
                if let Some(entry) = self.slot_mut(slot) {
                    entry.repeats = entry.repeats.get().saturating_add(1).into();
                    entry.last_boot = boot;
                    entry.last_time = time;
                }
            }
            Plan::New { slot, release } => {
                let entry = Entry {
                    sequence: self.next_record,
                    signature: crash.signature.into(),
                    repeats: 0.into(),
                    last_boot: boot,
                    last_time: time,
                };
                self.insert(slot, &entry);
                if let Some(release) = release {
                    self.release(release);
                }
            }
            Plan::Test { slot } => {
                let entry = Entry {
                    sequence: self.next_record,
                    signature: crash.signature.into(),
                    repeats: 0.into(),
                    last_boot: boot,
                    last_time: time,
                };
                self.insert_self_test(slot, &entry);
                self.advance(crash.boot);
                return entry.sequence.get();
            }
        }
        self.counters = self.counters.with(crash);
        self.advance(crash.boot);
        self.entry(plan.slot())
            .map_or(0, |entry| entry.sequence.get())
    }

    /// Puts a record into a slot, and moves the next sequence number behind it. For [`Ledger::commit`], and for finding
    /// records again whose ledger was lost.
    pub fn insert(&mut self, slot: u32, entry: &Entry) {
        let used = self.used();
        let slots = usize::from(self.slots);
        let Some(entries) = self.entries.get_mut(..slots) else {
            return;
        };
        let Some((to, before)) = entries
            .get_mut(..=slot as usize)
            .and_then(<[_]>::split_last_mut)
        else {
            return;
        };
        for skipped in before.iter_mut().skip(used) {
            *skipped = Entry::default();
        }
        *to = *entry;
        let end = u8::try_from(before.len().saturating_add(1)).unwrap_or(self.slots);
        self.used = self.used.min(self.slots).max(end);
        self.acknowledged = (self.acknowledged.get() & !bit(slot)).into();
        if u32::from(self.test_slot) == slot || self.test.sequence == entry.sequence {
            self.test = Entry::NONE;
        }
        self.skip_number(entry.sequence);
    }

    /// Names the record of a self-test in a free slot, and moves the next sequence number behind it. For
    /// [`Ledger::commit`], and for finding it again; an older one than the one that is known is not taken, nor one with
    /// the number of a crash.
    pub fn insert_self_test(&mut self, slot: u32, entry: &Entry) {
        let sequence = entry.sequence.get();
        let Ok(test_slot) = u8::try_from(slot) else {
            return;
        };
        if sequence > self.test.sequence.get() && self.by_sequence(sequence).is_none() {
            self.test = *entry;
            self.test_slot = test_slot;
            self.skip_number(entry.sequence);
        }
    }

    /// The next record has a number behind this one.
    fn skip_number(&mut self, sequence: U32) {
        let next = sequence.get().saturating_add(1);
        self.next_record = self.next_record().max(next).into();
    }

    /// Raises the counters to at least `counters`: what a record has seen is known, even if its ledger was lost.
    pub fn raise(&mut self, counters: &Counters, boot: u32) {
        let max = |a: &mut U32, b: U32| *a = a.get().max(b.get()).into();
        max(&mut self.counters.oops, counters.oops);
        max(&mut self.counters.panic, counters.panic);
        max(&mut self.counters.kernel, counters.kernel);
        max(&mut self.counters.late, counters.late);
        max(&mut self.boot, boot.into());
    }

    /// Erases a record. `false` if there is none with that number; the ledger is then unchanged.
    pub fn erase(&mut self, sequence: u32) -> bool {
        let found = self.by_sequence(sequence).map(|(slot, _)| slot);
        let is_test = self.is_self_test(sequence);
        if let Some(slot) = found {
            self.release(slot);
        } else if is_test {
            self.test = Entry::NONE;
        } else {
            return false;
        }
        self.advance(0);
        true
    }

    /// Is this the number of the self-test's record?
    #[must_use]
    pub fn is_self_test(&self, sequence: u32) -> bool {
        self.self_test()
            .is_some_and(|(_, test)| test.sequence.get() == sequence)
    }

    /// Acknowledges a record: it stays until its slot is needed. `false` if there is none with that number.
    pub fn acknowledge(&mut self, sequence: u32) -> bool {
        let found = self.by_sequence(sequence).map(|(slot, _)| slot);
        if let Some(slot) = found {
            self.acknowledged = (self.acknowledged.get() | bit(slot)).into();
            self.advance(0);
        }
        found.is_some()
    }

    /// Notes that every page before `next_page` is written, and the newest boot.
    pub fn note_page(&mut self, next_page: u32, boot: u32) {
        self.next_page = self.next_page().max(next_page).into();
        self.advance(boot);
    }

    /// Releases what must go so that one slot is free. For records found again.
    pub fn make_room(&mut self, keep_first: u32) {
        while self.free().is_none() {
            match self.victim(keep_first) {
                Some(slot) => self.release(slot),
                None => return,
            }
        }
    }

    fn advance(&mut self, boot: u32) {
        self.generation = self.generation().wrapping_add(1).into();
        self.boot = self.boot().max(boot).into();
    }

    fn release(&mut self, slot: u32) {
        if let Some(entry) = self.slot_mut(slot) {
            *entry = Entry::default();
        }
        self.acknowledged = (self.acknowledged.get() & !bit(slot)).into();
        let last = self.live().map(|(slot, _)| slot).max();
        self.used = last.map_or(0, |slot| {
            u8::try_from(slot).unwrap_or(self.slots).saturating_add(1)
        });
    }

    /// The record that has to go: the oldest acknowledged one, else the oldest after the first `keep_first`.
    fn victim(&self, keep_first: u32) -> Option<u32> {
        let acknowledged = self
            .live()
            .filter(|(slot, _)| self.is_acknowledged(*slot))
            .min_by_key(|(_, entry)| entry.sequence.get());
        if let Some((slot, _)) = acknowledged {
            return Some(slot);
        }
        // Keeping all but one of those that can be there at a time is the most that leaves a ring.
        let keep = keep_first.min(u32::from(self.slots).saturating_sub(2));
        self.by_age(keep).map(|(slot, _)| slot)
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

    fn slot_mut(&mut self, slot: u32) -> Option<&mut Entry> {
        let used = self.used();
        self.entries.get_mut(..used)?.get_mut(slot as usize)
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
