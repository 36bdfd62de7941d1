//! Regions that a task registers to be saved with a crash.

use counters::Count;
use derive_idol_err::IdolError;
use userlib::FromPrimitive;

/// Longest name of a region, in bytes.
pub const REGION_NAME_MAX: usize = 24;

/// Why a region was not registered, or its registration not ended. The numbers are on the wire.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Count, FromPrimitive, IdolError)]
#[repr(u32)]
pub enum CrashRegionError {
    /// The name must have 1 to 24 printable ASCII characters without spaces, and zeros behind them.
    InvalidName = 1,
    /// The task has a region of that name.
    NameTaken,
    /// The task may not read all of it, or it has no bytes, or another bus master accesses it.
    NotReadable,
    /// Registers of a peripheral: address and length must be multiples of 4, and the length at most
    /// 256.
    BadDeviceRange,
    /// The task has as many regions as `per-task` allows.
    TooMany,
    /// The task's regions would have more bytes than `bytes-per-task` allows.
    TooLong,
    /// The regions of all tasks are as many as `total` allows: none, if no recorder is configured.
    RegistryFull,
    /// The task has registered no region of that name at run time.
    NotRegistered,
    /// The supervisor was restarted while it handled the call.
    #[idol(server_death)]
    ServerRestarted,
}

/// The name of a region as the operations take it: `const NAME: [u8; 24] = region_name("queue");`.
///
/// # Panics
///
/// If it has more than 24 bytes.
#[must_use]
pub const fn region_name(text: &str) -> [u8; REGION_NAME_MAX] {
    let bytes = text.as_bytes();
    assert!(
        bytes.len() <= REGION_NAME_MAX,
        "the name of a region must have 1 to 24 bytes"
    );
    let mut name = [0; REGION_NAME_MAX];
    let mut at = 0;
    while at < bytes.len() {
        name[at] = bytes[at];
        at += 1;
    }
    name
}
