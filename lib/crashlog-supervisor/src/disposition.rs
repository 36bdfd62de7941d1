//! Where a fault becomes a restart of one task, a reset of the system, or neither.
//!
//! [`Supervisor::handle_fault`] decides, in this order:
//!
//! 1. In an emergency every fault is described beside the crash that came first, and no task is
//!    restarted. A fault of the recorder ends its try (`emergency.rs`).
//! 2. A task that is held is never a reason for a reset: its fault is an oops, whatever its
//!    disposition.
//! 3. [`Disposition::Reset`]: the fault is a panic, unless the same fault has reset the system too
//!    often (`loops.rs`); then it is an oops and the task is held.
//! 4. [`Disposition::Restart`]: the fault is an oops. The task is restarted, unless it has had the
//!    same fault too often; then it is held. The least important task is restarted all the same.

use crate::capture::{CrashFacts, capture, signature_of};
use crate::supervisor::hang_of;
use crate::{Kernel, Supervisor};
use crashlog_retained::CrashReason;

/// What a fault of a task means, by configuration.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Disposition {
    /// An oops: this one task is restarted.
    Restart,
    /// A panic: the crash is written to the card and the system is reset.
    Reset,
}

/// What the supervisor has to do about a fault.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[must_use = "the task is restarted, or not, as it says"]
pub enum Consequence {
    /// Restart the task.
    Restart,
    /// Leave the task faulted: it is in a crash loop.
    Hold,
    /// Restart no task: there is an emergency.
    Emergency,
}

impl<K: Kernel> Supervisor<'_, K> {
    /// Decides what a new fault of `task` means, and describes it in retained RAM. The recorder is
    /// notified of an oops. A panic declares an emergency and arms the watchdog.
    ///
    /// Call it once for each fault, and
    /// [`enter_declared_emergency`](Self::enter_declared_emergency) after the last of those found
    /// together. `is_held`: the task stays faulted anyway, because the application, a debugger or a
    /// crash loop holds it. `restarts`: how often it was restarted in this boot. `started`: when it
    /// was started, in milliseconds since boot.
    pub fn handle_fault(
        &mut self,
        task: usize,
        is_held: bool,
        restarts: u32,
        started: u64,
    ) -> Consequence {
        let consequence = self.decide(task, is_held, restarts, started);
        if let Some(hangs) = &mut self.hangs {
            hangs.handled(task);
        }
        consequence
    }

    fn decide(&mut self, task: usize, is_held: bool, restarts: u32, started: u64) -> Consequence {
        let now = self.kernel.now();
        if self.emergency.is_active() {
            self.fault_in_emergency(task, restarts, now);
            return Consequence::Emergency;
        }
        let policy = self.config.task(task);
        match policy.disposition {
            Disposition::Reset if !is_held => {
                if self.is_reset_loop(task, now, started) {
                    if self.report_oops(task, restarts, now).is_some() {
                        self.save_task(task, now);
                    }
                    return self.hold(task);
                }
                // A panic. The watchdog first: from here on the system is reset whatever fails.
                self.arm_watchdog_once(now);
                self.note_crash(task);
                self.keep_unwritten_crash();
                if let Some(writer) = self.region.mailbox().write_crash() {
                    self.region.mailbox().note();
                    let facts = CrashFacts {
                        reason: CrashReason::Panic,
                        task,
                        restarts,
                        boot: self.boot,
                        image_id: self.image_id,
                        time: now,
                        hang: hang_of(self.hangs.as_ref(), task),
                    };
                    let signature = capture(&mut self.kernel, policy, facts, writer);
                    self.count_fault(task, signature, now, started);
                }
                Consequence::Emergency
            }
            // An oops. Also of a task that is held, whatever its disposition.
            Disposition::Reset | Disposition::Restart => {
                let limit = self.config.limits.hold_after_restarts;
                let signature = match self.report_oops(task, restarts, now) {
                    Some(signature) => {
                        self.save_task(task, now);
                        signature
                    }
                    None => {
                        let hang = hang_of(self.hangs.as_ref(), task);
                        signature_of(&mut self.kernel, task, hang)
                    }
                };
                let count = self.count_fault(task, signature, now, started);
                if count.exceeds(limit) {
                    self.hold(task)
                } else {
                    Consequence::Restart
                }
            }
        }
    }

    /// What is done with a task in a crash loop.
    fn hold(&self, task: usize) -> Consequence {
        if self.config.is_least_important(task) {
            Consequence::Restart
        } else {
            Consequence::Hold
        }
    }
}
