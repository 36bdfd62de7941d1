//! Client of the dump agent: IPC and errors.
//!
//! The supervisor answers with the same errors where it is asked for dumps itself. What is in an area is the crate
//! `humpty`'s.
//!
//! Interface: hubris-interface section 10.4.

#![no_std]
#![forbid(unsafe_code)]

mod error;

pub use error::DumpAgentError;

use userlib::sys_send;

#[allow(missing_docs, reason = "generated from idl/dump-agent.idol")]
mod client {
    use super::*;

    include!(concat!(env!("OUT_DIR"), "/client_stub.rs"));
}

pub use client::DumpAgent;
