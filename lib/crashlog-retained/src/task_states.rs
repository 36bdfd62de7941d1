//! What every task was doing a short time ago: what is known of the tasks of a boot that ended
//! without anybody to describe it.
//!
//! The supervisor notes the state of each task whenever it says that it is well. One word is one
//! task, so there is always a whole state of it, but the states of two tasks may be of different
//! notes. Only what they belong to has a check: the boot and the image.

use crate::words::{check_values, load, publish, store, words};
use block_device::Block;
use core::sync::atomic::AtomicU32;
use crashlog_format::{Activity, TaskEntry};

const MAGIC: u32 = u32::from_le_bytes(*b"SEEN");

/// Words of the header's block: check, boot, image id, time, tasks.
const FIRST: usize = 60;
const FACTS: usize = 4;
const WORDS: usize = FACTS + 1 + TaskStates::MAX;

/// Bits of a task's word: activity in 0 to 7, faulted, noted, restarts from 10 on, peer from 16 on.
const FAULTED: u32 = 1 << 8;
const NOTED: u32 = 1 << 9;
const RESTARTS: u32 = 10;
const RESTARTS_MASK: u32 = 0x3f;
const PEER: u32 = 16;

/// What a task is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskNow {
    /// What it is doing, or was doing when it faulted.
    pub activity: Activity,
    /// The id of the task that it waits for, where `activity` needs one.
    pub peer: u16,
    /// Is it faulted?
    pub is_faulted: bool,
    /// How often it was restarted, modulo 64: its generation.
    pub restarts: u8,
}

impl TaskNow {
    const fn to_word(self) -> u32 {
        let faulted = if self.is_faulted { FAULTED } else { 0 };
        let restarts = (self.restarts as u32 & RESTARTS_MASK) << RESTARTS;
        self.activity as u32 | faulted | NOTED | restarts | (self.peer as u32) << PEER
    }

    /// `None` if nothing was noted, or something that this program does not know.
    fn from_word(word: u32) -> Option<Self> {
        let activity = Activity::try_from(word as u8).ok()?;
        (word & NOTED != 0).then_some(Self {
            activity,
            peer: (word >> PEER) as u16,
            is_faulted: word & FAULTED != 0,
            restarts: (word >> RESTARTS & RESTARTS_MASK) as u8,
        })
    }

    /// As a crash lists it, without registers and priority.
    #[must_use]
    pub fn entry(self) -> TaskEntry {
        let mut entry = TaskEntry::new(self.activity, self.peer);
        entry.restarts = u32::from(self.restarts).into();
        if self.is_faulted {
            // None of the faults: its kind is not noted.
            entry.set_fault(&[u8::MAX]);
        }
        entry
    }
}

/// Where the states are noted.
#[derive(Clone, Copy, Debug)]
pub struct TaskStates<'a>(&'a Block);

/// What was noted in a boot.
#[derive(Clone, Copy, Debug)]
pub struct NotedTasks<'a> {
    /// The id of the image that ran.
    pub image_id: u64,
    /// When it was noted last, in milliseconds since the start of the boot, low word.
    pub time: u32,
    tasks: &'a [AtomicU32],
}

impl NotedTasks<'_> {
    /// The tasks by index, up to the first one that was not noted.
    pub fn iter(&self) -> impl Iterator<Item = TaskNow> {
        let words = self.tasks.iter().map(load);
        words.map_while(TaskNow::from_word)
    }
}

impl<'a> TaskStates<'a> {
    /// How many tasks are noted at most.
    pub const MAX: usize = 63;

    pub(crate) const fn new(header: &'a Block) -> Self {
        Self(header)
    }

    /// Begins boot `boot`, which runs the image `image_id`: no task is noted.
    pub fn begin(&self, boot: u32, image_id: u64) {
        let [check, rest @ ..] = words(self.0, FIRST, WORDS) else {
            return;
        };
        store(check, 0);
        let values = [boot, image_id as u32, (image_id >> 32) as u32];
        for (index, word) in rest.iter().enumerate() {
            store(word, values.get(index).copied().unwrap_or(0));
        }
        publish(check, check_values(MAGIC, &values));
    }

    /// Notes what the tasks are doing, by index, at `now` milliseconds since the start of the boot.
    /// Tasks beyond [`Self::MAX`] are not noted.
    pub fn note(&self, now: u64, tasks: impl Iterator<Item = TaskNow>) {
        let Some([time, rows @ ..]) = words(self.0, FIRST, WORDS).get(FACTS..) else {
            return;
        };
        for (row, task) in rows.iter().zip(tasks) {
            store(row, task.to_word());
        }
        store(time, now as u32);
    }

    /// What was noted in boot `boot`; `None` if that boot has not begun here.
    #[must_use]
    pub fn of_boot(&self, boot: u32) -> Option<NotedTasks<'a>> {
        let [check, of_boot, low, high, time, tasks @ ..] = words(self.0, FIRST, WORDS) else {
            return None;
        };
        let values = [of_boot, low, high].map(load);
        let [of_boot, low, high] = values;
        let is_sound = load(check) == check_values(MAGIC, &values);
        (is_sound && of_boot == boot).then_some(NotedTasks {
            image_id: u64::from(low) | u64::from(high) << 32,
            time: load(time),
            tasks,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Region;
    use crate::testing::memory;
    use proptest::prelude::*;

    const IMAGE: u64 = 0x0123_4567_89ab_cdef;

    fn doing(activity: Activity, peer: u16) -> TaskNow {
        TaskNow {
            activity,
            peer,
            is_faulted: peer % 2 == 1,
            restarts: (peer % 64) as u8,
        }
    }

    fn some() -> [TaskNow; 4] {
        [
            doing(Activity::Runnable, 0),
            doing(Activity::AwaitingReply, 0xfc05),
            doing(Activity::Receiving, 0),
            doing(Activity::Sending, 62),
        ]
    }

    #[test]
    fn what_was_noted_last_is_read_of_that_boot_alone() {
        let memory = memory();
        let states = Region::over(&memory).unwrap().task_states();
        assert!(states.of_boot(0).is_none());
        states.begin(3, IMAGE);
        assert_eq!(states.of_boot(3).unwrap().iter().count(), 0);
        states.note(100, some().into_iter().rev());
        states.note(1 << 32 | 200, some().into_iter());
        let noted = states.of_boot(3).unwrap();
        assert_eq!((noted.image_id, noted.time), (IMAGE, 200));
        assert_eq!(noted.iter().collect::<Vec<_>>(), some());
        assert!(states.of_boot(2).is_none() && states.of_boot(4).is_none());
        states.begin(4, IMAGE);
        assert!(states.of_boot(3).is_none());
        assert_eq!(states.of_boot(4).unwrap().iter().count(), 0);
    }

    #[test]
    fn a_crash_lists_them() {
        let [runs, waits, ..] = some().map(TaskNow::entry);
        assert_eq!(runs.activity(), Ok(Activity::Runnable));
        assert!(!runs.is_faulted());
        assert_eq!((waits.peer.get(), waits.restarts.get()), (0xfc05, 5));
        assert!(waits.is_faulted() && waits.fault().is_none());
    }

    #[test]
    fn more_tasks_than_there_is_room_for_disturb_nothing() {
        let memory = memory();
        let region = Region::over(&memory).unwrap();
        region.begin_boot();
        region.task_states().begin(1, IMAGE);
        let tasks = core::iter::repeat(doing(Activity::Sending, 0xffff));
        region.task_states().note(1, tasks.take(200));
        let noted = region.task_states().of_boot(1).unwrap();
        assert_eq!(noted.iter().count(), TaskStates::MAX);
        assert_eq!(region.boot(), 1);
    }

    proptest! {
        /// Damage of a word is noticed, or is that of one task's state.
        #[test]
        fn damage_changes_one_task_at_most(word in 0usize..128, value: u32) {
            let memory = memory();
            let states = Region::over(&memory).unwrap().task_states();
            states.begin(3, IMAGE);
            states.note(100, some().into_iter());
            memory[0].set_word(word, value);
            if let Some(noted) = states.of_boot(3) {
                prop_assert_eq!(noted.image_id, IMAGE);
                let same = noted.iter().zip(some()).filter(|(one, other)| one == other);
                let first = word.checked_sub(FIRST + FACTS + 1).unwrap_or(4).min(4);
                prop_assert!(same.count() >= first.min(3));
            }
        }
    }
}
