//! Procedures: sequences of commands, apart from how they are sent.
//!
//! Normal operation and the emergency path both have to identify a card, and to bring one back to transfer state; but
//! they must not share a request path, and one of them is asynchronous. So such a sequence is a state machine that
//! performs no I/O: it is told the outcome of one action, and says which one comes next. It is the same object that
//! either driver carries out.

use crate::error::Error;
use crate::identify::Identification;
use crate::recover::Recovery;
use block_device::Block;
use drv_sdhci::{Bus, Command};

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send a command.
    Command(Command),
    /// Send a command and read one block of this many bytes into the block given to [`Procedure::next`].
    Read(Command, u16),
    /// Run the bus like this.
    Bus(Bus),
    /// Let this many milliseconds pass.
    Delay(u32),
    /// Nothing: the procedure has ended well.
    Done,
}

/// The outcome of an action: the four words of the response where there is one.
pub type Reply = Result<[u32; 4], drv_sdhci::Error>;

/// A sequence of commands that depends on the answers.
///
/// After an error the driver resets the command and data circuits before it asks for the next action. Every procedure
/// ends after a bounded number of actions, whatever the replies are.
#[derive(Debug)]
pub enum Procedure {
    /// From power-on to transfer state.
    Identify(Identification),
    /// From any state back to transfer state.
    Recover(Recovery),
}

impl Procedure {
    /// Takes the outcome of the last action (any good one at the beginning) and returns the next.
    ///
    /// # Errors
    /// The procedure has failed.
    pub fn next(&mut self, reply: Reply, buffer: &Block) -> Result<Action, Error> {
        match self {
            Self::Identify(identification) => identification.next(reply, buffer),
            Self::Recover(recovery) => recovery.next(reply),
        }
    }
}
