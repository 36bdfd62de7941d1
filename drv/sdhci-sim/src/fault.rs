//! Faults that happen to a command.

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Neither a response nor an error: the controller ignores the command.
    Ignored,
    /// The card does not get the command, and so does not answer.
    NoResponse,
    /// The card gets the command; its answer does not arrive.
    ResponseLost,
    /// The card gets the command; its answer has a wrong CRC.
    ResponseCrc,
    /// The card gets the command; its answer has a wrong end bit.
    ResponseEndBit,
    /// The card gets the command; its answer has another index.
    ResponseIndex,
    /// The card refuses, with these bits in its status.
    Refused(u32),
    /// Block `n` (from 0) arrives with a wrong CRC.
    DataCrc(u16),
    /// Block `n` arrives with a wrong end bit.
    DataEndBit(u16),
    /// Block `n` does not come, or is not taken, and the controller says so.
    DataTimeout(u16),
    /// Block `n` does not come, or is not taken, and nobody says anything.
    DataStall(u16),
    /// The controller cannot read the descriptor for block `n`.
    Adma(u16),
    /// The command that the controller sends by itself fails.
    AutoCommand,
    /// The card takes the data and cannot program them, and says so when it is no longer busy.
    NotProgrammed,
    /// What the command starts takes this many microseconds.
    Busy(u64),
    /// The card loses its state, as after a dip of its supply, before the command.
    Forgets,
    /// The card is taken out before the command.
    Removed,
    /// Before the command the card is taken out and another one put in, of the same kind and with this serial number.
    Swapped(u32),
    /// The command circuit hangs after the command until it is reset.
    HangsCommand,
    /// The data circuit hangs after the command until it is reset.
    HangsData,
}

/// When it goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// At this command; at any if `None`.
    pub command: Option<u8>,
    /// After so many of them have gone well.
    pub after: u32,
    /// So many times in a row.
    pub times: u32,
    /// What goes wrong.
    pub fault: Fault,
}

impl Plan {
    /// The next command of this index.
    #[must_use]
    pub const fn next(command: u8, fault: Fault) -> Self {
        Self {
            command: Some(command),
            after: 0,
            times: 1,
            fault,
        }
    }

    /// Every command of this index.
    #[must_use]
    pub const fn always(command: u8, fault: Fault) -> Self {
        Self {
            command: Some(command),
            after: 0,
            times: u32::MAX,
            fault,
        }
    }

    /// Whether it has begun to go wrong, if it was to go wrong `times` times.
    #[must_use]
    pub const fn has_struck(&self, times: u32) -> bool {
        self.times < times
    }

    /// Counts a command; the fault if it is its turn.
    pub(crate) fn strike(&mut self, command: u8) -> Option<Fault> {
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
