//! Number of tasks in the application.
//!
//! A crate of its own, so that adding a task rebuilds only the crates that size tables by it.

#![no_std]
#![forbid(unsafe_code)]

include!(concat!(env!("OUT_DIR"), "/tasks.rs"));
