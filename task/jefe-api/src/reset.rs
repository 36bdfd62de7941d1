//! Why the system started.

use serde::{Deserialize, Serialize};

/// What caused the last reset. Variant order is on the wire.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum ResetReason {
    /// Power was applied.
    PowerOn,
    /// The reset pin.
    Pin,
    /// The system asked for it.
    SystemCall,
    /// The supply was too low.
    Brownout,
    /// A watchdog clocked by the system.
    SystemWatchdog,
    /// A watchdog with a clock of its own.
    IndependentWatchdog,
    /// An illegal entry into a low-power mode.
    LowPowerSecurity,
    /// Wake-up from standby.
    ExitStandby,
    /// The chip's own code.
    Other(u32),
    /// Nobody said.
    Unknown,
}
