//! Specification section 7.7.
#![no_std]

pub use ours::IdolError;
