//! `idol-runtime` and `derive-idol-err`, which generated code and servers use.

use core::convert::Infallible;
use core::marker::PhantomData;
use core::num::NonZeroU32;
use core::ops::Range;
use counters::Count;
use derive_idol_err::IdolError;
use idol_runtime::{
    dispatch, Attribute, AttributeRead, AttributeWrite, BufReader, BufWriter, ClientError,
    IHaveConsideredServerDeathWithThisErrorType, LeaseBufReader, LeaseBufWriter, Leased, LenLimit,
    NotificationHandler, RequestError, Server, ServerDeath, ServerOp, R, RW, W,
};
use userlib::{FromPrimitive, NotificationBits, RecvMessage, ReplyFaultReason, TaskId};
use zerocopy::{FromBytes, Immutable, IntoBytes};

#[derive(Copy, Clone, Debug, Eq, PartialEq, FromPrimitive, IdolError, counters::Count)]
enum Failure {
    Busy = 1,
    #[idol(server_death)]
    Died = 0x100,
}

#[test]
fn errors() {
    let numbers = [
        ClientError::UnknownOperation,
        ClientError::BadMessageSize,
        ClientError::BadLease,
        ClientError::WentAway,
        ClientError::BadMessageContents,
        ClientError::ReplyBufferTooSmall,
        ClientError::AccessViolation,
    ];
    for (number, error) in (0xffff_fe00_u32..).zip(numbers) {
        assert_eq!(u32::from(error), number);
        assert_eq!(error.into_fault().is_none(), error == ClientError::WentAway);
    }
    let _: fn(ClientError) -> Option<ReplyFaultReason> = ClientError::into_fault;
    let _: fn(ClientError) -> RequestError<Failure> = ClientError::fail;
    let _: fn() -> RequestError<Failure> = RequestError::went_away;
    let runtime: RequestError<Failure> = Failure::Busy.into();
    assert_eq!(u32::from(runtime), 1);
    let mapped: RequestError<u16> = runtime.map_runtime(u16::from);
    assert!(matches!(mapped, RequestError::Runtime(1)));
    let never: RequestError<Infallible> = RequestError::Fail(ClientError::BadLease);
    assert!(matches!(never, RequestError::Fail(_)));
    fn counts<T: Count>() {}
    counts::<ClientError>();
    counts::<RequestError<Failure>>();
    counts::<RequestError<Infallible>>();
    counts::<ServerDeath>();
    // The operator `?` in a server converts the interface's error into the result of an operation.
    fn operation() -> Result<(), RequestError<Failure>> {
        Err(Failure::Busy)?
    }
    assert_eq!(operation(), Err(RequestError::Runtime(Failure::Busy)));
}

#[test]
fn derived_errors() {
    fn considered<E: IHaveConsideredServerDeathWithThisErrorType>() {}
    considered::<Failure>();
    assert_eq!(
        (u16::from(Failure::Died), u32::from(Failure::Died)),
        (0x100, 0x100)
    );
    let back: Result<Failure, ()> = Failure::try_from(0xffff_ff03);
    assert_eq!(back, Ok(Failure::Died));
    assert_eq!(Failure::try_from(2), Err(()));
}

/// A server without the generator, like generated code.
struct Hand;

#[derive(Copy, Clone, FromPrimitive)]
enum Op {
    Ping = 1,
}

impl ServerOp for Op {
    fn max_reply_size(self) -> usize {
        0
    }
    fn required_lease_count(self) -> usize {
        0
    }
}

impl NotificationHandler for Hand {
    fn current_notification_mask(&self) -> u32 {
        1
    }
    fn handle_notification(&mut self, bits: NotificationBits) {
        assert!(bits.check_notification_mask(1));
    }
}

impl Server<Op> for (PhantomData<Op>, &mut Hand) {
    fn recv_source(&self) -> Option<TaskId> {
        None
    }
    fn closed_recv_fail(&mut self) {}
    fn handle(
        &mut self,
        op: Op,
        incoming: &[u8],
        rm: &RecvMessage,
    ) -> Result<(), RequestError<u16>> {
        match op {
            Op::Ping if incoming.is_empty() => {
                userlib::sys_reply(rm.sender, 0, &[]);
                Ok(())
            }
            Op::Ping => Err(ClientError::BadMessageSize.fail()),
        }
    }
}

#[test]
fn a_server_is_dispatched() {
    let _: fn(&mut [u8], &mut Hand) = dispatch::<Hand, Op>;
    // The type of the operations is inferred from the server if it has one set of them.
    let _ = |buffer: &mut [u8], server: &mut Hand| idol_runtime::dispatch(buffer, server);
}

#[test]
fn leases() {
    fn attribute<A: Attribute>() {}
    fn read<A: AttributeRead>() {}
    fn write<A: AttributeWrite>() {}
    attribute::<R>();
    read::<RW>();
    write::<RW>();
    type Made<A, T> = fn(TaskId, usize) -> Option<Leased<A, T>>;
    let _: Made<R, u32> = Leased::read_only;
    let _: Made<W, u32> = Leased::write_only;
    let _: Made<RW, u32> = Leased::read_write;
    type Slice<A, T> = fn(TaskId, usize, Option<NonZeroU32>) -> Option<Leased<A, [T]>>;
    let _: Slice<R, u16> = Leased::read_only_slice;
    let _: Slice<W, u16> = Leased::write_only_slice;
    let _: Slice<RW, u16> = Leased::read_write_slice;
    let _: fn(&Leased<R, [u8]>) -> TaskId = Leased::lender;
    let _: fn(&Leased<R, u8>) -> usize = Leased::lease_index;
    let _: fn(&Leased<W, [u8]>) -> usize = Leased::len;
    let _: fn(&Leased<W, [u8]>) -> bool = Leased::is_empty;
    let _: fn(&Leased<R, u64>) -> Option<u64> = Leased::read;
    let _: fn(&Leased<W, u64>, u64) -> Result<(), ()> = Leased::write;
    let _: fn(&Leased<RW, [u64]>, usize) -> Option<u64> = Leased::read_at;
    type WriteAt = fn(&Leased<RW, [u64]>, usize, u64) -> Result<(), ()>;
    let _: WriteAt = Leased::write_at;
    type ReadRange = fn(&Leased<R, [u8]>, Range<usize>, &mut [u8]) -> Result<(), ()>;
    type WriteRange = fn(&Leased<W, [u8]>, Range<usize>, &[u8]) -> Result<(), ()>;
    let _: ReadRange = Leased::read_range;
    let _: WriteRange = Leased::write_range;
}

/// Generic uses, as in drivers that accept any lease.
#[allow(dead_code)]
fn generic_leases<A: AttributeRead, B: AttributeWrite, T>(
    from: &Leased<A, [T]>,
    to: &Leased<B, [T]>,
) -> Result<(), ()>
where
    T: Copy + FromBytes + IntoBytes + Immutable,
{
    for index in 0..from.len().min(to.len()) {
        to.write_at(index, from.read_at(index).ok_or(())?)?;
    }
    Ok(())
}

#[test]
fn limits_and_buffers() {
    type Limited = LenLimit<Leased<R, [u8]>, 16>;
    let _: fn(Leased<R, [u8]>) -> Result<Limited, ()> = Limited::try_from;
    let _: fn(Limited) -> Leased<R, [u8]> = LenLimit::into_inner;
    let _: fn(&Limited) -> u16 = LenLimit::len_as_u16;
    let _: fn(&Limited) -> u8 = LenLimit::len_as_u8;
    let _: fn(&Limited) -> usize = |limited| limited.len();
    let _: fn(Leased<R, [u8]>) -> LeaseBufReader<R, 32> = LeaseBufReader::from;
    let _: fn(&LeaseBufReader<R, 32>) -> bool = LeaseBufReader::is_eof;
    let _: fn(&mut LeaseBufReader<R, 32>) -> Option<u8> = LeaseBufReader::read;
    let _: fn(Leased<W, [u8]>) -> LeaseBufWriter<W, 32> = LeaseBufWriter::from;
    let _: fn(&LeaseBufWriter<W, 32>) -> bool = LeaseBufWriter::is_eof;
    let _: fn(&mut LeaseBufWriter<W, 32>, u8) -> Result<(), ()> = LeaseBufWriter::write;
    fn refill(reader: &mut LeaseBufReader<RW, 8>) -> bool {
        reader.refill().is_some()
    }
    let _: fn(&mut LeaseBufReader<RW, 8>) -> bool = refill;
    fn copy<'a, 'b>(from: &mut impl BufReader<'a>, to: &mut impl BufWriter<'b>) {
        while to.remaining_size() != 0 && from.remaining_size() != 0 {
            if from.read().and_then(|byte| to.write(byte).ok()).is_none() {
                break;
            }
        }
    }
    let (mut from, mut space) = (&[1_u8, 2, 3][..], [0_u8; 2]);
    copy(&mut from, &mut &mut space[..]);
    assert_eq!((from, space), (&[3][..], [1, 2]));
}
