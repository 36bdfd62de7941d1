//! Errors of the recorder's operations.

use counters::Count;
use derive_idol_err::IdolError;
use userlib::FromPrimitive;

/// Why an operation of the recorder did not succeed.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Count, FromPrimitive, IdolError)]
#[repr(u32)]
pub enum CrashLogError {
    /// The caller's share of the log ring is used up, or the ring is full: try again when the card has caught up.
    Full = 1,
    /// The record could not be read from the caller's lease.
    BadLease = 2,
    /// Nothing is being saved: there is no card, or none that is ours; `status` says why.
    NotSaving = 3,
    /// No record has this sequence number or index.
    NoSuchRecord = 4,
    /// The record has no such segment, or it ends before this offset.
    NoSuchSegment = 5,
    /// The stream ring does not hold this page.
    NoSuchPage = 6,
    /// What the card holds there is damaged.
    Damaged = 7,
    /// The card could not be read or written; `status` says which step failed.
    Device = 8,
    /// Too many callers wait for the card already.
    Busy = 9,
    /// The recorder was restarted while it handled the call.
    #[idol(server_death)]
    ServerRestarted = 10,
}
