//! What a supervisor does for the flight recorder.
//!
//! A supervisor, ours or an upstream `jefe`, owns a [`Supervisor`] and calls it
//! in five places:
//!
//! * at start, [`Supervisor::new`], before the recorder runs, and
//!   [`Supervisor::start_delay`] for each task;
//! * for each new fault that the kernel reports, [`Supervisor::fault`], and
//!   after the last of them [`Supervisor::settle`];
//! * when its timer fires, [`Supervisor::time`], for which it includes
//!   [`Supervisor::deadline`] in what it sets the timer to, and now and then
//!   [`Supervisor::look_for_health`];
//! * when the recorder calls `emergency_done`, [`Supervisor::done`].
//!
//! # What happens at a fault
//!
//! The configuration says for each task what its fault means. For an *oops* the
//! fault is described in a note in retained RAM, the recorder gets a
//! notification, and the supervisor restarts the task as it sees fit. For a
//! *panic*:
//!
//! 1. The hardware watchdog is armed, once, with the budget of the whole
//!    emergency. From here on the system restarts, whatever fails.
//! 2. A note of the crash is made in the mailbox in retained RAM: who, when, and
//!    then which fault. Should nothing follow, because the supervisor hangs or
//!    fails, the watchdog resets the system and the next boot records the note.
//! 3. The crash is described there in full.
//! 4. The mailbox is armed, by one word, and the recorder restarted, which
//!    finds it armed and writes the record by polling. This comes last: until
//!    then a recorder that starts for another reason sees nothing.
//! 5. When the recorder says that it is done, the system is reset. If it
//!    faults instead, or its time is up, it is called once more, for a minimal
//!    record; and when that ends, in whatever way, the system is reset.
//!
//! A fault that comes again and again is not answered in the same way for ever:
//! see [`loops`].
//!
//! What else fails meanwhile, the recorder itself included, becomes a note
//! beside the crash that came first, and is written in the next boot. So does a
//! crash that no recorder could write before another one came.
//!
//! # What it costs
//!
//! No formatting, no allocation, no call to a task; every loop has a bound that
//! does not depend on what is found. The kernel copies the faulted task's
//! memory to the supervisor's stack, because it gives no access to retained
//! RAM, and from there it is copied once.
//!
//! # Portability
//!
//! The crate asks the system for what [`Kernel`] says. `Kipc` answers with
//! kernel IPC and the chip's watchdog. Without the features `registers` and
//! `memory` it uses only what every Hubris kernel has; the record then has no
//! registers and no stack.
//!
//! Everything but `Kipc` is tested on the host.

#![cfg_attr(not(any(test, feature = "tables")), no_std)]
#![forbid(unsafe_code)]

#[cfg(any(test, feature = "tables"))]
extern crate std;

mod capture;
mod config;
mod emergency;
pub mod failure;
mod fault;
mod kernel;
#[cfg(feature = "kipc")]
mod kipc;
pub mod loops;
#[cfg(test)]
mod machine;
mod supervisor;
#[cfg(feature = "tables")]
pub mod tables;

pub use capture::STACK_EXCERPT;
pub use config::{Config, Disposition, TaskPolicy};
pub use emergency::{Emergency, Mode, Phase, Step};
pub use kernel::{Kernel, PANIC_MESSAGE_MAX, TASK_REGISTERS};
#[cfg(feature = "kipc")]
pub use kipc::{Kipc, WatchdogTimer};
pub use supervisor::{Consequence, Supervisor};
