//! How an emergency write went: what was found, how far it came, and why not further.

use core::fmt;
use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout,
    little_endian::{U16, U32},
};

/// The three phases of an emergency write (K1). Each has its own deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// It never began.
    None = 0,
    /// Controller reset, card back in transfer state.
    Prepare = 1,
    /// Log tail, record and commit are being written.
    Write = 2,
    /// Everything is written; the last flush and the report.
    Complete = 3,
}

/// A step of the emergency write, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Step {
    /// The controller was reset by the emergency path itself.
    ControllerReset = 0,
    /// The card is provably in transfer state.
    CardReady = 1,
    /// The partition was found and is of the expected format.
    Located = 2,
    /// The log tail is durable.
    LogTail = 3,
    /// Header and segments of the record are durable.
    Record = 4,
    /// The ledger that commits the record is durable.
    Commit = 5,
}

/// Why an emergency write ended without a durable record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Failure {
    /// It did not fail.
    None = 0,
    /// The crash context in retained RAM does not match its checksum.
    Context = 1,
    /// The controller does not come out of its reset.
    Controller = 2,
    /// There is no card.
    NoCard = 3,
    /// The card could not be brought back to transfer state.
    Card = 4,
    /// There is no partition of ours on the card.
    NoPartition = 5,
    /// The card carries another format than the one that was mounted.
    OtherFormat = 6,
    /// The card or the controller failed while reading or writing.
    Device = 7,
    /// The time was up.
    Timeout = 8,
    /// The record does not fit the format: no number or no page is left.
    Exhausted = 9,
    /// The recorder itself failed.
    Recorder = 10,
}

/// The outcome of an emergency write. In the mailbox while it goes on, then in the record, and in the report to the
/// supervisor.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct Outcome {
    phase: u8,
    failure: u8,
    minimal: u8,
    /// What the controller was doing when it was found; a code of the controller's driver.
    pub controller: u8,
    /// The state in which the card was found (`CURRENT_STATE` of its status); 0xFF if it did not say.
    pub card: u8,
    steps: u8,
    /// Commands that had to be tried again.
    pub retries: U16,
    /// The last error of the device; a code of its driver, 0 if there was none.
    pub error: U32,
    /// Log pages written.
    pub pages: U16,
    /// Blocks written altogether.
    pub blocks: U16,
    /// Sequence number of the record; of the earlier one if this crash is a repetition.
    pub record: U32,
    /// Milliseconds it took, as far as the time source could tell.
    pub milliseconds: U32,
    /// What had to be done beside the reset; bits, see [`crate::found::repairs`].
    pub repairs: U16,
    /// Blocks that were left of the transfer that was cut off.
    pub blocks_left: U16,
    /// Milliseconds of the three phases up to the moment of this outcome; 65535 is that or more.
    pub phase_milliseconds: [U16; 3],
    /// How what the card was doing came to its end (K2); a code, see [`crate::found::drain`].
    pub drain: u8,
    /// The last command that the controller was given before.
    pub command: u8,
    /// How its data moved; bits of the Transfer Mode register.
    pub mode: u8,
    reserved: [u8; 3],
}

impl Outcome {
    /// How far it came.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        match self.phase {
            0 => Phase::None,
            1 => Phase::Prepare,
            2 => Phase::Write,
            _ => Phase::Complete,
        }
    }

    /// Enters a phase.
    pub const fn enter(&mut self, phase: Phase) {
        self.phase = phase as u8;
    }

    /// Why it failed; [`Failure::None`] if it did not.
    #[must_use]
    pub const fn failure(&self) -> Failure {
        match self.failure {
            0 => Failure::None,
            1 => Failure::Context,
            2 => Failure::Controller,
            3 => Failure::NoCard,
            4 => Failure::Card,
            5 => Failure::NoPartition,
            6 => Failure::OtherFormat,
            7 => Failure::Device,
            8 => Failure::Timeout,
            9 => Failure::Exhausted,
            _ => Failure::Recorder,
        }
    }

    /// Records why it failed.
    pub const fn fail(&mut self, failure: Failure) {
        self.failure = failure as u8;
    }

    /// Is this the second, minimal try?
    #[must_use]
    pub const fn is_minimal(&self) -> bool {
        self.minimal != 0
    }

    /// Says which try it is.
    pub fn set_minimal(&mut self, minimal: bool) {
        self.minimal = minimal.into();
    }

    /// Records that `step` is done.
    pub const fn finish(&mut self, step: Step) {
        self.steps |= 1 << step as u8;
    }

    /// Was `step` done?
    #[must_use]
    pub const fn finished(&self, step: Step) -> bool {
        self.steps & 1 << step as u8 != 0
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "no failure",
            Self::Context => "crash context damaged",
            Self::Controller => "controller does not reset",
            Self::NoCard => "no card",
            Self::Card => "card not brought back to transfer state",
            Self::NoPartition => "no crashlog partition",
            Self::OtherFormat => "card of another format",
            Self::Device => "card or controller failed",
            Self::Timeout => "time was up",
            Self::Exhausted => "no number left",
            Self::Recorder => "recorder failed",
        })
    }
}

impl Step {
    /// Every step, in order.
    pub const ALL: [Self; 6] = [
        Self::ControllerReset,
        Self::CardReady,
        Self::Located,
        Self::LogTail,
        Self::Record,
        Self::Commit,
    ];

    /// Its name in a report.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ControllerReset => "controller reset",
            Self::CardReady => "card ready",
            Self::Located => "located",
            Self::LogTail => "log tail",
            Self::Record => "record",
            Self::Commit => "commit",
        }
    }
}

const _: () = assert!(size_of::<Outcome>() == 40);
