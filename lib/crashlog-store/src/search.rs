//! Finding the log on a card, whoever drives the card.
//!
//! Normal operation does it at its start with an asynchronous driver; the emergency path does it with a polled one if
//! nobody has before. It is the longest thing that either does, and compiled for each driver it would be there twice. So
//! it is written against a device of its own, [`Port`], which notes each request and waits. Whoever searches polls it,
//! carries the request out with the driver at hand, and polls it again: [`find_log`] and, in an emergency, `find_log_polled`.

use crate::{MountError, Options, Partition, PartitionError, Store, find_partition};
use block_device::{Block, BlockDevice, PolledDevice, Window, WindowError};
use core::cell::Cell;
use core::future::poll_fn;
use core::pin::{Pin, pin};
use core::sync::atomic::Ordering;
use core::task::{Context, Poll, Waker};
use crashlog_retained::{CARD_LOCATION_LEN, Location, LogRing, Region};

/// What is looked for, and what has to be brought in line with it.
#[derive(Clone, Copy, Debug)]
pub struct Search<'a, 'r, 's> {
    /// Name of the partition.
    pub partition: &'a str,
    /// How it is used.
    pub options: Options,
    /// The retained region: its boots are numbered as on the card, and its location cache is renewed.
    pub region: &'a Region<'a>,
    /// Its log ring: pages whose write had been begun are settled.
    pub ring: &'a LogRing<'r>,
    /// What the card driver wants to know next time; the first [`CARD_LOCATION_LEN`] bytes of it are kept.
    pub card: &'a [u8],
    /// One block or more, 16 to read fast.
    pub scratch: &'s [Block],
}

/// Why no log was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SearchError<E> {
    /// There is no partition to use.
    Partition(PartitionError<E>),
    /// The partition is not one of ours.
    Mount(MountError<E>),
    /// The device failed when everything had been found.
    Device(E),
    /// An address lies outside the partition.
    OutOfPartition,
}

/// What has been found: where the partition is, and the store on it but for the device.
type Found<'s> = (Partition, Store<'s, ()>);

/// Finds the log, and settles what an earlier life of the recorder had begun to write. Nothing else is written.
///
/// # Errors
/// See [`SearchError`].
pub async fn find_log<'s, D: BlockDevice>(
    mut device: D,
    search: &Search<'_, '_, 's>,
) -> Result<Store<'s, Window<D>>, SearchError<D::Error>> {
    let exchange = Exchange::default();
    let mut steps = pin!(find(&exchange, device.block_count(), search));
    let mut last = None;
    let found = loop {
        let result = match next(steps.as_mut()) {
            Poll::Ready(found) => break found,
            Poll::Pending => match exchange.need.take() {
                Some(Need::Read(first, count)) => device.read(first, some(search, count)).await,
                Some(Need::Write(first, count)) => device.write(first, some(search, count)).await,
                Some(Need::Flush) | None => device.flush().await,
            },
        };
        exchange.answer(result, &mut last);
    };
    let (partition, store) = found.map_err(|error| explain(error, last))?;
    let window = Window::new(device, partition.first, partition.blocks);
    Ok(store.over(window.ok_or(SearchError::OutOfPartition)?))
}

/// The same with a polled device; the store is for the caller to use as it can.
///
/// # Errors
/// See [`SearchError`].
pub(crate) fn find_log_polled<'s, D: PolledDevice>(
    device: &mut D,
    search: &Search<'_, '_, 's>,
) -> Result<Found<'s>, SearchError<D::Error>> {
    let exchange = Exchange::default();
    let mut steps = pin!(find(&exchange, device.block_count(), search));
    let mut last = None;
    let found = loop {
        let result = match next(steps.as_mut()) {
            Poll::Ready(found) => break found,
            Poll::Pending => match exchange.need.take() {
                Some(Need::Read(first, count)) => device.read(first, some(search, count)),
                Some(Need::Write(first, count)) => device.write(first, some(search, count)),
                Some(Need::Flush) | None => device.flush(),
            },
        };
        exchange.answer(result, &mut last);
    };
    found.map_err(|error| explain(error, last))
}

/// The blocks that a request is about.
fn some<'s>(search: &Search<'_, '_, 's>, count: usize) -> &'s [Block] {
    search.scratch.get(..count).unwrap_or(search.scratch)
}

/// Polls the search. It waits for nothing but answers, so it is not polled before there is one, nor after its end.
// Inlined, so that the search itself is a function: one, for both drivers.
#[inline(always)]
fn next<F: Future>(steps: Pin<&mut F>) -> Poll<F::Output> {
    steps.poll(&mut Context::from_waker(Waker::noop()))
}

/// Everything that is done, whatever the driver.
async fn find<'s>(
    exchange: &Exchange,
    blocks: u64,
    search: &Search<'_, '_, 's>,
) -> Result<Found<'s>, SearchError<Failed>> {
    let scratch = search.scratch;
    let mut port = Port {
        exchange,
        blocks,
        scratch,
    };
    let partition = find_partition(&mut port, search.partition, scratch)
        .await
        .map_err(SearchError::Partition)?;
    let window = Window::new(port, partition.first, partition.blocks);
    let window = window.ok_or(SearchError::OutOfPartition)?;
    let mut store = Store::mount(window, search.options, scratch)
        .await
        .map_err(not_mounted)?;

    let region = search.region;
    region.rebase(store.format(), store.last_boot(), search.ring.oldest_boot());
    let location = Location {
        first: partition.first,
        geometry: *store.geometry(),
        format: store.format(),
        keep_first: store.keep_first(),
        card: kept(search.card),
    };
    region.location().store(&location, store.next_page());
    store.reconcile(search.ring).await.map_err(failed)?;
    Ok((partition, store.over(())))
}

fn not_mounted<E>(error: MountError<WindowError<E>>) -> SearchError<E> {
    match error {
        MountError::Device(WindowError::Device(error)) => {
            SearchError::Mount(MountError::Device(error))
        }
        MountError::Device(WindowError::OutOfWindow) => SearchError::OutOfPartition,
        MountError::Superblock(error) => SearchError::Mount(MountError::Superblock(error)),
        MountError::Exhausted => SearchError::Mount(MountError::Exhausted),
        MountError::Damaged => SearchError::Mount(MountError::Damaged),
    }
}

fn failed<E>(error: WindowError<E>) -> SearchError<E> {
    match error {
        WindowError::OutOfWindow => SearchError::OutOfPartition,
        WindowError::Device(error) => SearchError::Device(error),
    }
}

/// With the device's own error, the last one there was. Without one, the port has refused what the device never saw.
fn explain<E>(error: SearchError<Failed>, last: Option<E>) -> SearchError<E> {
    use SearchError::{Device, Mount, OutOfPartition, Partition};
    match (error, last) {
        (Partition(PartitionError::Device(_)), Some(last)) => {
            Partition(PartitionError::Device(last))
        }
        (Mount(MountError::Device(_)), Some(last)) => Mount(MountError::Device(last)),
        (Device(_), Some(last)) => Device(last),
        (Partition(PartitionError::NoTable), _) => Partition(PartitionError::NoTable),
        (Partition(PartitionError::NotFound), _) => Partition(PartitionError::NotFound),
        (Partition(PartitionError::WrongType(found)), _) => {
            Partition(PartitionError::WrongType(found))
        }
        (Partition(PartitionError::OutOfBounds), _) => Partition(PartitionError::OutOfBounds),
        (Mount(MountError::Superblock(error)), _) => Mount(MountError::Superblock(error)),
        (Mount(MountError::Exhausted), _) => Mount(MountError::Exhausted),
        (Mount(MountError::Damaged), _) => Mount(MountError::Damaged),
        (
            Partition(PartitionError::Device(_))
            | Mount(MountError::Device(_))
            | Device(_)
            | OutOfPartition,
            _,
        ) => OutOfPartition,
    }
}

/// What is kept of `card`.
fn kept(card: &[u8]) -> [u8; CARD_LOCATION_LEN] {
    let mut kept = [0; CARD_LOCATION_LEN];
    for (to, from) in kept.iter_mut().zip(card) {
        *to = *from;
    }
    kept
}

/// A request: blocks from this one on, so many, to or from the beginning of the scratch memory.
#[derive(Clone, Copy, Debug)]
enum Need {
    Read(u64, usize),
    Write(u64, usize),
    Flush,
}

/// Where a request is put, and its outcome.
#[derive(Debug, Default)]
struct Exchange {
    need: Cell<Option<Need>>,
    outcome: Cell<Option<Result<(), Failed>>>,
}

/// The device failed; whoever drives it knows how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Failed;

impl Exchange {
    fn answer<E>(&self, result: Result<(), E>, last: &mut Option<E>) {
        let outcome = result.map_err(|error| {
            *last = Some(error);
            Failed
        });
        self.outcome.set(Some(outcome));
    }
}

/// A device that somebody else drives.
#[derive(Debug)]
struct Port<'p> {
    exchange: &'p Exchange,
    blocks: u64,
    scratch: &'p [Block],
}

impl Port<'_> {
    async fn ask(&self, need: Need) -> Result<(), Failed> {
        self.exchange.need.set(Some(need));
        poll_fn(|_| match self.exchange.outcome.take() {
            Some(outcome) => Poll::Ready(outcome),
            None => Poll::Pending,
        })
        .await
    }
}

impl BlockDevice for Port<'_> {
    type Error = Failed;

    fn block_count(&self) -> u64 {
        self.blocks
    }

    /// The search reads into the beginning of its scratch memory only.
    async fn read(&mut self, first: u64, blocks: &[Block]) -> Result<(), Failed> {
        if !core::ptr::eq(blocks.as_ptr(), self.scratch.as_ptr()) {
            return Err(Failed);
        }
        self.ask(Need::Read(first, blocks.len())).await
    }

    /// What is written goes through the scratch memory: a page at a time.
    async fn write(&mut self, first: u64, blocks: &[Block]) -> Result<(), Failed> {
        let mut at = first;
        for block in blocks {
            let Some(to) = self.scratch.first() else {
                return Err(Failed);
            };
            for (to, from) in to.words().iter().zip(block.words()) {
                to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
            }
            self.ask(Need::Write(at, 1)).await?;
            at = at.saturating_add(1);
        }
        Ok(())
    }

    async fn write_reliable(&mut self, block: u64, data: &Block) -> Result<(), Failed> {
        self.write(block, core::slice::from_ref(data)).await
    }

    async fn flush(&mut self) -> Result<(), Failed> {
        self.ask(Need::Flush).await
    }
}
