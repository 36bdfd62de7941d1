//! The mailbox: the crash of an emergency, its outcome, and oopses.
//!
//! ```text
//!           write_crash        note             arm                conclude(true)
//!   (any) ------------> Empty -----> Noted ----------> Armed ---------------------> Done
//!                                              arm_minimal |   conclude(false)
//!                                                  ArmedMinimal ------------------> Failed
//! ```
//!
//! The supervisor describes the crash and arms the mailbox. A recorder that starts and finds it
//! armed writes the crash before anything else, and leaves the outcome here. Whatever is not `Done`
//! or `Empty` at the next boot is written late: a crash that is still armed, one that failed, and
//! one that was only noted because the supervisor failed or hung.
//!
//! An *oops*, a fault that restarts a single task, needs no emergency: it is described in one of
//! four places of its own, from which the recorder's normal path writes it. Faults beside an
//! emergency use the same places. A task cannot keep those of others from a place by its own: see
//! [`Mailbox::write_oops`].
//!
//! The progress of the recorder's self-test is kept here, too: there is one test in each boot, and
//! the recorder may be restarted during it.

#[cfg(test)]
mod tests;

use crate::context::{CONTEXT_BLOCKS, ContextSlot, ContextSummary};
use crate::words::{check, load, publish, store, words};
use crate::{ContextWriter, StoredContext};
use block_device::Block;
use core::sync::atomic::AtomicU32;
use crashlog_format::{EmergencyFailure, Outcome};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

/// How many places for oopses there are.
const OOPSES: usize = 4;

const ARMED: u32 = u32::from_le_bytes(*b"ARM1");
const ARMED_MINIMAL: u32 = u32::from_le_bytes(*b"ARM2");
const DONE: u32 = u32::from_le_bytes(*b"DONE");
const FAILED: u32 = u32::from_le_bytes(*b"FAIL");
const NOTED: u32 = u32::from_le_bytes(*b"NOTE");
/// First value of the check of the self-test's progress.
const TEST: u32 = u32::from_le_bytes(*b"TEST");

/// Words of the control block.
const STATE: usize = 0;
const OUTCOME_CHECK: usize = 1;
const OUTCOME: usize = 2;
const OUTCOME_WORDS: usize = size_of::<Outcome>() / 4;
const DROPPED: usize = OUTCOME + OUTCOME_WORDS;
const TEST_CHECK: usize = DROPPED + 1;
const TEST_AT: usize = TEST_CHECK + 1;
const TEST_WORDS: usize = size_of::<SelfTestProgress>() / 4;
/// Milliseconds of the recorder's try in bits 15:0, their check in bits 23:16, why the first try
/// failed in bits 31:24.
const TRY: usize = TEST_AT + TEST_WORDS;
/// The longest time of a try, milliseconds.
const MOST_TRY_MS: u32 = 60_000;
/// The time of a try of which it is not known. The supervisor ends a try anyway, and in a shorter
/// time a card cannot be started as it has to be.
const UNKNOWN_TRY_MS: u32 = 1_000;

/// The mailbox.
#[derive(Clone, Copy, Debug)]
pub struct Mailbox<'a>(&'a [Block]);

/// What the mailbox holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailboxState {
    /// Nothing.
    Empty,
    /// A crash to be written at once.
    Armed,
    /// The same after a try without success: write the crash itself and the log tail only, without
    /// DMA.
    ArmedMinimal,
    /// A crash that is durable on the card.
    Done,
    /// A crash that could not be written.
    Failed,
    /// A crash that the supervisor has noted and has not armed the mailbox for.
    Noted,
}

/// How far the recorder's self-test of a boot came. The recorder defines the numbers.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct SelfTestProgress {
    /// The boot, as [`crate::Region::boot`] counts.
    pub boot: u32,
    /// The step that it has reached, or in which it failed.
    pub step: u32,
    /// Why it failed; 0 if it did not.
    pub cause: u32,
    /// The driver's last error; 0 if there was none.
    pub error: u32,
    /// Number of its crash on the card.
    pub sequence: u32,
    /// How many milliseconds it took.
    pub milliseconds: u32,
    /// How many commands had to be repeated.
    pub retries: u32,
}

/// The milliseconds of a try, which have 16 bits, and their check.
const fn with_check(ms: u32) -> u32 {
    ms | (!(ms ^ ms >> 8) & 0xFF) << 16
}

impl<'a> Mailbox<'a> {
    pub(crate) const BLOCKS: usize = 1 + (1 + OOPSES) * CONTEXT_BLOCKS;

    pub(crate) const fn new(blocks: &'a [Block]) -> Self {
        Self(blocks)
    }

    /// What it holds.
    #[must_use]
    pub fn state(&self) -> MailboxState {
        match self.word(STATE).map_or(0, load) {
            ARMED => MailboxState::Armed,
            ARMED_MINIMAL => MailboxState::ArmedMinimal,
            DONE => MailboxState::Done,
            FAILED => MailboxState::Failed,
            NOTED => MailboxState::Noted,
            _ => MailboxState::Empty,
        }
    }

    /// Empties the mailbox and begins to describe a crash. Then call [`ContextWriter::note`] and
    /// [`Mailbox::note`], then [`ContextWriter::finish`], and [`Mailbox::arm`] last. `None` only if
    /// the region has no room for a crash.
    #[must_use]
    pub fn write_crash(&self) -> Option<ContextWriter<'a>> {
        self.clear();
        Some(self.slot(0)?.writer())
    }

    /// Says that there is a crash: if the mailbox is never armed, the next boot writes it.
    pub fn note(&self) {
        self.set(NOTED);
    }

    /// Hands the crash over to the recorder, which looks at the state when it starts, and has
    /// `try_ms` milliseconds. Invalidates an outcome.
    pub fn arm(&self, try_ms: u32) {
        self.set_try(try_ms, EmergencyFailure::None);
        self.set(ARMED);
    }

    /// Hands the crash over once more, to be written in the minimal mode. Invalidates the outcome
    /// of the first try, but for why that failed: by `failure`, unless the outcome says it.
    pub fn arm_minimal(&self, try_ms: u32, failure: EmergencyFailure) {
        let said = self.outcome().map(|outcome| outcome.failure());
        let said = said.filter(|said| *said != EmergencyFailure::None);
        self.set_try(try_ms, said.unwrap_or(failure));
        self.set(ARMED_MINIMAL);
    }

    /// Gives the recorder `try_ms` milliseconds more, to write the snapshot of a crash that is
    /// durable.
    pub fn set_try_ms(&self, try_ms: u32) {
        self.set_try(try_ms, EmergencyFailure::None);
    }

    /// How long the try has for which the mailbox was armed, in milliseconds: at most a minute. A
    /// second, if that does not pass its check.
    #[must_use]
    pub fn try_ms(&self) -> u32 {
        let word = self.word(TRY).map_or(0, load);
        let ms = (word & 0xFFFF).min(MOST_TRY_MS);
        if word & 0xFF_FFFF == with_check(ms) {
            ms
        } else {
            UNKNOWN_TRY_MS
        }
    }

    /// Why the try before this one failed, as [`EmergencyFailure`]; 0 if it is the first.
    #[must_use]
    pub fn first_failure(&self) -> u8 {
        self.word(TRY).map_or(0, |word| (load(word) >> 24) as u8)
    }

    fn set_try(&self, try_ms: u32, failure: EmergencyFailure) {
        if let Some(word) = self.word(TRY) {
            let try_ms = with_check(try_ms.min(MOST_TRY_MS));
            store(word, try_ms | (failure as u32) << 24);
        }
    }

    /// Empties the mailbox: the crash is on the card, or can never be written.
    pub fn clear(&self) {
        self.set(0);
    }

    /// The crash; `None` if it was neither completed nor noted, or does not pass its check.
    #[must_use]
    pub fn crash(&self) -> Option<StoredContext<'a>> {
        self.slot(0)?.read()
    }

    /// The crash, if it was noted and never completed: the supervisor has not come to the end of
    /// its description.
    #[must_use]
    pub fn unfinished_crash(&self) -> Option<StoredContext<'a>> {
        let slot = self.slot(0)?;
        let is_noted = self.state() == MailboxState::Noted && slot.is_noted();
        slot.read().filter(|_| is_noted)
    }

    /// Stores how far an emergency write has come. Valid until the mailbox is armed again.
    pub fn set_outcome(&self, outcome: &Outcome) {
        let Some(block) = self.0.first() else { return };
        block.copy_from(OUTCOME * 4, outcome.as_bytes());
        let check = check(ARMED, words(block, OUTCOME, OUTCOME_WORDS));
        block.set_word(OUTCOME_CHECK, check);
    }

    /// How far the emergency write came; `None` if it has stored nothing since the mailbox was
    /// armed.
    #[must_use]
    pub fn outcome(&self) -> Option<Outcome> {
        let block = self.0.first()?;
        if block.word(OUTCOME_CHECK) != check(ARMED, words(block, OUTCOME, OUTCOME_WORDS)) {
            return None;
        }
        let mut outcome = Outcome::new_zeroed();
        block.copy_to(OUTCOME * 4, outcome.as_mut_bytes());
        Some(outcome)
    }

    /// Ends an emergency write: the crash is durable, or it could not be written.
    pub fn conclude(&self, durable: bool) {
        self.set(if durable { DONE } else { FAILED });
    }

    /// Notes that the crash is durable, if the mailbox is armed for it: the emergency write that
    /// has done it may still be at work, and then has to be neither repeated nor done late.
    pub fn commit(&self) {
        if matches!(
            self.state(),
            MailboxState::Armed | MailboxState::ArmedMinimal
        ) {
            self.conclude(true);
        }
    }

    /// Begins to describe an oops of the task with index `task` in a free place.
    ///
    /// If none is free the task that has most of them gives up its newest, if it has more than
    /// `task` would have: a task that fails again and again leaves room for the others. Whichever
    /// oops has no place is counted; `None` if it is the new one.
    #[must_use]
    pub fn write_oops(&self, task: u16) -> Option<ContextWriter<'a>> {
        let free = (1..=OOPSES)
            .filter_map(|index| self.slot(index))
            .find(|slot| !slot.is_complete());
        let place = free.or_else(|| {
            self.count_dropped();
            self.place_of_another(task)
        });
        Some(place?.writer())
    }

    /// The place that a task with more oopses than `task` would have gives up.
    // Not inlined: seldom called, and its frame would be on the stack of the supervisor's
    // emergency.
    #[inline(never)]
    fn place_of_another(&self, task: u16) -> Option<ContextSlot<'a>> {
        let summaries = || (1..=OOPSES).filter_map(|index| Some(self.slot(index)?.summary()));
        let of = |task: u16| summaries().filter(|summary| summary.task == task).count();
        let mut most = of(task).saturating_add(1);
        let mut place = None;
        for index in (1..=OOPSES).rev() {
            let slot = self.slot(index)?;
            let ContextSummary {
                task: other,
                boot,
                time,
            } = slot.summary();
            let held = of(other);
            // The newest: the recorder may be writing the oldest one.
            let newest = summaries()
                .filter(|summary| summary.task == other)
                .all(|summary| (summary.boot, summary.time) <= (boot, time));
            if other != task && newest && held > most {
                most = held;
                place = Some(slot);
            }
        }
        place
    }

    fn count_dropped(&self) {
        if let Some(dropped) = self.word(DROPPED) {
            store(dropped, load(dropped).saturating_add(1));
        }
    }

    /// The oldest oops. Frees and counts those that do not pass their check.
    #[must_use]
    pub fn oops(&self) -> Option<Oops<'a>> {
        let mut oldest: Option<Oops<'a>> = None;
        for slot in (1..=OOPSES).filter_map(|index| self.slot(index)) {
            if !slot.is_complete() {
                continue;
            }
            let Some(stored) = slot.read() else {
                slot.clear();
                self.count_dropped();
                continue;
            };
            let when = |oops: &StoredContext<'_>| (oops.context.boot, oops.context.time);
            if oldest
                .as_ref()
                .is_none_or(|oldest| when(&stored) < when(&oldest.stored))
            {
                oldest = Some(Oops { slot, stored });
            }
        }
        oldest
    }

    /// Stores how far the self-test has come.
    pub fn set_self_test(&self, test: &SelfTestProgress) {
        let Some(block) = self.0.first() else { return };
        block.copy_from(TEST_AT * 4, test.as_bytes());
        block.set_word(TEST_CHECK, check(TEST, words(block, TEST_AT, TEST_WORDS)));
    }

    /// How far the last self-test came; `None` if there was none since power-on.
    #[must_use]
    pub fn self_test(&self) -> Option<SelfTestProgress> {
        let block = self.0.first()?;
        if block.word(TEST_CHECK) != check(TEST, words(block, TEST_AT, TEST_WORDS)) {
            return None;
        }
        let mut test = SelfTestProgress::new_zeroed();
        block.copy_to(TEST_AT * 4, test.as_mut_bytes());
        Some(test)
    }

    /// Is there a crash or an oops that is not on the card yet?
    #[must_use]
    pub fn is_pending(&self) -> bool {
        !matches!(self.state(), MailboxState::Empty | MailboxState::Done) || self.oops().is_some()
    }

    /// How many oopses had no free place or did not pass their check, since power-on.
    #[must_use]
    pub fn dropped(&self) -> u32 {
        self.word(DROPPED).map_or(0, load)
    }

    /// The oldest boot of which a crash or an oops is not on the card yet.
    pub(crate) fn oldest_boot(&self) -> Option<u32> {
        let crash = match self.state() {
            MailboxState::Empty | MailboxState::Done => None,
            _ => self.crash(),
        };
        let oopses = (1..=OOPSES).filter_map(|index| self.slot(index)?.read());
        oopses.chain(crash).map(|stored| stored.context.boot).min()
    }

    fn set(&self, state: u32) {
        if matches!(state, ARMED | ARMED_MINIMAL)
            && let Some(block) = self.0.first()
        {
            // The outcome of an earlier try must not pass for that of the new one.
            block.set_word(
                OUTCOME_CHECK,
                !check(ARMED, words(block, OUTCOME, OUTCOME_WORDS)),
            );
        }
        if let Some(word) = self.word(STATE) {
            publish(word, state);
        }
    }

    fn word(&self, index: usize) -> Option<&'a AtomicU32> {
        self.0.first()?.words().get(index)
    }

    fn slot(&self, index: usize) -> Option<ContextSlot<'a>> {
        let (slots, _) = self.0.get(1..)?.as_chunks::<CONTEXT_BLOCKS>();
        slots.get(index).map(ContextSlot::new)
    }
}

/// An oops that is not on the card yet.
#[derive(Clone, Copy, Debug)]
pub struct Oops<'a> {
    slot: ContextSlot<'a>,
    /// Its context.
    pub stored: StoredContext<'a>,
}

impl Oops<'_> {
    /// Frees its place: it is on the card.
    pub fn clear(self) {
        self.slot.clear();
    }
}
