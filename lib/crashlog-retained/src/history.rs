//! Which faults repeat, over resets of the system.
//!
//! Two copies, each with its check, are written in turn: a write that is interrupted leaves the
//! state before it. This module only stores the history; the rules are in `crashlog-supervisor`,
//! module `loops`.

use crate::words::{check_values, load, publish, store, words};
use block_device::{BLOCK_WORDS, Block};
use core::sync::atomic::AtomicU32;

const MAGIC: u32 = u32::from_le_bytes(*b"HIST");
/// Check, revision, two times, four words for each series.
const COPY: usize = 4 + Series::WORDS * History::SERIES;
/// Place of the history that is set aside, behind the two copies.
const ASIDE: u32 = 2;

// Two copies, and the one that is set aside, are one block.
const _: () = assert!(COPY * (ASIDE as usize + 1) <= BLOCK_WORDS);

/// Faults of one task, in a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Series {
    /// How often the last fault came in a row; 0: there is no series.
    pub count: u32,
    /// How many faults of any kind there were.
    pub any: u16,
    /// The task, by index; 65535 for the kernel.
    pub task: u16,
    /// What failed last and where, as [`crate::signature`] computes it.
    pub signature: u32,
    /// When the first of the faults came, in milliseconds as [`History::total`] counts.
    pub first: u32,
}

impl Series {
    const WORDS: usize = 4;
}

/// The faults that repeat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// Milliseconds that the system ran before this boot; of each earlier boot the time up to its
    /// last fault. Wraps.
    pub before: u32,
    /// Milliseconds that the system had run at the last fault. Wraps.
    pub last: u32,
    /// The series, in no order.
    pub series: [Series; Self::SERIES],
    /// How often it was stored. Kept by [`HistorySlot::load`] and [`HistorySlot::store`].
    pub revision: u32,
}

impl History {
    /// How many series are kept.
    pub const SERIES: usize = 8;

    /// Milliseconds that the system has run, `now` milliseconds after the start of this boot.
    /// Wraps.
    #[must_use]
    pub const fn total(&self, now: u64) -> u32 {
        self.before.wrapping_add(now as u32)
    }

    fn to_words(self) -> [u32; COPY - 1] {
        let mut values = [0; COPY - 1];
        let (head, series) = values.split_at_mut(3);
        for (to, from) in head.iter_mut().zip([self.revision, self.before, self.last]) {
            *to = from;
        }
        for (to, from) in series.as_chunks_mut().0.iter_mut().zip(self.series) {
            let task = u32::from(from.any) << 16 | u32::from(from.task);
            *to = [from.count, task, from.signature, from.first];
        }
        values
    }

    fn from_words(values: &[u32; COPY - 1]) -> Self {
        let [revision, before, last, series @ ..] = values;
        let mut history = Self {
            before: *before,
            last: *last,
            series: [Series::default(); Self::SERIES],
            revision: *revision,
        };
        for (to, from) in history.series.iter_mut().zip(series.as_chunks().0) {
            let [count, task, signature, first] = *from;
            *to = Series {
                count,
                any: (task >> 16) as u16,
                task: task as u16,
                signature,
                first,
            };
        }
        history
    }
}

/// Where the history is kept.
#[derive(Clone, Copy, Debug)]
pub struct HistorySlot<'a>(Option<&'a Block>);

impl<'a> HistorySlot<'a> {
    pub(crate) const BLOCKS: usize = 1;

    pub(crate) const fn new(block: Option<&'a Block>) -> Self {
        Self(block)
    }

    /// The history; an empty one if neither copy passes its check.
    #[must_use]
    pub fn load(&self) -> History {
        let [first, second] = [0, 1].map(|copy| self.read(copy));
        let newest = match (first, second) {
            (Some(first), Some(second)) => {
                let ahead = second.revision.wrapping_sub(first.revision);
                Some(if ahead < 1 << 31 { second } else { first })
            }
            (first, second) => first.or(second),
        };
        newest.unwrap_or_default()
    }

    /// Replaces the history by `history`, which is what [`Self::load`] has returned, changed. If
    /// this is interrupted the old one stays.
    ///
    /// It does not read what is there: it runs on the emergency path.
    pub fn store(&self, history: &mut History) {
        history.revision = history.revision.wrapping_add(1);
        self.write(history.revision % 2, *history);
    }

    /// Keeps a history beside the two copies, where nothing uses it.
    pub fn set_aside(&self, history: &History) {
        self.write(ASIDE, *history);
    }

    /// The history that was set aside last, for who inspects the region.
    #[must_use]
    pub fn aside(&self) -> Option<History> {
        self.read(ASIDE)
    }

    fn write(&self, copy: u32, history: History) {
        let values = history.to_words();
        let Some([check, rest @ ..]) = self.copy(copy) else {
            return;
        };
        store(check, 0);
        for (word, value) in rest.iter().zip(values) {
            store(word, value);
        }
        publish(check, check_values(MAGIC, &values));
    }

    fn read(&self, copy: u32) -> Option<History> {
        let [expected, rest @ ..] = self.copy(copy)? else {
            return None;
        };
        let rest: &[AtomicU32; COPY - 1] = rest.try_into().ok()?;
        let values = rest.each_ref().map(load);
        (load(expected) == check_values(MAGIC, &values)).then(|| History::from_words(&values))
    }

    fn copy(&self, copy: u32) -> Option<&'a [AtomicU32]> {
        Some(words(self.0?, copy as usize * COPY, COPY))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Region;
    use crate::testing::{copy, memory};
    use proptest::prelude::*;

    fn history(count: u32) -> History {
        History {
            before: 7,
            last: 9,
            series: core::array::from_fn(|index| Series {
                count,
                any: count as u16 + 1,
                task: index as u16 + 3,
                signature: 0xdead_0000 + index as u32,
                first: 5,
            }),
            revision: 0,
        }
    }

    #[test]
    fn a_history_is_kept_over_boots() {
        let memory = memory();
        let region = Region::over(&memory).unwrap();
        region.begin_boot();
        let mut loaded = region.history().load();
        assert_eq!(loaded, History::default());
        for count in 1..9 {
            loaded = History {
                revision: loaded.revision,
                ..history(count)
            };
            region.history().store(&mut loaded);
            region.begin_boot();
            assert_eq!(region.history().load(), loaded);
            assert_eq!(loaded.series, history(count).series);
        }
    }

    proptest! {
        /// Damage leaves an older history, or an empty one; never one that was not stored.
        #[test]
        fn damage_is_noticed(damage in proptest::collection::vec((0usize..128, any::<u32>()), 1..3)) {
            let original = memory();
            let region = Region::over(&original).unwrap();
            region.begin_boot();
            let mut first = history(1);
            region.history().store(&mut first);
            let mut second = History {
                revision: first.revision,
                ..history(2)
            };
            region.history().store(&mut second);
            let copied = copy(&original);
            let region = Region::over(&copied).unwrap();
            let block = region.history().0.unwrap();
            for (word, value) in damage {
                block.set_word(word, value);
            }
            let found = region.history().load();
            prop_assert!([History::default(), first, second].contains(&found));
        }
    }
}
