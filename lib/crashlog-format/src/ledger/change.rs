//! The changes that make one ledger into the next.

use super::{Counters, Entry, Ledger, bit};
use zerocopy::little_endian::U32;

impl Ledger {
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

    pub(super) fn advance(&mut self, boot: u32) {
        self.generation = self.generation().wrapping_add(1).into();
        self.boot = self.boot().max(boot).into();
    }

    pub(super) fn release(&mut self, slot: u32) {
        if let Some(entry) = self.slot_mut(slot) {
            *entry = Entry::default();
        }
        self.acknowledged = (self.acknowledged.get() & !bit(slot)).into();
        let last = self.live().map(|(slot, _)| slot).max();
        self.used = last.map_or(0, |slot| {
            u8::try_from(slot).unwrap_or(self.slots).saturating_add(1)
        });
    }

    pub(super) fn slot_mut(&mut self, slot: u32) -> Option<&mut Entry> {
        let used = self.used();
        self.entries.get_mut(..used)?.get_mut(slot as usize)
    }
}
