//! What a dump agent with a network interface and its clients send each other in UDP packets.
//!
//! A request is a [`Header`] and a [`Request`]; its answer a [`Header`] with the same id and a
//! `Result<Response, Error>`, all in hubpack. The numbers of the variants are their places.

use hubpack::SerializedSize;
use serde::{Deserialize, Serialize};

/// Versions of the packets.
pub mod version {
    /// The oldest that is still understood.
    pub const MIN: u8 = 1;
    /// The one that is spoken.
    pub const CURRENT: u8 = 3;
}

/// The start of every packet.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, SerializedSize)]
pub struct Header {
    /// As in [`version`].
    pub version: u8,
    /// The client's number of the request, which its answer repeats.
    pub message_id: u64,
}

/// What a client asks for, as the operation of the dump agent.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, SerializedSize)]
pub enum Request {
    /// 256 bytes of an area.
    ReadDump {
        /// The area.
        index: u8,
        /// Where they begin, a multiple of 256.
        offset: u32,
    },
    /// Prepares a dump of the system.
    InitializeDump,
    /// Adds memory to it.
    AddDumpSegment {
        /// Its first byte.
        address: u32,
        /// Its length in bytes.
        length: u32,
    },
    /// Has it taken.
    TakeDump,
    /// Dumps a task.
    DumpTask {
        /// Its index.
        task_index: u32,
    },
    /// Dumps memory of a task.
    DumpTaskRegion {
        /// Its index.
        task_index: u32,
        /// The first byte.
        start: u32,
        /// Its length in bytes.
        length: u32,
    },
    /// Empties this area and those behind it.
    ReinitializeDumpFrom {
        /// The first area.
        index: u8,
    },
    /// The id of the image.
    GetImageId,
}

/// The answer to the request of the same name.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, SerializedSize)]
#[allow(
    clippy::large_enum_variant,
    reason = "it is what a packet has, and there is no allocator"
)]
pub enum Response {
    /// The bytes.
    ReadDump(#[serde(with = "bytes")] [u8; 256]),
    /// It was done.
    InitializeDump,
    /// It was done.
    AddDumpSegment,
    /// It was done.
    TakeDump,
    /// The area in which the dump begins.
    DumpTask(u8),
    /// The area in which the dump begins.
    DumpTaskRegion(u8),
    /// It was done.
    ReinitializeDumpFrom,
    /// The id, as it is in memory.
    GetImageId([u8; 8]),
}

/// Why a request was refused: the packet was wrong, or the error of the dump agent of that name.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, SerializedSize)]
#[allow(missing_docs, reason = "the dump agent's errors say what they mean")]
pub enum Error {
    /// It could not be decoded.
    DeserializeError,
    /// Its version is not understood.
    VersionMismatch {
        /// [`version::CURRENT`] of the dump agent.
        ours: u8,
        /// That of the packet.
        theirs: u8,
    },
    DumpAgentUnsupported,
    InvalidArea,
    BadOffset,
    UnalignedOffset,
    UnalignedSegmentAddress,
    UnalignedSegmentLength,
    BadDumpResponse,
    NotSupported,
    DumpPresent,
    UnclaimedDumpArea,
    CannotClaimDumpArea,
    DumpAreaInUse,
    BadSegmentAdd,
    DumpMessageFailed,
    DumpFailed,
    DumpFailedSetup,
    DumpFailedRead,
    DumpFailedWrite,
    DumpFailedControl,
    DumpFailedUnknown,
    DumpFailedUnknownError,
    LeaseWriteFailed,
    ServerRestarted,
}

/// An array that is longer than those that serde knows.
mod bytes {
    use core::fmt;
    use serde::de::{Deserializer, Error, SeqAccess, Visitor};
    use serde::ser::{SerializeTuple, Serializer};

    const LEN: usize = 256;

    pub fn serialize<S: Serializer>(bytes: &[u8; LEN], serializer: S) -> Result<S::Ok, S::Error> {
        let mut tuple = serializer.serialize_tuple(LEN)?;
        for byte in bytes {
            tuple.serialize_element(byte)?;
        }
        tuple.end()
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; LEN], D::Error> {
        struct Bytes;

        impl<'de> Visitor<'de> for Bytes {
            type Value = [u8; LEN];

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("256 bytes")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<[u8; LEN], A::Error> {
                let mut bytes = [0; LEN];
                for (index, byte) in bytes.iter_mut().enumerate() {
                    *byte = list
                        .next_element()?
                        .ok_or_else(|| A::Error::invalid_length(index, &self))?;
                }
                Ok(bytes)
            }
        }

        deserializer.deserialize_tuple(LEN, Bytes)
    }
}
