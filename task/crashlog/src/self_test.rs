//! The self-test of the emergency path, at the start of a boot.
//!
//! Bringing up a board raises one question that otherwise only a crash answers: does the emergency path work on this
//! hardware? With `self-test = true` the recorder answers it before it begins its work: it writes a record, marked as a
//! test, by [`emergency::write`], the very function that a crash comes to, and reads it back from a controller that was
//! reset once more.
//!
//! * A crash comes first: while one waits in retained RAM to be recorded, nothing is tested.
//! * The record takes no slot from a crash and is in no counter; it replaces that of the test before (see
//!   [`crashlog_format::ledger`]). So a boot costs four blocks, if there is no log tail to be written.
//! * The mailbox is never armed. Whatever happens during the test, a restart finds no crash that was none; a crash of
//!   another task takes the mailbox over, as always.
//! * There is one test in a boot. A recorder that is restarted in the midst of it says that it was interrupted.
//! * It is bounded as the emergency path is, by the deadlines of its phases, twice: a card that does not answer delays
//!   the start by as much.

use crashlog_format::{Failure, Outcome, Step};
use crashlog_retained::{Region, SelfTestProgress as Kept, StoredContext};
use crashlog_store::self_test::{self, Mismatch};
use drv_mmc::found;
use ringbuf::ringbuf_entry_root;
use task_crashlog_api::{SelfTest, SelfTestCause, SelfTestStep};
use userlib::sys_get_timer;

use crate::card::{self, Memory};
use crate::trace::Trace;
use crate::{config, emergency};

/// Where [`Kept::cause`] has a reason: the test has begun and not ended.
const BEGUN: u32 = u32::MAX;
/// And: what was read back is not what was written. Other numbers are [`Failure`]'s.
const DIFFERS: u32 = 0x100;

/// Tests the path, if that is configured and not done yet in this boot, and says what came of it.
#[inline(never)]
pub fn run(region: &Region<'static>) -> SelfTest {
    if !config::SELF_TEST {
        return SelfTest::Off;
    }
    let result = match region.mailbox().self_test() {
        Some(kept) if kept.boot == region.boot() => shown(&kept),
        _ if region.mailbox().is_pending() || region.failure().read().is_some() => SelfTest::PutOff,
        _ => test(region),
    };
    ringbuf_entry_root!(Trace::SelfTest(result));
    result
}

fn test(region: &Region<'static>) -> SelfTest {
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
    let crash = self_test::describe(region, me, config::TASK_NAME, began);
    let result = match (crash, Memory::of(region)) {
        (Some(crash), Some(memory)) => write_and_read(region, &crash, &memory, &mut outcome),
        _ => Err(Failure::Recorder as u32),
    };
    mailbox.clear();

    let took = sys_get_timer().now.saturating_sub(began);
    kept.step = step(&outcome, result) as u32;
    kept.cause = result.err().unwrap_or(Failure::None as u32);
    kept.error = outcome.error.get();
    kept.record = outcome.record.get();
    kept.milliseconds = u32::try_from(took).unwrap_or(u32::MAX);
    kept.retries = outcome.retries.get().into();
    mailbox.set_self_test(&kept);
    shown(&kept)
}

/// Writes the record and compares it with what is on the card then.
fn write_and_read(
    region: &Region<'static>,
    crash: &StoredContext<'_>,
    memory: &Memory<'static>,
    outcome: &mut Outcome,
) -> Result<(), u32> {
    emergency::write(region, Some(crash), memory, false, outcome)
        .map_err(|failure| failure as u32)?;

    let location = region.location().load();
    let mut card = card::emergency(memory, false);
    let result = match card.prepare(&emergency::known_card(location.as_ref())) {
        Ok(_) => self_test::verify(
            &mut card,
            config::PARTITION,
            outcome.record.get(),
            crash,
            memory.store,
        ),
        Err(failure) => Err(Mismatch::Device(failure)),
    };
    let found::Found {
        retries,
        last_error,
        ..
    } = card.found();
    outcome.retries = outcome.retries.get().saturating_add(retries).into();
    if last_error != 0 {
        outcome.error = last_error.into();
    }
    // For the card's sake.
    let _ = card.complete();
    result.map_err(|mismatch| match mismatch {
        Mismatch::Device(failure) if failure.error == drv_mmc::Error::Deadline => {
            Failure::Timeout as u32
        }
        Mismatch::Device(_) => Failure::Device as u32,
        Mismatch::Lost => DIFFERS,
        Mismatch::NotNamed => DIFFERS + 1,
        Mismatch::Header => DIFFERS + 2,
        Mismatch::Checksum(segment) => DIFFERS + 0x10 + u32::from(segment),
        Mismatch::Block(block) => DIFFERS + 0x20 + u32::from(block),
    })
}

/// The step that it failed in; the last if it did not.
fn step(outcome: &Outcome, result: Result<(), u32>) -> SelfTestStep {
    let undone = Step::ALL.into_iter().find(|step| !outcome.finished(*step));
    match undone {
        // One bit for both: what failed tells which.
        Some(Step::ControllerReset) if result == Err(Failure::Controller as u32) => {
            SelfTestStep::Controller
        }
        Some(Step::ControllerReset | Step::CardReady) => SelfTestStep::Card,
        Some(Step::Located) => SelfTestStep::Locate,
        Some(Step::LogTail) => SelfTestStep::WriteLog,
        Some(Step::Record) => SelfTestStep::WriteRecord,
        Some(Step::Commit) => SelfTestStep::Commit,
        None => SelfTestStep::ReadBack,
    }
}

/// What is kept, as `status` has it.
fn shown(kept: &Kept) -> SelfTest {
    const SUCCESS: u32 = Failure::None as u32;
    match kept.cause {
        BEGUN => SelfTest::Interrupted,
        SUCCESS => SelfTest::Passed {
            record: kept.record,
            milliseconds: kept.milliseconds,
            retries: kept.retries,
            code: kept.error,
        },
        cause => SelfTest::Failed {
            step: SelfTestStep::from_number(kept.step),
            cause: shown_cause(cause),
            code: if cause >= DIFFERS { cause } else { kept.error },
        },
    }
}

fn shown_cause(cause: u32) -> SelfTestCause {
    const CAUSES: [(Failure, SelfTestCause); 9] = [
        (Failure::Controller, SelfTestCause::Controller),
        (Failure::NoCard, SelfTestCause::NoCard),
        (Failure::Card, SelfTestCause::Card),
        (Failure::NoPartition, SelfTestCause::NoPartition),
        (Failure::OtherFormat, SelfTestCause::OtherFormat),
        (Failure::Device, SelfTestCause::Device),
        (Failure::Timeout, SelfTestCause::Timeout),
        (Failure::Exhausted, SelfTestCause::Exhausted),
        (Failure::Recorder, SelfTestCause::Recorder),
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
