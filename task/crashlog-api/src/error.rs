//! Errors of the recorder's operations.

use counters::Count;
use derive_idol_err::IdolError;
use userlib::FromPrimitive;

/// Why an operation of the recorder failed. The numbers are the response codes of the IPC
/// interface.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Count, FromPrimitive, IdolError)]
#[repr(u32)]
pub enum CrashLogError {
    /// The caller's quota of the log ring is used up, or the ring is full. Try again after some
    /// records were written.
    Full = 1,
    /// The caller's lease cannot be read or written, or has the wrong length.
    BadLease = 2,
    /// Nothing is being saved; `status` says why. Reading may be possible all the same.
    NotSaving = 3,
    /// There is no crash with this sequence number or index on the card.
    NoSuchCrash = 4,
    /// The crash has no such segment, or the segment ends before this offset.
    NoSuchSegment = 5,
    /// The stream ring does not hold this page.
    NoSuchPage = 6,
    /// The crash or the page was read from the card, but does not pass its check.
    Damaged = 7,
    /// The card could not be read or written; `status` says which step failed.
    Device = 8,
    /// There is no room to defer the caller's request.
    Busy = 9,
    /// The recorder was restarted while it handled the call.
    #[idol(server_death)]
    ServerRestarted = 10,
    /// The time is after the year 9999.
    BadTime = 11,
}
