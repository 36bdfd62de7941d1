//! Client of the thermal server, written like a third-party API crate.

#![no_std]

use derive_idol_err::IdolError;
use hubpack::SerializedSize;
use serde::{Deserialize, Serialize};
use userlib::*;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Which sensor.
#[derive(
    Copy,
    Clone,
    Debug,
    Eq,
    PartialEq,
    FromPrimitive,
    IntoBytes,
    Immutable,
    KnownLayout,
    Serialize,
    Deserialize,
    SerializedSize,
)]
#[repr(u8)]
pub enum SensorId {
    /// Where the air comes in.
    Inlet = 1,
    /// Where it goes out.
    Outlet = 2,
    /// There is none.
    Missing = 3,
}

/// Errors of the operations.
#[derive(Copy, Clone, Debug, FromPrimitive, Eq, PartialEq, IdolError, counters::Count)]
pub enum ThermalError {
    /// No such sensor.
    NoSensor = 1,
    /// The limit is no temperature.
    BadLimit,
    /// The server was restarted.
    #[idol(server_death)]
    ServerRestarted,
}

/// Errors of `describe`, with data.
#[derive(
    Copy, Clone, Debug, Eq, PartialEq, Serialize, Deserialize, SerializedSize, counters::Count,
)]
pub enum DescribeError {
    /// No such sensor.
    NoSensor {
        /// How many there are.
        sensors: u8,
    },
    /// The server was restarted.
    Died,
}

impl From<idol_runtime::ServerDeath> for DescribeError {
    fn from(_: idol_runtime::ServerDeath) -> Self {
        Self::Died
    }
}

/// What a sensor is.
#[derive(Copy, Clone, Debug, PartialEq, Serialize, Deserialize, SerializedSize)]
pub struct Description {
    /// Its name.
    pub name: [u8; 8],
    /// Its place, if it has one.
    pub place: Option<u16>,
    /// What it measures.
    pub kind: Kind,
}

/// What is measured.
#[derive(Copy, Clone, Debug, PartialEq, Serialize, Deserialize, SerializedSize)]
pub enum Kind {
    /// Of the air.
    Air,
    /// Of something that touches it.
    Contact {
        /// How good the contact is.
        quality: u8,
    },
}

/// An enum with one variant, whose tag takes no memory.
#[derive(Copy, Clone, Debug, Serialize, Deserialize)]
pub enum Port {
    /// The only port.
    Only,
}

/// What a sensor is connected to.
#[derive(Copy, Clone, Debug, Serialize, Deserialize)]
pub enum Bus {
    /// Two wires, with this number.
    I2c(u8),
}

/// A value that the server changes in the caller's memory.
#[derive(Copy, Clone, Debug, Eq, PartialEq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Calibration {
    /// Offset that is added to each sample.
    pub offset: i32,
    /// How often it was applied.
    pub applied: u32,
}

// Without a module and attributes, as in third-party crates.
include!(concat!(env!("OUT_DIR"), "/client_stub.rs"));
