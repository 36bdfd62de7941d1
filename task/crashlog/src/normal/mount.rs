//! The beginning of a session: locates the log on an identified card.

use crashlog_format::gpt::TableProblem;
use crashlog_format::{CheckError, SuperblockError};
use crashlog_retained::CARD_LOCATION_LEN;
use crashlog_store::{
    MountError, PartitionError, Port, PortError, Search, SearchError, StoreOptions, WriteRefusal,
    find_log,
};
use drv_mmc::CardLocation;
use ringbuf::ringbuf_entry_root;
use task_crashlog_api::{FailureStep, ReadOnlyReason, RecorderState, UnsavedReason};
use zerocopy::{FromBytes, IntoBytes};

use super::boot_record;
use super::session::{MountedLog, note_error};
use crate::config;
use crate::recorder::Recorder;
use crate::trace::Trace;
use crate::transfer_blocks::TransferBlocks;

/// Finds the partition and locates every part of the log. The only blocks that it writes are pages
/// of the log whose write was interrupted by a restart of this task; they go to the same places
/// again. If the partition is not written ([`MountedLog::write_refusal`]), it writes nothing.
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
    if let Some(refusal) = log.write_refusal() {
        let reason = read_only(refusal);
        ringbuf_entry_root!(Trace::ReadOnly(reason));
        recorder.state.set(RecorderState::ReadOnly(reason));
        return Ok(log);
    }
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
        SearchError::Partition(PartitionError::Damaged) => UnsavedReason::TableDamaged,
        SearchError::Partition(PartitionError::Entries(count)) => {
            UnsavedReason::TableTooLong(count)
        }
        SearchError::Partition(PartitionError::EntryLength(length)) => {
            UnsavedReason::TableEntries(length)
        }
        SearchError::Partition(PartitionError::LargeBlocks) => UnsavedReason::LargeBlocks,
        SearchError::Partition(PartitionError::NotFound | PartitionError::WrongType(_)) => {
            UnsavedReason::NoPartition
        }
        // `Refused` does not occur: it is an error of the emergency's search.
        SearchError::Partition(PartitionError::OutOfBounds) | SearchError::Refused(_) => {
            UnsavedReason::BadGeometry
        }
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

/// Translates why the partition is not written.
fn read_only(refusal: WriteRefusal) -> ReadOnlyReason {
    match refusal {
        WriteRefusal::Table(TableProblem::MadeAnew) => ReadOnlyReason::MadeAnew,
        WriteRefusal::Table(TableProblem::Ambiguous) => ReadOnlyReason::Ambiguous,
        WriteRefusal::Table(TableProblem::OutOfBounds) => ReadOnlyReason::OutOfBounds,
        WriteRefusal::Table(TableProblem::Overlaps) => ReadOnlyReason::Overlaps,
        WriteRefusal::Table(TableProblem::ReadOnly) => ReadOnlyReason::Attribute,
        WriteRefusal::Table(TableProblem::LargerDevice) => ReadOnlyReason::LargerCard,
        WriteRefusal::OtherPlace => ReadOnlyReason::OtherPlace,
        WriteRefusal::NoPlace => ReadOnlyReason::NoPlace,
        WriteRefusal::NoWitness => ReadOnlyReason::NoWitness,
    }
}

fn card_failed(recorder: &Recorder, error: PortError) -> UnsavedReason {
    UnsavedReason::CardFailed(note_error(recorder, FailureStep::Mount, error))
}

// The retained region has room for what the emergency path needs to know about the card.
const _: () = assert!(size_of::<CardLocation>() <= CARD_LOCATION_LEN);
