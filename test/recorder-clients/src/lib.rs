//! The recorder's server on the host, against clients that do what they like.
//!
//! The modules of `task` are the files of the task `crashlog`, as the target runs them: the server,
//! and the normal path's work on the card. They are compiled into this crate with another
//! configuration (`config`), another hardware (`hardware`: a simulated controller and card) and
//! another kernel ([`kernel`]), whose RECV is where the clients act. `start` is the task's entry
//! point, and `jefe` stands for the supervisor.
//!
//! [`clients`] has the clients and what is checked, [`random`] clients that act at random.

extern crate self as hubris_num_tasks;
extern crate self as task_jefe_api;

pub mod clients;
mod config;
pub mod damage;
mod hardware;
mod jefe;
pub mod kernel;
mod notifications;
mod panics;
pub mod random;
mod retained;
mod self_test;
mod start;

/// The task's own files.
#[path = "../../../task/crashlog/src"]
#[allow(dead_code, reason = "what only the emergency path uses")]
mod task {
    pub mod emergency;
    pub mod events;
    pub mod mmc_medium;
    pub mod normal;
    pub mod recorder;
    pub mod reply;
    pub mod server;
    pub mod trace;
    pub mod transfer_blocks;
}

pub use jefe::Jefe;
use task::{
    emergency, events, mmc_medium, normal, recorder, reply, server, trace, transfer_blocks,
};
use trace::Trace;

/// Number of tasks: the supervisor, the recorder, and clients.
pub const NUM_TASKS: usize = 8;

ringbuf::counted_ringbuf!(Trace, 16, Trace::None);
