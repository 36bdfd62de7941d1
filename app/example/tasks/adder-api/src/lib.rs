//! Client of the adder.

#![no_std]

use derive_idol_err::IdolError;
use userlib::{FromPrimitive, sys_send};

/// Why there is no sum.
#[derive(Copy, Clone, Debug, Eq, PartialEq, FromPrimitive, IdolError, counters::Count)]
#[repr(u32)]
pub enum AdderError {
    /// It would be above the configured limit.
    TooLarge = 1,
    /// The adder was restarted meanwhile.
    #[idol(server_death)]
    ServerRestarted,
}

include!(concat!(env!("OUT_DIR"), "/client_stub.rs"));
