use super::SupervisorGuard;
use crate::Disposition;
use crate::supervisor::tests::{BUDGET, CONFIG, CONSOLE, RECORDER, TASKS, WORKER, retained};
use crate::testing::{Effect, TestKernel};
use abi::{FaultInfo, FaultSource};
use crashlog_retained::{MailboxState, Outcome, Region};

type Guard = SupervisorGuard<'static, TestKernel, { TASKS.len() }>;

const FAULT: FaultInfo = FaultInfo::MemoryAccess {
    address: Some(0),
    source: FaultSource::User,
};

fn boot(region: Region<'static>) -> Guard {
    let mut kernel = TestKernel::new(TASKS.len());
    kernel.now = 100;
    let mut guard = Guard::new(CONFIG, kernel, region);
    guard.supervisor.kernel.effects.clear();
    guard
}

fn fault(guard: &mut Guard, task: usize) {
    guard.supervisor.kernel.tasks[task].fault = Some(FAULT);
}

/// As a supervisor that restarts what it may, at once.
fn handle(guard: &mut Guard) -> Vec<usize> {
    let mut all = Vec::new();
    while let Some(task) = guard.next_fault(|_| false) {
        crate::Kernel::restart(&mut guard.supervisor.kernel, task);
        all.push(task);
    }
    all
}

/// A boot in which the worker's fault has begun an emergency.
fn in_emergency(region: Region<'static>) -> Guard {
    let mut guard = boot(region);
    fault(&mut guard, WORKER);
    assert_eq!(handle(&mut guard), [0; 0]);
    assert!(!guard.may_act());
    guard
}

#[test]
fn a_fault_is_handled_once() {
    let region = retained();
    let mut guard = boot(region);
    fault(&mut guard, CONSOLE);
    assert_eq!(guard.next_fault(|_| true), Some(CONSOLE));
    // It is left down.
    assert_eq!(guard.next_fault(|_| true), None);
    assert_eq!(guard.next_fault(|_| false), None);
    // A debugger restarts it, of which nobody tells the guard, and it faults again.
    crate::Kernel::restart(&mut guard.supervisor.kernel, CONSOLE);
    fault(&mut guard, CONSOLE);
    assert_eq!(handle(&mut guard), [CONSOLE]);
    assert_eq!(guard.tasks[CONSOLE].faults, 2);
}

/// REQ: X1 (in part: with a supervisor that is not ours)
#[test]
fn an_emergency_goes_its_way_to_the_reset() {
    let region = retained();
    let mut guard = boot(region);
    fault(&mut guard, CONSOLE);
    fault(&mut guard, WORKER);
    assert_eq!(handle(&mut guard), [CONSOLE]);
    assert_eq!(
        guard.supervisor.kernel.effects[1..],
        [
            Effect::Restarted(CONSOLE),
            Effect::Armed(BUDGET),
            Effect::Restarted(RECORDER)
        ]
    );
    assert_eq!(region.mailbox().state(), MailboxState::Armed);
    // From here on only the emergency's own time counts, and no task may do anything else.
    assert!(!guard.may_act() && !guard.may_reset(CONSOLE));
    assert_eq!(guard.timer(Some(101)), guard.supervisor.deadline());
    guard.supervisor.kernel.effects.clear();
    assert!(!guard.emergency_done(CONSOLE));
    fault(&mut guard, CONSOLE);
    assert_eq!(handle(&mut guard), [0; 0]);
    assert_eq!(guard.supervisor.kernel.effects, []);

    region.mailbox().set_outcome(&Outcome::default());
    region.mailbox().conclude(true);
    assert!(!guard.emergency_done(RECORDER));
    assert_eq!(guard.supervisor.kernel.effects, [Effect::Reset]);
}

/// The supervisor holds the recorder down, or has handled a fault of it before: its fault in an
/// emergency still ends its try.
#[test]
fn a_fault_of_the_recorder_in_an_emergency_ends_its_try() {
    let mut guard = in_emergency(retained());
    for wanted in [Effect::Restarted(RECORDER), Effect::Reset] {
        guard.supervisor.kernel.effects.clear();
        fault(&mut guard, RECORDER);
        assert_eq!(guard.next_fault(|_| true), None);
        assert_eq!(guard.supervisor.kernel.effects, [wanted]);
    }
}

#[test]
fn a_recorder_that_hangs_is_ended_by_the_timer() {
    let mut guard = in_emergency(retained());
    for wanted in [Effect::Restarted(RECORDER), Effect::Reset] {
        guard.supervisor.kernel.effects.clear();
        guard.timer_fired();
        assert_eq!(guard.supervisor.kernel.effects, []);
        guard.supervisor.kernel.now = guard.timer(None).expect("a deadline");
        guard.timer_fired();
        assert_eq!(guard.supervisor.kernel.effects, [wanted]);
    }
}

/// A task that resets the system again and again is started later, then held; after a healthy run
/// all is as at first.
#[test]
fn starts_are_delayed_and_series_end() {
    let region = retained();
    assert_eq!(TASKS[WORKER].disposition, Disposition::Reset);
    for _ in 0..2 {
        let mut guard = in_emergency(region);
        region.mailbox().conclude(true);
        assert!(!guard.emergency_done(RECORDER));
    }
    let mut kernel = TestKernel::new(TASKS.len());
    kernel.tasks[WORKER].doing = abi::TaskState::Healthy(abi::SchedState::Runnable);
    let mut guard = Guard::new(CONFIG, kernel, region);
    assert!(
        guard
            .supervisor
            .kernel
            .effects
            .contains(&Effect::Stopped(WORKER))
    );
    let start = guard.timer(None).expect("a start");
    assert_eq!(guard.timer(Some(start + 1)), Some(start));
    guard.supervisor.kernel.now = start;
    guard.timer_fired();
    assert!(
        guard
            .supervisor
            .kernel
            .effects
            .contains(&Effect::Restarted(WORKER))
    );
    assert_eq!(guard.timer(None), None);

    guard.supervisor.kernel.now = start + u64::from(CONFIG.limits.healthy_ms);
    guard.timer_fired();
    let guard = boot(region);
    assert_eq!(guard.supervisor.start_delay(WORKER), 0);
    assert_eq!(guard.timer(None), None);
}
