//! Where a record belongs and how important it is.

use counters::Count;
use serde::{Deserialize, Serialize};
use userlib::FromPrimitive;

/// A front end of the recorder; each is a stream of its own in the log. The numbers are those on the card.
#[derive(
    Copy,
    Clone,
    Debug,
    Eq,
    PartialEq,
    Count,
    FromPrimitive,
    Serialize,
    Deserialize,
    hubpack::SerializedSize,
    zerocopy::IntoBytes,
    zerocopy::Immutable,
)]
#[repr(u8)]
pub enum Stream {
    /// Bytes of a console, as they came.
    Console = 0,
    /// A task's own records: values with their type name, or lines of text.
    Event = 1,
    /// What the recorder itself knows about faults.
    Fault = 2,
    /// Snapshots of ring buffers.
    Trace = 3,
}

/// Importance of a record, most important first. The numbers are those on the card.
#[derive(
    Copy,
    Clone,
    Debug,
    Eq,
    PartialEq,
    Ord,
    PartialOrd,
    FromPrimitive,
    Serialize,
    Deserialize,
    hubpack::SerializedSize,
    zerocopy::IntoBytes,
    zerocopy::Immutable,
)]
#[repr(u8)]
pub enum Level {
    /// Something failed.
    Error = 0,
    /// Something is wrong, and the task goes on.
    Warn = 1,
    /// Normal, worth knowing afterwards.
    Info = 2,
    /// For those who look for a defect.
    Debug = 3,
    /// Every step.
    Trace = 4,
}
