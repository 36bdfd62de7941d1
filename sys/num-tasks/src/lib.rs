//! How many tasks the application has.
//!
//! A separate crate, because both the kernel and tasks size tables by it, and so that only crates that do are built
//! again when a task is added.

#![no_std]
#![forbid(unsafe_code)]

include!(concat!(env!("OUT_DIR"), "/tasks.rs"));
