//! The supervisor's side of the flight recorder.

use crashlog_retained::{
    CrashReason, EmergencyFailure, History, Mailbox, MailboxState, Region, StoredContext,
};

use crate::capture::{Crash, capture, signature_of};
use crate::loops::{self, Fault, Limits};
use crate::{Config, Disposition, Emergency, Kernel, Mode, Phase, Step};

/// What comes of a fault.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[must_use = "the task is restarted, or not, as it says"]
pub enum Consequence {
    /// The task is to be restarted.
    Restart,
    /// It came too often: the task is to stay as it is.
    Hold,
    /// There is an emergency: no task is to be restarted.
    Emergency,
}

/// What a supervisor calls; see the description of the crate for when.
pub struct Supervisor<'a, K> {
    config: Config,
    kernel: K,
    region: Region<'a>,
    /// The number of this boot, read once.
    boot: u32,
    emergency: Emergency,
    /// Which faults came again and again, as kept in retained RAM.
    history: History,
}

impl<'a, K: Kernel> Supervisor<'a, K> {
    /// Begins the boot in `region`. To be called once, before the recorder
    /// runs for the first time.
    pub fn new(config: Config, kernel: K, region: Region<'a>) -> Self {
        region.begin_boot();
        let mut history = region.history().load();
        loops::begin_boot(&mut history);
        Self {
            history,
            boot: region.boot(),
            emergency: Emergency::new(config.budget_ms),
            config,
            kernel,
            region,
        }
    }

    /// Takes down a task's new fault: describes it in retained RAM, and tells
    /// the recorder if it is an oops.
    ///
    /// Call it once for each fault, with what the fault means (normally
    /// [`TaskPolicy::disposition`](crate::TaskPolicy)), how often the task was restarted
    /// before, and when it was started, in milliseconds since boot; then
    /// [`settle`](Self::settle), when there is no more. If there is an
    /// emergency afterwards, restart no task: the fault was a panic, or the
    /// recorder's in an emergency, or happened beside a panic.
    pub fn fault(
        &mut self,
        task: usize,
        disposition: Disposition,
        restarts: u32,
        started: u64,
    ) -> Consequence {
        let now = self.kernel.now();
        if self.emergency.is_active() {
            // Whatever else fails is noted beside the crash that came first,
            // the recorder's own fault too: it tells why a record is missing.
            self.note(task, CrashReason::Panic, restarts, now);
            if task == self.config.recorder {
                let step = if self.is_recorded() {
                    self.emergency.done()
                } else {
                    self.emergency.recorder_faulted()
                };
                self.take(step, EmergencyFailure::Recorder);
            }
            return Consequence::Emergency;
        }
        match disposition {
            Disposition::Reset => {
                if self.is_loop(task, now, started) {
                    self.report(task, restarts, now);
                    return Consequence::Hold;
                }
                if self.emergency.declare(now) {
                    self.kernel.arm_watchdog(self.config.budget_ms);
                }
                self.keep_earlier_crash();
                if let Some(writer) = self.region.mailbox().write_crash() {
                    self.region.mailbox().note();
                    let crash = Crash {
                        reason: CrashReason::Panic,
                        task,
                        restarts,
                        boot: self.boot,
                        time: now,
                    };
                    let signature =
                        capture(&mut self.kernel, self.config.task(task), crash, writer);
                    self.count(task, signature, now, started);
                }
                Consequence::Emergency
            }
            Disposition::Restart => {
                let limit = self.config.limits.hold_after_restarts;
                let signature = match self.report(task, restarts, now) {
                    Some(signature) => signature,
                    None => signature_of(&mut self.kernel, task),
                };
                let count = self.count(task, signature, now, started);
                if limit != 0 && count > limit {
                    Consequence::Hold
                } else {
                    Consequence::Restart
                }
            }
        }
    }

    /// Ends the series of faults of every task that has run for long enough.
    /// `started` says when a task was started, in milliseconds since boot;
    /// `None` if it does not run. To be called now and then.
    pub fn look_for_health(&mut self, now: u64, started: impl Fn(usize) -> Option<u64>) {
        let since = |task| match task {
            loops::KERNEL => Some(0),
            task => started(usize::from(task)),
        };
        let limits = self.config.limits;
        if limits.end_healthy(&mut self.history, now, since) {
            self.region.history().store(&self.history);
        }
    }

    /// How many milliseconds later than the others a task is to be started in
    /// this boot, because it took the system down again and again; 0: at once.
    /// The recorder is always started at once.
    #[must_use]
    pub fn start_delay(&self, task: usize) -> u32 {
        if task == self.config.recorder {
            return 0;
        }
        u16::try_from(task).map_or(0, |task| self.config.limits.delay(&self.history, task))
    }

    /// Someone released the task: what it did before does not count any more.
    pub fn forgive(&mut self, task: usize) {
        if let Ok(task) = u16::try_from(task) {
            loops::forget(&mut self.history, task);
            self.region.history().store(&self.history);
        }
    }

    /// All new faults have been taken down: calls the recorder, if one of them
    /// was a panic.
    pub fn settle(&mut self) {
        let step = self.emergency.begin();
        self.take(step, EmergencyFailure::None);
    }

    /// Looks at the clock: to be called at [`deadline`](Self::deadline), and
    /// whenever it is convenient.
    pub fn time(&mut self, now: u64) {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return;
        }
        let step = if self.is_recorded() {
            self.emergency.done()
        } else {
            self.emergency.time(now)
        };
        self.take(step, EmergencyFailure::Timeout);
    }

    /// `caller` says that the emergency write has ended. If it is the recorder
    /// and there is an emergency, the system is reset.
    pub fn done(&mut self, caller: usize) {
        if caller == self.config.recorder {
            let step = self.emergency.done();
            self.take(step, EmergencyFailure::Recorder);
        }
    }

    /// When [`time`](Self::time) is to be called.
    #[must_use]
    pub fn deadline(&self) -> Option<u64> {
        self.emergency.deadline()
    }

    /// Is there an emergency? Then no other task is to be restarted.
    #[must_use]
    pub fn in_emergency(&self) -> bool {
        self.emergency.is_active()
    }

    /// Where the emergency is.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.emergency.phase()
    }

    /// Does what the sequence says. `failure` is why a try ended, if it left
    /// none itself.
    fn take(&mut self, step: Step, failure: EmergencyFailure) {
        let mailbox = self.region.mailbox();
        match step {
            Step::Wait => {}
            Step::Enter(mode) => {
                match mode {
                    Mode::Full => mailbox.arm(),
                    Mode::Minimal => mailbox.arm_minimal(),
                }
                self.kernel.restart(self.config.recorder);
            }
            Step::Reset => {
                blame(&mailbox, failure);
                self.kernel.reset();
            }
        }
    }

    /// Is the crash's record on the card? Then it does not matter how the
    /// recorder ends.
    fn is_recorded(&self) -> bool {
        self.region.mailbox().state() == MailboxState::Done
    }

    /// Has this task taken the system down so often by the same fault that it
    /// is not to do so again? If so, this time is counted.
    fn is_loop(&mut self, task: usize, now: u64, started: u64) -> bool {
        let limit = self.config.limits.hold_after_resets;
        // Nothing more than this stands between a fault and the watchdog.
        let Ok(index) = u16::try_from(task) else {
            return false;
        };
        if !Limits::is_near(&self.history, index, limit) {
            return false;
        }
        let fault = Fault {
            task: index,
            signature: signature_of(&mut self.kernel, task),
            now,
            started,
        };
        let is_loop = self.config.limits.count(&self.history, &fault) > limit;
        if is_loop {
            self.config.limits.note(&mut self.history, &fault);
            self.region.history().store(&self.history);
        }
        is_loop
    }

    /// Counts a fault; returns how often it came.
    fn count(&mut self, task: usize, signature: u32, now: u64, started: u64) -> u32 {
        let Ok(task) = u16::try_from(task) else {
            return 0;
        };
        let fault = Fault {
            task,
            signature,
            now,
            started,
        };
        let count = self.config.limits.note(&mut self.history, &fault);
        self.region.history().store(&self.history);
        count
    }

    /// Reports the fault of a single task to the recorder, where that is
    /// wanted; returns its signature.
    fn report(&mut self, task: usize, restarts: u32, now: u64) -> Option<u32> {
        if !self.config.record_oops {
            return None;
        }
        let signature = self.note(task, CrashReason::Oops, restarts, now);
        self.kernel
            .post(self.config.recorder, self.config.notification);
        signature
    }

    /// Leaves a note of a fault for the recorder's normal mode, of this boot
    /// or the next, and returns its signature. If too many wait already, it is
    /// counted instead.
    fn note(&mut self, task: usize, reason: CrashReason, restarts: u32, time: u64) -> Option<u32> {
        let writer = self.region.mailbox().write_oops()?;
        let crash = Crash {
            reason,
            task,
            restarts,
            boot: self.boot,
            time,
        };
        Some(capture(
            &mut self.kernel,
            self.config.task(task),
            crash,
            writer,
        ))
    }

    /// A crash of an earlier boot that is in the mailbox still, because no
    /// recorder could write it, moves to the notes: it is not to be lost for
    /// the new one.
    fn keep_earlier_crash(&mut self) {
        let mailbox = self.region.mailbox();
        match mailbox.state() {
            MailboxState::Empty | MailboxState::Done => {}
            MailboxState::Noted
            | MailboxState::Armed
            | MailboxState::ArmedMinimal
            | MailboxState::Failed => {
                if let Some(crash) = mailbox.crash() {
                    copy_to_notes(&mailbox, &crash);
                }
            }
        }
    }
}

/// If the recorder left no outcome of its own, the reset is its failure.
fn blame(mailbox: &Mailbox<'_>, failure: EmergencyFailure) {
    match mailbox.state() {
        MailboxState::Armed | MailboxState::ArmedMinimal => {
            let mut outcome = mailbox.outcome().unwrap_or_default();
            outcome.fail(failure);
            mailbox.set_outcome(&outcome);
            mailbox.conclude(false);
        }
        // No reset comes between a note and the call of the recorder.
        MailboxState::Empty | MailboxState::Noted | MailboxState::Done | MailboxState::Failed => {}
    }
}

// Rare, and not to weigh on the stack of the usual case.
#[inline(never)]
fn copy_to_notes(mailbox: &Mailbox<'_>, crash: &StoredContext<'_>) {
    let Some(mut writer) = mailbox.write_oops() else {
        return;
    };
    let [_, message, stack] = crash.record_blocks();
    let mut piece = [0; 64];
    let (text, memory) = (crash.message(), crash.stack());
    for_pieces(text.length, |offset, length| {
        if let Some(piece) = piece.get_mut(..length) {
            message.copy_to(offset, piece);
            writer.message(piece);
        }
    });
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

/// Offset and length of each piece of at most 64 bytes.
fn for_pieces(length: u32, mut each: impl FnMut(usize, usize)) {
    let length = length as usize;
    for offset in (0..length).step_by(64) {
        each(offset, (length - offset).min(64));
    }
}

#[cfg(test)]
mod orders;
#[cfg(test)]
mod tests;
