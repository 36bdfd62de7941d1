//! The beginning of a session: from a slot to a log whose every part is located.

use block_device::{Window, WindowError};
use crashlog_format::{CheckError, SuperblockError};
use crashlog_retained::{CARD_LOCATION_LEN, Location};
use crashlog_store::{MountError, Options, PartitionError, Store, find_partition};
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
    let location = card_bytes(&identified);
    let partition = find_partition(card, config::PARTITION, memory.store)
        .await
        .map_err(|error| match error {
            PartitionError::Device(error) => card_failed(recorder, WindowError::Device(error)),
            PartitionError::NoTable => UnsavedReason::NoPartitionTable,
            PartitionError::NotFound | PartitionError::WrongType(_) => UnsavedReason::NoPartition,
            PartitionError::OutOfBounds => UnsavedReason::BadGeometry,
        })?;
    let window =
        Window::new(card, partition.first, partition.blocks).ok_or(UnsavedReason::BadGeometry)?;
    let options = Options {
        keep_first: config::KEEP_FIRST,
    };
    let mut log =
        Store::mount(window, options, memory.store)
            .await
            .map_err(|error| match error {
                MountError::Device(error) => card_failed(recorder, error),
                MountError::Superblock(SuperblockError::Check(CheckError::Version(version))) => {
                    UnsavedReason::UnknownVersion(version.into())
                }
                MountError::Superblock(SuperblockError::Check(_)) => UnsavedReason::NotFormatted,
                MountError::Superblock(_) => UnsavedReason::BadGeometry,
                MountError::Exhausted => UnsavedReason::Exhausted,
                MountError::Damaged => UnsavedReason::Damaged,
            })?;

    let region = &recorder.region;
    region.rebase(log.format(), log.last_boot(), recorder.ring.oldest_boot());
    let location = Location {
        first: partition.first,
        geometry: *log.geometry(),
        format: log.format(),
        keep_first: config::KEEP_FIRST,
        card: location,
    };
    region.location().store(&location, log.next_page());
    log.reconcile(&recorder.ring)
        .await
        .map_err(|error| card_failed(recorder, error))?;
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

/// What the emergency path wants to know about the card.
fn card_bytes(location: &CardLocation) -> [u8; CARD_LOCATION_LEN] {
    const { assert!(size_of::<CardLocation>() <= CARD_LOCATION_LEN) };
    let mut bytes = [0; CARD_LOCATION_LEN];
    for (to, from) in bytes.iter_mut().zip(location.as_bytes()) {
        *to = *from;
    }
    bytes
}
