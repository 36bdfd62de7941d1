//! The self-test of the emergency path, at the start of a boot.
//!
//! It shows on a new board whether the emergency path works on this hardware, without a crash. With
//! `self-test = true` the recorder writes a crash that is marked as a test, by
//! [`emergency::write_test`], with the same code as a real crash. Then it resets the controller and
//! reads the crash back.
//!
//! * A real crash comes first: nothing is tested while one waits in retained RAM to be written.
//! * The test's crash takes no slot from a real one and is in no counter. It replaces the one of
//!   the previous test (see [`crashlog_format::ledger`]). A boot therefore writes four blocks for
//!   it, and the log tail if there is one.
//! * The mailbox is never armed, so a restart during the test finds no crash. A crash of another
//!   task takes over the mailbox as usual.
//! * There is one test in each boot. If the recorder is restarted during it, the result is that it
//!   was interrupted.
//! * Its duration is bounded by the deadlines of the emergency path's phases, twice: for writing
//!   and for reading. A card that does not answer delays the start by this time.

use crashlog_format::{EmergencyFailure, EmergencyStep, Outcome};
use crashlog_retained::{Region, SelfTestProgress as Kept, StoredContext, TrialStage};
use crashlog_store::emergency::{EmergencyMedium, KnownMedium};
use crashlog_store::self_test::{self, Mismatch};
use ringbuf::ringbuf_entry_root;
use task_crashlog_api::{SelfTestCause, SelfTestReport, SelfTestStep};
use userlib::{kipc, sys_get_timer};

use crate::hardware::{self, EmergencyDevice};
use crate::trace::Trace;
use crate::transfer_blocks::TransferBlocks;
use crate::{config, emergency};

/// Value of [`Kept::cause`]: the test has begun and not ended.
const BEGUN: u32 = u32::MAX;
/// First value of [`Kept::cause`] for a difference between what was written and what was read.
/// Lower values are those of [`EmergencyFailure`].
const DIFFERS: u32 = 0x100;

/// Runs the test if it is configured and did not run yet in this boot. Returns the result.
// It must not be inlined: its stack would be added to that of the normal path.
#[inline(never)]
pub fn run(region: &Region<'static>) -> SelfTestReport {
    if !config::SELF_TEST {
        return SelfTestReport::Off;
    }
    let result = match region.mailbox().self_test() {
        Some(kept) if kept.boot == region.boot() => report(&kept),
        _ if region.trial().stage() != TrialStage::All
            || region.mailbox().is_pending()
            || region.failure().read().is_some() =>
        {
            SelfTestReport::PutOff
        }
        _ => test(region),
    };
    ringbuf_entry_root!(Trace::SelfTest(result));
    result
}

/// Runs the test, and keeps the result in retained RAM.
fn test(region: &Region<'static>) -> SelfTestReport {
    let mailbox = region.mailbox();
    let began = sys_get_timer().now;
    let mut kept = Kept {
        boot: region.boot(),
        cause: BEGUN,
        ..Kept::default()
    };
    mailbox.set_self_test(&kept);

    let mut outcome = Outcome::default();
    let me = config::TASK_INDEX as u16;
    let image = kipc::read_image_id();
    let crash = self_test::describe(region, me, config::TASK_NAME, began, image);
    let result = match (crash, TransferBlocks::of(region)) {
        (Some(crash), Some(memory)) => write_and_read(region, &crash, &memory, &mut outcome),
        _ => Err(EmergencyFailure::Recorder as u32),
    };
    mailbox.clear();

    let took = sys_get_timer().now.saturating_sub(began);
    kept.step = step(&outcome, result) as u32;
    kept.cause = result.err().unwrap_or(EmergencyFailure::None as u32);
    kept.error = outcome.error.get();
    kept.sequence = outcome.sequence.get();
    kept.milliseconds = u32::try_from(took).unwrap_or(u32::MAX);
    kept.retries = outcome.retries.get().into();
    mailbox.set_self_test(&kept);
    report(&kept)
}

/// Writes the crash and compares it with what is on the card afterwards.
fn write_and_read(
    region: &Region<'static>,
    crash: &StoredContext<'_>,
    memory: &TransferBlocks<'static>,
    outcome: &mut Outcome,
) -> Result<(), u32> {
    emergency::write_test(region, crash, memory, outcome).map_err(|failure| failure as u32)?;

    let location = region.location().load();
    let mut card = hardware::emergency_device(memory, false, emergency::TEST_MS);
    let known = location.map_or([0; size_of::<KnownMedium>()], |location| location.card);
    let result = match card.prepare(&known) {
        Ok(()) => self_test::verify(
            &mut card,
            config::PARTITION,
            outcome.sequence.get(),
            crash,
            memory.store,
        ),
        Err(failure) => Err(Mismatch::Device(failure)),
    };
    let mut found = Outcome::default();
    card.note(&mut found);
    let retries = outcome.retries.get().saturating_add(found.retries.get());
    outcome.retries = retries.into();
    if found.error.get() != 0 {
        outcome.error = found.error;
    }
    // The result does not depend on this phase: everything was read and compared.
    let _ = card.complete();
    result.map_err(|mismatch| match mismatch {
        Mismatch::Device(failure) => EmergencyDevice::not_written(failure) as u32,
        Mismatch::Lost => DIFFERS,
        Mismatch::NotNamed => DIFFERS + 1,
        Mismatch::Header => DIFFERS + 2,
        Mismatch::Checksum(segment) => DIFFERS + 0x10 + u32::from(segment),
        Mismatch::Block(block) => DIFFERS + 0x20 + u32::from(block),
    })
}

/// The step that failed; the last one if none did.
fn step(outcome: &Outcome, result: Result<(), u32>) -> SelfTestStep {
    let undone = EmergencyStep::ALL
        .into_iter()
        .find(|step| !outcome.finished(*step));
    match undone {
        // The outcome has one bit for controller and card; the failure tells them apart.
        Some(EmergencyStep::ControllerReset)
            if result == Err(EmergencyFailure::Controller as u32) =>
        {
            SelfTestStep::Controller
        }
        Some(EmergencyStep::ControllerReset | EmergencyStep::CardReady) => SelfTestStep::Card,
        Some(EmergencyStep::Located) => SelfTestStep::Locate,
        Some(EmergencyStep::LogTail) => SelfTestStep::WriteLog,
        Some(EmergencyStep::Crash) => SelfTestStep::WriteCrash,
        Some(EmergencyStep::Commit) => SelfTestStep::Commit,
        None => SelfTestStep::ReadBack,
    }
}

/// Translates the kept result for `status`.
fn report(kept: &Kept) -> SelfTestReport {
    const SUCCESS: u32 = EmergencyFailure::None as u32;
    match kept.cause {
        BEGUN => SelfTestReport::Interrupted,
        SUCCESS => SelfTestReport::Passed {
            sequence: kept.sequence,
            milliseconds: kept.milliseconds,
            retries: kept.retries,
            code: kept.error,
        },
        cause => SelfTestReport::Failed {
            step: SelfTestStep::from_number(kept.step),
            cause: reported_cause(cause),
            code: if cause >= DIFFERS { cause } else { kept.error },
        },
    }
}

/// Translates [`Kept::cause`] of a test that failed.
fn reported_cause(cause: u32) -> SelfTestCause {
    const CAUSES: [(EmergencyFailure, SelfTestCause); 10] = [
        (EmergencyFailure::Controller, SelfTestCause::Controller),
        (EmergencyFailure::NoCard, SelfTestCause::NoCard),
        (EmergencyFailure::Card, SelfTestCause::Card),
        (EmergencyFailure::NoPartition, SelfTestCause::NoPartition),
        (EmergencyFailure::OtherFormat, SelfTestCause::OtherFormat),
        (EmergencyFailure::Device, SelfTestCause::Device),
        (EmergencyFailure::Timeout, SelfTestCause::Timeout),
        (EmergencyFailure::Exhausted, SelfTestCause::Exhausted),
        (EmergencyFailure::Recorder, SelfTestCause::Recorder),
        (EmergencyFailure::NotWritable, SelfTestCause::NotWritable),
    ];
    let known = CAUSES
        .iter()
        .find(|(failure, _)| *failure as u32 == cause)
        .map(|(_, cause)| *cause);
    match known {
        Some(known) => known,
        None if cause >= DIFFERS => SelfTestCause::Differs,
        None => SelfTestCause::Recorder,
    }
}
