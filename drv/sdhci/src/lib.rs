//! Driver for standard SD host controllers (SDHCI).
//!
//! Follows the *SD Host Controller Simplified Specification*, version 3.00; section numbers in this
//! crate are of that document. The crate knows controllers, not cards: which commands are sent, and
//! in which order, is decided in `drv-mmc`.
//!
//! # Theory of operation
//!
//! The crate has two drivers. A controller is used by one of them at a time:
//!
//! * [`normal::NormalController`]: asynchronous, sleeps until the controller interrupts;
//! * [`emergency::EmergencyController`]: synchronous, polls, never sleeps, never enables an
//!   interrupt signal. It starts by resetting the controller, so it works whatever state the other
//!   driver left it in.
//!
//! The second is not the first with its waits replaced. They share the register definitions, the
//! encoding of commands and descriptors, the decoding of error bits, and the loops over the buffer
//! port ([`buffer_port`](self#buffer-port)). They share no function that issues a request, resets
//! the controller or waits for it, and no state. So a crash in the middle of the normal driver
//! cannot leave anything behind that the emergency driver depends on. `./x check-emergency` proves
//! from the binary that the emergency path reaches nothing of [`normal`].
//!
//! A request is one command with its data phase, if any:
//!
//! 1. The driver waits, for a bounded time, until the command line is free, and the data lines if
//!    the request needs them.
//! 2. For a transfer by ADMA2 it writes the descriptors. Then it writes block size and count, the
//!    argument, and last the combined transfer mode and command register, which starts the command.
//! 3. It checks the response *before* the data phase. A card that refuses the address says so in
//!    its response, and a controller may then wait for data that never comes, or accept data that
//!    the card drops.
//! 4. Data moves by ADMA2 or through the buffer port. If the controller appended CMD12, the driver
//!    checks its response as well: it reports errors of the blocks after the first.
//!
//! After an error the caller resets the command and data circuits (section 3.10), so that the next
//! request starts clean. The state of the *card* is then unknown here; the caller repairs it.
//!
//! # Buffer port
//!
//! A block on the bus is a multiple of four words ([`BlockLen`]): the loops over the buffer port
//! are unrolled by four and have no code for a rest.
//!
//! # Access width and coherence
//!
//! Every register access is 32 bits wide, the one width that all controllers support. Narrower
//! registers are defined together with their neighbours.
//!
//! Blocks given to the driver must be coherent between processor and controller (uncached memory,
//! or a coherent bus).
#![cfg_attr(not(test), no_std)]
#![deny(unsafe_code)]

pub mod adma2;
mod buffer_port;
pub mod clock;
mod command;
pub mod emergency;
mod error;
mod mmio;
pub mod normal;
mod platform;
pub mod registers;
mod slot;

pub use command::{AutoCommand, BlockLen, Command, Data, Direction, Response};
pub use error::{Error, ErrorKind};
pub use mmio::Mmio;
pub use platform::{Bus, Platform};
pub use registers::Registers;
