//! A medium as the emergency path needs it, and the phases of an emergency over it.
//!
//! [`crate::emergency::write`] needs no more than a [`PolledDevice`]. Before it the medium has to
//! be brought to where requests work, whatever it was doing when the system crashed, and after it
//! to a defined state. What that means depends on the medium: an eMMC or SD card behind an SDHCI
//! slot (`drv-mmc`), behind another host such as STM32's SDMMC, or on SPI. So it is a trait, and
//! the recorder's emergency path works with whatever implements it. The example in this crate's
//! tests (`src/tests/spi_medium.rs`) is an SD card on SPI.

use super::{EmergencyRequest, Error, write};
use crate::{MountError, PartitionError};
use block_device::PolledDevice;
use crashlog_format::ledger::Ledger;
use crashlog_format::{EmergencyFailure, Outcome, OutcomePhase};
use crashlog_retained::{CARD_LOCATION_LEN, Location, Region};

/// What a driver keeps of its medium in retained RAM, for the next start or an emergency: how the
/// medium is recognised and addressed. Zeros: nothing is known.
pub type KnownMedium = [u8; CARD_LOCATION_LEN];

/// Nothing is known.
static NOTHING: KnownMedium = [0; CARD_LOCATION_LEN];

/// A medium for an emergency.
///
/// The system has crashed, perhaps in the middle of a request, perhaps in the driver. So an
/// implementation uses nothing that its counterpart of normal operation has set up, no interrupt
/// and no lock; it neither panics nor allocates, and each call returns within the time that it was
/// given, also if the clock stands still. It should use that time: a request that fails is repeated
/// by other means, and a medium that is busy is waited for.
pub trait EmergencyMedium: PolledDevice {
    /// Ends whatever is in flight, and brings the medium to where requests work. `known` is what
    /// normal operation, or [`Self::known`], has said of it, and may be wrong.
    ///
    /// # Errors
    /// Those of the medium; requests then fail.
    fn prepare(&mut self, known: &KnownMedium) -> Result<(), Self::Error>;

    /// Notes what is known of the medium now; what is not replaced in `known` stays.
    fn known(&self, known: &mut KnownMedium);

    /// Makes everything durable, and leaves the medium in a defined state.
    ///
    /// # Errors
    /// Those of the medium.
    fn complete(&mut self) -> Result<(), Self::Error>;

    /// Gives the medium `try_ms` milliseconds for what is written after [`Self::complete`].
    fn write_again(&mut self, try_ms: u32);

    /// Notes what was found and done so far, for the crash and the report.
    fn note(&self, outcome: &mut Outcome);

    /// Why [`Self::prepare`] has failed.
    fn not_ready(error: Self::Error) -> EmergencyFailure;

    /// Why a request has failed.
    fn not_written(error: Self::Error) -> EmergencyFailure;
}

/// First phase: recovers the medium, with the help of `location` if there is one. `known` is then
/// what the driver knows of it.
///
/// # Errors
/// Why requests do not work; `outcome` has what was tried.
#[inline(never)]
pub fn prepare<M: EmergencyMedium>(
    medium: &mut M,
    region: &Region<'_>,
    location: Option<&Location>,
    known: &mut KnownMedium,
    outcome: &mut Outcome,
) -> Result<(), EmergencyFailure> {
    outcome.enter(OutcomePhase::Prepare);
    region.mailbox().set_outcome(outcome);
    let before = location.map_or(&NOTHING, |location| &location.card);
    let prepared = medium.prepare(before);
    medium.known(known);
    medium.note(outcome);
    prepared.map_err(M::not_ready)
}

/// The other phases: [`write()`], then the medium's end.
///
/// # Errors
/// Why the crash is not durable; `outcome` says which steps were done.
#[inline(always)]
pub fn write_and_complete<M: EmergencyMedium>(
    medium: &mut M,
    request: &EmergencyRequest<'_>,
    ledger: &mut Ledger,
    outcome: &mut Outcome,
) -> Result<(), EmergencyFailure> {
    let written = write(medium, request, ledger, outcome, M::note);
    if written.is_ok() {
        // The crash is durable, whether or not the last phase succeeds.
        let _ = medium.complete();
    }
    medium.note(outcome);
    written.map_err(not_written::<M>)
}

/// Translates an error of the write phase.
#[inline(never)]
fn not_written<M: EmergencyMedium>(error: Error<M::Error>) -> EmergencyFailure {
    match error {
        Error::Device(error)
        | Error::Partition(PartitionError::Device(error))
        | Error::Mount(MountError::Device(error)) => M::not_written(error),
        Error::Partition(_) => EmergencyFailure::NoPartition,
        Error::Mount(MountError::Exhausted) | Error::Exhausted => EmergencyFailure::Exhausted,
        Error::Mount(MountError::Superblock(_) | MountError::Damaged) => {
            EmergencyFailure::OtherFormat
        }
        Error::Refused(_) => EmergencyFailure::NotWritable,
        Error::Context => EmergencyFailure::Context,
        Error::OutOfPartition => EmergencyFailure::Recorder,
    }
}
