//! The sequence on a machine that notes what is done to it, with a recorder
//! that does what each test says.

use abi::{FaultInfo, FaultSource};
use crashlog_retained::{Block, CrashReason, EmergencyFailure, MailboxState, Outcome, Region};

use crate::loops::Limits;
use crate::machine::{Deed, Machine};
use crate::{Config, Consequence, Disposition, Mode, Phase, STACK_EXCERPT, Supervisor, TaskPolicy};

mod description;
mod holds;

pub(super) const RECORDER: usize = 1;
pub(super) const CONSOLE: usize = 2;
pub(super) const WORKER: usize = 3;
pub(super) const BUDGET: u32 = 2_000;

pub(super) const TASKS: [TaskPolicy; 4] = {
    const fn task(name: &'static str, disposition: Disposition) -> TaskPolicy {
        TaskPolicy {
            name,
            disposition,
            stack: 0x400,
        }
    }
    [
        task("jefe", Disposition::Restart),
        task("crashlog", Disposition::Reset),
        task("console", Disposition::Restart),
        task("worker", Disposition::Reset),
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

const CONFIG: Config = Config {
    recorder: RECORDER,
    notification: 1 << 2,
    record_oops: true,
    budget_ms: BUDGET,
    limits: LIMITS,
    tasks: &TASKS,
};

/// Retained RAM, which outlives the boots that a test makes in it.
pub(super) fn retained() -> Region<'static> {
    let blocks: Vec<Block> = (0..600).map(|_| Block::zeroed()).collect();
    Region::over(Box::leak(blocks.into_boxed_slice())).unwrap()
}

pub(super) fn boot(region: Region<'static>) -> Supervisor<'static, Machine> {
    let mut machine = Machine::new(TASKS.len());
    for (index, task) in machine.tasks.iter_mut().enumerate() {
        let base = 0x1000 * (index as u32 + 1);
        task.memory = vec![(base, (0..0x800).map(|i| i as u8).collect())];
        task.registers[13] = base + 0x3c0;
        task.registers[15] = 0xc0de_0000 + index as u32;
    }
    machine.now = 100;
    Supervisor::new(CONFIG, machine, region)
}

fn memory_fault() -> FaultInfo {
    FaultInfo::MemoryAccess {
        address: Some(0xdead_bee0),
        source: FaultSource::User,
    }
}

/// Faults tasks at once, as a supervisor that finds them does.
pub(super) fn crash(supervisor: &mut Supervisor<'static, Machine>, tasks: &[usize]) {
    for &task in tasks {
        supervisor.kernel.tasks[task].fault = Some(memory_fault());
    }
    for &task in tasks {
        let _ = supervisor.fault(task, TASKS[task].disposition, 0, 0);
    }
    supervisor.settle();
}

/// REQ: X1
#[test]
fn a_panic_arms_the_watchdog_once_calls_the_recorder_and_resets() {
    let region = retained();
    let mut supervisor = boot(region);
    crash(&mut supervisor, &[WORKER]);
    assert_eq!(
        supervisor.kernel.deeds,
        [Deed::Armed(BUDGET), Deed::Restarted(RECORDER)]
    );
    assert_eq!(region.mailbox().state(), MailboxState::Armed);

    region.mailbox().conclude(true);
    supervisor.done(RECORDER);
    assert_eq!(supervisor.kernel.deeds[2..], [Deed::Reset]);
    assert_eq!(region.mailbox().state(), MailboxState::Done);
}

/// REQ: X1
/// Whichever call of the kernel never comes back while a crash is described, the watchdog is armed and the crash is
/// noted: who and when, and which fault as soon as the kernel has said it.
#[test]
fn a_supervisor_that_hangs_leaves_a_note() {
    let mut calls = 0;
    loop {
        let region = retained();
        let mut supervisor = boot(region);
        supervisor.kernel.tasks[WORKER].fault = Some(FaultInfo::Panic);
        supervisor.kernel.tasks[WORKER].message = b"why".to_vec();
        // The first is the watchdog's, which is no call of the kernel.
        supervisor.kernel.calls = Some(1 + calls);
        let described = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _ = supervisor.fault(WORKER, Disposition::Reset, 7, 0);
            supervisor.settle();
        }));
        assert_eq!(supervisor.kernel.deeds[0], Deed::Armed(BUDGET));
        let mailbox = region.mailbox();
        let crash = mailbox.crash().expect("the crash is not lost");
        let context = crash.context;
        assert_eq!(context.reason(), CrashReason::Panic);
        assert_eq!(
            (context.task, context.name.as_str(), context.time),
            (WORKER as u16, "worker", 100)
        );
        assert_eq!((context.boot, context.restarts), (1, 7));
        assert_eq!(context.fault()[0], if calls == 0 { u8::MAX } else { 8 });
        if described.is_ok() {
            assert_eq!(mailbox.state(), MailboxState::Armed);
            assert_eq!(crash.message().length, 3);
            break;
        }
        // Only the call of the recorder comes after the mailbox is armed.
        let called = calls > 0 && mailbox.state() == MailboxState::Armed;
        assert!(called || mailbox.state() == MailboxState::Noted, "{calls}");
        calls += 1;
    }
    assert!(calls >= 5, "{calls}");
}

/// REQ: P10
#[test]
fn an_oops_is_noted_and_posted_and_nothing_is_reset() {
    let region = retained();
    let mut supervisor = boot(region);
    crash(&mut supervisor, &[CONSOLE]);
    assert_eq!(supervisor.kernel.deeds, [Deed::Posted(RECORDER, 1 << 2)]);
    assert!(!supervisor.in_emergency());
    let oops = region.mailbox().oops().unwrap();
    assert_eq!(oops.stored.context.reason(), CrashReason::Oops);
    assert_eq!(oops.stored.context.task, CONSOLE as u16);
    assert!(region.mailbox().crash().is_none());
}

/// REQ: P5
#[test]
fn oopses_are_not_recorded_where_the_switch_says_so() {
    let region = retained();
    let mut supervisor = boot(region);
    supervisor.config.record_oops = false;
    crash(&mut supervisor, &[CONSOLE]);
    assert_eq!(supervisor.kernel.deeds, []);
    assert!(region.mailbox().oops().is_none());
    // A panic is, always.
    crash(&mut supervisor, &[WORKER]);
    assert!(region.mailbox().crash().is_some());
}

#[test]
fn oopses_beyond_the_room_for_notes_are_counted() {
    let region = retained();
    let mut supervisor = boot(region);
    for _ in 0..6 {
        crash(&mut supervisor, &[CONSOLE]);
    }
    assert_eq!(region.mailbox().dropped(), 2);
}

/// REQ: X2
#[test]
fn a_recorder_that_crashes_is_recorded_like_any_other() {
    let region = retained();
    let mut supervisor = boot(region);
    crash(&mut supervisor, &[RECORDER]);
    assert_eq!(
        supervisor.kernel.deeds,
        [Deed::Armed(BUDGET), Deed::Restarted(RECORDER)]
    );
    let context = region.mailbox().crash().unwrap().context;
    assert_eq!(context.task, RECORDER as u16);
    assert_eq!(supervisor.phase(), Phase::Writing(Mode::Full));
}

#[test]
fn a_recorder_that_crashes_in_the_emergency_is_called_once_more() {
    let region = retained();
    let mut supervisor = boot(region);
    crash(&mut supervisor, &[WORKER]);
    crash(&mut supervisor, &[RECORDER]);
    assert_eq!(region.mailbox().state(), MailboxState::ArmedMinimal);
    // The crash is still the worker's; the recorder's is a note beside it.
    let mailbox = region.mailbox();
    assert_eq!(mailbox.crash().unwrap().context.task, WORKER as u16);
    assert_eq!(mailbox.oops().unwrap().stored.context.task, RECORDER as u16);

    crash(&mut supervisor, &[RECORDER]);
    assert_eq!(
        supervisor.kernel.deeds,
        [
            Deed::Armed(BUDGET),
            Deed::Restarted(RECORDER),
            Deed::Restarted(RECORDER),
            Deed::Reset
        ]
    );
    assert_eq!(mailbox.state(), MailboxState::Failed);
    assert_eq!(
        mailbox.outcome().unwrap().failure(),
        EmergencyFailure::Recorder
    );
}

#[test]
fn a_recorder_that_hangs_is_called_once_more() {
    let region = retained();
    let mut supervisor = boot(region);
    crash(&mut supervisor, &[WORKER]);
    let first = supervisor.deadline().unwrap();
    supervisor.time(first - 1);
    assert_eq!(supervisor.kernel.deeds.len(), 2);
    supervisor.time(first);
    assert_eq!(supervisor.phase(), Phase::Writing(Mode::Minimal));
    let second = supervisor.deadline().unwrap();
    assert!(second < 100 + u64::from(BUDGET));
    supervisor.time(second);
    assert_eq!(
        supervisor.kernel.deeds[2..],
        [Deed::Restarted(RECORDER), Deed::Reset]
    );
    let mailbox = region.mailbox();
    assert_eq!(
        mailbox.outcome().unwrap().failure(),
        EmergencyFailure::Timeout
    );
    // The crash itself is still there, for the next boot [X3].
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
    supervisor.done(RECORDER);
    assert_eq!(supervisor.kernel.deeds.last(), Some(&Deed::Reset));
    assert_eq!(
        region.mailbox().outcome().unwrap().failure(),
        EmergencyFailure::NoCard
    );
}

#[test]
fn a_recorder_that_dies_after_the_commit_is_left_alone() {
    for hangs in [false, true] {
        let region = retained();
        let mut supervisor = boot(region);
        crash(&mut supervisor, &[WORKER]);
        region.mailbox().conclude(true);
        if hangs {
            supervisor.time(supervisor.deadline().unwrap());
        } else {
            crash(&mut supervisor, &[RECORDER]);
        }
        assert_eq!(supervisor.kernel.deeds[2..], [Deed::Reset]);
        assert_eq!(region.mailbox().state(), MailboxState::Done);
    }
}

/// REQ: C1
#[test]
fn only_the_recorder_can_end_an_emergency() {
    let region = retained();
    let mut supervisor = boot(region);
    supervisor.done(RECORDER);
    assert_eq!(supervisor.kernel.deeds, []);
    crash(&mut supervisor, &[WORKER]);
    supervisor.done(CONSOLE);
    assert_eq!(supervisor.kernel.deeds.len(), 2);
    assert!(supervisor.in_emergency());
}

#[test]
fn tasks_that_crash_together_share_one_emergency() {
    // Whichever is found first, and whoever is the recorder among them.
    for tasks in [
        [RECORDER, CONSOLE, WORKER],
        [CONSOLE, WORKER, RECORDER],
        [WORKER, RECORDER, CONSOLE],
    ] {
        let region = retained();
        let mut supervisor = boot(region);
        crash(&mut supervisor, &tasks);
        let deeds = &supervisor.kernel.deeds;
        let count = |deed: &Deed| deeds.iter().filter(|d| *d == deed).count();
        assert_eq!(count(&Deed::Armed(BUDGET)), 1);
        assert_eq!(deeds.last(), Some(&Deed::Restarted(RECORDER)));
        assert_eq!(count(&Deed::Restarted(RECORDER)), 1);
        // Nothing is dropped: one crash, two notes.
        let mailbox = region.mailbox();
        assert!(mailbox.crash().is_some());
        for _ in 0..2 {
            mailbox.oops().unwrap().clear();
        }
        assert!(mailbox.oops().is_none());
    }
}

#[test]
fn an_unwritten_crash_of_an_earlier_boot_is_kept() {
    let region = retained();
    let mut supervisor = boot(region);
    let task = &mut supervisor.kernel.tasks[WORKER];
    task.fault = Some(FaultInfo::Panic);
    task.message = vec![b'x'; 128];
    let _ = supervisor.fault(WORKER, Disposition::Reset, 1, 0);
    supervisor.settle();
    region.mailbox().conclude(false);
    let before = region.mailbox().crash().unwrap();
    let (message, stack) = (before.message(), before.stack());

    // The system starts again, without a card to write to, and crashes again.
    let mut supervisor = boot(region);
    crash(&mut supervisor, &[WORKER]);
    let mailbox = region.mailbox();
    assert_eq!(mailbox.crash().unwrap().context.boot, 2);
    let kept = mailbox.oops().unwrap().stored;
    assert_eq!((kept.context.boot, kept.context.restarts), (1, 1));
    assert_eq!(kept.context.reason(), CrashReason::Panic);
    assert_eq!(kept.message(), message);
    assert_eq!(kept.stack(), stack);
}

#[test]
fn a_written_crash_of_an_earlier_boot_is_not() {
    let region = retained();
    let mut supervisor = boot(region);
    crash(&mut supervisor, &[WORKER]);
    region.mailbox().conclude(true);
    let mut supervisor = boot(region);
    crash(&mut supervisor, &[WORKER]);
    assert!(region.mailbox().oops().is_none());
}
