//! Which record goes where, and what goes for it.

use super::{Crash, Entry, Ledger};
use crate::Reason;

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

    /// The record that has to go: the oldest acknowledged one, else the oldest after the first `keep_first`.
    pub(super) fn victim(&self, keep_first: u32) -> Option<u32> {
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
}
