//! Upstream's names of `derive-idol-err`.
#![no_std]

pub use ours::IdolError;
