//! The emergency path: writes a crash when nothing of the system can be relied on.
//!
//! The system has crashed, perhaps in this task. The path uses nothing that the normal path has set
//! up: the stack is empty, the statics have their initial values, controller and card may be in any
//! state. All it reads is the retained region, each part of which has its own check.
//!
//! The order is: recover controller and card (prepare); write crash, commit and log tail
//! ([`crashlog_store::emergency`]); complete; report to the supervisor. If the supervisor then has
//! an image of the system's memory, it is written behind the crash, and the end is reported again.
//!
//! The path polls. It enables no interrupt, receives no message and waits for no other task. The
//! supervisor says in the mailbox how long the try has, and all of that may be used. Each phase has
//! a deadline within it and, in case the clock has stopped, a limit of polls. Progress is noted in
//! the mailbox before each step that could hang. It becomes part of the crash if that is written,
//! and is there for the next boot if not.
//!
//! The only call to the supervisor is the report, by one function. It returns only if there is an
//! image to write, or if there is no emergency.
//!
//! The path's variables are statics, so that its stack holds only the frames of calls. `_start`
//! zeroes the statics at less cost than the path itself could, and no other code borrows them.

use core::mem::MaybeUninit;
use crashlog_format::ledger::Ledger;
use crashlog_format::{EmergencyFailure, EmergencyStep, Outcome};
use crashlog_retained::{Location, Region, StoredContext};
use crashlog_store::emergency::{
    self, EmergencyMedium, EmergencyRequest, KnownMedium, SnapshotRequest,
};
use static_cell::StaticCell;
use task_jefe_api::Jefe;
use userlib::{sys_get_timer, task_slot};

use crate::config;
use crate::hardware::{self, EmergencyDevice};
use crate::transfer_blocks::TransferBlocks;

task_slot!(JEFE, jefe);

/// Milliseconds for each of the two halves of a self-test: writing, and reading back.
pub const TEST_MS: u32 = 1_200;

/// The crash in the mailbox. `main` looks at it to decide between the two paths.
pub static CRASH: StaticCell<Option<StoredContext<'static>>> = StaticCell::new(None);
// Uninitialised, because its initial value would not be all zeros and would have to be copied from
// flash.
static CARD: StaticCell<MaybeUninit<EmergencyDevice<'static>>> =
    StaticCell::new(MaybeUninit::uninit());
static LOCATION: StaticCell<Option<Location>> = StaticCell::new(None);
static KNOWN: StaticCell<KnownMedium> = StaticCell::new([0; size_of::<KnownMedium>()]);
static LEDGER: StaticCell<Ledger> = StaticCell::new(Ledger::ZERO);
static OUTCOME: StaticCell<MaybeUninit<Outcome>> = StaticCell::new(MaybeUninit::uninit());

/// Takes the crash out of the mailbox; `None` if it does not pass its check.
// Not inlined, as the two functions below: their temporaries must not take stack while the driver
// runs.
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
    memory: &TransferBlocks<'static>,
    minimal: bool,
    try_ms: u32,
    card: &'c mut MaybeUninit<EmergencyDevice<'static>>,
) -> &'c mut EmergencyDevice<'static> {
    card.write(hardware::emergency_device(memory, minimal, try_ms))
}

/// Writes `crash` and the log tail; `crash` is `None` if the crash in the mailbox does not pass its
/// check, and reports; then the snapshot, if the supervisor has made an image. Returns what is to
/// be reported at the end. A `minimal` attempt, the second one, uses no DMA and writes no segments
/// but message and stack.
// It must not be inlined: its stack frame would be added to that of the normal path.
#[inline(never)]
pub fn run(
    region: &Region<'static>,
    crash: Option<&StoredContext<'_>>,
    minimal: bool,
) -> EmergencyFailure {
    let mailbox = region.mailbox();
    let began = sys_get_timer().now;
    let (Some(mut outcome), Some(mut card)) = (OUTCOME.try_borrow_mut(), CARD.try_borrow_mut())
    else {
        return EmergencyFailure::Recorder;
    };
    let outcome = outcome.write(Outcome::default());
    outcome.set_minimal(minimal);
    outcome.set_first_failure(mailbox.first_failure());
    let Some(memory) = TransferBlocks::of(region) else {
        return EmergencyFailure::Recorder;
    };
    let card = take_card(&memory, minimal, mailbox.try_ms(), &mut card);
    let result = write(region, crash, &memory, card, outcome);
    if let Err(failure) = result {
        outcome.fail(failure);
    }
    let took = sys_get_timer().now.saturating_sub(began);
    outcome.milliseconds = u32::try_from(took).unwrap_or(u32::MAX).into();
    mailbox.set_outcome(outcome);
    mailbox.conclude(result.is_ok());
    // Whatever the result, the content of retained RAM has not kept this task from its end; unless
    // it is the normal start of this task that has failed, and has not come through.
    if crash.is_none_or(|crash| usize::from(crash.context.task) != config::TASK_INDEX) {
        region.trial().end_start();
    }
    let failure = outcome.failure();
    if report(failure)
        && let (Ok(()), Some(crash)) = (result, crash)
    {
        write_snapshot(region, crash, &memory, card, outcome.sequence.get());
    }
    failure
}

/// Reports the end to the supervisor, which resets the system or restarts this task instead of
/// replying; or it replies `true`, because it has made an image of the system's memory that is to
/// be written before the next report. It replies `false` if there is no emergency.
///
/// A caller that gets a reply must not wait for another one: nothing would end that.
#[inline(never)]
pub fn report(failure: EmergencyFailure) -> bool {
    Jefe::from(JEFE.get_task_id()).emergency_done(failure as u32)
}

/// Runs the three phases for the self-test, with a crash that is marked as a test.
///
/// # Errors
/// As [`write`].
pub fn write_test(
    region: &Region<'static>,
    crash: &StoredContext<'_>,
    memory: &TransferBlocks<'static>,
    outcome: &mut Outcome,
) -> Result<(), EmergencyFailure> {
    let Some(mut card) = CARD.try_borrow_mut() else {
        return Err(EmergencyFailure::Recorder);
    };
    let card = take_card(memory, false, TEST_MS, &mut card);
    write(region, Some(crash), memory, card, outcome)?;
    // A crash without its log tail is durable, and yet something does not work.
    if outcome.finished(EmergencyStep::LogTail) {
        Ok(())
    } else {
        Err(EmergencyFailure::Device)
    }
}

/// Runs the three phases: prepare, write, complete.
///
/// # Errors
/// Why the crash is not durable; `outcome` says which steps were done.
fn write(
    region: &Region<'static>,
    crash: Option<&StoredContext<'_>>,
    memory: &TransferBlocks<'static>,
    card: &mut impl EmergencyMedium,
    outcome: &mut Outcome,
) -> Result<(), EmergencyFailure> {
    let (Some(mut location), Some(mut known), Some(mut ledger)) = (
        LOCATION.try_borrow_mut(),
        KNOWN.try_borrow_mut(),
        LEDGER.try_borrow_mut(),
    ) else {
        return Err(EmergencyFailure::Recorder);
    };
    take_location(region, &mut location);
    emergency::prepare(card, region, location.as_ref(), &mut known, outcome)?;
    let request = EmergencyRequest {
        region,
        crash,
        location: location.as_ref(),
        partition: config::PARTITION,
        keep_first: config::KEEP_FIRST,
        card: &*known,
        extra: &[],
        scratch: memory.store,
    };
    emergency::write_and_complete(card, &request, &mut ledger, outcome)
}

/// Writes the image in the dump area behind `crash`, which is durable with this sequence number.
/// The card was left by [`write`]. If this fails, the image stays in retained RAM, and the next
/// boot writes it.
#[inline(never)]
fn write_snapshot(
    region: &Region<'static>,
    crash: &StoredContext<'_>,
    memory: &TransferBlocks<'static>,
    card: &mut impl EmergencyMedium,
    sequence: u32,
) {
    let (Some(mut location), Some(mut ledger)) =
        (LOCATION.try_borrow_mut(), LEDGER.try_borrow_mut())
    else {
        return;
    };
    // It was not known before, if the log had to be searched.
    take_location(region, &mut location);
    let Some(location) = location.as_ref() else {
        return;
    };
    let request = SnapshotRequest {
        region,
        crash,
        sequence,
        location,
        extra: &[],
        scratch: memory.store,
    };
    card.write_again(region.mailbox().try_ms());
    // It ends with a flush, so no last phase is needed for it.
    if emergency::write_snapshot(card, &request, &mut ledger).is_ok() {
        region.snapshot().clear();
    }
}
