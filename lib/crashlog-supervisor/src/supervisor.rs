//! The supervisor's state; describes oopses, and faults beside an emergency.
//!
//! The calls themselves are where their subject is: `disposition.rs` (a new fault), `emergency.rs`
//! (from a panic to the reset), `loops.rs` (crash loops), `watchdog.rs`.

use crate::boot_end::{self, note_tasks};
use crate::capture::{CrashFacts, capture};
use crate::loops::{FaultOccurrence, Limits};
use crate::snapshot::RecorderCopy;
use crate::{
    CrashRegions, EmergencySequence, HangWatch, Kernel, SnapshotScope, SupervisorConfig, loops,
};
use crashlog_retained::{
    BootEnd, CrashContext, CrashReason, History, HistorySlot, Mailbox, MailboxState, Region,
    StoredContext, Trial, signature,
};

/// The state of a supervisor for the crash recorder; the documentation of the crate says what to
/// call when.
pub struct Supervisor<'a, K> {
    pub(crate) config: SupervisorConfig,
    pub(crate) kernel: K,
    pub(crate) region: Region<'a>,
    /// The number of this boot, read once.
    pub(crate) boot: u32,
    /// The id of the running image, read once: what describes a crash must not depend on another
    /// call of the kernel.
    pub(crate) image_id: u64,
    pub(crate) emergency: EmergencySequence,
    /// How many boots before this one ended early, in a row.
    pub(crate) early_boots: u32,
    /// Which faults repeat, as kept in retained RAM.
    pub(crate) history: History,
    /// Where the recorder's memory is copied before it is restarted for an emergency; `None` if no
    /// memory is saved then.
    pub(crate) recorder_copy: Option<RecorderCopy<'a>>,
    /// Which tasks hold the processor.
    pub(crate) hangs: Option<HangWatch<'a>>,
    /// The memory that tasks want saved with a crash.
    pub(crate) regions: Option<&'a mut CrashRegions>,
}

impl<'a, K: Kernel> Supervisor<'a, K> {
    /// Begins a boot in `region`. To be called once, before the recorder runs for the first time:
    /// the recorder relies on the boot's number.
    pub fn new(config: SupervisorConfig, mut kernel: K, region: Region<'a>) -> Self {
        if config.watchdog_ms != 0 {
            // Before anything that depends on what is in the region: whatever it is, a loop ends.
            kernel.feed_watchdog(config.watchdog_ms);
        }
        let image_id = kernel.image_id();
        let end = boot_end::begin_boot(&region, &config, image_id, kernel.reset_cause());
        region.task_states().begin(region.boot(), image_id);
        if let BootEnd::Crash(_) = end {
            // Whoever has reset the system in that emergency: crash loops have a rule of their own.
            region.trial().end_boot();
        }
        let early_boots = region.trial().begin_boot();
        let recorder_copy = match config.snapshot {
            SnapshotScope::None => None,
            SnapshotScope::System | SnapshotScope::Task => {
                RecorderCopy::prepare(&mut kernel, config.recorder, region.snapshot())
            }
        };
        let mut history = region.history().load();
        loops::begin_boot(&mut history);
        if let BootEnd::Crash(_) = end {
            count_unfinished(&region, &config.limits, &mut history);
        }
        if early_boots >= Trial::LIMIT {
            set_aside(&region.history(), &mut history);
        }
        note_tasks(&mut kernel, &region, config.tasks.len());
        Self {
            early_boots,
            history,
            boot: region.boot(),
            image_id,
            emergency: EmergencySequence::new(config.budget_ms),
            config,
            kernel,
            region,
            recorder_copy,
            hangs: None,
            regions: None,
        }
    }

    /// Describes the fault of a single task and notifies the recorder, if oopses are to be written;
    /// returns the fault's signature.
    pub(crate) fn report_oops(&mut self, task: usize, restarts: u32, now: u64) -> Option<u32> {
        if !self.config.record_oops {
            return None;
        }
        let signature = self.describe_beside(task, CrashReason::Oops, restarts, now);
        self.kernel
            .post(self.config.recorder, self.config.notification);
        signature
    }

    /// Describes a fault in a free place of the mailbox, beside the crash of an emergency. The
    /// recorder's normal path writes it, in this boot or the next. Returns its signature; `None`,
    /// and the fault is counted, if no place is free.
    pub(crate) fn describe_beside(
        &mut self,
        task: usize,
        reason: CrashReason,
        restarts: u32,
        time: u64,
    ) -> Option<u32> {
        let writer = self.region.mailbox().write_oops(task as u16)?;
        let facts = CrashFacts {
            reason,
            task,
            restarts,
            boot: self.boot,
            image_id: self.image_id,
            time,
            hang: hang_of(self.hangs.as_ref(), task),
        };
        Some(capture(
            &mut self.kernel,
            self.config.task(task),
            facts,
            writer,
        ))
    }

    /// Moves a crash of an earlier boot that is not on the card to a free place, so that the new
    /// one does not overwrite it.
    pub(crate) fn keep_unwritten_crash(&mut self) {
        let mailbox = self.region.mailbox();
        match mailbox.state() {
            MailboxState::Empty | MailboxState::Done => {}
            MailboxState::Noted
            | MailboxState::Armed
            | MailboxState::ArmedMinimal
            | MailboxState::Failed => {
                if let Some(crash) = mailbox.crash() {
                    copy_beside(&mailbox, &crash);
                }
            }
        }
    }
}

/// The fault of `task`, if it is a hang that the supervisor has found.
pub(crate) fn hang_of<'h>(hangs: Option<&'h HangWatch<'_>>, task: usize) -> Option<&'h [u8]> {
    hangs.and_then(|hangs| hangs.fault_of(task))
}

/// Counts the fault with which the boot before has ended, if the supervisor did not come to that
/// because it never described it.
// Not inlined: seldom called.
#[inline(never)]
fn count_unfinished(region: &Region<'_>, limits: &Limits, history: &mut History) {
    let Some(crash) = region.mailbox().unfinished_crash() else {
        return;
    };
    let CrashContext {
        task,
        time,
        boot,
        registers,
        ..
    } = &crash.context;
    if boot.checked_add(1) != Some(region.boot()) {
        return;
    }
    let fault = FaultOccurrence {
        task: *task,
        // Registers and text are not known, so it is not the one of a crash that was described.
        signature: signature(*task, crash.context.fault(), registers, 0),
        now: *time,
        started: *time,
    };
    limits.add(history, &fault);
    region.history().store(history);
    loops::begin_boot(history);
}

/// Forgets the faults of tasks, and keeps them where they can be inspected.
// Not inlined: seldom called.
#[inline(never)]
fn set_aside(slot: &HistorySlot<'_>, history: &mut History) {
    let before = *history;
    if loops::forget_tasks(history) {
        slot.set_aside(&before);
        slot.store(history);
    }
}

// Not inlined: its buffer would be on the stack of every emergency, and it is seldom called.
#[inline(never)]
fn copy_beside(mailbox: &Mailbox<'_>, crash: &StoredContext<'_>) {
    let Some(mut writer) = mailbox.write_oops(crash.context.task) else {
        return;
    };
    let [_, message, stack] = crash.crash_blocks();
    let mut piece = [0; 64];
    let (text, memory) = (crash.message(), crash.stack());
    for_pieces(text.length, |offset, length| {
        if let Some(piece) = piece.get_mut(..length) {
            message.copy_to(offset, piece);
            writer.message(piece);
        }
    });
    writer.text(crash.text());
    writer.stack_at(memory.address, memory.original);
    for_pieces(memory.length, |offset, length| {
        if let Some(piece) = piece.get_mut(..length) {
            stack.copy_to(offset, piece);
            writer.stack(piece);
        }
    });
    if memory.is_excerpt {
        writer.stack_is_excerpt();
    }
    writer.finish(&crash.context);
}

/// Calls `each` with offset and length of each piece of at most 64 bytes.
fn for_pieces(length: u32, mut each: impl FnMut(usize, usize)) {
    let length = length as usize;
    for offset in (0..length).step_by(64) {
        each(offset, (length - offset).min(64));
    }
}

#[cfg(test)]
mod orders;
#[cfg(test)]
pub(crate) mod tests;
