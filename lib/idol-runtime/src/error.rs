//! Errors of requests.

use counters::{AtomicU32, Count};
use userlib::ReplyFaultReason;

/// The client violated the interface, or gets no reply (now).
#[derive(Copy, Clone, Debug, Eq, PartialEq, Count)]
#[repr(u32)]
pub enum ClientError {
    /// The interface has no such operation.
    UnknownOperation = 0xffff_fe00,
    /// The message has the wrong length.
    BadMessageSize = 0xffff_fe01,
    /// Wrong number, kind or size of leases.
    BadLease = 0xffff_fe02,
    /// No reply is sent: the client was restarted, or the server defers the reply.
    WentAway = 0xffff_fe03,
    /// The arguments do not decode.
    BadMessageContents = 0xffff_fe04,
    /// The reply would not fit into the client's buffer.
    ReplyBufferTooSmall = 0xffff_fe05,
    /// The client may not use this operation.
    AccessViolation = 0xffff_fe06,
}

impl ClientError {
    /// The fault that the client gets; `None` if it gets none.
    pub fn into_fault(self) -> Option<ReplyFaultReason> {
        match self {
            Self::UnknownOperation => Some(ReplyFaultReason::UndefinedOperation),
            Self::BadMessageSize => Some(ReplyFaultReason::BadMessageSize),
            Self::BadLease => Some(ReplyFaultReason::BadLeases),
            Self::WentAway => None,
            Self::BadMessageContents => Some(ReplyFaultReason::BadMessageContents),
            Self::ReplyBufferTooSmall => Some(ReplyFaultReason::ReplyBufferTooSmall),
            Self::AccessViolation => Some(ReplyFaultReason::AccessViolation),
        }
    }

    /// This error as the outcome of an operation.
    pub fn fail<E>(self) -> RequestError<E> {
        RequestError::Fail(self)
    }
}

impl From<ClientError> for u32 {
    fn from(error: ClientError) -> Self {
        error as Self
    }
}

/// Why an operation did not succeed.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Count)]
#[repr(u32)]
pub enum RequestError<E> {
    /// An error that the interface declares: sent to the client.
    Runtime(#[count(children)] E),
    /// An error of the client: it is faulted, or gets no reply.
    Fail(#[count(children)] ClientError),
}

impl<E> RequestError<E> {
    /// No reply is sent: the client was restarted, or the server defers the reply.
    pub fn went_away() -> Self {
        ClientError::WentAway.fail()
    }

    /// Converts the interface's error and keeps the client's.
    #[inline(always)]
    pub fn map_runtime<T>(self, f: impl FnOnce(E) -> T) -> RequestError<T> {
        match self {
            Self::Runtime(error) => RequestError::Runtime(f(error)),
            Self::Fail(error) => RequestError::Fail(error),
        }
    }
}

impl<E> From<E> for RequestError<E> {
    fn from(error: E) -> Self {
        Self::Runtime(error)
    }
}

impl<E> From<RequestError<E>> for u32
where
    u16: From<E>,
{
    fn from(error: RequestError<E>) -> Self {
        match error {
            RequestError::Runtime(error) => u16::from(error).into(),
            RequestError::Fail(error) => error.into(),
        }
    }
}

/// The server was restarted before it replied; it may have carried out all, part or nothing of the
/// request.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct ServerDeath;

impl Count for ServerDeath {
    type Counters = AtomicU32;
    #[allow(
        clippy::declare_interior_mutable_const,
        reason = "each use makes a new counter"
    )]
    const NEW_COUNTERS: AtomicU32 = AtomicU32::new(0);

    fn count(&self, counters: &AtomicU32) {
        ().count(counters);
    }
}

/// Says that an error type has a value for "the server was restarted", as errors of operations that
/// are not idempotent must. `#[idol(server_death)]` of `derive-idol-err` implements it.
pub trait IHaveConsideredServerDeathWithThisErrorType {}

#[cfg(test)]
mod tests {
    use super::*;

    struct Error(u16);

    impl From<Error> for u16 {
        fn from(error: Error) -> Self {
            error.0
        }
    }

    #[test]
    fn numbers_are_those_of_the_interface() {
        assert_eq!(u32::from(ClientError::UnknownOperation), 0xffff_fe00);
        assert_eq!(u32::from(ClientError::AccessViolation), 0xffff_fe06);
        assert_eq!(u32::from(RequestError::Runtime(Error(7))), 7);
        assert_eq!(
            u32::from(ClientError::BadLease.fail::<Error>()),
            0xffff_fe02
        );
    }

    #[test]
    fn a_client_that_went_away_is_not_faulted() {
        assert_eq!(ClientError::WentAway.into_fault(), None);
        assert_eq!(
            ClientError::BadLease.into_fault(),
            Some(ReplyFaultReason::BadLeases)
        );
        assert_eq!(
            RequestError::<u8>::went_away(),
            RequestError::Fail(ClientError::WentAway)
        );
    }

    #[test]
    fn map_runtime_leaves_client_errors() {
        assert_eq!(
            RequestError::from(3u8).map_runtime(u16::from),
            RequestError::Runtime(3u16)
        );
        let fail = ClientError::BadMessageSize.fail::<u8>();
        assert_eq!(
            fail.map_runtime(u16::from),
            RequestError::Fail(ClientError::BadMessageSize)
        );
    }
}
