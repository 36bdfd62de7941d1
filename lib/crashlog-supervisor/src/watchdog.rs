//! Where the supervisor arms the hardware watchdog: once, when an emergency is declared.
//!
//! The watchdog covers what the supervisor's own deadlines cannot: a supervisor that fails or hangs
//! in the emergency, and a reset by software that has no effect. So it is armed before anything
//! else is done about a panic, with the whole budget, and never fed: a second crash in the same
//! emergency must not extend the time until the reset.

#[cfg(feature = "kipc")]
use crate::ResetCause;
use crate::{Kernel, Supervisor};

/// The hardware watchdog of the chip.
#[cfg(feature = "kipc")]
pub trait WatchdogTimer {
    /// Starts it: the system is reset in `budget_ms` milliseconds. Called once in a boot.
    fn arm(&mut self, budget_ms: u32);

    /// What the chip says of the last reset. Asked for once, at the start of a boot.
    fn reset_cause(&mut self) -> ResetCause {
        ResetCause::Unknown
    }
}

impl<K: Kernel> Supervisor<'_, K> {
    /// Declares an emergency, at `now` milliseconds since boot. The first call arms the watchdog
    /// with the whole budget; later ones do nothing.
    pub(crate) fn arm_watchdog_once(&mut self, now: u64) {
        if self.emergency.declare(now) {
            self.kernel.arm_watchdog(self.config.budget_ms);
        }
    }
}
