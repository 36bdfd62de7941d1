//! The phases of the emergency path, their time and their failures.

use crate::error::Error;
use crate::location::CardKind;

/// The time of the emergency path, and what it cannot find out by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The family to try first when nothing is known of the card.
    pub first: CardKind,
    /// Time for all three phases, milliseconds. Each of them may use all that is left, but for a
    /// small reserve for those after it.
    pub try_ms: u32,
    /// The clock counts as dead after so many polls of a phase during which it did not move.
    pub polls_without_time: u32,
}

/// The phases of the emergency path. Each has a deadline of its own: the end of the try, less what
/// those after it need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// Reset of the controller; recovery or identification of the card.
    Prepare = 1,
    /// Reading and writing.
    Write = 2,
    /// The last flush.
    Complete = 3,
}

/// Why the emergency path failed, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PhaseFailure {
    /// The phase that failed.
    pub phase: Phase,
    /// The error.
    pub error: Error,
}

impl Phase {
    /// Number of phases after this one.
    pub(crate) const fn later(self) -> u32 {
        match self {
            Self::Prepare => 2,
            Self::Write => 1,
            Self::Complete => 0,
        }
    }
}

impl PhaseFailure {
    /// The failure as one number: the phase in bits 31:24, [`Error::code`] below.
    #[must_use]
    pub const fn code(self) -> u32 {
        (self.phase as u32) << 24 | self.error.code()
    }
}
