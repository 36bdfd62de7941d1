//! Client of the adder.

#![no_std]

use derive_idol_err::IdolError;
use userlib::{FromPrimitive, sys_send};

/// Errors of the adder.
#[derive(Copy, Clone, Debug, Eq, PartialEq, FromPrimitive, IdolError, counters::Count)]
#[repr(u32)]
pub enum AdderError {
    /// The sum would be above the configured limit.
    TooLarge = 1,
    /// The adder was restarted during the call.
    #[idol(server_death)]
    ServerRestarted,
}

include!(concat!(env!("OUT_DIR"), "/client_stub.rs"));
