//! What the kernel's hooks do on every chip: a failure of the kernel, or of the supervisor, is
//! described in retained RAM, with the memory of the system.
//!
//! The chip's own crate arms its watchdog before it calls `describe`.

#![cfg_attr(target_os = "none", no_std)]
#![cfg(target_os = "none")]

mod failure;
#[cfg_attr(not(feature = "dump"), path = "no_snapshot.rs")]
mod snapshot;

pub use crashlog_retained::ResetCause;
pub use failure::{describe, last_ran, leave_reset_cause, on_restart};

/// Milliseconds that [`describe`] takes at most, after which the chip's watchdog may reset the
/// system.
pub const FAILURE_MS: u32 = 1_000;
