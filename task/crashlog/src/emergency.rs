//! The emergency entry.
//!
//! The system has crashed, perhaps in this very task. Nothing that normal operation has set up is used or believed: the
//! stack is empty, the statics are as at the start, the controller and the card are in whatever state they were left in.
//! What is known is in the retained region, each part with its own check.
//!
//! The path is straight: bring controller and card back (prepare), write (log tail, record, commit: see
//! [`crashlog_store::emergency`]), complete, report. It polls. It enables no interrupt, receives no message and waits
//! for nobody; each phase is bounded by the clock and, should that be dead, by a number of polls. How far it came is
//! noted in the mailbox before each step that could hang, for the record if there is one, and for the next boot if not.
//!
//! There is one call to the supervisor at the end, which does not come back.
//!
//! What the path knows is in statics, so that its stack is what calls need: the driver is called from the middle of a
//! record. `_start` has zeroed them, faster than anybody else would, and nobody else has borrowed them.

use core::mem::MaybeUninit;
use crashlog_format::ledger::Ledger;
use crashlog_format::{EmergencyFailure, EmergencyStep, Outcome, OutcomePhase};
use crashlog_retained::{Location, Region, StoredContext};
use crashlog_store::emergency::{self, EmergencyRequest, Error};
use crashlog_store::{MountError, PartitionError};
use drv_mmc::emergency::PhaseFailure;
use drv_mmc::{CardLocation, EmergencyReport, found};
use drv_sdhci::ErrorKind;
use static_cell::StaticCell;
use task_jefe_api::Jefe;
use userlib::{sys_get_timer, task_slot};
use zerocopy::{FromBytes, IntoBytes};

use crate::card::{self, Memory};
use crate::config;

task_slot!(JEFE, jefe);

/// The crash in the mailbox, for whoever decides whether this is an emergency.
pub static CRASH: StaticCell<Option<StoredContext<'static>>> = StaticCell::new(None);
// Without a value, which would not be zeros.
static CARD: StaticCell<MaybeUninit<card::Emergency<'static>>> =
    StaticCell::new(MaybeUninit::uninit());
static LOCATION: StaticCell<Option<Location>> = StaticCell::new(None);
static IDENTIFIED: StaticCell<MaybeUninit<CardLocation>> = StaticCell::new(MaybeUninit::uninit());
static LEDGER: StaticCell<Ledger> = StaticCell::new(Ledger::ZERO);
static OUTCOME: StaticCell<MaybeUninit<Outcome>> = StaticCell::new(MaybeUninit::uninit());

/// Takes the crash out of the mailbox; `None` if it does not pass its check.
// What it comes by is gone from the stack when the way goes on, as in the two functions like it below.
#[inline(never)]
pub fn take_crash(region: &Region<'static>, crash: &mut Option<StoredContext<'static>>) {
    *crash = region.mailbox().crash();
}

#[inline(never)]
fn take_location(region: &Region<'_>, location: &mut Option<Location>) {
    *location = region.location().load();
}

#[inline(never)]
fn take_card<'c>(
    memory: &Memory<'static>,
    minimal: bool,
    card: &'c mut MaybeUninit<card::Emergency<'static>>,
) -> &'c mut card::Emergency<'static> {
    card.write(card::emergency(memory, minimal))
}

/// Writes log tail and the record of `crash` (`None` if the mailbox's does not pass its check); returns what is to be
/// reported. `minimal` is the second try: no DMA, no segments beside message and stack.
///
/// A function of its own, because its stack is not needed in normal operation.
#[inline(never)]
pub fn run(
    region: &Region<'static>,
    crash: Option<&StoredContext<'_>>,
    minimal: bool,
) -> EmergencyFailure {
    let mailbox = region.mailbox();
    let began = sys_get_timer().now;
    let Some(mut outcome) = OUTCOME.try_borrow_mut() else {
        return EmergencyFailure::Recorder;
    };
    let outcome = outcome.write(Outcome::default());
    outcome.set_minimal(minimal);
    let result = match Memory::of(region) {
        Some(memory) => write(region, crash, &memory, minimal, outcome),
        None => Err(EmergencyFailure::Recorder),
    };
    if let Err(failure) = result {
        outcome.fail(failure);
    }
    let took = sys_get_timer().now.saturating_sub(began);
    outcome.milliseconds = u32::try_from(took).unwrap_or(u32::MAX).into();
    mailbox.set_outcome(outcome);
    mailbox.conclude(result.is_ok());
    outcome.failure()
}

/// Tells the supervisor, which resets the system instead of answering, or enters this task again. If it comes back, nothing
/// is left to do but to say it again, until the watchdog has had enough.
#[inline(never)]
pub fn report(failure: EmergencyFailure) {
    Jefe::from(JEFE.get_task_id()).emergency_done(failure as u32);
}

/// The path itself, up to the end of its last phase. Also for the self-test, with a record that is none of a crash.
///
/// # Errors
/// Why the record is not durable; `outcome` says how far it came.
pub fn write(
    region: &Region<'static>,
    crash: Option<&StoredContext<'_>>,
    memory: &Memory<'static>,
    minimal: bool,
    outcome: &mut Outcome,
) -> Result<(), EmergencyFailure> {
    outcome.enter(OutcomePhase::Prepare);
    region.mailbox().set_outcome(outcome);
    let (Some(mut location), Some(mut card), Some(mut identified), Some(mut ledger)) = (
        LOCATION.try_borrow_mut(),
        CARD.try_borrow_mut(),
        IDENTIFIED.try_borrow_mut(),
        LEDGER.try_borrow_mut(),
    ) else {
        return Err(EmergencyFailure::Recorder);
    };
    take_location(region, &mut location);
    let card = take_card(memory, minimal, &mut card);
    let identified = identified.write(CardLocation::default());
    prepare(card, location.as_ref(), identified, outcome)?;

    let request = EmergencyRequest {
        region,
        crash,
        location: location.as_ref(),
        partition: config::PARTITION,
        keep_first: config::KEEP_FIRST,
        card: identified.as_bytes(),
        extra: &[],
        scratch: memory.store,
    };
    let written = emergency::write(card, &request, &mut ledger, outcome, note);
    note(card, outcome);
    written.map_err(not_written)?;

    // The record is durable: what follows is for the card's sake and cannot take that away.
    let _ = card.complete();
    note(card, outcome);
    Ok(())
}

#[inline(never)]
fn prepare(
    card: &mut card::Emergency<'static>,
    location: Option<&Location>,
    identified: &mut CardLocation,
    outcome: &mut Outcome,
) -> Result<(), EmergencyFailure> {
    let prepared = card.prepare(&known_card(location));
    *identified = *card.location();
    note(card, outcome);
    prepared
        .map(|_| ())
        .map_err(|failure| not_ready(failure.error))
}

/// What normal operation knew about the card; a location of no card if it knew nothing.
pub fn known_card(location: Option<&Location>) -> CardLocation {
    location
        .and_then(|location| CardLocation::read_from_prefix(&location.card).ok())
        .map(|(card, _)| card)
        .unwrap_or_default()
}

/// Takes over what the driver has found and done.
#[inline(never)]
fn note(card: &card::Emergency<'_>, outcome: &mut Outcome) {
    let EmergencyReport {
        controller,
        card_state,
        steps,
        retries,
        last_error,
        command,
        mode,
        blocks_left,
        phase_ms,
        drain,
        ..
    } = card.report();
    outcome.controller = controller;
    outcome.card = card_state;
    outcome.retries = retries.into();
    outcome.error = last_error.into();
    outcome.repairs = steps.into();
    outcome.blocks_left = blocks_left.into();
    outcome.phase_ms = phase_ms.map(Into::into);
    outcome.drain = drain;
    outcome.command = command;
    outcome.mode = mode;
    if steps & found::step::PREPARED != 0 {
        outcome.finish(EmergencyStep::ControllerReset);
        outcome.finish(EmergencyStep::CardReady);
    }
}

fn not_ready(error: drv_mmc::Error) -> EmergencyFailure {
    match error {
        drv_mmc::Error::NoCard => EmergencyFailure::NoCard,
        drv_mmc::Error::Deadline => EmergencyFailure::Timeout,
        drv_mmc::Error::Host(error) => match error.kind {
            ErrorKind::CardGone => EmergencyFailure::NoCard,
            ErrorKind::ResetStuck | ErrorKind::ClockUnstable => EmergencyFailure::Controller,
            _ => EmergencyFailure::Card,
        },
        _ => EmergencyFailure::Card,
    }
}

#[inline(never)]
fn not_written(error: Error<PhaseFailure>) -> EmergencyFailure {
    match error {
        Error::Device(failure)
        | Error::Partition(PartitionError::Device(failure))
        | Error::Mount(MountError::Device(failure)) => match failure.error {
            drv_mmc::Error::Deadline => EmergencyFailure::Timeout,
            _ => EmergencyFailure::Device,
        },
        Error::Partition(_) => EmergencyFailure::NoPartition,
        Error::Mount(MountError::Exhausted) | Error::Exhausted => EmergencyFailure::Exhausted,
        Error::Mount(MountError::Superblock(_) | MountError::Damaged) => {
            EmergencyFailure::OtherFormat
        }
        Error::Context => EmergencyFailure::Context,
        Error::OutOfPartition => EmergencyFailure::Recorder,
    }
}
