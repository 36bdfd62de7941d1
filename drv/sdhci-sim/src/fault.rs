//! Faults that are injected into a command.

/// What goes wrong with a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InjectedFault {
    /// Neither a response nor an error: the controller ignores the command.
    Ignored,
    /// The card does not receive the command, and does not answer.
    NoResponse,
    /// The card receives the command; its answer does not arrive.
    ResponseLost,
    /// The card receives the command; its answer has a wrong CRC.
    ResponseCrc,
    /// The card receives the command; its answer has a wrong end bit.
    ResponseEndBit,
    /// The card receives the command; its answer has another index.
    ResponseIndex,
    /// The card refuses the command, with these bits in its status.
    Refused(u32),
    /// Block `n` (from 0) arrives with a wrong CRC.
    DataCrc(u16),
    /// A bit in each word of block `n` is wrong, and its CRC is of the wrong data.
    DataFlipped(u16),
    /// Block `n` arrives with a wrong end bit.
    DataEndBit(u16),
    /// Block `n` does not come, or is not accepted, and the controller reports a time-out.
    DataTimeout(u16),
    /// Block `n` does not come, or is not accepted, and no error is reported.
    DataStall(u16),
    /// The controller cannot read the descriptor for block `n`.
    Adma(u16),
    /// The CMD12 that the controller sends at the end of the transfer is answered with these bits:
    /// something was wrong with a block after the first.
    StopRefused(u32),
    /// The command that the controller sends by itself fails.
    AutoCommand,
    /// The card accepts the data, or a switch, and fails to carry it out; it reports that when it
    /// is no longer busy.
    NotProgrammed,
    /// The card is busy for this many microseconds after the command.
    Busy(u64),
    /// The card loses its state, as after a dip of its supply, before the command.
    Forgets,
    /// The card is taken out before the command.
    Removed,
    /// Before the command the card is taken out and another one put in, of the same kind and with
    /// this serial number.
    Swapped(u32),
    /// The command circuit hangs after the command until it is reset.
    HangsCommand,
    /// The data circuit hangs after the command until it is reset.
    HangsData,
}

/// When a fault is injected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultPlan {
    /// Into this command; into any if `None`.
    pub command: Option<u8>,
    /// After so many of these commands.
    pub after: u32,
    /// Into so many in a row.
    pub times: u32,
    /// The fault.
    pub fault: InjectedFault,
}

impl FaultPlan {
    /// Into the next command of this index.
    #[must_use]
    pub const fn next(command: u8, fault: InjectedFault) -> Self {
        Self {
            command: Some(command),
            after: 0,
            times: 1,
            fault,
        }
    }

    /// Into every command of this index.
    #[must_use]
    pub const fn always(command: u8, fault: InjectedFault) -> Self {
        Self {
            command: Some(command),
            after: 0,
            times: u32::MAX,
            fault,
        }
    }

    /// Whether the fault has been injected at least once, if the plan began with `times` times.
    #[must_use]
    pub const fn has_struck(&self, times: u32) -> bool {
        self.times < times
    }

    /// Counts a command; returns the fault if it is to be injected into this one.
    pub(crate) fn strike(&mut self, command: u8) -> Option<InjectedFault> {
        if self.command.is_some_and(|wanted| wanted != command) {
            return None;
        }
        if self.after > 0 {
            self.after -= 1;
            return None;
        }
        if self.times == 0 {
            return None;
        }
        self.times -= 1;
        Some(self.fault)
    }
}
