//! Client of the dump agent: IPC and errors.
//!
//! Operations, errors and their numbers are those of Hubris' `dump-agent`. The supervisor's own
//! operations on dumps have the same errors. Crate `humpty` describes the content of an area.

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
