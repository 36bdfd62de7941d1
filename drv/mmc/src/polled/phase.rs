//! The phases of the emergency path, their limits and their failures.

use crate::error::Error;
use crate::location::Kind;

/// The limits of the emergency path, and what it cannot find out by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The family to try first when nothing is known of the card.
    pub first: Kind,
    /// Time for [`super::Card::prepare`], milliseconds.
    pub prepare_ms: u32,
    /// Time for all reading and writing, milliseconds.
    pub write_ms: u32,
    /// Time for [`super::Card::complete`], milliseconds.
    pub complete_ms: u32,
    /// Polls of a phase without movement of the clock after which it counts as dead.
    pub polls_without_time: u32,
}

/// The phases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// Reset, recovery, identification.
    Prepare = 1,
    /// Reading and writing.
    Write = 2,
    /// The last flush.
    Complete = 3,
}

/// Why the emergency path failed, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The phase.
    pub phase: Phase,
    /// The error.
    pub error: Error,
}

impl Failure {
    /// As one number for crash records: the phase in bits 31:24, [`Error::code`] below.
    #[must_use]
    pub const fn code(self) -> u32 {
        (self.phase as u32) << 24 | self.error.code()
    }
}
