//! A failure of the kernel or of the supervisor that is not on the card yet.
//!
//! The recorder cannot be called then. The kernel itself describes the failure here and resets the
//! system, and the next boot writes it. The slot is apart from the mailbox, so that a failure does
//! not overwrite the crash of a task.
//!
//! **The first failure stays** until it is on the card; later ones are counted only. The first one
//! is the cause, and the others may follow from it, in a system that fails repeatedly before its
//! recorder runs.
//!
//! The writer may be stopped at any instruction. The word that it writes last makes the failure
//! valid, so there is either all of it or nothing. A list of tasks that does not pass its own check
//! is left out.

use crate::context::{CONTEXT_BLOCKS, ContextSlot};
use crate::words::{check, load, store, words};
use crate::{ContextWriter, CrashContext, StoredContext};
use block_device::{BLOCK_LEN, Block};
use core::sync::atomic::AtomicU32;
use crashlog_format::TaskEntry;
use zerocopy::IntoBytes;

/// Blocks for the list of tasks.
const TASK_BLOCKS: usize = 4;
const ENTRY_LEN: usize = size_of::<TaskEntry>();
const ENTRIES_PER_BLOCK: usize = BLOCK_LEN / ENTRY_LEN;

/// First value of the check of the list of tasks.
const MAGIC: u32 = u32::from_le_bytes(*b"TSKS");

/// Words of the control block, behind those of the context: number of tasks, check of the list,
/// failures not kept.
const TASKS: usize = 120;
const TASKS_CHECK: usize = 121;
const DROPPED: usize = 122;

/// The slot for a failure.
#[derive(Clone, Copy, Debug)]
pub struct FailureSlot<'a>(&'a [Block]);

impl<'a> FailureSlot<'a> {
    pub(crate) const BLOCKS: usize = CONTEXT_BLOCKS + TASK_BLOCKS;

    /// How many tasks are listed at most.
    pub const MAX_TASKS: usize = TASK_BLOCKS * ENTRIES_PER_BLOCK;

    pub(crate) const fn new(blocks: &'a [Block]) -> Self {
        Self(blocks)
    }

    /// Begins to describe a failure. If there is a valid one already the new one is counted
    /// instead: `None`.
    #[must_use]
    pub fn write(&self) -> Option<FailureWriter<'a>> {
        let (context, tasks) = self.parts()?;
        if context.read().is_some() {
            if let Some(dropped) = self.word(DROPPED) {
                store(dropped, load(dropped).saturating_add(1));
            }
            return None;
        }
        let writer = context.writer();
        for index in [TASKS, TASKS_CHECK, DROPPED] {
            if let Some(word) = self.word(index) {
                store(word, 0);
            }
        }
        Some(FailureWriter {
            slot: *self,
            context: writer,
            tasks,
            count: 0,
        })
    }

    /// The failure, if there is one that passes its check.
    #[must_use]
    pub fn read(&self) -> Option<StoredFailure<'a>> {
        let (context, tasks) = self.parts()?;
        let stored = context.read()?;
        let number = |index| self.word(index).map_or(0, load);
        let count = number(TASKS);
        let blocks = (count as usize)
            .min(Self::MAX_TASKS)
            .div_ceil(ENTRIES_PER_BLOCK);
        let listed = tasks.get(..blocks).unwrap_or(&[]);
        let sound = number(TASKS_CHECK) == check_tasks(count, listed);
        Some(StoredFailure {
            stored,
            tasks: if sound { listed } else { &[] },
            count: if sound { count } else { 0 },
            dropped: number(DROPPED),
        })
    }

    /// Frees the slot: the failure is on the card.
    pub fn clear(&self) {
        if let Some((context, _)) = self.parts() {
            context.clear();
        }
    }

    /// The boot of the failure, if there is one.
    pub(crate) fn boot(&self) -> Option<u32> {
        self.read().map(|failure| failure.stored.context.boot)
    }

    fn parts(&self) -> Option<(ContextSlot<'a>, &'a [Block])> {
        let (context, rest) = self.0.split_first_chunk::<CONTEXT_BLOCKS>()?;
        Some((ContextSlot::new(context), rest.get(..TASK_BLOCKS)?))
    }

    fn word(&self, index: usize) -> Option<&'a AtomicU32> {
        self.0.first()?.words().get(index)
    }
}

fn check_tasks(count: u32, blocks: &[Block]) -> u32 {
    let all = |block| words(block, 0, BLOCK_LEN / 4);
    blocks
        .iter()
        .fold(MAGIC ^ count, |sum, block| check(sum, all(block)))
}

/// Writes a failure, piece by piece. As long as there is one, and if it is dropped without
/// [`finish`](Self::finish), the slot has no valid failure.
#[derive(Debug)]
#[must_use = "the failure is valid only after `finish`"]
pub struct FailureWriter<'a> {
    slot: FailureSlot<'a>,
    /// For the text and the excerpt of the stack.
    pub context: ContextWriter<'a>,
    tasks: &'a [Block],
    count: usize,
}

impl FailureWriter<'_> {
    /// Adds the next task. Tasks beyond [`FailureSlot::MAX_TASKS`] are only counted.
    pub fn task(&mut self, entry: &TaskEntry) {
        let (block, at) = (
            self.count / ENTRIES_PER_BLOCK,
            self.count % ENTRIES_PER_BLOCK,
        );
        if let Some(block) = self.tasks.get(block) {
            if at == 0 {
                block.fill(0);
            }
            block.copy_from(at.saturating_mul(ENTRY_LEN), entry.as_bytes());
        }
        self.count = self.count.saturating_add(1);
    }

    /// Makes the failure valid.
    pub fn finish(self, context: &CrashContext) {
        let count = u32::try_from(self.count).unwrap_or(u32::MAX);
        let blocks = self.count.div_ceil(ENTRIES_PER_BLOCK).min(self.tasks.len());
        let listed = self.tasks.get(..blocks).unwrap_or(&[]);
        for (index, value) in [(TASKS, count), (TASKS_CHECK, check_tasks(count, listed))] {
            if let Some(word) = self.slot.word(index) {
                store(word, value);
            }
        }
        self.context.finish(context);
    }
}

/// A failure whose check holds.
#[derive(Clone, Copy, Debug)]
pub struct StoredFailure<'a> {
    /// What failed, when, and with which registers; epitaph and stack.
    pub stored: StoredContext<'a>,
    tasks: &'a [Block],
    count: u32,
    /// How many failures after this one were not kept.
    pub dropped: u32,
}

impl<'a> StoredFailure<'a> {
    /// The [`TaskEntry`] of each task, by index, in blocks; at most [`FailureSlot::MAX_TASKS`] of
    /// them.
    #[must_use]
    pub const fn task_blocks(&self) -> &'a [Block] {
        self.tasks
    }

    /// How many bytes a list of all tasks has: more than the blocks hold if there are more tasks
    /// than [`FailureSlot::MAX_TASKS`].
    #[must_use]
    pub const fn task_bytes(&self) -> u32 {
        self.count.saturating_mul(ENTRY_LEN as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{copy, memory};
    use crate::{CrashReason, Region};
    use crashlog_format::Activity;
    use proptest::prelude::*;

    fn context(time: u64) -> CrashContext {
        let mut context = CrashContext::new(CrashReason::Kernel, u16::MAX, "kernel", &[u8::MAX]);
        context.boot = 1;
        context.time = time;
        context
    }

    fn write(region: &Region<'_>, time: u64, tasks: usize) -> bool {
        let Some(mut writer) = region.failure().write() else {
            return false;
        };
        writer.context.message(b"unexpected exception");
        for task in 0..tasks {
            writer.task(&TaskEntry::new(Activity::AwaitingReply, task as u16));
        }
        writer.finish(&context(time));
        true
    }

    fn peers(failure: &StoredFailure<'_>) -> Vec<u16> {
        use zerocopy::FromBytes;
        let mut bytes = Vec::new();
        for block in failure.task_blocks() {
            bytes.extend(crate::testing::bytes(block));
        }
        bytes.truncate(failure.task_bytes() as usize);
        bytes
            .chunks_exact(ENTRY_LEN)
            .map(|entry| TaskEntry::read_from_bytes(entry).unwrap().peer.get())
            .collect()
    }

    #[test]
    fn a_failure_is_read_as_it_was_written() {
        let memory = memory();
        let region = Region::over(&memory).unwrap();
        region.begin_boot();
        assert!(region.failure().read().is_none());
        assert!(write(&region, 5, 17));
        region.begin_boot();
        let failure = region.failure().read().unwrap();
        assert_eq!(failure.stored.context, context(5));
        assert_eq!(failure.stored.message().length, 20);
        assert_eq!(peers(&failure), (0..17).collect::<Vec<_>>());
        assert_eq!(failure.task_blocks().len(), 2);
        region.failure().clear();
        assert!(region.failure().read().is_none());
    }

    #[test]
    fn tasks_beyond_the_room_are_counted() {
        let memory = memory();
        let region = Region::over(&memory).unwrap();
        region.begin_boot();
        assert!(write(&region, 5, FailureSlot::MAX_TASKS + 3));
        let failure = region.failure().read().unwrap();
        assert_eq!(peers(&failure).len(), FailureSlot::MAX_TASKS);
        assert_eq!(
            failure.task_bytes() as usize,
            (FailureSlot::MAX_TASKS + 3) * ENTRY_LEN
        );
    }

    /// REQ: X6
    #[test]
    fn the_first_failure_is_not_overwritten_and_later_ones_are_counted() {
        let memory = memory();
        let region = Region::over(&memory).unwrap();
        region.begin_boot();
        assert!(write(&region, 5, 1));
        assert!(!write(&region, 6, 2));
        assert!(!write(&region, 7, 2));
        let failure = region.failure().read().unwrap();
        assert_eq!((failure.stored.context.time, failure.dropped), (5, 2));
        region.failure().clear();
        assert!(write(&region, 8, 1));
        let failure = region.failure().read().unwrap();
        assert_eq!((failure.stored.context.time, failure.dropped), (8, 0));
    }

    #[test]
    fn a_boot_whose_failure_is_not_on_the_card_keeps_its_number() {
        let memory = memory();
        let region = Region::over(&memory).unwrap();
        region.begin_boot();
        assert!(write(&region, 5, 1));
        region.begin_boot();
        region.rebase(crate::testing::FORMAT, 7, 2);
        assert_eq!(region.boot_offset(), 7);
    }

    proptest! {
        /// A failure that is damaged, or half written, is not read; a damaged list of tasks is left
        /// out.
        #[test]
        fn damage_is_noticed(block in 0usize..FailureSlot::BLOCKS, word in 0usize..128, value: u32) {
            let original = memory();
            let region = Region::over(&original).unwrap();
            region.begin_boot();
            write(&region, 5, FailureSlot::MAX_TASKS);
            let memory = copy(&original);
            let region = Region::over(&memory).unwrap();
            let first = region.failure().0.as_ptr();
            let index = memory.iter().position(|block| core::ptr::eq(block, first)).unwrap();
            memory[index + block].set_word(word, value);
            if let Some(failure) = region.failure().read() {
                prop_assert_eq!(failure.stored.context, context(5));
                let tasks = peers(&failure);
                prop_assert!(tasks.is_empty() || tasks == (0..FailureSlot::MAX_TASKS as u16).collect::<Vec<_>>());
            }
        }
    }
}
