//! Upstream's names of `counters`.
#![no_std]

pub use ours::{count, counters, BoolCounts, Count, OptionCounters, ResultCounters};
// Names that the derived code of this repository's crate uses.
#[doc(hidden)]
pub use ours::{increment, AtomicU32};
