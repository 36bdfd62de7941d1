//! The supervisor on a test double of the kernel; each test plays the recorder.

use abi::{FaultInfo, FaultSource};
use crashlog_retained::{Block, CrashReason, EmergencyFailure, MailboxState, Outcome, Region};

use crate::loops::Limits;
use crate::testing::{Effect, TestKernel};
use crate::{
    Consequence, Disposition, EmergencyState, Mode, STACK_EXCERPT, SnapshotScope, Supervisor,
    SupervisorConfig, TaskPolicy,
};

mod description;
mod holds;
mod snapshots;

pub(crate) const RECORDER: usize = 1;
pub(crate) const CONSOLE: usize = 2;
pub(crate) const WORKER: usize = 3;
const IDLE: usize = 4;
pub(crate) const BUDGET: u32 = 2_000;

pub(crate) const TASKS: [TaskPolicy; 5] = {
    const fn task(name: &'static str, priority: u8, disposition: Disposition) -> TaskPolicy {
        TaskPolicy {
            name,
            priority,
            disposition,
            stack: 0x400,
            hang_ms: 1_000,
            wait_ms: 0,
            alive_ms: 0,
        }
    }
    [
        task("jefe", 0, Disposition::Restart),
        task("crashlog", 1, Disposition::Reset),
        task("console", 2, Disposition::Restart),
        task("worker", 3, Disposition::Reset),
        task("idle", 5, Disposition::Restart),
    ]
};

const LIMITS: Limits = Limits {
    hold_after_restarts: 5,
    hold_after_resets: 3,
    loop_window_ms: 60_000,
    healthy_ms: 10_000,
    backoff_ms: 500,
    backoff_max_ms: 2_000,
};

pub(crate) const CONFIG: SupervisorConfig = SupervisorConfig {
    recorder: RECORDER,
    notification: 1 << 2,
    record_oops: true,
    budget_ms: BUDGET,
    watchdog_ms: 3_000,
    limits: LIMITS,
    snapshot: SnapshotScope::System,
    by_priority: &[0, 1, 2, 3, 4],
    tasks: &TASKS,
};

/// The id of the image in [`boot`].
pub(crate) const IMAGE: u64 = 0x0123_4567_89ab_cdef;

/// Retained RAM, which survives the resets of a test.
pub(crate) fn retained() -> Region<'static> {
    let blocks: Vec<Block> = (0..600).map(|_| Block::zeroed()).collect();
    Region::over(Box::leak(blocks.into_boxed_slice())).unwrap()
}

pub(crate) fn boot(region: Region<'static>) -> Supervisor<'static, TestKernel> {
    started(CONFIG, kernel(), region)
}

/// Starts a supervisor. What it does first, in each boot, is not among the effects.
fn started(
    config: SupervisorConfig,
    kernel: TestKernel,
    region: Region<'static>,
) -> Supervisor<'static, TestKernel> {
    let mut supervisor = Supervisor::new(config, kernel, region);
    assert_eq!(supervisor.kernel.effects, [Effect::Fed(3_000)]);
    supervisor.kernel.effects.clear();
    supervisor
}

/// As [`boot`], without the idle task, with a kernel that saves memory, and a recorder that has
/// 0x2000 bytes of stack and 0x400 of statics.
pub(crate) fn boot_saving(region: Region<'static>) -> Supervisor<'static, TestKernel> {
    let mut kernel = kernel();
    kernel.gives_saved = true;
    let recorder = &mut kernel.tasks[RECORDER];
    recorder.memory = vec![(RECORDER_AT, (0..0x2400).map(|i| (i / 3) as u8).collect())];
    recorder.registers[13] = RECORDER_AT + 0x2000;
    let config = SupervisorConfig {
        by_priority: &[0, 1, 2, 3],
        ..CONFIG
    };
    started(config, kernel, region)
}

/// Where the recorder's memory is in [`boot_saving`].
pub(crate) const RECORDER_AT: u32 = 0x8000_0000;

pub(crate) fn kernel() -> TestKernel {
    let mut kernel = TestKernel::new(TASKS.len());
    for (index, task) in kernel.tasks.iter_mut().enumerate() {
        let base = 0x1000 * (index as u32 + 1);
        task.memory = vec![(base, (0..0x800).map(|i| i as u8).collect())];
        task.registers[13] = base + 0x3c0;
        task.registers[15] = 0xc0de_0000 + index as u32;
    }
    kernel.now = 100;
    kernel.image_id = IMAGE;
    kernel
}

fn memory_fault() -> FaultInfo {
    FaultInfo::MemoryAccess {
        address: Some(0xdead_bee0),
        source: FaultSource::User,
    }
}

/// Faults these tasks and handles their faults, as a supervisor that finds them together does.
pub(crate) fn crash(supervisor: &mut Supervisor<'static, TestKernel>, tasks: &[usize]) {
    for &task in tasks {
        supervisor.kernel.tasks[task].fault = Some(memory_fault());
    }
    for &task in tasks {
        let _ = supervisor.handle_fault(task, false, 0, 0);
    }
    supervisor.enter_declared_emergency();
}

/// REQ: X1 (in part: a supervisor that loops at its start) A call of the kernel, and whatever is in
/// retained RAM, may not let it come to its end.
#[test]
fn the_watchdog_of_normal_operation_runs_before_anything_else() {
    for (watchdog_ms, effects) in [(0, vec![]), (3_000, vec![Effect::Fed(3_000)])] {
        let region = retained();
        let config = SupervisorConfig {
            watchdog_ms,
            ..CONFIG
        };
        let supervisor = Supervisor::new(config, kernel(), region);
        assert_eq!(supervisor.kernel.effects, effects);
    }
}

/// REQ: X1
#[test]
fn a_panic_arms_the_watchdog_once_calls_the_recorder_and_resets() {
    let region = retained();
    let mut supervisor = boot(region);
    crash(&mut supervisor, &[WORKER]);
    assert_eq!(
        supervisor.kernel.effects,
        [Effect::Armed(BUDGET), Effect::Restarted(RECORDER)]
    );
    assert_eq!(region.mailbox().state(), MailboxState::Armed);

    region.mailbox().conclude(true);
    supervisor.emergency_done(RECORDER);
    assert_eq!(supervisor.kernel.effects[2..], [Effect::Reset]);
    assert_eq!(region.mailbox().state(), MailboxState::Done);
}

/// REQ: X1 Whichever call of the kernel does not return while a crash is described, the watchdog is
/// armed and the crash is noted: task and time, and the fault as soon as the kernel was asked for
/// it.
#[test]
fn a_supervisor_that_hangs_leaves_a_note() {
    let mut calls = 0;
    loop {
        let region = retained();
        let mut supervisor = boot(region);
        supervisor.kernel.tasks[WORKER].fault = Some(FaultInfo::Panic);
        supervisor.kernel.tasks[WORKER].message = b"why".to_vec();
        // The first call arms the watchdog, and returns.
        supervisor.kernel.calls = Some(1 + calls);
        let described = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _ = supervisor.handle_fault(WORKER, false, 7, 0);
            supervisor.enter_declared_emergency();
        }));
        assert_eq!(supervisor.kernel.effects[0], Effect::Armed(BUDGET));
        let mailbox = region.mailbox();
        let crash = mailbox.crash().expect("a crash in the mailbox");
        let context = crash.context;
        assert_eq!(context.reason(), CrashReason::Panic);
        assert_eq!(
            (context.task, context.name.as_str(), context.time),
            (WORKER as u16, "worker", 100)
        );
        assert_eq!((context.boot, context.restarts), (1, 7));
        assert_eq!(context.image_id, IMAGE);
        assert_eq!(context.fault()[0], if calls == 0 { u8::MAX } else { 8 });
        if described.is_ok() {
            assert_eq!(mailbox.state(), MailboxState::Armed);
            assert_eq!(crash.message().length, 3);
            break;
        }
        // The restart of the recorder is the only call after the mailbox is armed.
        let called = calls > 0 && mailbox.state() == MailboxState::Armed;
        assert!(called || mailbox.state() == MailboxState::Noted, "{calls}");
        calls += 1;
    }
    assert!(calls >= 5, "{calls}");
}

/// REQ: P10
#[test]
fn an_oops_is_described_and_posted_and_nothing_is_reset() {
    let region = retained();
    let mut supervisor = boot(region);
    crash(&mut supervisor, &[CONSOLE]);
    assert_eq!(
        supervisor.kernel.effects,
        [Effect::Posted(RECORDER, 1 << 2)]
    );
    assert!(!supervisor.in_emergency());
    let oops = region.mailbox().oops().unwrap();
    assert_eq!(oops.stored.context.reason(), CrashReason::Oops);
    assert_eq!(oops.stored.context.task, CONSOLE as u16);
    assert_eq!(oops.stored.context.image_id, IMAGE);
    assert!(region.mailbox().crash().is_none());
}

/// REQ: P5
#[test]
fn record_oops_false_keeps_panics_only() {
    let region = retained();
    let mut supervisor = boot(region);
    supervisor.config.record_oops = false;
    crash(&mut supervisor, &[CONSOLE]);
    assert_eq!(supervisor.kernel.effects, []);
    assert!(region.mailbox().oops().is_none());
    // A panic is always described.
    crash(&mut supervisor, &[WORKER]);
    assert!(region.mailbox().crash().is_some());
}

#[test]
fn oopses_without_a_free_place_are_counted() {
    let region = retained();
    let mut supervisor = boot(region);
    for _ in 0..6 {
        crash(&mut supervisor, &[CONSOLE]);
    }
    assert_eq!(region.mailbox().dropped(), 2);
}

/// REQ: X2
#[test]
fn a_crash_of_the_recorder_is_written_like_any_other() {
    let region = retained();
    let mut supervisor = boot(region);
    crash(&mut supervisor, &[RECORDER]);
    assert_eq!(
        supervisor.kernel.effects,
        [Effect::Armed(BUDGET), Effect::Restarted(RECORDER)]
    );
    let context = region.mailbox().crash().unwrap().context;
    assert_eq!(context.task, RECORDER as u16);
    assert_eq!(
        supervisor.emergency_state(),
        EmergencyState::Writing(Mode::Full)
    );
}

#[test]
fn a_recorder_that_crashes_in_the_emergency_is_called_a_second_time() {
    let region = retained();
    let mut supervisor = boot(region);
    crash(&mut supervisor, &[WORKER]);
    crash(&mut supervisor, &[RECORDER]);
    assert_eq!(region.mailbox().state(), MailboxState::ArmedMinimal);
    // The crash in the mailbox is still the worker's; the recorder's is beside it.
    let mailbox = region.mailbox();
    assert_eq!(mailbox.crash().unwrap().context.task, WORKER as u16);
    assert_eq!(mailbox.oops().unwrap().stored.context.task, RECORDER as u16);

    crash(&mut supervisor, &[RECORDER]);
    assert_eq!(
        supervisor.kernel.effects,
        [
            Effect::Armed(BUDGET),
            Effect::Restarted(RECORDER),
            Effect::Restarted(RECORDER),
            Effect::Reset
        ]
    );
    assert_eq!(mailbox.state(), MailboxState::Failed);
    assert_eq!(
        mailbox.outcome().unwrap().failure(),
        EmergencyFailure::Recorder
    );
}

#[test]
fn a_recorder_that_hangs_is_called_a_second_time() {
    let region = retained();
    let mut supervisor = boot(region);
    crash(&mut supervisor, &[WORKER]);
    let first = supervisor.deadline().unwrap();
    supervisor.check_deadline(first - 1);
    assert_eq!(supervisor.kernel.effects.len(), 2);
    supervisor.check_deadline(first);
    assert_eq!(
        supervisor.emergency_state(),
        EmergencyState::Writing(Mode::Minimal)
    );
    let second = supervisor.deadline().unwrap();
    assert!(second < 100 + u64::from(BUDGET));
    supervisor.check_deadline(second);
    assert_eq!(
        supervisor.kernel.effects[2..],
        [Effect::Restarted(RECORDER), Effect::Reset]
    );
    let mailbox = region.mailbox();
    assert_eq!(
        mailbox.outcome().unwrap().failure(),
        EmergencyFailure::Timeout
    );
    // The crash itself is still there for the next boot.
    assert!(mailbox.crash().is_some());
}

#[test]
fn a_failure_that_the_recorder_reported_stays() {
    let region = retained();
    let mut supervisor = boot(region);
    crash(&mut supervisor, &[WORKER]);
    let mut outcome = Outcome::default();
    outcome.fail(EmergencyFailure::NoCard);
    region.mailbox().set_outcome(&outcome);
    region.mailbox().conclude(false);
    supervisor.emergency_done(RECORDER);
    let minimal = EmergencyState::Writing(Mode::Minimal);
    assert_eq!(supervisor.emergency_state(), minimal);
    assert_eq!(region.mailbox().state(), MailboxState::ArmedMinimal);
    assert_eq!(
        region.mailbox().first_failure(),
        EmergencyFailure::NoCard as u8
    );
    let left = supervisor.deadline().unwrap() - 100;
    assert_eq!(u64::from(region.mailbox().try_ms()), left - 10);
    outcome.set_minimal(true);
    region.mailbox().set_outcome(&outcome);
    region.mailbox().conclude(false);
    supervisor.emergency_done(RECORDER);
    assert_eq!(supervisor.kernel.effects.last(), Some(&Effect::Reset));
    assert_eq!(
        region.mailbox().outcome().unwrap().failure(),
        EmergencyFailure::NoCard
    );
}

#[test]
fn a_recorder_that_fails_after_the_commit_is_not_called_again() {
    for hangs in [false, true] {
        let region = retained();
        let mut supervisor = boot(region);
        crash(&mut supervisor, &[WORKER]);
        region.mailbox().conclude(true);
        if hangs {
            supervisor.check_deadline(supervisor.deadline().unwrap());
        } else {
            crash(&mut supervisor, &[RECORDER]);
        }
        assert_eq!(supervisor.kernel.effects[2..], [Effect::Reset]);
        assert_eq!(region.mailbox().state(), MailboxState::Done);
    }
}

/// REQ: C1
#[test]
fn only_the_recorder_can_end_an_emergency() {
    let region = retained();
    let mut supervisor = boot(region);
    supervisor.emergency_done(RECORDER);
    assert_eq!(supervisor.kernel.effects, []);
    crash(&mut supervisor, &[WORKER]);
    supervisor.emergency_done(CONSOLE);
    assert_eq!(supervisor.kernel.effects.len(), 2);
    assert!(supervisor.in_emergency());
}

#[test]
fn tasks_that_crash_together_share_one_emergency() {
    // In whichever order they are found, the recorder among them.
    for tasks in [
        [RECORDER, CONSOLE, WORKER],
        [CONSOLE, WORKER, RECORDER],
        [WORKER, RECORDER, CONSOLE],
    ] {
        let region = retained();
        let mut supervisor = boot(region);
        crash(&mut supervisor, &tasks);
        let effects = &supervisor.kernel.effects;
        let count = |effect: &Effect| effects.iter().filter(|d| *d == effect).count();
        assert_eq!(count(&Effect::Armed(BUDGET)), 1);
        assert_eq!(effects.last(), Some(&Effect::Restarted(RECORDER)));
        assert_eq!(count(&Effect::Restarted(RECORDER)), 1);
        // All three are kept: one crash, two oopses.
        let mailbox = region.mailbox();
        assert!(mailbox.crash().is_some());
        for _ in 0..2 {
            mailbox.oops().unwrap().clear();
        }
        assert!(mailbox.oops().is_none());
    }
}

#[test]
fn a_crash_of_an_earlier_boot_that_is_not_on_the_card_is_kept() {
    let region = retained();
    let mut supervisor = boot(region);
    let task = &mut supervisor.kernel.tasks[WORKER];
    task.fault = Some(FaultInfo::Panic);
    task.message = vec![b'x'; 128];
    let _ = supervisor.handle_fault(WORKER, false, 1, 0);
    supervisor.enter_declared_emergency();
    region.mailbox().conclude(false);
    let before = region.mailbox().crash().unwrap();
    let (message, stack) = (before.message(), before.stack());

    // The next boot, of another image, has no card to write to, and crashes again.
    let mut supervisor = boot(region);
    supervisor.image_id = 2;
    crash(&mut supervisor, &[WORKER]);
    let mailbox = region.mailbox();
    let second = mailbox.crash().unwrap().context;
    assert_eq!((second.boot, second.image_id), (2, 2));
    let kept = mailbox.oops().unwrap().stored;
    assert_eq!((kept.context.boot, kept.context.restarts), (1, 1));
    assert_eq!(kept.context.image_id, IMAGE);
    assert_eq!(kept.context.reason(), CrashReason::Panic);
    assert_eq!(kept.message(), message);
    assert_eq!(kept.stack(), stack);
}

#[test]
fn a_crash_of_an_earlier_boot_that_is_on_the_card_is_overwritten() {
    let region = retained();
    let mut supervisor = boot(region);
    crash(&mut supervisor, &[WORKER]);
    region.mailbox().conclude(true);
    let mut supervisor = boot(region);
    crash(&mut supervisor, &[WORKER]);
    assert!(region.mailbox().oops().is_none());
}
