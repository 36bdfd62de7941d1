//! Procedures: sequences of commands that depend on the answers, sans I/O.
//!
//! The normal and the emergency path both have to identify a card, and to bring one back to
//! transfer state. They must not share a request path, and one of them is asynchronous. So such a
//! sequence is a state machine that performs no I/O: it is told the outcome of one action, and
//! returns the next. Each path carries the actions out with its own driver.

use crate::error::Error;
use crate::identify::Identification;
use crate::recover::CardRecovery;
use block_device::Block;

pub use crate::action::{Action, Reply};

/// A sequence of commands that depends on the answers.
///
/// After an action that failed the driver resets the command and data circuits before it asks for
/// the next action. Every procedure ends after a bounded number of actions, whatever the replies
/// are.
#[derive(Debug)]
pub enum Procedure {
    /// From power-on to transfer state.
    Identify(Identification),
    /// From any state back to transfer state.
    Recover(CardRecovery),
}

impl Procedure {
    /// Takes the outcome of the last action (at the beginning any that is `Ok`) and returns the
    /// next one. `buffer` holds the block that the last action read, if it read one.
    ///
    /// # Errors
    /// Why the procedure has failed. It must not be called again then.
    pub fn next(&mut self, reply: Reply, buffer: &Block) -> Result<Action, Error> {
        match self {
            Self::Identify(identification) => identification.next(reply, buffer),
            Self::Recover(recovery) => recovery.next(reply),
        }
    }
}
