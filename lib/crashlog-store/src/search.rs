//! Finding the log on a card, for both request paths.
//!
//! The partition is found, then what is in it; then pages whose write was interrupted are
//! completed.
//!
//! Normal operation does this at its start, with an asynchronous driver. The emergency path does
//! it, with a polled driver, if normal operation has not done it yet. Both do the same, so there is
//! one function, over a [`Port`], which either driver can serve.

use crate::port::{Exchange, Port, PortError, run_polled};
use crate::{MountError, PartitionError, Store, StoreOptions, WriteRefusal, find_partition};
use block_device::{Block, BlockDevice, PolledDevice};
use crashlog_retained::{CARD_LOCATION_LEN, Location, LogRing, Region};

/// What to find, and what to update when it is found.
#[derive(Clone, Copy, Debug)]
pub struct Search<'a, 'r, 's> {
    /// Name of the partition.
    pub partition: &'a str,
    /// How the partition is used.
    pub options: StoreOptions,
    /// The retained region: its boots are renumbered to follow those on the card, and its location
    /// cache is updated.
    pub region: &'a Region<'a>,
    /// The log ring of the region: pages whose write was interrupted are completed.
    pub ring: &'a LogRing<'r>,
    /// What the card driver needs for the next start; its first [`CARD_LOCATION_LEN`] bytes are put
    /// into the location cache.
    pub card: &'a [u8],
    /// One block or more, 16 for fast reading.
    pub scratch: &'s [Block],
}

/// Why no log was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SearchError<E> {
    /// There is no partition that may be used.
    Partition(PartitionError<E>),
    /// The partition could not be mounted.
    Mount(MountError<E>),
    /// The log was found, and then the device failed.
    Device(E),
    /// An address lies outside the partition.
    OutOfPartition,
    /// The log was found, and its partition is not written. Only for an emergency is this an error.
    Refused(WriteRefusal),
}

/// Finds the log, and completes a write of pages that a restart interrupted ([`Store::reconcile`]);
/// nothing else is written. The log is put into `place`, and returned with the first block of its
/// partition.
///
/// If the partition is not written ([`Store::write_refusal`]), the location cache is emptied, and
/// the boots of the region keep their numbers, as without a card.
///
/// It may be dropped at any time, and done again.
///
/// # Errors
/// See [`SearchError`].
pub async fn find_log<'l, 's, 'p, 'a>(
    card: Port<'p, 'a>,
    search: &Search<'_, '_, 's>,
    place: &'l mut Option<Store<'s, Port<'p, 'a>>>,
) -> Result<(u64, &'l mut Store<'s, Port<'p, 'a>>), SearchError<PortError>> {
    let scratch = search.scratch;
    let mut device = card;
    let partition = find_partition(&mut device, search.partition, scratch)
        .await
        .map_err(SearchError::Partition)?;
    let first = partition.place.first;
    let there = device.block_count().saturating_sub(first);
    let window = card.window(first, partition.place.blocks.min(there));
    let window = window.ok_or(SearchError::OutOfPartition)?;
    let region = search.region;
    let cache = region.location();
    let expected = cache
        .load()
        .and_then(|known| Some((known.format, cache.next_page()?)));
    let store = Store::mount_in(place, window, &partition, search.options, expected, scratch)
        .await
        .map_err(SearchError::Mount)?;

    if store.refusal.is_some() {
        cache.invalidate();
        return Ok((first, store));
    }
    region.rebase(store.format(), store.last_boot(), search.ring.oldest_boot());
    let location = Location {
        first,
        geometry: *store.geometry(),
        format: store.format(),
        keep_first: store.keep_first(),
        card: kept(search.card),
    };
    region.location().store(&location, store.next_page());
    store
        .reconcile(search.ring)
        .await
        .map_err(SearchError::Device)?;
    Ok((first, store))
}

/// As [`find_log`] with a polled device; `found` is called with the result if the partition is
/// written.
///
/// # Errors
/// See [`SearchError`].
pub(crate) fn find_log_polled<'s, D: PolledDevice>(
    device: &mut D,
    search: &Search<'_, '_, 's>,
    found: impl FnOnce(u64, &Store<'s, Port<'_, '_>>),
) -> Result<(), SearchError<D::Error>> {
    let exchange = Exchange::new(search.region, search.scratch);
    let port = Port::new(&exchange, device.block_count());
    let (mut last, mut place) = (None, None);
    let steps = find_log(port, search, &mut place);
    match run_polled(device, &exchange, steps, &mut last) {
        Ok((first, store)) => match store.refusal {
            Some(refusal) => Err(SearchError::Refused(refusal)),
            None => {
                found(first, store);
                Ok(())
            }
        },
        Err(error) => Err(explain(error, last)),
    }
}

/// Replaces the port's error by that of the device, which is `last`. If there is none, the port has
/// refused a request.
fn explain<E>(error: SearchError<PortError>, last: Option<E>) -> SearchError<E> {
    use SearchError::{Device, Mount, OutOfPartition, Partition};
    match (error, last) {
        (Partition(PartitionError::Device(PortError::Device)), Some(last)) => {
            Partition(PartitionError::Device(last))
        }
        (Mount(MountError::Device(PortError::Device)), Some(last)) => {
            Mount(MountError::Device(last))
        }
        (Device(PortError::Device), Some(last)) => Device(last),
        (Partition(PartitionError::NoTable), _) => Partition(PartitionError::NoTable),
        (Partition(PartitionError::Damaged), _) => Partition(PartitionError::Damaged),
        (Partition(PartitionError::Entries(count)), _) => Partition(PartitionError::Entries(count)),
        (Partition(PartitionError::EntryLength(length)), _) => {
            Partition(PartitionError::EntryLength(length))
        }
        (Partition(PartitionError::LargeBlocks), _) => Partition(PartitionError::LargeBlocks),
        (Partition(PartitionError::NotFound), _) => Partition(PartitionError::NotFound),
        (Partition(PartitionError::WrongType(found)), _) => {
            Partition(PartitionError::WrongType(found))
        }
        (Partition(PartitionError::OutOfBounds), _) => Partition(PartitionError::OutOfBounds),
        (SearchError::Refused(refusal), _) => SearchError::Refused(refusal),
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

/// The part of `card` that the location cache holds.
fn kept(card: &[u8]) -> [u8; CARD_LOCATION_LEN] {
    let mut kept = [0; CARD_LOCATION_LEN];
    for (to, from) in kept.iter_mut().zip(card) {
        *to = *from;
    }
    kept
}
