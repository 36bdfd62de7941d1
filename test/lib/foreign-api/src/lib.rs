//! Client of the thermal server, as a third-party API crate looks.

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

/// Why not.
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

/// Why not, at length.
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

/// There is only one.
#[derive(Copy, Clone, Debug, Serialize, Deserialize)]
pub enum Port {
    /// The one.
    Only,
}

/// What a sensor is connected to.
#[derive(Copy, Clone, Debug, Serialize, Deserialize)]
pub enum Bus {
    /// Two wires, with this number.
    I2c(u8),
}

/// Changed in place.
#[derive(Copy, Clone, Debug, Eq, PartialEq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Calibration {
    /// Added to what is measured.
    pub offset: i32,
    /// How often it was applied.
    pub applied: u32,
}

// As foreign crates do: no module, no attributes.
include!(concat!(env!("OUT_DIR"), "/client_stub.rs"));
