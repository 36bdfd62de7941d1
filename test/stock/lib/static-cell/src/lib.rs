//! Upstream's names of `static-cell`.
#![no_std]

pub use ours::{ClaimOnceCell, StaticCell, StaticRef};
