//! Upstream's operations and `emergency_done`, which doc/porting.md has one add.
#![no_std]

pub use ours::Jefe;
