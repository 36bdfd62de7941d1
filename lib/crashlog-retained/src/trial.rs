//! How often the system has just failed with what the region holds.
//!
//! What survives a reset can make the next boot fail in the same way, and the one after that. So
//! boots that end early are counted, and so are starts of the recorder; after a few in a row the
//! state of before is not used. It is *set aside*: it stays in the region, unread, until something
//! else takes its place or it is tried again.
//!
//! | who | counts | has come through | after [`Trial::LIMIT`] | after twice as many |
//! |---|---|---|---|---|
//! | supervisor | boots | ran for a time, or ended with a crash or as asked | the history of faults | - |
//! | recorder | its starts | has written what it found, or found no card | crashes, the snapshot, the location of the log | log pages |
//!
//! Each count is kept with its complement, and one that does not fit is 0: damage leads to a try
//! with the state, never to a state that is set aside for ever.

use crate::words::{load, publish, store};
use block_device::Block;

/// Words of the header's block, behind the copies of the header.
const BOOTS: usize = 16;
const STARTS: usize = 18;
const STAGE: usize = 20;

/// The counts.
#[derive(Clone, Copy, Debug)]
pub struct Trial<'a>(&'a Block);

/// What of the region the present start of the recorder uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TrialStage {
    /// Everything.
    All,
    /// Log pages only: crashes and the snapshot are set aside.
    LogOnly,
    /// Nothing.
    Nothing,
}

impl<'a> Trial<'a> {
    /// After so many failures in a row the next boot, or start, does without.
    pub const LIMIT: u32 = 4;

    pub(crate) const fn new(header: &'a Block) -> Self {
        Self(header)
    }

    /// Counts a boot, which begins. Returns how many before it ended early in a row.
    #[must_use]
    pub fn begin_boot(&self) -> u32 {
        let before = self.boots();
        self.set(BOOTS, before.saturating_add(1));
        before
    }

    /// This boot has come through.
    pub fn end_boot(&self) {
        self.set(BOOTS, 0);
    }

    /// How many boots have not come through in a row, this one included.
    #[must_use]
    pub fn boots(&self) -> u32 {
        self.get(BOOTS)
    }

    /// Counts a start of the recorder, and decides what it uses.
    pub fn begin_start(&self) -> TrialStage {
        let before = self.get(STARTS);
        self.set(STARTS, before.saturating_add(1));
        let stage = before / Self::LIMIT;
        self.set(STAGE, stage);
        self.stage()
    }

    /// This start has come through: the next one uses everything again.
    pub fn end_start(&self) {
        self.set(STARTS, 0);
    }

    /// How many starts of the recorder have not come through in a row, this one included.
    #[must_use]
    pub fn starts(&self) -> u32 {
        self.get(STARTS)
    }

    /// What the present start of the recorder uses.
    #[must_use]
    pub fn stage(&self) -> TrialStage {
        match self.get(STAGE) {
            0 => TrialStage::All,
            1 => TrialStage::LogOnly,
            _ => TrialStage::Nothing,
        }
    }

    /// After power-on.
    pub(crate) fn clear(&self) {
        for word in [BOOTS, STARTS, STAGE] {
            self.set(word, 0);
        }
    }

    fn get(&self, at: usize) -> u32 {
        let [value, complement] = [at, at + 1].map(|at| self.0.words().get(at).map_or(0, load));
        if complement == !value { value } else { 0 }
    }

    fn set(&self, at: usize, value: u32) {
        let words = self.0.words();
        if let (Some(word), Some(complement)) = (words.get(at), words.get(at + 1)) {
            store(complement, !value);
            publish(word, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Region;
    use crate::testing::memory;
    use proptest::prelude::*;

    /// REQ: X6 (in part: what survives a reset does not make every boot fail)
    #[test]
    fn after_a_few_failures_the_next_does_without_once() {
        let memory = memory();
        let region = Region::over(&memory).unwrap();
        region.begin_boot();
        let trial = region.trial();
        for round in 0..3 {
            for before in 0..Trial::LIMIT {
                assert_eq!(trial.begin_boot(), before, "{round}");
                assert_eq!(trial.begin_start(), TrialStage::All);
            }
            for _ in 0..Trial::LIMIT {
                assert!(trial.begin_boot() >= Trial::LIMIT);
                assert_eq!(trial.begin_start(), TrialStage::LogOnly);
            }
            assert_eq!(trial.begin_start(), TrialStage::Nothing);
            trial.end_boot();
            trial.end_start();
            // What this start uses does not change while it runs.
            assert_eq!(trial.stage(), TrialStage::Nothing);
        }
    }

    #[test]
    fn power_on_begins_anew() {
        let memory = memory();
        let region = Region::over(&memory).unwrap();
        region.begin_boot();
        for _ in 0..9 {
            let _ = region.trial().begin_boot();
            region.trial().begin_start();
        }
        for block in &memory {
            block.fill(0x5a5a_5a5a);
        }
        region.begin_boot();
        assert_eq!(region.trial().begin_boot(), 0);
        assert_eq!(region.trial().begin_start(), TrialStage::All);
    }

    proptest! {
        /// No content makes the state be set aside for ever.
        #[test]
        fn any_content_will_do(words in proptest::collection::vec(any::<u32>(), 6)) {
            let block = Block::zeroed();
            for (at, word) in (BOOTS..).zip(words) {
                block.set_word(at, word);
            }
            let trial = Trial::new(&block);
            let _ = trial.begin_boot();
            trial.begin_start();
            trial.end_boot();
            trial.end_start();
            prop_assert_eq!(trial.begin_boot(), 0);
            prop_assert_eq!(trial.begin_start(), TrialStage::All);
        }
    }
}
