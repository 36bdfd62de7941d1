//! From a panic to the reset: calls the recorder, and resets the system after it.
//!
//! [`EmergencySequence`] decides what comes next, [`Supervisor::carry_out`] does it. The order in
//! `carry_out` matters: the mailbox is armed before the recorder is restarted, since the recorder
//! looks at it first of all; and the result of the try is in the mailbox before the image is made
//! (`snapshot.rs`) and the system reset, since the next boot reads it there.

mod sequence;

pub use sequence::{EmergencySequence, EmergencyState, Mode, NextAction};

use crate::{Kernel, Supervisor};
use crashlog_retained::{CrashReason, EmergencyFailure, Mailbox, MailboxState};

impl<K: Kernel> Supervisor<'_, K> {
    /// Calls the recorder at its emergency entry, if an emergency was declared and it was not
    /// called yet.
    ///
    /// Call it after [`handle_fault`](Self::handle_fault) of the last of the faults that were found
    /// together: what is found after the recorder was called is not part of the crash that it
    /// writes.
    pub fn enter_declared_emergency(&mut self) {
        let action = self.emergency.enter();
        let _ = self.carry_out(action, EmergencyFailure::None);
    }

    /// Ends the recorder's try if its time is up. To be called at [`deadline`](Self::deadline);
    /// earlier calls do nothing.
    pub fn check_deadline(&mut self, now: u64) {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return;
        }
        let action = if self.is_crash_durable() {
            self.emergency.end()
        } else {
            self.emergency.check_deadline(now)
        };
        let _ = self.carry_out(action, EmergencyFailure::Timeout);
    }

    /// Task `caller` reports that the emergency write, or that of the snapshot, has ended. If there
    /// is an emergency and it is the recorder, calls the recorder a second time if the first try
    /// has failed, else resets the system; if not, does nothing.
    ///
    /// Returns whether the recorder is to write the snapshot, instead of a reset: its image is in
    /// the dump area.
    pub fn emergency_done(&mut self, caller: usize) -> bool {
        if caller != self.config.recorder {
            return false;
        }
        let now = self.kernel.now();
        let is_durable = self.is_crash_durable();
        let action = self.emergency.recorder_done(now, is_durable);
        self.carry_out(action, EmergencyFailure::Recorder)
    }

    /// When [`check_deadline`](Self::check_deadline) has to be called next, in milliseconds since
    /// boot; `None`: not at all.
    #[must_use]
    pub fn deadline(&self) -> Option<u64> {
        self.emergency.deadline()
    }

    /// Is there an emergency? Then no task but the recorder may be restarted, and that only by this
    /// crate.
    #[must_use]
    pub fn in_emergency(&self) -> bool {
        self.emergency.is_active()
    }

    /// How far the emergency has come.
    #[must_use]
    pub fn emergency_state(&self) -> EmergencyState {
        self.emergency.state()
    }

    /// Is `task` the recorder, called for an emergency? It was restarted by this crate then: its
    /// fault is a new one, even if it had faulted before and the supervisor has not restarted it.
    #[must_use]
    pub fn is_recorder_at_work(&self, task: usize) -> bool {
        let works = matches!(
            self.emergency.state(),
            EmergencyState::Writing(_) | EmergencyState::WritingSnapshot
        );
        works && task == self.config.recorder
    }

    /// Describes a fault beside the crash that came first. The recorder's own is described, too: it
    /// says why a crash is written late. It ends the recorder's try.
    pub(crate) fn fault_in_emergency(&mut self, task: usize, restarts: u32, now: u64) {
        self.describe_beside(task, CrashReason::Panic, restarts, now);
        if task == self.config.recorder {
            let action = if self.is_crash_durable() {
                self.emergency.end()
            } else {
                self.emergency.recorder_faulted()
            };
            let _ = self.carry_out(action, EmergencyFailure::Recorder);
        }
    }

    /// Does what the sequence says. `failure` is why the last try ended, unless the recorder has
    /// said so itself. Returns whether the recorder is to write the snapshot.
    #[must_use]
    fn carry_out(&mut self, action: NextAction, failure: EmergencyFailure) -> bool {
        let mailbox = self.region.mailbox();
        match action {
            NextAction::Wait => return false,
            NextAction::Enter(Mode::Full) => {
                mailbox.arm(self.emergency.full_try());
                self.restart_recorder();
                return false;
            }
            NextAction::Enter(Mode::Minimal) => {
                mailbox.arm_minimal(self.time_left(), failure);
                self.restart_recorder_again();
                return false;
            }
            NextAction::WriteSnapshot => {
                if self.save_crashed_system(self.emergency.snapshot_deadline()) {
                    mailbox.set_try_ms(self.time_left());
                    return true;
                }
                let _ = self.emergency.end();
            }
            NextAction::SaveAndReset => {
                // Before the image: the next boot reads the outcome.
                conclude_unfinished_try(&mailbox, failure);
                self.save_crashed_system(self.emergency.snapshot_deadline());
            }
            NextAction::Reset => {}
        }
        self.kernel.reset();
        false
    }

    /// How long the recorder has for what it is called for now, milliseconds.
    fn time_left(&mut self) -> u32 {
        let now = self.kernel.now();
        self.emergency.left(now)
    }

    /// Is the crash on the card? Then a recorder that fails or hangs is not called a second time.
    fn is_crash_durable(&self) -> bool {
        self.region.mailbox().state() == MailboxState::Done
    }
}

/// If the recorder has not concluded its try, it failed, by `failure`.
fn conclude_unfinished_try(mailbox: &Mailbox<'_>, failure: EmergencyFailure) {
    match mailbox.state() {
        MailboxState::Armed | MailboxState::ArmedMinimal => {
            let mut outcome = mailbox.outcome().unwrap_or_default();
            outcome.fail(failure);
            mailbox.set_outcome(&outcome);
            mailbox.conclude(false);
        }
        // A reset comes only after the recorder was called, so the crash is not merely noted.
        MailboxState::Empty | MailboxState::Noted | MailboxState::Done | MailboxState::Failed => {}
    }
}
