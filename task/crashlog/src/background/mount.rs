//! The beginning of a session: from a slot to a log whose every part is located.

use crashlog_format::{CheckError, SuperblockError};
use crashlog_retained::CARD_LOCATION_LEN;
use crashlog_store::{
    MountError, PartitionError, Port, PortError, Search, SearchError, StoreOptions, find_log,
};
use drv_mmc::CardLocation;
use ringbuf::ringbuf_entry_root;
use task_crashlog_api::{FailureStep, State, UnsavedReason};
use zerocopy::{FromBytes, IntoBytes};

use super::{Log, failed};
use crate::card::Memory;
use crate::config;
use crate::recorder::Recorder;
use crate::trace::Trace;

/// Finds the partition, locates the log. Writes nothing but pages of the log whose write an earlier life of this task
/// had begun, into the places they already had.
///
/// # Errors
/// Why nothing can be saved.
pub async fn mount<'l, 'p, 'm>(
    recorder: &Recorder,
    device: Port<'p, 'm>,
    identified: &CardLocation,
    memory: &Memory<'m>,
    place: &'l mut Option<Log<'p, 'm>>,
) -> Result<&'l mut Log<'p, 'm>, UnsavedReason> {
    // What was known of the place is of the card that was here before. Should something crash before it is known anew,
    // the emergency path asks this one.
    recorder.region.location().forget_unless(|known| {
        CardLocation::read_from_prefix(known)
            .is_ok_and(|(known, _)| known.is_of_same_card(identified))
    });
    let search = Search {
        partition: config::PARTITION,
        options: StoreOptions {
            keep_first: config::KEEP_FIRST,
        },
        region: &recorder.region,
        ring: &recorder.ring,
        card: identified.as_bytes(),
        scratch: memory.store,
    };
    let (_, log) = find_log(device, &search, place)
        .await
        .map_err(|error| refused(recorder, error))?;
    // Pages that turned out to be on the card are not held by anyone any more.
    recorder.recount();

    ringbuf_entry_root!(Trace::Mounted {
        next_page: log.next_page()
    });
    recorder.state.set(State::Ready);
    Ok(log)
}

/// Why nothing can be saved.
fn refused(recorder: &Recorder, error: SearchError<PortError>) -> UnsavedReason {
    match error {
        SearchError::Partition(PartitionError::Device(error))
        | SearchError::Mount(MountError::Device(error))
        | SearchError::Device(error) => card_failed(recorder, error),
        SearchError::OutOfPartition => card_failed(recorder, PortError::Refused),
        SearchError::Partition(PartitionError::NoTable) => UnsavedReason::NoPartitionTable,
        SearchError::Partition(PartitionError::NotFound | PartitionError::WrongType(_)) => {
            UnsavedReason::NoPartition
        }
        SearchError::Partition(PartitionError::OutOfBounds) => UnsavedReason::BadGeometry,
        SearchError::Mount(MountError::Superblock(SuperblockError::Check(
            CheckError::Version(version),
        ))) => UnsavedReason::UnknownVersion(version.into()),
        SearchError::Mount(MountError::Superblock(SuperblockError::Check(_))) => {
            UnsavedReason::NotFormatted
        }
        SearchError::Mount(MountError::Superblock(_)) => UnsavedReason::BadGeometry,
        SearchError::Mount(MountError::Exhausted) => UnsavedReason::Exhausted,
        SearchError::Mount(MountError::Damaged) => UnsavedReason::Damaged,
    }
}

fn card_failed(recorder: &Recorder, error: PortError) -> UnsavedReason {
    UnsavedReason::CardFailed(failed(recorder, FailureStep::Mount, error))
}

// What the emergency path wants to know about the card.
const _: () = assert!(size_of::<CardLocation>() <= CARD_LOCATION_LEN);
