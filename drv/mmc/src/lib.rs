//! Driver for eMMC devices and SD memory cards.
//!
//! Follows JESD84-B51 (eMMC 5.1) and the *SD Physical Layer Simplified Specification* 6.00; "eMMC" and "SD" with a
//! section number mean these.
//!
//! # Theory of operation
//!
//! * [`Card`] is the card in normal operation: an asynchronous [`block_device::BlockDevice`] over any [`Host`].
//! * [`polled::Card`] is the card in the emergency: a [`block_device::PolledDevice`] over a controller that it first
//!   resets, finding out and recording what state controller and card were in.
//!
//! The two share no request path. They share what does no I/O: constants ([`proto`]), the decoding of registers
//! ([`csd`], [`ext_csd`], [`state`]), and the two sequences of commands that depend on answers, written as
//! [`procedure`]s: [`identify`], from power-on to transfer state, and [`recover`], from any state back to it.
//!
//! What a card says about an error comes in its status, and a good driver looks at it three times: in the answer to the
//! data command, *before* the data phase (an address that the card refuses leaves some controllers waiting for data
//! forever, and others take the data and drop them); in the answer to CMD12 at its end; and, for a write, when the card
//! has finished programming.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

mod card;
pub mod csd;
mod error;
pub mod ext_csd;
pub mod found;
mod host;
pub mod identify;
mod location;
pub mod polled;
pub mod procedure;
pub mod proto;
pub mod recover;
mod request;
pub mod state;

pub use card::{Card, Health, Suspended};
pub use error::Error;
pub use found::Found;
pub use host::Host;
pub use location::{CardLocation, Kind, flag};
