//! What a crash did to the system, and why it was written late.

/// What a crash did to the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum CrashReason {
    /// One task failed and was restarted.
    Oops = 1,
    /// A task failed and the system was restarted.
    Panic = 2,
    /// The kernel or the supervisor failed.
    Kernel = 3,
    /// Nothing: it is no crash, but the self-test of the emergency path at the start of a boot.
    SelfTest = 4,
}

impl CrashReason {
    /// Its name in a report.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Oops => "oops",
            Self::Panic => "panic",
            Self::Kernel => "kernel",
            Self::SelfTest => "self-test",
        }
    }
}

impl TryFrom<u8> for CrashReason {
    type Error = u8;

    fn try_from(value: u8) -> Result<Self, u8> {
        match value {
            1 => Ok(Self::Oops),
            2 => Ok(Self::Panic),
            3 => Ok(Self::Kernel),
            4 => Ok(Self::SelfTest),
            other => Err(other),
        }
    }
}

/// Why a crash was written after the restart instead of before it (X3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum LateReason {
    /// The emergency write failed; the [`Outcome`](crate::Outcome) in the header says where and why.
    Failed = 1,
    /// The emergency write did not end: the watchdog restarted the system.
    Interrupted = 2,
    /// There was no emergency write: the kernel or the supervisor failed, or there was no recorder.
    NotAttempted = 3,
    /// Only the task was to be restarted, but the system was restarted before the crash was written.
    Restarted = 4,
    /// The supervisor failed, or hung, while it described the crash, and did not start the recorder.
    Supervisor = 5,
}

impl LateReason {
    /// Its name in a report.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Failed => "emergency write failed",
            Self::Interrupted => "emergency write interrupted",
            Self::NotAttempted => "no emergency write",
            Self::Restarted => "system restarted first",
            Self::Supervisor => "supervisor did not call the recorder",
        }
    }
}

impl TryFrom<u8> for LateReason {
    type Error = u8;

    fn try_from(value: u8) -> Result<Self, u8> {
        match value {
            1 => Ok(Self::Failed),
            2 => Ok(Self::Interrupted),
            3 => Ok(Self::NotAttempted),
            4 => Ok(Self::Restarted),
            5 => Ok(Self::Supervisor),
            other => Err(other),
        }
    }
}
