//! Where the supervisor arms the hardware watchdog, once, when an emergency is declared; and where
//! it feeds the other one, in normal operation.
//!
//! # In an emergency
//!
//! The watchdog covers what the supervisor's own deadlines cannot: a supervisor that fails or hangs
//! in the emergency, and a reset by software that has no effect. So it is armed before anything
//! else is done about a panic, with the whole budget, and never fed: a second crash in the same
//! emergency must not extend the time until the reset.
//!
//! # In normal operation
//!
//! A watchdog of its own, which only [`Supervisor::feed_watchdog`] feeds, ends a system whose
//! supervisor does not come back: the supervisor or the kernel loops. The configuration is such
//! that it never expires before the one of an emergency does, so nothing has to be done about it
//! then.

#[cfg(feature = "kipc")]
use crate::ResetCause;
use crate::boot_end::note_tasks;
use crate::{Kernel, Supervisor};

/// The hardware watchdog of the chip.
#[cfg(feature = "kipc")]
pub trait WatchdogTimer {
    /// Starts it: the system is reset in `budget_ms` milliseconds. Called once in a boot.
    fn arm(&mut self, budget_ms: u32);

    /// Starts the one of normal operation, or starts it anew: the system is reset in
    /// `milliseconds`.
    fn feed(&mut self, milliseconds: u32);

    /// What the chip says of the last reset. Asked for once, at the start of a boot.
    fn reset_cause(&mut self) -> ResetCause {
        ResetCause::Unknown
    }
}

impl<K: Kernel> Supervisor<'_, K> {
    /// Says that the supervisor is well. To be called every 100 ms, by the supervisor's timer alone
    /// and after [`check_hangs`](Self::check_hangs); [`new`](Self::new) has done it first of all.
    /// Does nothing in an emergency, and without `watchdog-ms`. Before that it notes what every
    /// task is doing, for the crash of a system that nobody is left to describe.
    pub fn feed_watchdog(&mut self) {
        if self.config.watchdog_ms != 0 && !self.emergency.is_active() {
            note_tasks(&mut self.kernel, &self.region, self.config.tasks.len());
            self.kernel.feed_watchdog(self.config.watchdog_ms);
        }
    }

    /// Declares an emergency, at `now` milliseconds since boot. The first call arms the watchdog
    /// with the whole budget; later ones do nothing.
    pub(crate) fn arm_watchdog_once(&mut self, now: u64) {
        if self.emergency.declare(now) {
            self.kernel.arm_watchdog(self.config.budget_ms);
        }
    }
}
