//! Decisions of the recorder's server, testable on any host.
//!
//! `task/crashlog` is one task with two activities: it answers requests, and it works on the card.
//! Both share state without locks, and neither waits for the other. This crate holds the part of
//! that state that needs neither kernel nor hardware:
//!
//! * [`quota`]: how much of the log ring each client holds. One client cannot use up the share of
//!   another;
//! * [`deferred`]: the callers whose replies are deferred until the card has done its part;
//! * [`agenda`]: which job the normal path does next, and how long it may sleep.

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

pub mod agenda;
pub mod deferred;
pub mod quota;
