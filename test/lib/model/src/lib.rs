//! Random programs of system calls, and a model of the kernel that predicts what comes of them.
//!
//! A seed is a program for each of four worker tasks: sends, receives, replies, posts, timers, leases, restarts and
//! faults, right and wrong ones. On the target each worker generates its own program and writes what every call
//! returned to a log that all share, so the log also has the order in which the tasks ran. On the host [`predict`]
//! computes the same log from the rules of the interface (hubris-interface sections 2 to 4), written once more and as
//! simply as possible: lists are searched, nothing is fast. The two must be equal, word by word, for every seed.
//!
//! Nothing depends on time: timers are set to the past or to never, and a program is over within a tick.

#![cfg_attr(target_os = "none", no_std)]
#![forbid(unsafe_code)]

mod log;
#[cfg(not(target_os = "none"))]
mod machine;
mod program;

pub use log::{Hash, LOG, pattern, sum};
#[cfg(not(target_os = "none"))]
pub use machine::predict;
pub use program::{Bad, Kind, Op, Who, program};

/// How many workers there are; they have the task indices 1 to 4.
pub const WORKERS: usize = 4;

/// Operations of a worker's program.
pub const OPS: usize = 14;

/// How often a worker runs its program: it is restarted by others, and only sleeps after that.
pub const LIVES: u32 = 3;

/// Tasks of the image, the supervisor (index 0) included.
pub const TASKS: usize = 7;

/// A task index that there is not.
pub const NOBODY: u8 = 20;

/// Bytes of every buffer of a worker.
pub const BUFFER: usize = 24;

/// Priority of each task: supervisor, workers (two of them equals), conductor, idle.
pub const PRIORITIES: [u8; TASKS] = [0, 2, 3, 3, 1, 8, 9];

/// Which operations of a seed are left out, one bit each: how a seed that fails is made smaller.
pub fn is_masked(mask: u64, worker: usize, op: usize) -> bool {
    mask >> (worker * OPS + op) & 1 != 0
}
