//! Names of the tasks, as written in `app.toml`.
//!
//! For tasks that print or store names. To send to a task, use a task slot.

#![no_std]
#![forbid(unsafe_code)]

include!(concat!(env!("OUT_DIR"), "/names.rs"));
