//! Upstream's operations, and `emergency_done`, as doc/porting.md describes.
#![no_std]

pub use ours::Jefe;
