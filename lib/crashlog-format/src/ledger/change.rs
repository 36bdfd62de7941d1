//! The changes from one state of the ledger to the next.

use super::{CrashCounters, CrashEntry, Ledger, bit};
use zerocopy::little_endian::U32;

impl Ledger {
    /// Enters a crash in `slot`. The next sequence number becomes greater than that of the crash.
    /// The entries between the last one in use and this one become free slots.
    pub(super) fn insert(&mut self, slot: u32, entry: &CrashEntry) {
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
            *skipped = CrashEntry::default();
        }
        *to = *entry;
        let end = u8::try_from(before.len().saturating_add(1)).unwrap_or(self.slots);
        self.used = self.used.min(self.slots).max(end);
        self.acknowledged = (self.acknowledged.get() & !bit(slot)).into();
        self.snapshots = (self.snapshots.get() & !bit(slot)).into();
        if u32::from(self.test_slot) == slot || self.test.sequence == entry.sequence {
            self.test = CrashEntry::NONE;
        }
        self.skip_number(entry.sequence);
    }

    /// Enters a self-test in the free slot `slot`. The next sequence number becomes greater than
    /// that of the self-test.
    ///
    /// Does nothing if a newer self-test is entered already, or if a crash has this sequence
    /// number.
    pub(super) fn insert_self_test(&mut self, slot: u32, entry: &CrashEntry) {
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

    /// Makes the next sequence number greater than this one.
    fn skip_number(&mut self, sequence: U32) {
        let next = sequence.get().saturating_add(1);
        self.next_sequence = self.next_sequence().max(next).into();
    }

    /// Raises the counters to at least `counters`, and the newest boot to at least `boot`.
    pub(super) fn raise(&mut self, counters: &CrashCounters, boot: u32) {
        let max = |a: &mut U32, b: U32| *a = a.get().max(b.get()).into();
        max(&mut self.counters.oops, counters.oops);
        max(&mut self.counters.panic, counters.panic);
        max(&mut self.counters.kernel, counters.kernel);
        max(&mut self.counters.late, counters.late);
        max(&mut self.boot, boot.into());
    }

    /// Erases a crash or the self-test. `false` if there is none with this sequence number; the
    /// ledger is then unchanged.
    pub fn erase(&mut self, sequence: u32) -> bool {
        let found = self.by_sequence(sequence).map(|(slot, _)| slot);
        let is_test = self.is_self_test(sequence);
        if let Some(slot) = found {
            self.release(slot);
        } else if is_test {
            self.test = CrashEntry::NONE;
        } else {
            return false;
        }
        self.advance(0);
        true
    }

    /// Acknowledges a crash: it remains until its slot is needed. `false` if there is none with
    /// this sequence number; the ledger is then unchanged.
    pub fn acknowledge(&mut self, sequence: u32) -> bool {
        let found = self.by_sequence(sequence).map(|(slot, _)| slot);
        if let Some(slot) = found {
            self.acknowledged = (self.acknowledged.get() | bit(slot)).into();
            self.advance(0);
        }
        found.is_some()
    }

    /// Notes that the slot of a crash holds a snapshot of it, behind the crash itself. `false` if
    /// there is no crash with this sequence number; the ledger is then unchanged.
    pub fn note_snapshot(&mut self, sequence: u32) -> bool {
        let found = self.by_sequence(sequence).map(|(slot, _)| slot);
        if let Some(slot) = found {
            self.snapshots = (self.snapshots.get() | bit(slot)).into();
            self.advance(0);
        }
        found.is_some()
    }

    /// Notes that all pages of the stream ring before `next_page` are written, and the newest boot.
    pub fn note_page(&mut self, next_page: u32, boot: u32) {
        self.next_page = self.next_page().max(next_page).into();
        self.advance(boot);
    }

    /// Releases slots, in the order of [`Ledger::plan`], until one is free. Needed after
    /// [`Ledger::restore`].
    pub fn make_room(&mut self, keep_first: u32) {
        while self.free().is_none() {
            match self.victim(keep_first, None) {
                Some(slot) => self.release(slot),
                None => return,
            }
        }
    }

    /// Begins the next generation.
    pub(super) fn advance(&mut self, boot: u32) {
        self.generation = self.generation().wrapping_add(1).into();
        self.boot = self.boot().max(boot).into();
    }

    /// Makes a slot free.
    pub(super) fn release(&mut self, slot: u32) {
        if let Some(entry) = self.slot_mut(slot) {
            *entry = CrashEntry::default();
        }
        self.acknowledged = (self.acknowledged.get() & !bit(slot)).into();
        self.snapshots = (self.snapshots.get() & !bit(slot)).into();
        let last = self.live().map(|(slot, _)| slot).max();
        self.used = last.map_or(0, |slot| {
            u8::try_from(slot).unwrap_or(self.slots).saturating_add(1)
        });
    }

    /// The entry of a slot in use, which may be free.
    pub(super) fn slot_mut(&mut self, slot: u32) -> Option<&mut CrashEntry> {
        let used = self.used();
        self.entries.get_mut(..used)?.get_mut(slot as usize)
    }
}
