//! Faults that repeat: the task is held in the end.

use super::*;

/// Faults one task; returns the consequence.
fn fault(
    supervisor: &mut Supervisor<'static, TestKernel>,
    task: usize,
    started: u64,
) -> Consequence {
    supervisor.kernel.tasks[task].fault = Some(memory_fault());
    let consequence = supervisor.handle_fault(task, false, 0, started);
    supervisor.enter_declared_emergency();
    consequence
}

/// REQ: X6
#[test]
fn a_task_that_resets_the_system_repeatedly_is_held() {
    let region = retained();
    let mut delays = Vec::new();
    for _ in 0..3 {
        let mut supervisor = boot(region);
        delays.push(supervisor.start_delay(WORKER));
        assert_eq!(fault(&mut supervisor, WORKER, 0), Consequence::Emergency);
        region.mailbox().conclude(true);
        supervisor.emergency_done(RECORDER);
        assert_eq!(supervisor.kernel.effects.last(), Some(&Effect::Reset));
    }
    assert_eq!(delays, [0, 0, 500]);
    // From now on it is held in every boot.
    for _ in 0..3 {
        let mut supervisor = boot(region);
        assert!(supervisor.start_delay(WORKER) >= 1_000);
        assert_eq!(supervisor.start_delay(CONSOLE), 0);
        assert_eq!(fault(&mut supervisor, WORKER, 0), Consequence::Hold);
        assert!(!supervisor.in_emergency());
        // Its fault is reported as an oops.
        assert_eq!(
            supervisor.kernel.effects,
            [Effect::Posted(RECORDER, 1 << 2)]
        );
        region.mailbox().oops().unwrap().clear();
    }
    // Another fault of the same task is another series.
    let mut supervisor = boot(region);
    supervisor.kernel.tasks[WORKER].registers[15] = 0xc0de_1111;
    assert_eq!(fault(&mut supervisor, WORKER, 0), Consequence::Emergency);
}

/// REQ: X6
#[test]
fn a_healthy_run_or_a_release_ends_a_series() {
    for released in [false, true] {
        let region = retained();
        for _ in 0..3 {
            let mut supervisor = boot(region);
            assert_eq!(fault(&mut supervisor, WORKER, 0), Consequence::Emergency);
        }
        let mut supervisor = boot(region);
        supervisor.end_healthy_series(9_999, |_| Some(0));
        supervisor.end_healthy_series(99_999, |_| None);
        assert_eq!(supervisor.start_delay(WORKER), 1_000);
        if released {
            supervisor.forget_series(WORKER);
        } else {
            supervisor.end_healthy_series(10_000, |_| Some(0));
        }
        assert_eq!(supervisor.start_delay(WORKER), 0);
        let mut supervisor = boot(region);
        assert_eq!(fault(&mut supervisor, WORKER, 0), Consequence::Emergency);
    }
}

/// REQ: X6
#[test]
fn a_task_that_is_restarted_repeatedly_is_held() {
    for record_oops in [true, false] {
        let region = retained();
        let mut supervisor = boot(region);
        supervisor.config.record_oops = record_oops;
        for _ in 0..5 {
            assert_eq!(fault(&mut supervisor, CONSOLE, 0), Consequence::Restart);
        }
        assert_eq!(fault(&mut supervisor, CONSOLE, 0), Consequence::Hold);
        // It had run for long enough before: that is no loop.
        supervisor.kernel.now = 30_000;
        assert_eq!(
            fault(&mut supervisor, CONSOLE, 20_000),
            Consequence::Restart
        );
    }
}

#[test]
fn a_limit_of_zero_never_holds() {
    let region = retained();
    for _ in 0..50 {
        let mut supervisor = boot(region);
        supervisor.config.limits.hold_after_resets = 0;
        supervisor.config.limits.hold_after_restarts = 0;
        assert_eq!(fault(&mut supervisor, CONSOLE, 0), Consequence::Restart);
        assert_eq!(fault(&mut supervisor, WORKER, 0), Consequence::Emergency);
    }
}

/// A recorder that crashes at its start in every boot is held in the end, and the system runs
/// without it.
#[test]
fn the_recorder_is_held_too() {
    let region = retained();
    for _ in 0..3 {
        let mut supervisor = boot(region);
        assert_eq!(supervisor.start_delay(RECORDER), 0);
        assert_eq!(fault(&mut supervisor, RECORDER, 0), Consequence::Emergency);
    }
    let mut supervisor = boot(region);
    assert_eq!(fault(&mut supervisor, RECORDER, 0), Consequence::Hold);
    // A panic of another task calls it all the same.
    assert_eq!(fault(&mut supervisor, WORKER, 0), Consequence::Emergency);
    assert_eq!(
        supervisor.kernel.effects.last(),
        Some(&Effect::Restarted(RECORDER))
    );
}

/// A task that is held is no reason for a reset: its fault is an oops, whatever its disposition.
#[test]
fn a_fault_of_a_held_task_is_an_oops() {
    let region = retained();
    let mut supervisor = boot(region);
    supervisor.kernel.tasks[WORKER].fault = Some(memory_fault());
    assert_eq!(
        supervisor.handle_fault(WORKER, true, 0, 0),
        Consequence::Restart
    );
    supervisor.enter_declared_emergency();
    assert!(!supervisor.in_emergency());
    assert_eq!(
        supervisor.kernel.effects,
        [Effect::Posted(RECORDER, 1 << 2)]
    );
}
