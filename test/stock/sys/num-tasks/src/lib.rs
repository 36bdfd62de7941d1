//! Upstream's names of `hubris-num-tasks`.
#![no_std]

#[cfg(feature = "task-enum")]
pub use ours::Task;
pub use ours::NUM_TASKS;
