//! What a supervisor does for the crash recorder.
//!
//! A supervisor, ours or an upstream `jefe`, owns a [`Supervisor`] and calls it in these places:
//!
//! | when | call |
//! |---|---|
//! | at start, before the recorder runs | [`Supervisor::new`] |
//! | then, for each task | [`Supervisor::start_delay`] |
//! | for each new fault that the kernel reports | [`Supervisor::handle_fault`] |
//! | after the last of them | [`Supervisor::enter_declared_emergency`] |
//! | its timer fires | [`Supervisor::check_deadline`], [`Supervisor::end_healthy_series`], [`Supervisor::check_hangs`] |
//! | it sets its timer | to [`Supervisor::deadline`], if that is first |
//! | the recorder calls `emergency_done` | [`Supervisor::emergency_done`] |
//! | a task says that it is alive | [`Supervisor::alive`] |
//! | a task asks for a reset of the system | [`Supervisor::note_restart`], [`Supervisor::end_trial`] |
//!
//! A supervisor that is not ours has less to do with a [`SupervisorGuard`], which makes these calls
//! where they belong.
//!
//! # Three questions about a fault
//!
//! | question | function | file |
//! |---|---|---|
//! | What does it mean: restart or reset? | [`Supervisor::handle_fault`] | `disposition.rs` |
//! | Is it a crash loop? | [`loops::Limits::count`] | `loops.rs` |
//! | When is the system reset? | [`EmergencySequence::deadline`] | `emergency/sequence.rs` |
//!
//! When a single task is restarted is the supervisor's own rule. The watchdog is armed in
//! `watchdog.rs`.
//!
//! # What happens at a fault
//!
//! The configuration gives each task a [`Disposition`]. A fault that restarts one task is an
//! *oops*: it is described in a free place of the mailbox in retained RAM, the recorder gets a
//! notification, and the supervisor restarts the task. A fault that resets the system is a *panic*:
//!
//! 1. The hardware watchdog is armed, once, with the budget of the whole emergency. From here on
//!    the system is reset whatever fails.
//! 2. A note of the crash is made in the mailbox: which task and when, and then which fault. If the
//!    supervisor fails or hangs after this, the watchdog resets the system and the next boot writes
//!    the crash from the note.
//! 3. The crash is described in the mailbox in full.
//! 4. The mailbox is armed, by one store, and the recorder restarted. It finds the mailbox armed
//!    and writes the crash by polling. Arming comes last, so that a recorder that starts for
//!    another reason never sees half a description.
//! 5. When the recorder reports that it is done, the system is reset. If it faults instead, or its
//!    time is up, it is restarted once more in [`Mode::Minimal`]; when that ends, in whatever way,
//!    the system is reset.
//!
//! A fault that repeats is held in the end: see [`loops`].
//!
//! Every other fault during an emergency, the recorder's own included, is described in a free place
//! beside the crash that came first and written in the next boot. So is a crash of an earlier boot
//! that could not be written yet.
//!
//! # What it costs
//!
//! No formatting, no allocation, no call to a task; every loop has a bound that does not depend on
//! what is found. The kernel copies the faulted task's memory to the supervisor's stack, because
//! kernel IPC cannot write to retained RAM, and from there it is copied once.
//!
//! # Portability
//!
//! [`Kernel`] is all that the crate needs of the system. `Kipc` implements it with kernel IPC and
//! the chip's watchdog. Without the features `registers` and `memory` it uses only kernel IPC that
//! every Hubris kernel has; a crash then has no registers and no stack. With `memory` alone, which
//! needs a kernel with its feature `dump`, it finds the registers in the memory of kernel and task.
//!
//! Everything but `Kipc` is tested on the host.

#![cfg_attr(not(any(test, feature = "tables")), no_std)]
#![forbid(unsafe_code)]

#[cfg(any(test, feature = "tables"))]
extern crate std;

mod alive;
mod boot_end;
mod capture;
mod config;
mod disposition;
mod emergency;
#[cfg(any(
    test,
    all(feature = "kipc", feature = "memory", not(feature = "registers"))
))]
mod exception_frame;
pub mod failure;
mod fault;
mod guard;
mod hang;
mod kernel;
#[cfg(feature = "kipc")]
mod kipc;
pub mod loops;
mod regions;
mod saved_ranges;
mod snapshot;
mod supervisor;
#[cfg(feature = "tables")]
pub mod tables;
#[cfg(test)]
mod testing;
mod wait;
mod watchdog;

pub use capture::STACK_EXCERPT;
pub use config::{SnapshotScope, SupervisorConfig, TaskPolicy};
pub use crashlog_retained::{BootEnd, ResetCause};
pub use disposition::{Consequence, Disposition};
pub use emergency::{EmergencySequence, EmergencyState, Mode, NextAction};
pub use guard::SupervisorGuard;
pub use hang::{CHECK_MS, Hang, HangWatch};
pub use kernel::{Kernel, PANIC_MESSAGE_MAX, TASK_REGISTERS};
#[cfg(feature = "kipc")]
pub use kipc::Kipc;
pub use regions::{
    CrashRegion, CrashRegions, DEVICE_REGION_MAX, MemoryAccess, REGION_NAME_MAX, RegionKernel,
    RegionOrigin, RegionRefusal,
};
pub use saved_ranges::SavedRanges;
pub use snapshot::EMERGENCY_STACK;
pub use supervisor::Supervisor;
#[cfg(feature = "kipc")]
pub use watchdog::WatchdogTimer;
