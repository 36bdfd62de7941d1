//! Specification section 8.3.
#![no_std]

pub use ours::{ClaimOnceCell, StaticCell, StaticRef};
