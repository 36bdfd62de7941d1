//! An oracle: what has to be on the card, and what cannot be.

use super::recorder::{Content, KEEP_FIRST};
use block_device::Block;
use crashlog_format::FormatId;
use crashlog_format::page::Page;
use std::collections::{BTreeMap, BTreeSet};

/// A log record: its boot, as on the card, and its number.
pub type Key = (u32, u32);

/// What an observer of the recorder knows.
#[derive(Clone, Debug, Default)]
pub struct Oracle {
    /// All log records that the recorder has accepted, with their payloads.
    pub accepted: BTreeMap<Key, Vec<u8>>,
    /// Those of them that are in retained memory only.
    pub waiting: BTreeSet<Key>,
    /// Those that were reported as durable, and their pages (`u32::MAX` if not known).
    pub durable: BTreeMap<Key, u32>,
    /// The page of each log record whose write was begun.
    pub placed: BTreeMap<Key, u32>,
    /// Number after that of the newest page whose write was begun.
    pub begun: u32,
    /// Crashes whose write was begun, by their time, which is unique in these tests.
    pub crashes: BTreeSet<u64>,
    /// Crashes that were reported as durable, by their time, with their sequence numbers.
    pub durable_crashes: BTreeMap<u64, u32>,
    /// Crashes whose erasure was begun.
    pub erasing: BTreeSet<u32>,
    /// Crashes whose erasure was reported as durable.
    pub erased: BTreeSet<u32>,
    /// A clock, and the source of unique payloads.
    pub clock: u64,
}

impl Oracle {
    /// The pages of a run are going to be written.
    pub fn place(&mut self, run: &[Block], first_page: u32, format: FormatId) {
        for (block, number) in run.iter().zip(first_page..) {
            let mut bytes = [0; 512];
            block.copy_to(0, &mut bytes);
            let page = Page::parse(&bytes, format).unwrap();
            for record in page.records() {
                self.placed.insert((record.boot, record.sequence), number);
            }
            self.begun = self.begun.max(number + 1);
        }
    }

    /// All log records that waited are durable.
    pub fn all_durable(&mut self) {
        for key in std::mem::take(&mut self.waiting) {
            let page = self.placed.get(&key).copied().unwrap_or(u32::MAX);
            self.durable.insert(key, page);
        }
    }

    /// Retained memory is lost.
    pub fn power_cut(&mut self) {
        self.waiting.clear();
    }

    /// Everything that was reported as durable is on the card, apart from pages that newer ones
    /// have overwritten. Nothing is on the card that was not accepted.
    pub fn check(&self, content: &Content) {
        let mut found = BTreeMap::new();
        for (key, payload) in &content.log {
            assert_eq!(
                self.accepted.get(key),
                Some(payload),
                "{key:?} was never accepted"
            );
            assert_eq!(found.insert(*key, payload), None, "{key:?} is there twice");
        }
        let overwritten = self.begun.saturating_sub(content.ring_pages);
        for (key, page) in &self.durable {
            let gone = *page < overwritten;
            assert!(
                gone || found.contains_key(key),
                "{key:?} was durable on page {page} and is gone"
            );
        }
        for (time, (number, _)) in &content.crashes {
            assert!(self.crashes.contains(time), "there was no crash at {time}");
            assert!(!self.erased.contains(number), "crash {number} was erased");
        }
        self.check_durable_crashes(content);
        assert_eq!(content.damaged_segments, 0);
        let counted = content.oops + content.panic;
        assert!(
            counted as usize >= self.durable_crashes.len(),
            "a crash is missing in the counters"
        );
        assert!(
            counted as usize <= self.crashes.len(),
            "the counters have a crash too many"
        );
    }

    /// Durable crashes are there, unless they were erased or had to make room: while there was a
    /// slot for each all are there, and then the first ones still are, and the newest.
    fn check_durable_crashes(&self, content: &Content) {
        let there: BTreeSet<u32> = content
            .crashes
            .values()
            .map(|(number, _)| *number)
            .collect();
        let numbers = self.durable_crashes.values().copied();
        let durable: BTreeSet<u32> = numbers
            .filter(|number| !self.erasing.contains(number))
            .collect();
        let Some(missing) = durable.difference(&there).next() else {
            return;
        };
        // One slot is always free, and another for a crash that was begun.
        let occupied = there.len() + self.erasing.len();
        assert!(
            occupied + 2 >= content.slots as usize,
            "crash {missing} was durable and is gone"
        );
        let newest = durable.last().max(self.erasing.last());
        assert!(
            there.last().max(self.erasing.last()) >= newest,
            "the newest crash is gone"
        );
        if self.erasing.is_empty() {
            // The first ones are kept, whether they were reported as durable or not.
            for number in durable.difference(&there) {
                let older = there.range(..number).count();
                assert!(
                    older >= KEEP_FIRST as usize,
                    "crash {number} was to be kept and is gone"
                );
            }
        }
    }
}
