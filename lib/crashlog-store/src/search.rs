//! Finding the log on a card, whoever drives the card.
//!
//! Normal operation does it at its start with an asynchronous driver; the emergency path does it with a polled one if
//! nobody has before. It is the longest thing that either does, and both do the very same: it is written for a
//! [`Port`], which either can drive.

use crate::port::{Exchange, Port, PortError, run_polled};
use crate::{MountError, Options, Partition, PartitionError, Store, find_partition};
use block_device::{Block, PolledDevice};
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

/// Finds the log, and settles what an earlier life of the recorder had begun to write. Nothing else is written. The log
/// is put into `place`; beside it, the partition is returned.
///
/// # Errors
/// See [`SearchError`].
pub async fn find_log<'l, 's, 'p, 'a>(
    card: Port<'p, 'a>,
    search: &Search<'_, '_, 's>,
    place: &'l mut Option<Store<'s, Port<'p, 'a>>>,
) -> Result<(Partition, &'l mut Store<'s, Port<'p, 'a>>), SearchError<PortError>> {
    let scratch = search.scratch;
    let mut device = card;
    let partition = find_partition(&mut device, search.partition, scratch)
        .await
        .map_err(SearchError::Partition)?;
    let window = card.window(partition.first, partition.blocks);
    let window = window.ok_or(SearchError::OutOfPartition)?;
    let store = Store::mount_in(place, window, search.options, scratch)
        .await
        .map_err(SearchError::Mount)?;

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
    store
        .reconcile(search.ring)
        .await
        .map_err(SearchError::Device)?;
    Ok((partition, store))
}

/// The same with a polled device; `found` is given what has been found.
///
/// # Errors
/// See [`SearchError`].
pub(crate) fn find_log_polled<'s, D: PolledDevice>(
    device: &mut D,
    search: &Search<'_, '_, 's>,
    found: impl FnOnce(&Partition, &Store<'s, Port<'_, '_>>),
) -> Result<(), SearchError<D::Error>> {
    let exchange = Exchange::new(search.region, search.scratch);
    let port = Port::new(&exchange, device.block_count());
    let (mut last, mut place) = (None, None);
    let steps = find_log(port, search, &mut place);
    match run_polled(device, &exchange, steps, &mut last) {
        Ok((partition, store)) => {
            found(&partition, store);
            Ok(())
        }
        Err(error) => Err(explain(error, last)),
    }
}

/// With the device's own error, the last one there was. Without one, the port has refused what the device never saw.
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
