//! Faults that repeat: the task is held in the end.

use super::*;
use crashlog_retained::Trial;

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

/// REQ: X6 (in part: a task that fails in a new way each time)
#[test]
fn a_task_that_counts_in_its_panics_is_held() {
    let region = retained();
    let mut supervisor = boot(region);
    for count in 0..6 {
        let console = &mut supervisor.kernel.tasks[CONSOLE];
        console.message = format!("failure {count}, at {:#x}", 0x8080_0000u32 + count).into();
        console.fault = Some(FaultInfo::Panic);
        let consequence = supervisor.handle_fault(CONSOLE, false, 0, 0);
        let expected = match count {
            5 => Consequence::Hold,
            _ => Consequence::Restart,
        };
        assert_eq!(consequence, expected, "{count}");
    }
    // A task that fails at a new place each time is held later.
    let mut fault_at = |place: u32| {
        supervisor.kernel.tasks[WORKER].registers[15] = place;
        supervisor.kernel.tasks[WORKER].fault = Some(memory_fault());
        supervisor.handle_fault(WORKER, true, 0, 0)
    };
    for place in 0..15 {
        assert_eq!(fault_at(0xc0de_1000 + 4 * place), Consequence::Restart);
    }
    assert_eq!(fault_at(0xc0de_2000), Consequence::Hold);
}

/// REQ: X6 (in part: no history makes the next boot fail) The least important task runs when no
/// other can. Without it the kernel fails, and would in every boot.
#[test]
fn the_least_important_task_always_runs() {
    for disposition in [Disposition::Restart, Disposition::Reset] {
        static RESETS: [TaskPolicy; 5] = {
            let mut tasks = TASKS;
            tasks[IDLE].disposition = Disposition::Reset;
            tasks
        };
        let region = retained();
        for _ in 0..20 {
            let mut supervisor = boot(region);
            if disposition == Disposition::Reset {
                supervisor.config.tasks = &RESETS;
            }
            assert_eq!(supervisor.start_delay(IDLE), 0);
            for _ in 0..2 {
                assert_ne!(fault(&mut supervisor, IDLE, 0), Consequence::Hold);
            }
        }
    }
}

/// Restarts of a task are no reason to start it later in the next boot.
#[test]
fn oopses_delay_no_start() {
    let region = retained();
    let mut supervisor = boot(region);
    for _ in 0..4 {
        assert_eq!(fault(&mut supervisor, CONSOLE, 0), Consequence::Restart);
    }
    assert_eq!(boot(region).start_delay(CONSOLE), 0);
}

/// REQ: X6 (in part: no history makes the next boot fail) Whatever is in the history: after a few
/// boots that ended early with no crash, it is set aside, and kept.
#[test]
fn a_history_with_which_boots_end_early_is_set_aside() {
    let region = retained();
    let mut supervisor = boot(region);
    for _ in 1..Trial::LIMIT {
        assert_eq!(fault(&mut supervisor, WORKER, 0), Consequence::Emergency);
        supervisor = boot(region);
        assert_eq!(supervisor.early_boots(), 0);
    }
    for early in 1..Trial::LIMIT {
        supervisor = boot(region);
        assert_eq!(supervisor.early_boots(), early);
    }
    assert_eq!(supervisor.start_delay(WORKER), 1_000);
    let before = region.history().load();
    let mut supervisor = boot(region);
    assert_eq!(supervisor.start_delay(WORKER), 0);
    let aside = region.history().aside().expect("nothing is set aside");
    assert_eq!(aside.series, before.series);
    // A boot that lasts ends this; so does a crash.
    supervisor.end_healthy_series(9_999, |_| None);
    assert!(region.trial().boots() > 0);
    supervisor.end_healthy_series(10_000, |_| None);
    assert_eq!(boot(region).early_boots(), 0);
    assert_eq!(boot(region).early_boots(), 1);
    let mut supervisor = boot(region);
    assert_eq!(fault(&mut supervisor, WORKER, 0), Consequence::Emergency);
    region.mailbox().conclude(true);
    supervisor.emergency_done(RECORDER);
    assert_eq!(boot(region).early_boots(), 0);
}

/// REQ: X6 (in part: the loop ends, whoever ends the emergencies) The supervisor hangs, or the
/// kernel fails, in each emergency, and the watchdog resets the system.
#[test]
fn a_task_is_held_if_the_watchdog_ends_each_emergency() {
    let region = retained();
    let limit = Trial::LIMIT + 1;
    for resets in 0..limit {
        let mut supervisor = boot(region);
        supervisor.config.limits.hold_after_resets = limit;
        let consequence = fault(&mut supervisor, WORKER, 0);
        assert_eq!(consequence, Consequence::Emergency, "{resets}");
    }
    let mut supervisor = boot(region);
    supervisor.config.limits.hold_after_resets = limit;
    assert_eq!(fault(&mut supervisor, WORKER, 0), Consequence::Hold);
}

/// REQ: X6 (in part: the loop ends, wherever the supervisor hangs) Whichever call of the kernel it
/// is that does not return while the crash is described, in each boot: the fault is counted once.
#[test]
fn a_crash_that_the_supervisor_never_describes_is_counted() {
    for calls in 0.. {
        let region = retained();
        let mut hangs = true;
        for resets in 0..3 {
            let mut supervisor = boot(region);
            assert_eq!(supervisor.start_delay(WORKER) > 0, resets > 1, "{calls}");
            // An oops before it is counted by itself.
            assert_eq!(fault(&mut supervisor, CONSOLE, 0), Consequence::Restart);
            // The first call arms the watchdog, and returns.
            supervisor.kernel.calls = Some(1 + calls);
            supervisor.kernel.tasks[WORKER].fault = Some(memory_fault());
            let handled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                let _ = supervisor.handle_fault(WORKER, false, 0, 0);
                supervisor.enter_declared_emergency();
            }));
            hangs = handled.is_err();
            // The next boot ends before the crash is on the card, and does not count it again.
            boot(region);
        }
        let mut supervisor = boot(region);
        supervisor.config.limits.hold_after_resets = 1;
        let consequence = fault(&mut supervisor, WORKER, 0);
        assert_eq!(consequence, Consequence::Hold, "{calls}");
        if !hangs {
            break;
        }
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
