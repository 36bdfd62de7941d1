//! Driver for standard SD host controllers (SDHCI).
//!
//! Follows the *SD Host Controller Simplified Specification*, version 3.00; section numbers in this crate are of that
//! document. It knows controllers, not cards: what is sent and in which order is the business of `drv-mmc`.
//!
//! # Theory of operation
//!
//! There are two drivers in this crate, and a controller is used by one of them at a time:
//!
//! * [`interrupt::Controller`], for normal operation: asynchronous, it sleeps until the controller interrupts;
//! * [`polled::Controller`], for the emergency: synchronous, it never sleeps, never enables an interrupt signal, and
//!   starts by resetting the controller, whatever state the other driver left it in.
//!
//! The second is not the first with its waits replaced. They share what cannot be caught in the wrong state: the
//! register definitions, the encoding of commands and descriptors, the decoding of error bits. They share no request
//! path, no function that touches a register and no state, so a crash in the middle of one cannot disturb the other.
//!
//! A request is one command with its data phase, if any:
//!
//! 1. The command and data lines must be free. They are within a bounded time, or the request fails.
//! 2. For a transfer by ADMA2, descriptors are written; then block size and count, argument, and last the combined
//!    transfer mode and command register, which starts the command.
//! 3. The response is looked at *before* the data phase: a card that refuses the address says so in its response, and a
//!    controller may then wait for data that never comes, or take data that goes nowhere.
//! 4. Data moves, by descriptors or through the buffer port. If the controller appended CMD12, its response is looked
//!    at as well: it tells of errors in the middle of the transfer.
//!
//! After an error the command and data circuits are reset (section 3.10), so that the next request starts clean. What
//! state the *card* is then in is again not known here.
//!
//! Every register access is 32 bits wide: this is the one width that all controllers support. Registers that are
//! narrower are defined together with their neighbours.
//!
//! Blocks given to the driver must be coherent between processor and controller (uncached memory, or a coherent bus).
#![cfg_attr(not(test), no_std)]
#![deny(unsafe_code)]

pub mod adma2;
pub mod clock;
mod command;
mod error;
pub mod interrupt;
mod mmio;
mod platform;
pub mod polled;
pub mod registers;

pub use command::{AutoCommand, Command, Data, Direction, Response};
pub use error::{Error, ErrorKind};
pub use mmio::Mmio;
pub use platform::{Bus, Platform};
pub use registers::Registers;
