//! Upstream's operations, and `emergency_done`, which a user adds as doc/porting.md describes.
#![no_std]

pub use ours::Jefe;
