//! Errors of operations on dumps.

use counters::Count;
use derive_idol_err::IdolError;
use userlib::FromPrimitive;

/// Why an operation on dumps has failed. The numbers are on the wire.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Count, FromPrimitive, IdolError)]
#[repr(u32)]
pub enum DumpAgentError {
    /// This image has no dump areas.
    DumpAgentUnsupported = 1,
    /// There is no area with this index.
    InvalidArea,
    /// The offset, or the index of a task, is out of range.
    BadOffset,
    /// The offset has the wrong alignment.
    UnalignedOffset,
    /// A segment's address has the wrong alignment.
    UnalignedSegmentAddress,
    /// A segment's length has the wrong alignment.
    UnalignedSegmentLength,
    /// The response of the dumper was not the expected one.
    BadDumpResponse,
    /// The operation is not supported, for this task or at all.
    NotSupported,
    /// There is a dump already.
    DumpPresent,
    /// The area is not claimed.
    UnclaimedDumpArea,
    /// The area could not be claimed.
    CannotClaimDumpArea,
    /// The area is in use for another dump.
    DumpAreaInUse,
    /// The segment was not accepted.
    BadSegmentAdd,
    /// The message to the dumper failed.
    DumpMessageFailed,
    /// Dumping failed.
    DumpFailed,
    /// Dumping failed while it was set up.
    DumpFailedSetup,
    /// Dumping failed while it read.
    DumpFailedRead,
    /// Dumping failed while it wrote.
    DumpFailedWrite,
    /// Dumping failed while it controlled the processor.
    DumpFailedControl,
    /// Dumping failed for an unknown reason.
    DumpFailedUnknown,
    /// Dumping failed with an unknown error.
    DumpFailedUnknownError,
    /// The caller's lease could not be written.
    LeaseWriteFailed,
    /// The server was restarted while it handled the call.
    #[idol(server_death)]
    ServerRestarted,
}

impl From<humpty::Error> for DumpAgentError {
    fn from(error: humpty::Error) -> Self {
        match error {
            humpty::Error::InvalidArea => Self::InvalidArea,
            humpty::Error::NoneFree => Self::CannotClaimDumpArea,
            humpty::Error::NotClaimed => Self::UnclaimedDumpArea,
            humpty::Error::UnalignedAddress => Self::UnalignedSegmentAddress,
            humpty::Error::UnalignedLength => Self::UnalignedSegmentLength,
            humpty::Error::TooManySegments => Self::BadSegmentAdd,
            humpty::Error::Read => Self::DumpFailedRead,
            humpty::Error::UnalignedOffset => Self::UnalignedOffset,
            humpty::Error::BeyondEnd => Self::BadOffset,
        }
    }
}
