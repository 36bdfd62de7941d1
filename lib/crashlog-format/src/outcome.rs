//! The outcome of an emergency write: what it found, did, and why it failed.

use core::fmt;
use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout,
    little_endian::{U16, U32},
};

/// The phase that an emergency write has reached (K1). Each of the three phases has its own
/// deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum OutcomePhase {
    /// It did not begin.
    None = 0,
    /// The controller is reset, and the card brought back to transfer state.
    Prepare = 1,
    /// Crash, ledger and log tail are written.
    Write = 2,
    /// Everything is written; the last flush and the report follow.
    Complete = 3,
}

/// The steps of an emergency write. The numbers are stored with a crash and never change;
/// [`EmergencyStep::ALL`] has their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum EmergencyStep {
    /// The emergency path has reset the controller.
    ControllerReset = 0,
    /// The card has answered that it is in transfer state.
    CardReady = 1,
    /// The partition is found and has the expected format.
    Located = 2,
    /// The log tail is durable.
    LogTail = 3,
    /// Header and segments of the crash are durable.
    Crash = 4,
    /// The ledger that commits the crash is durable.
    Commit = 5,
}

/// Why an emergency write ended without a durable crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum EmergencyFailure {
    /// It did not fail.
    None = 0,
    /// The crash context in retained RAM does not match its checksum.
    Context = 1,
    /// The controller did not complete its reset.
    Controller = 2,
    /// There is no card.
    NoCard = 3,
    /// The card could not be brought back to transfer state.
    Card = 4,
    /// The card has no crashlog partition.
    NoPartition = 5,
    /// The partition has another format than the one that was mounted.
    OtherFormat = 6,
    /// The card or the controller failed while reading or writing.
    Device = 7,
    /// The deadline has passed.
    Timeout = 8,
    /// No sequence number, or no page number, is left in this format.
    Exhausted = 9,
    /// The recorder itself failed.
    Recorder = 10,
    /// The card has a crashlog partition, and partition table and superblocks do not agree that it
    /// may be written.
    NotWritable = 11,
}

/// The outcome of an emergency write. It is kept in the mailbox while the write goes on, and is
/// part of the crash header and of the report to the supervisor.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct Outcome {
    phase: u8,
    failure: u8,
    minimal: u8,
    /// What the controller was doing when the emergency path took it over; see
    /// [`crate::found::controller`].
    pub controller: u8,
    /// The state of the card at its first answer (`CURRENT_STATE` of its status); see
    /// [`crate::found::card`].
    pub card: u8,
    steps: u8,
    /// Number of commands that had to be repeated.
    pub retries: U16,
    /// The last error of the device, as a code of its driver; 0 if there was none.
    pub error: U32,
    /// Number of log pages written.
    pub pages: U16,
    /// Number of blocks written, log pages included.
    pub blocks: U16,
    /// Sequence number of the crash; of the earlier one if this crash is a repetition.
    pub sequence: U32,
    /// Duration in milliseconds, as far as the time source could tell.
    pub milliseconds: U32,
    /// What had to be done beside the reset, as bits; see [`crate::found::repairs`].
    pub repairs: U16,
    /// Number of blocks that were left of the interrupted transfer.
    pub blocks_left: U16,
    /// Durations of the three phases so far, in milliseconds; 65535 stands for all longer ones.
    pub phase_ms: [U16; 3],
    /// How the operation in flight was ended (K2), as a code; see [`crate::found::drain`].
    pub drain: u8,
    /// The last command that the controller was given before, 0 to 63.
    pub command: u8,
    /// How its data were transferred: bits of the Transfer Mode register (SD Host Controller
    /// Simplified Specification 3.00, section 2.2.5).
    pub mode: u8,
    /// Why the first try failed, as [`EmergencyFailure`], if this is the second.
    first_failure: u8,
    reserved: [u8; 2],
}

impl Outcome {
    /// The phase that it has reached.
    #[must_use]
    pub const fn phase(&self) -> OutcomePhase {
        match self.phase {
            0 => OutcomePhase::None,
            1 => OutcomePhase::Prepare,
            2 => OutcomePhase::Write,
            _ => OutcomePhase::Complete,
        }
    }

    /// Notes that a phase begins.
    pub const fn enter(&mut self, phase: OutcomePhase) {
        self.phase = phase as u8;
    }

    /// Why it failed; [`EmergencyFailure::None`] if it did not.
    #[must_use]
    pub const fn failure(&self) -> EmergencyFailure {
        EmergencyFailure::from_code(self.failure)
    }

    /// Why the first try failed; [`EmergencyFailure::None`] if this is the first.
    #[must_use]
    pub const fn first_failure(&self) -> EmergencyFailure {
        EmergencyFailure::from_code(self.first_failure)
    }

    /// Notes why the first try failed, by the code of an [`EmergencyFailure`].
    pub const fn set_first_failure(&mut self, code: u8) {
        self.first_failure = code;
    }

    /// Notes why it failed.
    pub const fn fail(&mut self, failure: EmergencyFailure) {
        self.failure = failure as u8;
    }

    /// Whether this is the second, minimal try.
    #[must_use]
    pub const fn is_minimal(&self) -> bool {
        self.minimal != 0
    }

    /// Notes whether this is the second, minimal try.
    pub fn set_minimal(&mut self, minimal: bool) {
        self.minimal = minimal.into();
    }

    /// Notes that `step` is done.
    pub const fn finish(&mut self, step: EmergencyStep) {
        self.steps |= 1 << step as u8;
    }

    /// Whether `step` is done.
    #[must_use]
    pub const fn finished(&self, step: EmergencyStep) -> bool {
        self.steps & 1 << step as u8 != 0
    }
}

impl EmergencyFailure {
    /// The failure with this code; an unknown one is the recorder's.
    #[must_use]
    const fn from_code(code: u8) -> Self {
        match code {
            0 => Self::None,
            1 => Self::Context,
            2 => Self::Controller,
            3 => Self::NoCard,
            4 => Self::Card,
            5 => Self::NoPartition,
            6 => Self::OtherFormat,
            7 => Self::Device,
            8 => Self::Timeout,
            9 => Self::Exhausted,
            11 => Self::NotWritable,
            _ => Self::Recorder,
        }
    }
}

impl fmt::Display for EmergencyFailure {
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
            Self::NotWritable => "crashlog partition not to be written",
        })
    }
}

impl EmergencyStep {
    /// Every step, in order.
    pub const ALL: [Self; 6] = [
        Self::ControllerReset,
        Self::CardReady,
        Self::Located,
        Self::Crash,
        Self::Commit,
        Self::LogTail,
    ];

    /// Its name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ControllerReset => "controller reset",
            Self::CardReady => "card ready",
            Self::Located => "located",
            Self::LogTail => "log tail",
            Self::Crash => "crash record",
            Self::Commit => "commit",
        }
    }
}

const _: () = assert!(size_of::<Outcome>() == 40);
