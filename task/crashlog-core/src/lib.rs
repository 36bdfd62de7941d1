//! Decisions of the flight recorder's server, testable on any host.
//!
//! `task/crashlog` is one task with two activities: it answers requests, and it works on the card in the background.
//! Both see the same state through shared references; neither ever waits for the other. This crate holds that part of
//! the state which needs neither kernel nor hardware:
//!
//! * [`quota`]: how much of the log ring each client holds, so that none can push out or starve another;
//! * [`waiting`]: the callers that get their answer later, when the card has done its part;
//! * [`agenda`]: what the background does next, and how long it may sleep.

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

pub mod agenda;
pub mod quota;
pub mod waiting;
