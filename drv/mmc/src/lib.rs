//! Driver for eMMC devices and SD memory cards.
//!
//! Follows JESD84-B51 (eMMC 5.1) and the *SD Physical Layer Simplified Specification* 6.00; "eMMC"
//! and "SD" with a section number mean these.
//!
//! # Theory of operation
//!
//! * [`normal::NormalCard`] is a card as the normal path uses it: an asynchronous
//!   [`block_device::BlockDevice`] over any [`normal::Host`].
//! * [`emergency::EmergencyCard`] is a card as the emergency path uses it: a
//!   [`block_device::PolledDevice`] over a controller that it resets first. It ends whatever was in
//!   flight, and reports which state controller and card were in ([`found`]).
//!
//! The two share no request path. They share what does no I/O: constants ([`proto`]), the decoding
//! of registers ([`csd`], [`ext_csd`], [`state`]), and the two sequences of commands that depend on
//! answers, written as [`procedure`]s: [`identify`], from power-on to transfer state, and
//! [`recover`], from any state back to it.
//!
//! A card reports errors in its status, and both drivers check it three times: in the response to
//! the data command, *before* the data phase (if a card refuses the address, some controllers wait
//! for data for ever, and others accept the data and drop them); in the response to CMD12 that ends
//! a transfer; and, for a write, when the card has finished programming.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

mod action;
pub mod csd;
pub mod emergency;
mod error;
pub mod ext_csd;
pub mod found;
pub mod identify;
mod location;
pub mod normal;
mod phase;
pub mod procedure;
pub mod proto;
pub mod recover;
pub mod state;
mod transfer_commands;

pub use error::Error;
pub use found::EmergencyReport;
pub use location::{CardKind, CardLocation, flag};
