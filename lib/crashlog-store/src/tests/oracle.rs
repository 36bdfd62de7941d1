//! An oracle that knows what must be on the card, and what cannot be.

use super::recorder::Content;
use block_device::Block;
use crashlog_format::FormatId;
use crashlog_format::page::Page;
use std::collections::{BTreeMap, BTreeSet};

/// A log record, by boot (as on the card) and number.
pub type Key = (u32, u32);

/// What is known to whoever watches the recorder from outside.
#[derive(Clone, Debug, Default)]
pub struct Oracle {
    /// Everything the recorder ever accepted, with its payload.
    pub accepted: BTreeMap<Key, Vec<u8>>,
    /// What of it is in retained memory only.
    pub waiting: BTreeSet<Key>,
    /// What was reported durable, and the page it was put into (`u32::MAX` if that is not known).
    pub durable: BTreeMap<Key, u32>,
    /// The page each record was put into when a write of it was begun.
    pub placed: BTreeMap<Key, u32>,
    /// Number behind the newest page whose write was begun.
    pub begun: u32,
    /// Crashes whose record was begun, by their time, which is unique here.
    pub crashes: BTreeSet<u64>,
    /// Those that were reported durable, with the number of the record.
    pub recorded: BTreeMap<u64, u32>,
    /// Records whose erasure was begun.
    pub erasing: BTreeSet<u32>,
    /// Records whose erasure was reported durable.
    pub erased: BTreeSet<u32>,
    /// A clock and source of unique payloads.
    pub clock: u64,
}

impl Oracle {
    /// The pages of a run are about to be written.
    pub fn place(&mut self, run: &[Block], first_page: u32) {
        for (block, number) in run.iter().zip(first_page..) {
            let mut bytes = [0; 512];
            block.copy_to(0, &mut bytes);
            let page = Page::parse(&bytes, FormatId::new(0xF0)).unwrap();
            for record in page.records() {
                self.placed.insert((record.boot, record.sequence), number);
            }
            self.begun = self.begun.max(number + 1);
        }
    }

    /// Everything that waited is durable.
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

    /// Everything that was reported durable is on the card, but for pages that the ring has come round to; and nothing
    /// is that was not accepted.
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
        for (time, (number, _)) in &content.records {
            assert!(
                self.crashes.contains(time),
                "crash at {time} never happened"
            );
            assert!(!self.erased.contains(number), "record {number} was erased");
        }
        for number in self.recorded.values() {
            let there = content.records.values().any(|(found, _)| found == number);
            assert!(
                there || self.erasing.contains(number),
                "record {number} was durable and is gone"
            );
        }
        assert_eq!(content.damaged_segments, 0);
        let counted = content.oops + content.panic;
        assert!(
            counted as usize >= self.recorded.len(),
            "counters forgot a crash"
        );
        assert!(
            counted as usize <= self.crashes.len(),
            "counters made up a crash"
        );
    }
}
