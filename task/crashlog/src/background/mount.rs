//! The beginning of a session: from a slot to a log whose every part is located.

use block_device::WindowError;
use crashlog_format::{CheckError, SuperblockError};
use crashlog_retained::CARD_LOCATION_LEN;
use crashlog_store::{MountError, Options, PartitionError, Search, SearchError, find_log};
use drv_mmc::CardLocation;
use drv_sdhci::ErrorKind;
use ringbuf::ringbuf_entry_root;
use task_crashlog_api::{FailureStep, State, UnsavedReason};
use zerocopy::{FromBytes, IntoBytes};

use super::{DeviceError, Log, failed};
use crate::card::{Memory, Normal};
use crate::config;
use crate::recorder::Recorder;
use crate::trace::Trace;

/// Identifies the card, finds the partition, locates the log. Writes nothing but pages of the log whose write an
/// earlier life of this task had begun, into the places they already had.
///
/// # Errors
/// Why nothing can be saved.
pub async fn mount<'s, 'm>(
    recorder: &Recorder,
    card: &'s mut Normal<'m>,
    memory: &Memory<'m>,
) -> Result<Log<'s, 'm>, UnsavedReason> {
    if let Err(error) = card.identify().await {
        return Err(match error {
            drv_mmc::Error::NoCard
            | drv_mmc::Error::Host(drv_sdhci::Error {
                kind: ErrorKind::CardGone,
                ..
            }) => UnsavedReason::NoCard,
            error => UnsavedReason::Unidentified(failed(
                recorder,
                FailureStep::Identify,
                WindowError::Device(error),
            )),
        });
    }
    // What was known of the place is of the card that was here before. Should something crash before it is known anew,
    // the emergency path asks this one.
    let identified = *card.location();
    recorder.region.location().forget_unless(|known| {
        CardLocation::read_from_prefix(known)
            .is_ok_and(|(known, _)| known.is_of_same_card(&identified))
    });
    let search = Search {
        partition: config::PARTITION,
        options: Options {
            keep_first: config::KEEP_FIRST,
        },
        region: &recorder.region,
        ring: &recorder.ring,
        card: identified.as_bytes(),
        scratch: memory.store,
    };
    let log = find_log(card, &search).await.map_err(|error| match error {
        SearchError::Partition(PartitionError::Device(error))
        | SearchError::Mount(MountError::Device(error))
        | SearchError::Device(error) => card_failed(recorder, WindowError::Device(error)),
        SearchError::OutOfPartition => card_failed(recorder, WindowError::OutOfWindow),
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
    })?;
    // Pages that turned out to be on the card are not held by anyone any more.
    recorder.recount();

    ringbuf_entry_root!(Trace::Mounted {
        next_page: log.next_page()
    });
    recorder.state.set(State::Ready);
    Ok(log)
}

fn card_failed(recorder: &Recorder, error: DeviceError) -> UnsavedReason {
    UnsavedReason::CardFailed(failed(recorder, FailureStep::Mount, error))
}

// What the emergency path wants to know about the card.
const _: () = assert!(size_of::<CardLocation>() <= CARD_LOCATION_LEN);
