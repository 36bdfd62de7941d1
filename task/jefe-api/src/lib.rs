//! Client of the supervisor: IPC and types.
//!
//! Operations 1 to 13 are those of Hubris' `jefe`, in its order: a client of an upstream `jefe`
//! works with this one, too. Those from 14 on are ours: [`Jefe::emergency_done`] is for the crash
//! recorder, and [`Jefe::register_crash_region`] for whoever wants memory saved with a crash.
//!
//! Any task may name `jefe` in its `task-slots`: the supervisor is more important than every other
//! task, so a call always goes uphill. Which tasks may use which operations is configured in the
//! supervisor's `allowed-callers`.

#![no_std]
#![forbid(unsafe_code)]

mod regions;
mod reset;

pub use dump_agent_api::DumpAgentError;
pub use humpty::{DumpArea, DumpAreaRegion, DumpContents};
pub use regions::{CrashRegionError, REGION_NAME_MAX, region_name};
pub use reset::ResetReason;

use userlib::sys_send;

#[allow(missing_docs, reason = "generated from idl/jefe.idol")]
mod client {
    use super::*;

    include!(concat!(env!("OUT_DIR"), "/client_stub.rs"));
}

pub use client::Jefe;

impl Jefe {
    /// Has the supervisor restart the calling task.
    pub fn restart_me(&self) -> ! {
        loop {
            // Does not return: the supervisor restarts the task while it waits for the reply. The
            // loop is for a supervisor that does not.
            self.restart_me_raw();
        }
    }
}
