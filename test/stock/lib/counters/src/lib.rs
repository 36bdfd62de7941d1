//! Specification section 8.2.
#![no_std]

pub use ours::{count, counters, BoolCounts, Count, OptionCounters, ResultCounters};
// What the derived code of ours names.
#[doc(hidden)]
pub use ours::{increment, AtomicU32};
