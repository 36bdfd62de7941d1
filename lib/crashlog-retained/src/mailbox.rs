//! The mailbox: the crash that is being recorded, and faults of single tasks that wait to be.
//!
//! The supervisor fills in the crash and arms the mailbox; a recorder that starts and finds it armed writes the record
//! before anything else, and leaves how it went. What is still armed, or failed, at the next boot is written late; so is
//! a crash that was noted and never handed over, because the supervisor itself failed or hung.
//!
//! How the recorder's self-test went is kept here, too: it has one in each boot, and may be restarted in the midst of it.

#[cfg(test)]
mod tests;

use crate::context::{CONTEXT_BLOCKS, ContextSlot};
use crate::words::{check, load, publish, store, words};
use crate::{ContextWriter, StoredContext};
use block_device::Block;
use core::sync::atomic::AtomicU32;
use crashlog_format::Outcome;
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

/// Faults of single tasks that can wait at a time.
const OOPSES: usize = 4;

const ARMED: u32 = u32::from_le_bytes(*b"ARM1");
const ARMED_MINIMAL: u32 = u32::from_le_bytes(*b"ARM2");
const DONE: u32 = u32::from_le_bytes(*b"DONE");
const FAILED: u32 = u32::from_le_bytes(*b"FAIL");
const NOTED: u32 = u32::from_le_bytes(*b"NOTE");
/// Begins the check of the self-test's outcome.
const TEST: u32 = u32::from_le_bytes(*b"TEST");

/// Words of the control block.
const STATE: usize = 0;
const OUTCOME_CHECK: usize = 1;
const OUTCOME: usize = 2;
const OUTCOME_WORDS: usize = size_of::<Outcome>() / 4;
const DROPPED: usize = OUTCOME + OUTCOME_WORDS;
const TEST_CHECK: usize = DROPPED + 1;
const TEST_AT: usize = TEST_CHECK + 1;
const TEST_WORDS: usize = size_of::<SelfTest>() / 4;

/// The mailbox.
#[derive(Clone, Copy, Debug)]
pub struct Mailbox<'a>(&'a [Block]);

/// What the mailbox holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailboxState {
    /// Nothing.
    Empty,
    /// A crash to be recorded at once.
    Armed,
    /// The same, tried before without success: write only the record and the log tail, without DMA.
    ArmedMinimal,
    /// A crash whose record is durable.
    Done,
    /// A crash whose record could not be written.
    Failed,
    /// A crash that the supervisor found, and did not come to handing over.
    Noted,
}

/// How far the recorder's self-test of a boot came. The numbers are the recorder's.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct SelfTest {
    /// The boot, as [`crate::Region::boot`] counts.
    pub boot: u32,
    /// The step that it came to, or that it failed in.
    pub step: u32,
    /// Why it failed; 0 if it did not.
    pub cause: u32,
    /// The driver's last error; 0 if there was none.
    pub error: u32,
    /// Number of its record.
    pub record: u32,
    /// Milliseconds it took.
    pub milliseconds: u32,
    /// Commands that had to be tried again.
    pub retries: u32,
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

    /// Begins to write a crash; empties the mailbox. Make a note of it by the writer and [`Mailbox::note`], `finish` the
    /// writer, then [`Mailbox::arm`].
    #[must_use]
    pub fn write_crash(&self) -> Option<ContextWriter<'a>> {
        self.clear();
        Some(self.slot(0)?.writer())
    }

    /// Should nothing more come: there is a crash, to be recorded at the next boot.
    pub fn note(&self) {
        self.set(NOTED);
    }

    /// Hands the crash to the recorder.
    pub fn arm(&self) {
        self.set(ARMED);
    }

    /// Hands it to the recorder once more, for a minimal record.
    pub fn arm_minimal(&self) {
        self.set(ARMED_MINIMAL);
    }

    /// Empties the mailbox: the crash is on the card, or beyond help.
    pub fn clear(&self) {
        self.set(0);
    }

    /// The crash; `None` if it was never completed or does not pass its check.
    #[must_use]
    pub fn crash(&self) -> Option<StoredContext<'a>> {
        self.slot(0)?.read()
    }

    /// Notes how an emergency write goes. It is kept until the mailbox is armed again.
    pub fn set_outcome(&self, outcome: &Outcome) {
        let Some(block) = self.0.first() else { return };
        block.copy_from(OUTCOME * 4, outcome.as_bytes());
        let check = check(ARMED, words(block, OUTCOME, OUTCOME_WORDS));
        block.set_word(OUTCOME_CHECK, check);
    }

    /// How the emergency write went; `None` if it never said.
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

    /// Ends an emergency write: the record is durable, or it could not be written.
    pub fn conclude(&self, durable: bool) {
        self.set(if durable { DONE } else { FAILED });
    }

    /// Begins to write a fault of a single task. `None`, and counted, if as many wait as there is room for.
    #[must_use]
    pub fn write_oops(&self) -> Option<ContextWriter<'a>> {
        let free = (1..=OOPSES)
            .filter_map(|index| self.slot(index))
            .find(|slot| !slot.is_complete());
        if free.is_none()
            && let Some(dropped) = self.word(DROPPED)
        {
            store(dropped, load(dropped).saturating_add(1));
        }
        Some(free?.writer())
    }

    /// A fault that waits, the oldest first. Those that do not pass their check are dropped, and counted.
    #[must_use]
    pub fn oops(&self) -> Option<Oops<'a>> {
        let mut oldest: Option<Oops<'a>> = None;
        for slot in (1..=OOPSES).filter_map(|index| self.slot(index)) {
            if !slot.is_complete() {
                continue;
            }
            let Some(stored) = slot.read() else {
                slot.clear();
                if let Some(dropped) = self.word(DROPPED) {
                    store(dropped, load(dropped).saturating_add(1));
                }
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

    /// Keeps how far the self-test came.
    pub fn set_self_test(&self, test: &SelfTest) {
        let Some(block) = self.0.first() else { return };
        block.copy_from(TEST_AT * 4, test.as_bytes());
        block.set_word(TEST_CHECK, check(TEST, words(block, TEST_AT, TEST_WORDS)));
    }

    /// How far the last self-test came; `None` if there was none since power-on.
    #[must_use]
    pub fn self_test(&self) -> Option<SelfTest> {
        let block = self.0.first()?;
        if block.word(TEST_CHECK) != check(TEST, words(block, TEST_AT, TEST_WORDS)) {
            return None;
        }
        let mut test = SelfTest::new_zeroed();
        block.copy_to(TEST_AT * 4, test.as_mut_bytes());
        Some(test)
    }

    /// Does a crash wait here to be recorded, of the system or of a task?
    #[must_use]
    pub fn is_pending(&self) -> bool {
        !matches!(self.state(), MailboxState::Empty | MailboxState::Done) || self.oops().is_some()
    }

    /// Faults of single tasks that there was no room for, since power-on.
    #[must_use]
    pub fn dropped(&self) -> u32 {
        self.word(DROPPED).map_or(0, load)
    }

    /// The oldest boot of which something waits here to be recorded.
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
            // An outcome of an earlier try is not one of this.
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

/// A fault of a single task that waits to be recorded.
#[derive(Clone, Copy, Debug)]
pub struct Oops<'a> {
    slot: ContextSlot<'a>,
    /// Its context.
    pub stored: StoredContext<'a>,
}

impl Oops<'_> {
    /// Releases it: it is recorded.
    pub fn clear(self) {
        self.slot.clear();
    }
}
