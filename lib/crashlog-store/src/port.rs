//! A device that somebody else drives.
//!
//! The store is written once, but driven in two ways: by the asynchronous driver of normal operation, and by the polled
//! one of an emergency that has to search for the partition. Compiled for each it would be there twice. So firmware
//! compiles it for one device, the [`Port`], which has no driver at all: it puts each request down in an [`Exchange`] and
//! waits. Whoever runs the store polls it, takes the request, carries it out with the driver at hand, answers, and
//! polls again.
//!
//! A port has a range of blocks, usually a partition, and no request outside it is ever put down (M7).

use block_device::{Block, BlockDevice, PolledDevice};
use core::cell::Cell;
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};
use crashlog_retained::Region;

/// What is done with blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transfer {
    /// See [`BlockDevice::read`].
    Read,
    /// See [`BlockDevice::write`].
    Write,
    /// See [`BlockDevice::write_reliable`]; of one block.
    WriteReliable,
}

/// A request to the device.
#[derive(Clone, Copy, Debug)]
pub enum Need<'a> {
    /// Blocks from this one on, to or from these.
    Transfer(Transfer, u64, &'a [Block]),
    /// See [`BlockDevice::flush`].
    Flush,
    /// The device will not be needed for a while; see [`Port::rest`].
    Rest,
}

/// Why a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortError {
    /// The device failed; whoever drives it knows how.
    Device,
    /// The request reaches outside the port's blocks, or is about memory that is not shared with the device. The device
    /// has not seen it.
    Refused,
}

/// Where a request is put, and its outcome.
#[derive(Debug)]
pub struct Exchange<'a> {
    /// The memory that the device may transfer to and from.
    memory: [&'a [Block]; 3],
    need: Cell<Option<Need<'a>>>,
    outcome: Cell<Option<Result<(), PortError>>>,
}

impl<'a> Exchange<'a> {
    /// For requests about `scratch` and what of `region` is written.
    #[must_use]
    pub fn new(region: &Region<'a>, scratch: &'a [Block]) -> Self {
        let [crashes, pages] = region.written();
        Self::over([scratch, crashes, pages])
    }

    /// For requests about this memory alone.
    #[must_use]
    pub(crate) const fn over(memory: [&'a [Block]; 3]) -> Self {
        Self {
            memory,
            need: Cell::new(None),
            outcome: Cell::new(None),
        }
    }

    /// Takes the request that has been put down, if there is one. It has to be answered.
    pub fn take(&self) -> Option<Need<'a>> {
        self.need.take()
    }

    /// Answers it.
    pub fn answer(&self, outcome: Result<(), PortError>) {
        self.outcome.set(Some(outcome));
    }

    /// The same blocks, for as long as the memory is there.
    fn shared(&self, blocks: &[Block]) -> Option<&'a [Block]> {
        self.memory.iter().find_map(|memory| {
            let offset = address(blocks).checked_sub(address(memory))?;
            let found = memory.get(offset / size_of::<Block>()..)?;
            let found = found.get(..blocks.len())?;
            (address(found) == address(blocks)).then_some(found)
        })
    }
}

fn address(blocks: &[Block]) -> usize {
    blocks.as_ptr().addr()
}

/// A device that somebody else drives.
#[derive(Clone, Copy, Debug)]
pub struct Port<'p, 'a> {
    exchange: &'p Exchange<'a>,
    first: u64,
    count: u64,
}

impl<'p, 'a> Port<'p, 'a> {
    /// A device of `count` blocks.
    #[must_use]
    pub const fn new(exchange: &'p Exchange<'a>, count: u64) -> Self {
        let first = 0;
        Self {
            exchange,
            first,
            count,
        }
    }

    /// A range of its blocks; `None` if it reaches beyond them.
    #[must_use]
    pub fn window(self, first: u64, count: u64) -> Option<Self> {
        let end = first.checked_add(count)?;
        (end <= self.count).then_some(Self {
            first: self.first.wrapping_add(first),
            count,
            ..self
        })
    }

    /// Lets the device rest, where it can, until the next request.
    pub fn rest(&self) -> impl Future<Output = Result<(), PortError>> + use<'p, 'a> {
        self.put(Ok(Need::Rest))
    }

    fn put(&self, need: Result<Need<'a>, PortError>) -> Answer<'p, 'a> {
        match need {
            Ok(need) => self.exchange.need.set(Some(need)),
            Err(failed) => self.exchange.answer(Err(failed)),
        }
        Answer(self.exchange)
    }

    #[inline(never)]
    fn ask(&self, transfer: Transfer, first: u64, blocks: &[Block]) -> Answer<'p, 'a> {
        let need = match first.checked_add(blocks.len() as u64) {
            Some(end) if end <= self.count => self.exchange.shared(blocks).map(|blocks| {
                // The sum is an address on the device, as `window` has checked.
                Need::Transfer(transfer, self.first.wrapping_add(first), blocks)
            }),
            _ => None,
        };
        self.put(need.ok_or(PortError::Refused))
    }
}

/// Waits for the answer to the request that was put down.
struct Answer<'p, 'a>(&'p Exchange<'a>);

impl Future for Answer<'_, '_> {
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
        self.ask(Transfer::Read, first, blocks)
    }

    fn write(
        &mut self,
        first: u64,
        blocks: &[Block],
    ) -> impl Future<Output = Result<(), PortError>> {
        self.ask(Transfer::Write, first, blocks)
    }

    fn write_reliable(
        &mut self,
        block: u64,
        data: &Block,
    ) -> impl Future<Output = Result<(), PortError>> {
        self.ask(Transfer::WriteReliable, block, core::slice::from_ref(data))
    }

    fn flush(&mut self) -> impl Future<Output = Result<(), PortError>> {
        self.put(Ok(Need::Flush))
    }
}

/// Runs `work`, which uses ports of `exchange`, to its end with a polled device. `last` is the device's last error.
// Inlined, so that the work itself is a function: one, for both drivers.
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
                    Some(Need::Transfer(transfer, first, blocks)) => match (transfer, blocks) {
                        (Transfer::Read, _) => device.read(first, blocks),
                        (Transfer::WriteReliable, [block]) => device.write_reliable(first, block),
                        (Transfer::Write | Transfer::WriteReliable, _) => {
                            device.write(first, blocks)
                        }
                    },
                    Some(Need::Flush) => device.flush(),
                    // It waits for nothing but answers, so there is a request.
                    Some(Need::Rest) | None => Ok(()),
                };
                exchange.answer(outcome.map_err(|error| {
                    *last = Some(error);
                    PortError::Device
                }));
            }
        }
    }
}
