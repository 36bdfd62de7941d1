//! Into which slot a crash is written, and which slot is released for it.

use super::{CrashEntry, CrashSummary, Ledger, count};
use crate::CrashReason;
use crate::crash::signature_task;

/// What has to be written for a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrashPlan {
    /// Nothing: it was committed before, by a try that could not report its success.
    Known {
        /// The slot that holds it.
        slot: u32,
    },
    /// Only the ledger: `slot` holds an equal crash, whose repetitions are counted.
    Repeat {
        /// The slot of the earlier crash.
        slot: u32,
    },
    /// The crash, into `slot`, and the ledger.
    New {
        /// A free slot.
        slot: u32,
        /// The slot that the same ledger releases, so that one slot remains free.
        release: Option<u32>,
    },
    /// The self-test, into `slot`, which remains free, and the ledger.
    Test {
        /// The last free slot.
        slot: u32,
    },
}

impl CrashPlan {
    /// The slot that holds the crash, or will.
    #[must_use]
    pub const fn slot(self) -> u32 {
        let (Self::Known { slot }
        | Self::Repeat { slot }
        | Self::New { slot, .. }
        | Self::Test { slot }) = self;
        slot
    }

    /// The slot into which header and segments have to be written; `None` if only the ledger may
    /// change.
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
    /// Decides what has to be written for a crash. The first `keep_first` unacknowledged crashes
    /// are not overwritten.
    ///
    /// # Errors
    /// [`Exhausted`] if the crash needs a sequence number and none is left.
    pub fn plan(&self, crash: &CrashSummary, keep_first: u32) -> Result<CrashPlan, Exhausted> {
        if crash.reason == CrashReason::SelfTest {
            return self.plan_test();
        }
        let same = |(slot, entry): &(u32, &CrashEntry)| {
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
                CrashPlan::Known { slot }
            } else {
                CrashPlan::Repeat { slot }
            });
        }
        if self.next_sequence() == u32::MAX {
            return Err(Exhausted);
        }
        let slot = self.free().ok_or(Exhausted)?;
        let release = if self.len().saturating_add(1) < u32::from(self.slots) {
            None
        } else {
            self.victim(keep_first, Some(signature_task(crash.signature)))
        };
        Ok(CrashPlan::New { slot, release })
    }

    /// Decides where a self-test is written: into the last free slot. A crash takes the first one,
    /// so the self-test is there for as long as possible.
    #[inline(never)]
    fn plan_test(&self) -> Result<CrashPlan, Exhausted> {
        if self.next_sequence() == u32::MAX {
            return Err(Exhausted);
        }
        let mut slots = 0..u32::from(self.slots);
        let slot = slots.rfind(|slot| self.entry(*slot).is_none());
        slot.map(|slot| CrashPlan::Test { slot }).ok_or(Exhausted)
    }

    /// Carries out a plan and counts the crash; returns its sequence number, or that of the crash
    /// that it repeats. The caller has to seal and write the ledger afterwards, unless the plan is
    /// [`CrashPlan::Known`].
    pub fn commit(&mut self, plan: CrashPlan, crash: &CrashSummary) -> u32 {
        let boot = crash.boot.into();
        let time = crash.time32().into();
        match plan {
            CrashPlan::Known { slot } => {
                return self.entry(slot).map_or(0, |entry| entry.sequence.get());
            }
            CrashPlan::Repeat { slot } => {
                if let Some(entry) = self.slot_mut(slot) {
                    entry.repeats = entry.repeats.get().saturating_add(1).into();
                    entry.last_boot = boot;
                    entry.last_time = time;
                }
            }
            CrashPlan::New { slot, release } => {
                let entry = CrashEntry {
                    sequence: self.next_sequence,
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
            CrashPlan::Test { slot } => {
                let entry = CrashEntry {
                    sequence: self.next_sequence,
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

    /// The slot of the crash to release: the oldest acknowledged one; else, after the first
    /// `keep_first`, the oldest of the task that has most of them.
    ///
    /// `task`: whose crash needs the room, as [`signature_task`]; `None` if nobody's does. With its
    /// new crash it has one more, and of tasks with equally many it gives way. So a task that fails
    /// in ever new ways overwrites its own crashes, and not those of a task that has fewer.
    pub(super) fn victim(&self, keep_first: u32, task: Option<u32>) -> Option<u32> {
        let acknowledged = self
            .live()
            .filter(|(slot, _)| self.is_acknowledged(*slot))
            .min_by_key(|(_, entry)| entry.sequence.get());
        if let Some((slot, _)) = acknowledged {
            return Some(slot);
        }
        // One slot is always free, and one has to be left for new crashes: at most the other slots
        // are kept.
        let keep = keep_first.min(u32::from(self.slots).saturating_sub(2));
        let (_, first) = self.by_age(keep)?;
        let first = first.sequence.get();
        let of = |entry: &CrashEntry| signature_task(entry.signature.get());
        let share = |entry: &CrashEntry| {
            let is_own = Some(of(entry)) == task;
            let same = self.live().filter(|(_, other)| of(other) == of(entry));
            (count(same).saturating_add(is_own.into()), is_own)
        };
        self.live()
            .filter(|(_, entry)| entry.sequence.get() >= first)
            .max_by_key(|(_, entry)| (share(entry), u32::MAX - entry.sequence.get()))
            .map(|(slot, _)| slot)
    }
}
