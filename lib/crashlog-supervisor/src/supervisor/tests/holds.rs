//! Faults that come again and again: the task is held in the end.

use super::*;

/// Faults one task and says what came of it.
fn fault(supervisor: &mut Supervisor<'static, Machine>, task: usize, started: u64) -> Consequence {
    supervisor.kernel.tasks[task].fault = Some(memory_fault());
    let consequence = supervisor.fault(task, TASKS[task].disposition, 0, started);
    supervisor.settle();
    consequence
}

/// REQ: X6
#[test]
fn a_task_that_takes_the_system_down_again_and_again_is_held() {
    let region = retained();
    let mut delays = Vec::new();
    for _ in 0..3 {
        let mut supervisor = boot(region);
        delays.push(supervisor.start_delay(WORKER));
        assert_eq!(fault(&mut supervisor, WORKER, 0), Consequence::Emergency);
        region.mailbox().conclude(true);
        supervisor.done(RECORDER);
        assert_eq!(supervisor.kernel.deeds.last(), Some(&Deed::Reset));
    }
    assert_eq!(delays, [0, 0, 500]);
    // Enough: from now on it stays down, whatever resets the system meanwhile.
    for _ in 0..3 {
        let mut supervisor = boot(region);
        assert!(supervisor.start_delay(WORKER) >= 1_000);
        assert_eq!(supervisor.start_delay(CONSOLE), 0);
        assert_eq!(fault(&mut supervisor, WORKER, 0), Consequence::Hold);
        assert!(!supervisor.in_emergency());
        // It is recorded all the same.
        assert_eq!(supervisor.kernel.deeds, [Deed::Posted(RECORDER, 1 << 2)]);
        region.mailbox().oops().unwrap().clear();
    }
    // Another fault of the same task is another matter.
    let mut supervisor = boot(region);
    supervisor.kernel.tasks[WORKER].registers[15] = 0xc0de_1111;
    assert_eq!(fault(&mut supervisor, WORKER, 0), Consequence::Emergency);
}

/// REQ: X6
#[test]
fn a_healthy_run_or_a_human_ends_a_series() {
    for human in [false, true] {
        let region = retained();
        for _ in 0..3 {
            let mut supervisor = boot(region);
            assert_eq!(fault(&mut supervisor, WORKER, 0), Consequence::Emergency);
        }
        let mut supervisor = boot(region);
        supervisor.look_for_health(9_999, |_| Some(0));
        supervisor.look_for_health(99_999, |_| None);
        assert_eq!(supervisor.start_delay(WORKER), 1_000);
        if human {
            supervisor.forgive(WORKER);
        } else {
            supervisor.look_for_health(10_000, |_| Some(0));
        }
        assert_eq!(supervisor.start_delay(WORKER), 0);
        let mut supervisor = boot(region);
        assert_eq!(fault(&mut supervisor, WORKER, 0), Consequence::Emergency);
    }
}

/// REQ: X6
#[test]
fn a_task_that_is_restarted_again_and_again_is_held() {
    for record_oops in [true, false] {
        let region = retained();
        let mut supervisor = boot(region);
        supervisor.config.record_oops = record_oops;
        for _ in 0..5 {
            assert_eq!(fault(&mut supervisor, CONSOLE, 0), Consequence::Restart);
        }
        assert_eq!(fault(&mut supervisor, CONSOLE, 0), Consequence::Hold);
        // It had run well before: that is no loop.
        supervisor.kernel.now = 30_000;
        assert_eq!(
            fault(&mut supervisor, CONSOLE, 20_000),
            Consequence::Restart
        );
    }
}

#[test]
fn zero_means_never() {
    let region = retained();
    for _ in 0..50 {
        let mut supervisor = boot(region);
        supervisor.config.limits.hold_after_resets = 0;
        supervisor.config.limits.hold_after_restarts = 0;
        assert_eq!(fault(&mut supervisor, CONSOLE, 0), Consequence::Restart);
        assert_eq!(fault(&mut supervisor, WORKER, 0), Consequence::Emergency);
    }
}

/// A recorder that crashes at its start in every boot is held in the end, and the system runs without it.
#[test]
fn even_the_recorder_is_held() {
    let region = retained();
    for _ in 0..3 {
        let mut supervisor = boot(region);
        assert_eq!(supervisor.start_delay(RECORDER), 0);
        assert_eq!(fault(&mut supervisor, RECORDER, 0), Consequence::Emergency);
    }
    let mut supervisor = boot(region);
    assert_eq!(fault(&mut supervisor, RECORDER, 0), Consequence::Hold);
    // Another task's panic calls it all the same.
    assert_eq!(fault(&mut supervisor, WORKER, 0), Consequence::Emergency);
    assert_eq!(
        supervisor.kernel.deeds.last(),
        Some(&Deed::Restarted(RECORDER))
    );
}
