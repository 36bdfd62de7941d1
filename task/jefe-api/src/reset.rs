//! Why the system started.

use serde::{Deserialize, Serialize};

/// What caused the last reset. Variant order is on the wire.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum ResetReason {
    /// Power was applied.
    PowerOn,
    /// The reset pin was asserted.
    Pin,
    /// Software requested it.
    SystemCall,
    /// The supply was too low.
    Brownout,
    /// A watchdog that runs from the system's clock.
    SystemWatchdog,
    /// A watchdog with its own clock.
    IndependentWatchdog,
    /// An illegal entry into a low-power mode.
    LowPowerSecurity,
    /// Wake-up from standby.
    ExitStandby,
    /// Another cause, by the chip's code for it.
    Other(u32),
    /// The cause is not known, and no task has set it.
    Unknown,
}
