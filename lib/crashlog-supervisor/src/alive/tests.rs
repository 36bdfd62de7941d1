//! Tasks that do and do not come back to their receives; a check every 100 ms.

use super::check;
use crate::supervisor::tests::{CONSOLE, TASKS, WORKER, boot, retained};
use crate::testing::TestKernel;
use crate::{Supervisor, TaskPolicy};
use abi::{SchedState, TaskId, TaskState};
use crashlog_retained::CrashFault;

struct Machine {
    supervisor: Supervisor<'static, TestKernel>,
    away: [u32; 5],
}

impl Machine {
    /// The worker has a limit of 500 ms, and does this.
    fn new(doing: SchedState) -> Self {
        let mut supervisor = boot(retained());
        let mut tasks: [TaskPolicy; 5] = TASKS;
        tasks[WORKER].alive_ms = 500;
        supervisor.config.tasks = Box::leak(Box::new(tasks));
        supervisor.kernel.tasks[WORKER].doing = doing.into();
        let away = [0; 5];
        Self { supervisor, away }
    }

    fn worker(&mut self) -> &mut crate::testing::TestTask {
        &mut self.supervisor.kernel.tasks[WORKER]
    }

    /// The faults that so many checks find. `starved`: does the worker not run?
    fn checks(&mut self, number: u32, starved: bool) -> Vec<(u16, String)> {
        let found = |_| {
            let (config, kernel) = (&self.supervisor.config, &mut self.supervisor.kernel);
            let hang = check(config, kernel, &mut self.away, 100, |_| starved)?;
            let fault = CrashFault::decode(&hang.fault).expect("a fault that is known");
            Some((hang.task, fault.to_string()))
        };
        (0..number).filter_map(found).collect()
    }
}

const NOT_ALIVE: &str = "NotAlive for 500 ms";

#[test]
fn a_task_that_does_not_come_back_is_found_whatever_it_does() {
    for doing in [
        SchedState::Runnable,
        SchedState::InSend(TaskId(CONSOLE as u16)),
        SchedState::InReply(TaskId(CONSOLE as u16)),
    ] {
        let mut machine = Machine::new(doing);
        assert!(machine.checks(4, false).is_empty());
        let expected = [(WORKER as u16, NOT_ALIVE.to_string())];
        assert_eq!(machine.checks(1, false), expected, "{doing:?}");
    }
}

#[test]
fn to_come_back_between_two_checks_begins_anew() {
    let mut machine = Machine::new(SchedState::Runnable);
    for _ in 0..5 {
        assert!(machine.checks(4, false).is_empty());
        machine.worker().returned = true;
        assert!(machine.checks(1, false).is_empty());
    }
    assert_eq!(machine.checks(5, false).len(), 1);
}

#[test]
fn to_wait_in_the_receive_is_to_be_alive() {
    let mut machine = Machine::new(SchedState::InRecv(None));
    assert!(machine.checks(100, false).is_empty());
    machine.worker().doing = SchedState::Runnable.into();
    assert!(machine.checks(4, false).is_empty());
}

#[test]
fn time_in_which_it_is_kept_from_running_does_not_count() {
    let mut machine = Machine::new(SchedState::Runnable);
    assert!(machine.checks(4, false).is_empty());
    assert!(machine.checks(100, true).is_empty());
    assert_eq!(machine.checks(1, false).len(), 1);
    // One that waits for an answer is not kept from running.
    let mut machine = Machine::new(SchedState::InReply(TaskId(CONSOLE as u16)));
    assert_eq!(machine.checks(5, true).len(), 1);
}

#[test]
fn a_task_that_is_down_or_has_no_limit_is_left_alone() {
    let mut machine = Machine::new(SchedState::Stopped);
    assert!(machine.checks(100, false).is_empty());
    machine.worker().doing = TaskState::Healthy(SchedState::Runnable);
    assert!(machine.checks(4, false).is_empty());
    machine.worker().fault = Some(abi::FaultInfo::Panic);
    assert!(machine.checks(100, false).is_empty());
    machine.worker().fault = None;
    assert!(machine.checks(4, false).is_empty(), "it begins anew");

    machine.supervisor.config.tasks = &TASKS;
    assert!(machine.checks(100, false).is_empty());
}
