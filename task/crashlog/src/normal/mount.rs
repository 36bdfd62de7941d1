//! The beginning of a session: locates the log on an identified card.

use crashlog_format::{CheckError, SuperblockError};
use crashlog_retained::CARD_LOCATION_LEN;
use crashlog_store::{
    MountError, PartitionError, Port, PortError, Search, SearchError, StoreOptions, find_log,
};
use drv_mmc::CardLocation;
use ringbuf::ringbuf_entry_root;
use task_crashlog_api::{FailureStep, RecorderState, UnsavedReason};
use zerocopy::{FromBytes, IntoBytes};

use super::boot_record;
use super::session::{MountedLog, note_error};
use crate::config;
use crate::recorder::Recorder;
use crate::trace::Trace;
use crate::transfer_blocks::TransferBlocks;

/// Finds the partition and locates every part of the log. The only blocks that it writes are pages
/// of the log whose write was interrupted by a restart of this task; they go to the same places
/// again.
///
/// Dropped half way, it leaves a location in retained RAM only if the location is that of this
/// card's log.
///
/// # Errors
/// Why nothing can be saved.
pub async fn mount<'l, 'p, 'm>(
    recorder: &Recorder,
    device: Port<'p, 'm>,
    identified: &CardLocation,
    memory: &TransferBlocks<'m>,
    place: &'l mut Option<MountedLog<'p, 'm>>,
) -> Result<&'l mut MountedLog<'p, 'm>, UnsavedReason> {
    // The location in retained RAM may be that of another card. If so, it is forgotten now, so that
    // the emergency path searches this card if something crashes before the log is located.
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
    // Pages that the search found on the card are no longer in the ring, so no client is charged
    // for them.
    recorder.recount();
    boot_record::append(recorder);

    ringbuf_entry_root!(Trace::Mounted {
        next_page: log.next_page()
    });
    recorder.state.set(RecorderState::Ready);
    Ok(log)
}

/// Translates the error of the search, and notes it if the card failed.
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
        SearchError::Partition(
            PartitionError::OutOfBounds | PartitionError::Ambiguous | PartitionError::Overlaps,
        ) => UnsavedReason::BadGeometry,
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
    UnsavedReason::CardFailed(note_error(recorder, FailureStep::Mount, error))
}

// The retained region has room for what the emergency path needs to know about the card.
const _: () = assert!(size_of::<CardLocation>() <= CARD_LOCATION_LEN);
