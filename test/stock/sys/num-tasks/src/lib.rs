//! Specification section 5.12.
#![no_std]

#[cfg(feature = "task-enum")]
pub use ours::Task;
pub use ours::NUM_TASKS;
