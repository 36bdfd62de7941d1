//! The actions of a procedure, and their outcomes.

use drv_sdhci::{BlockLen, Bus, Command};

/// What a driver has to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send a command.
    Command(Command),
    /// Send a command and read one block of this length into the block given to
    /// [`Procedure::next`](crate::procedure::Procedure::next).
    Read(Command, BlockLen),
    /// Run the bus like this.
    Bus(Bus),
    /// Wait for this many milliseconds.
    Delay(u32),
    /// Nothing: the procedure has succeeded.
    Done,
}

/// The outcome of an action: the four words of the response where there is one.
pub type Reply = Result<[u32; 4], drv_sdhci::Error>;
