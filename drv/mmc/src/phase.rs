//! The phases of the emergency path, their deadlines and their failures.

use crate::error::Error;
use crate::location::CardKind;

/// The deadlines of the emergency path, and what it cannot find out by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The family to try first when nothing is known of the card.
    pub first: CardKind,
    /// Time for [`crate::emergency::EmergencyCard::prepare`], milliseconds.
    pub prepare_ms: u32,
    /// Time for all reading and writing, milliseconds.
    pub write_ms: u32,
    /// Time for [`crate::emergency::EmergencyCard::complete`], milliseconds.
    pub complete_ms: u32,
    /// The clock counts as dead after so many polls of a phase during which it did not move.
    pub polls_without_time: u32,
}

/// The phases of the emergency path. Each has a deadline of its own.
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

impl PhaseFailure {
    /// The failure as one number: the phase in bits 31:24, [`Error::code`] below.
    #[must_use]
    pub const fn code(self) -> u32 {
        (self.phase as u32) << 24 | self.error.code()
    }
}
