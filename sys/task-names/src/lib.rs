//! The names of the tasks, as they are written in `app.toml`.
//!
//! A task that only prints or stores names uses this; whoever needs identities uses task slots.

#![no_std]
#![forbid(unsafe_code)]

include!(concat!(env!("OUT_DIR"), "/names.rs"));
