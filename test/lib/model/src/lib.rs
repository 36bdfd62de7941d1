//! Random programs of system calls, and a model of the kernel that predicts them.
//!
//! A seed determines a program for each of four worker tasks: sends, receives, replies, posts,
//! timers, leases, restarts and faults, with right and wrong arguments. On the target each worker
//! generates its own program and writes the result of every call to a shared log, so the log also
//! has the order in which the tasks ran. On the host [`predict`] computes the same log from the
//! kernel's rules, which are implemented a second time there, as simply as possible. The numbers of
//! sections in its comments are those of test/tasks/suite/README.md. Both logs must be equal, word
//! by word, for every seed.
//!
//! Nothing depends on time: timers are set to the past or never fire, and a program ends within a
//! tick.

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

/// Number of workers. They have the task indices 1 to 4.
pub const WORKERS: usize = 4;

/// Operations of a worker's program.
pub const OPS: usize = 14;

/// Number of times that a worker runs its program. After further restarts it only sleeps.
pub const LIVES: u32 = 3;

/// Tasks of the image, the supervisor (index 0) included.
pub const TASKS: usize = 7;

/// An index without a task.
pub const NO_SUCH_TASK: u8 = 20;

/// Bytes of every buffer of a worker.
pub const BUFFER: usize = 24;

/// Priority of each task: supervisor, workers (two of them equals), conductor, idle.
pub const PRIORITIES: [u8; TASKS] = [0, 2, 3, 3, 1, 8, 9];

/// Does the mask leave out this operation? It has one bit for each operation of a seed, to reduce a
/// seed that fails.
pub fn is_masked(mask: u64, worker: usize, op: usize) -> bool {
    mask >> (worker * OPS + op) & 1 != 0
}
