//! How this boot is about to end, and how those before did.
//!
//! Who resets the system notes it here before. The next boot reads the note, decides how the boot
//! before ended ([`BootEndSlot::begin`] keeps it), and the recorder says so in its boot record.
//!
//! A boot that ends without a note has who ran last ([`BootEndSlot::running`]): the kernel's tick
//! stores it, with no check, as that is too much for each tick.
//!
//! Note and ends are in the header's block, each with a check and the number of its boot: what an
//! earlier boot has left, or garbage, is not read.

use crate::words::{check_values, load, publish, store, words};
use block_device::Block;
use core::sync::atomic::AtomicU32;
use crashlog_format::{BootEnd, BootEnds, LastRan};

const NOTE_MAGIC: u32 = u32::from_le_bytes(*b"ENDN");
const ENDS_MAGIC: u32 = u32::from_le_bytes(*b"ENDS");

/// Words of the header's block: check, boot, end.
const NOTE: usize = 32;
const NOTE_WORDS: usize = 3;
/// Check, boot, count, ends.
const ENDS: usize = 40;
const ENDS_WORDS: usize = 3 + BootEnds::MAX;
/// Id and program counter of the task that runs, and of the one that ran last in the boot before.
const RUNNING: usize = 56;
const RUNNING_WORDS: usize = 4;
/// In place of an id: it is not known.
const NO_ID: u32 = u32::MAX;
/// The part of an id that is the index.
const INDEX: u32 = 0x3ff;

/// Where the end of this boot is noted, and the ends of those before are kept.
#[derive(Clone, Copy, Debug)]
pub struct BootEndSlot<'a>(&'a Block);

impl<'a> BootEndSlot<'a> {
    pub(crate) const fn new(header: &'a Block) -> Self {
        Self(header)
    }

    /// Notes how boot `boot`, the present one, is about to end, or ends if nothing else is noted.
    /// The last note counts, unless a crash is noted: whatever else happens in its emergency, it is
    /// why the system is reset.
    pub fn note(&self, boot: u32, end: BootEnd) {
        if !matches!(self.noted(boot), Some(BootEnd::Crash(_))) {
            self.put(boot, end);
        }
    }

    /// Notes that boot `boot`, the present one, ends with the crash of this task.
    ///
    /// It does not read what is there: it runs on the emergency path.
    pub fn note_crash(&self, boot: u32, task: u16) {
        self.put(boot, BootEnd::Crash(task));
    }

    fn put(&self, boot: u32, end: BootEnd) {
        let [check, at_boot, at_end] = words(self.0, NOTE, NOTE_WORDS) else {
            return;
        };
        let number = end.to_number();
        store(check, 0);
        store(at_boot, boot);
        store(at_end, number);
        publish(check, check_values(NOTE_MAGIC, &[boot, number]));
    }

    /// What boot `boot` has noted; `None` if it has noted nothing.
    #[must_use]
    pub fn noted(&self, boot: u32) -> Option<BootEnd> {
        let [of_boot, number] = read(words(self.0, NOTE, NOTE_WORDS), NOTE_MAGIC)?;
        (of_boot == boot).then(|| BootEnd::from_number(number))
    }

    /// Where the kernel's tick stores who runs: the id of a task and its program counter. At the
    /// start of a boot the kernel moves both to the two words behind.
    #[must_use]
    pub fn running(&self) -> Option<&'a [AtomicU32; RUNNING_WORDS]> {
        words(self.0, RUNNING, RUNNING_WORDS).try_into().ok()
    }

    /// Who ran last in the boot before `boot`, the present one, if that ended without a note.
    #[must_use]
    pub fn last_ran(&self, boot: u32) -> Option<LastRan> {
        let end = self.ends(boot).iter().next()?;
        if !matches!(end, BootEnd::Watchdog | BootEnd::Outside) {
            return None;
        }
        let [_, _, id, pc] = self.running()?.each_ref().map(load);
        let is_known = id <= u16::MAX.into() && pc != 0;
        is_known.then_some(LastRan {
            task: (id & INDEX) as u16,
            pc,
        })
    }

    /// Begins boot `boot`, the one before which, `previous`, ended as `end`. `previous` is 0 after
    /// a cold start.
    pub fn begin(&self, previous: u32, boot: u32, end: BootEnd) {
        let ends = self.ends(previous).and(end);
        let (count, [a, b, c, d]) = ends.to_numbers();
        let values = [boot, count, a, b, c, d];
        let [check, rest @ ..] = words(self.0, ENDS, ENDS_WORDS) else {
            return;
        };
        store(check, 0);
        for (word, value) in rest.iter().zip(values) {
            store(word, value);
        }
        publish(check, check_values(ENDS_MAGIC, &values));
        // It was of the boot before, whose number is that of this one if that is the last number.
        if let Some(check) = words(self.0, NOTE, NOTE_WORDS).first() {
            store(check, 0);
        }
        // After a cold start it is garbage, which a kernel that is not ours never replaces.
        if previous == 0
            && let Some([_, _, id, _]) = self.running()
        {
            store(id, NO_ID);
        }
    }

    /// How the boots before `boot` ended, newest first, as [`Self::begin`] of that boot has kept
    /// it; of none if it has not.
    #[must_use]
    pub fn ends(&self, boot: u32) -> BootEnds {
        match read::<{ ENDS_WORDS - 1 }>(words(self.0, ENDS, ENDS_WORDS), ENDS_MAGIC) {
            Some([of_boot, count, numbers @ ..]) if of_boot == boot && boot != 0 => {
                BootEnds::from_numbers(count, numbers)
            }
            _ => BootEnds::NONE,
        }
    }
}

/// The values behind a check, if it holds.
fn read<const N: usize>(words: &[AtomicU32], magic: u32) -> Option<[u32; N]> {
    let [check, rest @ ..] = words else {
        return None;
    };
    let rest: &[AtomicU32; N] = rest.try_into().ok()?;
    let values = rest.each_ref().map(load);
    (load(check) == check_values(magic, &values)).then_some(values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Region;
    use crate::testing::memory;
    use proptest::prelude::*;

    fn newest_first(slot: BootEndSlot<'_>, boot: u32) -> Vec<BootEnd> {
        slot.ends(boot).iter().collect()
    }

    #[test]
    fn a_note_is_that_of_its_boot() {
        let memory = memory();
        let slot = Region::over(&memory).unwrap().boot_end();
        assert_eq!(slot.noted(0), None);
        slot.note(3, BootEnd::Watchdog);
        slot.note(3, BootEnd::Restart(5));
        assert_eq!(slot.noted(3), Some(BootEnd::Restart(5)));
        assert_eq!(slot.noted(4), None);
        slot.note_crash(3, 4);
        slot.note(3, BootEnd::Kernel);
        assert_eq!(slot.noted(3), Some(BootEnd::Crash(4)));
        slot.note(4, BootEnd::Kernel);
        assert_eq!(slot.noted(4), Some(BootEnd::Kernel));
    }

    #[test]
    fn ends_are_kept_from_boot_to_boot() {
        let memory = memory();
        let slot = Region::over(&memory).unwrap().boot_end();
        slot.begin(0, 1, BootEnd::PowerLost);
        for boot in 2..8 {
            slot.begin(boot - 1, boot, BootEnd::Restart(boot as u16 - 1));
        }
        let last = [6, 5, 4, 3].map(BootEnd::Restart);
        assert_eq!(newest_first(slot, 7), last);
        assert_eq!(newest_first(slot, 8), []);
        // A boot that did not keep them: the chain is broken.
        slot.begin(8, 9, BootEnd::Outside);
        assert_eq!(newest_first(slot, 9), [BootEnd::Outside]);
        // A cold start knows nothing of what is there.
        slot.begin(0, 1, BootEnd::PowerLost);
        assert_eq!(newest_first(slot, 1), [BootEnd::PowerLost]);
    }

    /// What the kernel does at the start of a boot, and at a tick.
    fn tick(slot: BootEndSlot<'_>, starts: bool, id: u32, pc: u32) {
        let [now_id, now_pc, last_id, last_pc] = slot.running().unwrap();
        if starts {
            store(last_id, load(now_id));
            store(last_pc, load(now_pc));
        }
        store(now_id, id);
        store(now_pc, pc);
    }

    #[test]
    fn who_ran_last_is_told_of_a_boot_without_a_note_only() {
        let memory = memory();
        let slot = Region::over(&memory).unwrap().boot_end();
        // Garbage of before the cold start.
        tick(slot, true, 2, 0x300);
        tick(slot, true, 3, 0x400);
        slot.begin(0, 1, BootEnd::PowerLost);
        assert_eq!(slot.last_ran(1), None);
        slot.begin(1, 2, BootEnd::Outside);
        assert_eq!(slot.last_ran(2), None, "no kernel has stored it");
        for (end, is_told) in [
            (BootEnd::Outside, true),
            (BootEnd::Watchdog, true),
            (BootEnd::Restart(2), false),
            (BootEnd::Crash(2), false),
            (BootEnd::Kernel, false),
            (BootEnd::PowerLost, false),
        ] {
            // An id of a later generation.
            tick(slot, false, 5 << 10 | 4, 0x500);
            tick(slot, true, 1, 0x600);
            slot.begin(2, 3, end);
            let ran = is_told.then_some(LastRan { task: 4, pc: 0x500 });
            assert_eq!(slot.last_ran(3), ran, "{end}");
            assert_eq!(slot.last_ran(4), None);
        }
        // A boot that ended before its first tick.
        tick(slot, true, 1, 0x600);
        tick(slot, false, NO_ID, 0);
        tick(slot, true, NO_ID, 0);
        slot.begin(3, 4, BootEnd::Outside);
        assert_eq!(slot.last_ran(4), None);
    }

    /// The number of a boot stays at its maximum: notes of different boots have the same then.
    #[test]
    fn a_note_is_of_one_boot_only() {
        let memory = memory();
        let slot = Region::over(&memory).unwrap().boot_end();
        slot.note_crash(u32::MAX, 3);
        slot.begin(u32::MAX, u32::MAX, BootEnd::Crash(3));
        assert_eq!(slot.noted(u32::MAX), None);
        slot.note(u32::MAX, BootEnd::Restart(4));
        assert_eq!(slot.noted(u32::MAX), Some(BootEnd::Restart(4)));
    }

    #[test]
    fn they_do_not_disturb_the_header() {
        let memory = memory();
        let region = Region::over(&memory).unwrap();
        region.begin_boot();
        region.boot_end().begin(0, 1, BootEnd::PowerLost);
        region.boot_end().note(1, BootEnd::Kernel);
        assert_eq!(region.boot(), 1);
        region.begin_boot();
        assert_eq!(region.boot_end().noted(1), Some(BootEnd::Kernel));
        assert_eq!(newest_first(region.boot_end(), 1), [BootEnd::PowerLost]);
    }

    proptest! {
        /// Damage of a word is noticed, and nothing but what was stored is read.
        #[test]
        fn damage_is_noticed(word in 0usize..128, value: u32) {
            let memory = memory();
            let slot = Region::over(&memory).unwrap().boot_end();
            slot.begin(0, 1, BootEnd::PowerLost);
            slot.begin(1, 2, BootEnd::Crash(4));
            slot.note(2, BootEnd::Restart(5));
            memory[0].set_word(word, value);
            let noted = slot.noted(2);
            prop_assert!(noted.is_none() || noted == Some(BootEnd::Restart(5)));
            let ends = newest_first(slot, 2);
            prop_assert!(ends.is_empty() || ends == [BootEnd::Crash(4), BootEnd::PowerLost]);
        }
    }
}
