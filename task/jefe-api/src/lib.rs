//! Client of the supervisor: IPC and types.
//!
//! Operations 1 to 13 are Hubris', in its order (hubris-interface section
//! 10.1), so that what talks to an upstream `jefe` talks to this one. Operation
//! 14, [`Jefe::emergency_done`], is the flight recorder's.
//!
//! Any task may name `jefe` in its `task-slots`: the supervisor is more
//! important than everyone, so a call always goes uphill. Which operations a
//! task may use is configured there, in `allowed-callers`.

#![no_std]
#![forbid(unsafe_code)]

mod reset;

pub use dump_agent_api::DumpAgentError;
pub use humpty::{DumpArea, DumpAreaRegion, DumpContents};
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
            // Does not return where the supervisor does its part: the restart
            // ends this life of the task while it waits for the answer.
            self.restart_me_raw();
        }
    }
}
