//! Why there is a record, and why it is late.

/// What a crash did to the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Reason {
    /// One task failed and was restarted.
    Oops = 1,
    /// A task failed and the system was restarted.
    Panic = 2,
    /// The kernel or the supervisor failed.
    Kernel = 3,
    /// Nothing: the recorder tried its emergency path at the start of a boot.
    SelfTest = 4,
}

impl Reason {
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

impl TryFrom<u8> for Reason {
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

/// Why a record was written after the restart instead of before it (X3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum LateReason {
    /// The emergency write failed; the record's [`Outcome`](crate::Outcome) says where and why.
    Failed = 1,
    /// The emergency write began and never ended: the watchdog restarted the system.
    Interrupted = 2,
    /// There was no emergency write: the kernel or the supervisor failed, or the recorder was not there.
    NotAttempted = 3,
    /// One task was restarted, and the system was before its record could be written.
    Restarted = 4,
    /// The supervisor never came to calling the recorder: it failed, or hung, while it described the crash.
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
