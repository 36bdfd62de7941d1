//! A block device without a driver: the code that polls it serves it.
//!
//! The store is generic over its device and used with two: the asynchronous driver of normal
//! operation, and the polled one of an emergency write that has to search for the partition.
//! Compiled for both it would be in flash twice. So the firmware compiles it for one device, the
//! [`Port`]. A port puts each request into an [`Exchange`] and waits. The caller polls the store's
//! future, takes the request, carries it out with its own driver, answers it, and polls again.
//!
//! A port has a range of blocks, usually a partition. A request outside of it is refused and never
//! gets into the exchange (M7).

use block_device::{Block, BlockDevice, PolledDevice};
use core::cell::Cell;
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};
use crashlog_retained::Region;

/// How blocks are transferred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortTransfer {
    /// See [`BlockDevice::read`].
    Read,
    /// See [`BlockDevice::write`].
    Write,
    /// See [`BlockDevice::write_reliable`]; of one block.
    WriteReliable,
}

/// A request to the device.
#[derive(Clone, Copy, Debug)]
pub enum PortRequest<'a> {
    /// A transfer between the device, from this block on, and this memory.
    Transfer(PortTransfer, u64, &'a [Block]),
    /// See [`BlockDevice::flush`].
    Flush,
    /// The device is not needed until the next request; see [`Port::rest`].
    Rest,
}

/// Why a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortError {
    /// The device failed; the code that serves the port has its error.
    Device,
    /// The request reaches outside the port's blocks, or its memory is not shared with the device.
    /// It was not carried out.
    Refused,
}

/// Holds at most one request, and its outcome.
#[derive(Debug)]
pub struct Exchange<'a> {
    /// The memory that the device may transfer to and from.
    memory: [&'a [Block]; 3],
    request: Cell<Option<PortRequest<'a>>>,
    outcome: Cell<Option<Result<(), PortError>>>,
}

impl<'a> Exchange<'a> {
    /// An exchange for transfers to and from `scratch` and the parts of `region` that are written
    /// to a card.
    #[must_use]
    pub fn new(region: &Region<'a>, scratch: &'a [Block]) -> Self {
        let [crashes, pages_and_dump] = region.written();
        Self::over([scratch, crashes, pages_and_dump])
    }

    /// An exchange for transfers to and from this memory alone.
    #[must_use]
    pub(crate) const fn over(memory: [&'a [Block]; 3]) -> Self {
        Self {
            memory,
            request: Cell::new(None),
            outcome: Cell::new(None),
        }
    }

    /// Takes the request, if there is one. The taker has to answer it, or the future that made it
    /// waits forever.
    pub fn take(&self) -> Option<PortRequest<'a>> {
        self.request.take()
    }

    /// Answers the request that was taken.
    pub fn answer(&self, outcome: Result<(), PortError>) {
        self.outcome.set(Some(outcome));
    }

    /// The same blocks, borrowed for as long as the memory of the exchange.
    fn shared(&self, blocks: &[Block]) -> Option<&'a [Block]> {
        self.memory.iter().find_map(|memory| {
            let offset = address(blocks).checked_sub(address(memory))?;
            let found = memory.get(offset / size_of::<Block>()..)?;
            let found = found.get(..blocks.len())?;
            (address(found) == address(blocks)).then_some(found)
        })
    }
}

/// The address of the first block.
fn address(blocks: &[Block]) -> usize {
    blocks.as_ptr().addr()
}

/// A block device whose requests are served through an [`Exchange`].
///
/// Several ports may share an exchange, but only one of them may wait for an answer at a time.
#[derive(Clone, Copy, Debug)]
pub struct Port<'p, 'a> {
    exchange: &'p Exchange<'a>,
    first: u64,
    count: u64,
}

impl<'p, 'a> Port<'p, 'a> {
    /// A port to a device of `count` blocks.
    #[must_use]
    pub const fn new(exchange: &'p Exchange<'a>, count: u64) -> Self {
        let first = 0;
        Self {
            exchange,
            first,
            count,
        }
    }

    /// A port to a range of its blocks; `None` if the range reaches beyond them.
    #[must_use]
    pub fn window(self, first: u64, count: u64) -> Option<Self> {
        let end = first.checked_add(count)?;
        (end <= self.count).then_some(Self {
            first: self.first.wrapping_add(first),
            count,
            ..self
        })
    }

    /// Suspends the device, if it can be suspended, until the next request.
    pub fn rest(&self) -> impl Future<Output = Result<(), PortError>> + use<'p, 'a> {
        self.put(Ok(PortRequest::Rest))
    }

    /// Puts a request into the exchange, or answers it at once if it is refused.
    fn put(&self, request: Result<PortRequest<'a>, PortError>) -> PortAnswer<'p, 'a> {
        match request {
            Ok(request) => self.exchange.request.set(Some(request)),
            Err(failed) => self.exchange.answer(Err(failed)),
        }
        PortAnswer(self.exchange)
    }

    /// Makes a request of a transfer.
    #[inline(never)]
    fn ask(&self, transfer: PortTransfer, first: u64, blocks: &[Block]) -> PortAnswer<'p, 'a> {
        let request = match first.checked_add(blocks.len() as u64) {
            Some(end) if end <= self.count => self.exchange.shared(blocks).map(|blocks| {
                // Does not overflow, as `window` has checked the sum.
                PortRequest::Transfer(transfer, self.first.wrapping_add(first), blocks)
            }),
            _ => None,
        };
        self.put(request.ok_or(PortError::Refused))
    }
}

/// Waits for the answer to a request. If it is dropped before, the request may be carried out all
/// the same.
struct PortAnswer<'p, 'a>(&'p Exchange<'a>);

impl Future for PortAnswer<'_, '_> {
    type Output = Result<(), PortError>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.outcome.take().map_or(Poll::Pending, Poll::Ready)
    }
}

impl BlockDevice for Port<'_, '_> {
    type Error = PortError;

    fn block_count(&self) -> u64 {
        self.count
    }

    fn read(
        &mut self,
        first: u64,
        blocks: &[Block],
    ) -> impl Future<Output = Result<(), PortError>> {
        self.ask(PortTransfer::Read, first, blocks)
    }

    fn write(
        &mut self,
        first: u64,
        blocks: &[Block],
    ) -> impl Future<Output = Result<(), PortError>> {
        self.ask(PortTransfer::Write, first, blocks)
    }

    fn write_reliable(
        &mut self,
        block: u64,
        data: &Block,
    ) -> impl Future<Output = Result<(), PortError>> {
        self.ask(
            PortTransfer::WriteReliable,
            block,
            core::slice::from_ref(data),
        )
    }

    fn flush(&mut self) -> impl Future<Output = Result<(), PortError>> {
        self.put(Ok(PortRequest::Flush))
    }
}

/// Runs `work`, which uses ports of `exchange`, to its end with a polled device. `last` becomes the
/// device's last error.
// Inlined, so that polling `work` remains a function of its own, which the asynchronous driver
// uses, too.
#[inline(always)]
pub(crate) fn run_polled<D: PolledDevice, F: Future>(
    device: &mut D,
    exchange: &Exchange<'_>,
    work: F,
    last: &mut Option<D::Error>,
) -> F::Output {
    let mut work = pin!(work);
    loop {
        match work.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => return output,
            Poll::Pending => {
                let outcome = match exchange.take() {
                    Some(PortRequest::Transfer(transfer, first, blocks)) => {
                        match (transfer, blocks) {
                            (PortTransfer::Read, _) => device.read(first, blocks),
                            (PortTransfer::WriteReliable, [block]) => {
                                device.write_reliable(first, block)
                            }
                            (PortTransfer::Write | PortTransfer::WriteReliable, _) => {
                                device.write(first, blocks)
                            }
                        }
                    }
                    Some(PortRequest::Flush) => device.flush(),
                    // `None` does not occur: the work waits for nothing but answers, so there is a
                    // request.
                    Some(PortRequest::Rest) | None => Ok(()),
                };
                exchange.answer(outcome.map_err(|error| {
                    *last = Some(error);
                    PortError::Device
                }));
            }
        }
    }
}
