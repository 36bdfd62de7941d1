//! Errors: which step failed.

use crate::registers::Interrupt;
use tock_registers::LocalRegisterCopy;

/// Why a request, or a change of the controller's state, failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error {
    /// The step that failed.
    pub kind: ErrorKind,
    /// The command it belongs to; 0 where there is none.
    pub command: u8,
}

/// The step that failed. The numbers are stored with a crash and never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ErrorKind {
    /// There is no card in the slot.
    CardGone = 1,
    /// The software reset did not finish.
    ResetStuck = 2,
    /// The internal clock did not become stable.
    ClockUnstable = 3,
    /// The command or data circuit stays busy, so the command could not be sent.
    InhibitStuck = 4,
    /// No response (error interrupt).
    CommandTimeout = 5,
    /// Response with wrong CRC.
    CommandCrc = 6,
    /// Response with wrong end bit.
    CommandEndBit = 7,
    /// Response to another command.
    CommandIndex = 8,
    /// Neither a response nor an error: the controller does not react.
    NoCompletion = 9,
    /// The card refuses: its response has error bits ([`crate::Command::refusal`]).
    Refused = 10,
    /// No data, or busy, for too long (error interrupt).
    DataTimeout = 11,
    /// Data with wrong CRC.
    DataCrc = 12,
    /// Data with wrong end bit.
    DataEndBit = 13,
    /// The data phase stopped without an error interrupt.
    DataStalled = 14,
    /// The card stays busy after the command.
    BusyStuck = 15,
    /// The command that the controller sends by itself failed.
    AutoCommand = 16,
    /// The response to Auto CMD12 has error bits.
    AutoRefused = 17,
    /// The controller could not read a descriptor, or found it invalid.
    Adma = 18,
    /// The power supply is overloaded.
    CurrentLimit = 19,
    /// An error interrupt without a known cause.
    Unknown = 20,
    /// The request has no blocks, or too many; nothing was sent.
    BadRequest = 21,
}

impl ErrorKind {
    /// Every kind.
    pub const ALL: [Self; 21] = [
        Self::CardGone,
        Self::ResetStuck,
        Self::ClockUnstable,
        Self::InhibitStuck,
        Self::CommandTimeout,
        Self::CommandCrc,
        Self::CommandEndBit,
        Self::CommandIndex,
        Self::NoCompletion,
        Self::Refused,
        Self::DataTimeout,
        Self::DataCrc,
        Self::DataEndBit,
        Self::DataStalled,
        Self::BusyStuck,
        Self::AutoCommand,
        Self::AutoRefused,
        Self::Adma,
        Self::CurrentLimit,
        Self::Unknown,
        Self::BadRequest,
    ];
}

impl Error {
    pub(crate) const fn new(kind: ErrorKind, command: u8) -> Self {
        Self { kind, command }
    }

    /// The error in an interrupt status whose error bit is set.
    ///
    /// Where several bits are set, it is the cause of the others: a bad descriptor and not the data
    /// error that follows from it, an error of the command and not one of its data.
    pub(crate) fn decode(status: LocalRegisterCopy<u32, Interrupt::Register>, command: u8) -> Self {
        for (bit, kind) in &CAUSES {
            if status.get() & bit != 0 {
                return Self::new(*kind, command);
            }
        }
        Self::new(ErrorKind::Unknown, command)
    }
}

/// Whether the only error is a time-out of the data that is reported together with the end of the
/// transfer: then the transfer is complete (2.2.17).
pub(crate) fn is_complete(status: LocalRegisterCopy<u32, Interrupt::Register>) -> bool {
    const ERRORS: u32 = 0xFFFF_0000;
    status.is_set(Interrupt::TRANSFER_COMPLETE)
        && status.get() & ERRORS == Interrupt::DATA_TIMEOUT::SET.value
}

/// Error bits with their meaning. Where several are set, the first of them is the cause.
const CAUSES: [(u32, ErrorKind); 10] = [
    (
        Interrupt::COMMAND_TIMEOUT::SET.value,
        ErrorKind::CommandTimeout,
    ),
    (Interrupt::COMMAND_CRC::SET.value, ErrorKind::CommandCrc),
    (
        Interrupt::COMMAND_END_BIT::SET.value,
        ErrorKind::CommandEndBit,
    ),
    (Interrupt::COMMAND_INDEX::SET.value, ErrorKind::CommandIndex),
    (Interrupt::ADMA::SET.value, ErrorKind::Adma),
    (Interrupt::DATA_TIMEOUT::SET.value, ErrorKind::DataTimeout),
    (Interrupt::DATA_CRC::SET.value, ErrorKind::DataCrc),
    (Interrupt::DATA_END_BIT::SET.value, ErrorKind::DataEndBit),
    (Interrupt::AUTO_COMMAND::SET.value, ErrorKind::AutoCommand),
    (Interrupt::CURRENT_LIMIT::SET.value, ErrorKind::CurrentLimit),
];
