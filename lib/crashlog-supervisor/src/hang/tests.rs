//! A processor that one task after the other runs on; the supervisor checks every 100 ms.

use super::{CHECK_MS, HangWatch};
use crate::supervisor::tests::{CONSOLE, RECORDER, TASKS, WORKER, boot, crash, retained};
use crate::testing::{Effect, TestKernel};
use crate::{Consequence, Supervisor, TaskPolicy};
use abi::{SchedState, TaskId};
use crashlog_retained::{CrashFault, Region};

/// The least important task.
const IDLE: usize = 4;

/// The tasks of the other tests and an idle task, changed.
fn with_idle(change: impl FnOnce(&mut [TaskPolicy; 5])) -> &'static [TaskPolicy] {
    let [jefe, crashlog, console, worker, _] = TASKS;
    let idle = TaskPolicy {
        name: "idle",
        priority: 4,
        ..worker
    };
    let mut tasks = [jefe, crashlog, console, worker, idle];
    change(&mut tasks);
    Box::leak(Box::new(tasks))
}

struct Machine {
    supervisor: Supervisor<'static, TestKernel>,
    now: u32,
}

impl Machine {
    fn new() -> Self {
        Self::over(retained())
    }

    fn over(region: Region<'static>) -> Self {
        let mut supervisor = boot(region);
        supervisor.config.by_priority = &[0, 1, 2, 3, 4];
        supervisor.config.tasks = with_idle(|_| {});
        let times = Box::leak(Box::new([[0; 4]; 5]));
        let held = Box::leak(Box::new([0; 5]));
        let away = Box::leak(Box::new([0; 5]));
        let hangs = HangWatch::new(times, held, away);
        supervisor.set_hang_watch(hangs);
        supervisor.kernel.tasks.resize(5, Default::default());
        for task in [WORKER, IDLE] {
            supervisor.kernel.tasks[task].doing = SchedState::Runnable.into();
        }
        let mut machine = Self { supervisor, now: 0 };
        machine.step(&[IDLE]);
        machine
    }

    /// These tasks run in this order, a tick each, until the next check.
    fn step(&mut self, tasks: &[usize]) -> &mut Self {
        let end = self.now + CHECK_MS;
        let mut order = tasks.iter().cycle();
        while self.now < end {
            let task = &mut self.supervisor.kernel.tasks[*order.next().unwrap()];
            task.last_ran = self.now;
            self.now += 1;
        }
        self.supervisor.kernel.now = self.now.into();
        self.supervisor.check_hangs(self.now.into());
        self
    }

    fn steps(&mut self, number: u32, tasks: &[usize]) -> &mut Self {
        for _ in 0..number {
            self.step(tasks);
        }
        self
    }

    fn culprits(&self) -> Vec<usize> {
        let effects = self.supervisor.kernel.effects.iter();
        effects
            .filter_map(|effect| match effect {
                Effect::Injected(task) => Some(*task),
                _ => None,
            })
            .collect()
    }
}

#[test]
fn a_task_that_never_waits_is_faulted_after_its_limit() {
    let mut machine = Machine::new();
    machine.supervisor.kernel.tasks[CONSOLE].doing = SchedState::Runnable.into();
    assert!(machine.steps(9, &[CONSOLE]).culprits().is_empty());
    assert_eq!(machine.step(&[CONSOLE]).culprits(), [CONSOLE]);
    let hangs = machine.supervisor.hangs.as_ref().unwrap();
    assert_eq!(
        CrashFault::decode(hangs.fault_of(CONSOLE).unwrap()),
        Some(CrashFault::Hang {
            ms: 1_000,
            starved: 1 << WORKER | 1 << IDLE
        })
    );
    assert_eq!(hangs.fault_of(WORKER), None);
}

/// The culprit is who runs, not the server that it calls, and not who starves.
#[test]
fn a_task_that_calls_a_server_in_its_loop_is_the_culprit() {
    let mut machine = Machine::new();
    machine.supervisor.kernel.tasks[CONSOLE].doing = SchedState::InReply(TaskId(1)).into();
    // The server runs for 19 of 20 ticks.
    let mut order = [RECORDER; 20];
    order[3] = CONSOLE;
    assert_eq!(machine.steps(10, &order).culprits(), [CONSOLE]);
}

#[test]
fn a_task_that_lets_a_less_important_one_run_begins_anew() {
    let mut machine = Machine::new();
    machine.supervisor.kernel.tasks[CONSOLE].doing = SchedState::Runnable.into();
    // The worker runs for one tick in 900.
    for _ in 0..5 {
        machine.steps(8, &[CONSOLE]).step(&[WORKER, CONSOLE]);
    }
    assert!(machine.culprits().is_empty());
}

#[test]
fn time_of_more_important_tasks_neither_counts_nor_ends_anything() {
    let mut machine = Machine::new();
    machine.supervisor.kernel.tasks[CONSOLE].doing = SchedState::Runnable.into();
    // The recorder holds the processor for shorter than its limit, again and again.
    for _ in 0..4 {
        machine.steps(2, &[CONSOLE]).steps(5, &[RECORDER]);
    }
    assert!(machine.culprits().is_empty());
    assert_eq!(machine.steps(2, &[CONSOLE]).culprits(), [CONSOLE]);
}

#[test]
fn a_ready_task_is_not_the_culprit_of_the_one_that_keeps_it_from_running() {
    let mut machine = Machine::new();
    machine.supervisor.kernel.tasks[RECORDER].doing = SchedState::Runnable.into();
    // The worker runs for a tick in each check, but not at its end.
    let mut order = [RECORDER; 100];
    order[3] = WORKER;
    assert!(machine.steps(40, &order).culprits().is_empty());
    assert_eq!(machine.steps(10, &[RECORDER]).culprits(), [RECORDER]);
}

#[test]
fn the_least_important_task_has_no_hangs() {
    let mut machine = Machine::new();
    machine.supervisor.kernel.tasks[WORKER].doing = SchedState::Runnable.into();
    assert!(machine.steps(50, &[IDLE]).culprits().is_empty());
    machine.supervisor.config.tasks = with_idle(|tasks| tasks[WORKER].priority = 4);
    assert!(machine.steps(50, &[IDLE, WORKER]).culprits().is_empty());
}

/// REQ: X1 (in part) A task that calls a server in a loop lets others of its priority run while it
/// waits for the answer, and nobody that is less important.
#[test]
fn a_task_of_the_same_priority_does_not_hide_a_hang() {
    let mut machine = Machine::new();
    machine.supervisor.config.tasks = with_idle(|tasks| tasks[CONSOLE].priority = 3);
    let set = |machine: &mut Machine, task: usize, state: SchedState| {
        machine.supervisor.kernel.tasks[task].doing = state.into();
    };
    set(&mut machine, WORKER, SchedState::InReply(TaskId(1)));
    let order = [WORKER, RECORDER, CONSOLE];
    for step in 0..10 {
        // The console is ready now and then, and waits for an event now and then.
        let console = match step % 3 {
            0 => SchedState::InRecv(None),
            _ => SchedState::Runnable,
        };
        set(&mut machine, CONSOLE, console);
        assert!(machine.culprits().is_empty(), "{step}");
        machine.step(&order);
    }
    assert_eq!(machine.culprits(), [WORKER]);
}

/// Two tasks that wake each other: each is found waiting now and then.
#[test]
fn tasks_of_one_priority_that_both_wait_have_no_hangs() {
    let mut machine = Machine::new();
    machine.supervisor.config.tasks = with_idle(|tasks| tasks[CONSOLE].priority = 3);
    for step in 0..50 {
        let states = [SchedState::Runnable, SchedState::InRecv(None)];
        for (task, state) in [CONSOLE, WORKER].into_iter().zip(0..) {
            let state = states[(step / 4 + state) % 2];
            machine.supervisor.kernel.tasks[task].doing = state.into();
        }
        machine.step(&[CONSOLE, WORKER]);
    }
    assert!(machine.culprits().is_empty());
}

#[test]
fn a_task_without_a_limit_may_run_for_ever() {
    let mut machine = Machine::new();
    machine.supervisor.kernel.tasks[CONSOLE].doing = SchedState::Runnable.into();
    machine.supervisor.config.tasks = with_idle(|tasks| tasks[CONSOLE].hang_ms = 0);
    assert!(machine.steps(100, &[CONSOLE]).culprits().is_empty());
}

/// REQ: X1 (in part)
#[test]
fn a_task_that_neither_comes_back_nor_says_that_it_is_alive_is_faulted() {
    let mut machine = Machine::new();
    machine.supervisor.config.tasks = with_idle(|tasks| tasks[WORKER].alive_ms = 500);
    // It polls: it runs and lets the others run, and is no hang.
    machine.steps(4, &[WORKER, IDLE]).supervisor.alive(WORKER);
    assert!(machine.steps(4, &[WORKER, IDLE]).culprits().is_empty());
    // While others keep it from running, its time stands still.
    machine.steps(8, &[CONSOLE]);
    assert!(machine.culprits().is_empty());
    assert_eq!(machine.step(&[WORKER, IDLE]).culprits(), [WORKER]);
    let hangs = machine.supervisor.hangs.as_ref().unwrap();
    let fault = CrashFault::decode(hangs.fault_of(WORKER).unwrap());
    assert_eq!(fault, Some(CrashFault::NotAlive { ms: 500 }));
    // Others, and one that has faulted, say it to no effect.
    machine.supervisor.alive(CONSOLE);
    machine.supervisor.alive(usize::MAX);
    assert_eq!(machine.steps(9, &[IDLE]).culprits(), [WORKER]);
}

/// REQ: X6 (in part: a delayed start makes nobody else fail)
#[test]
fn who_waits_for_a_task_that_is_started_later_has_no_hang() {
    let region = retained();
    for _ in 0..3 {
        crash(&mut boot(region), &[WORKER]);
    }
    for (wait_ms, alive_ms) in [(500, 0), (0, 500)] {
        let mut machine = Machine::over(region);
        machine.supervisor.config.tasks = with_idle(|tasks| {
            tasks[CONSOLE].wait_ms = wait_ms;
            tasks[CONSOLE].alive_ms = alive_ms;
        });
        let delay = machine.supervisor.start_delay(WORKER);
        assert_eq!(delay, 1_000);
        let tasks = &mut machine.supervisor.kernel.tasks;
        tasks[WORKER].doing = SchedState::Stopped.into();
        tasks[CONSOLE].doing = SchedState::InSend(TaskId(WORKER as u16)).into();
        // Until the start, and for the limit after it.
        let checks = (delay + 300) / CHECK_MS - 1;
        assert!(machine.steps(checks, &[IDLE]).culprits().is_empty());
        assert_eq!(machine.steps(2, &[IDLE]).culprits(), [CONSOLE]);
    }
}

#[test]
fn a_halt_of_the_system_counts_as_one_check() {
    let mut machine = Machine::new();
    machine.supervisor.kernel.tasks[CONSOLE].doing = SchedState::Runnable.into();
    machine.steps(3, &[CONSOLE]);
    machine.now += 1_000_000;
    machine.steps(3, &[CONSOLE]);
    assert!(machine.culprits().is_empty());
}

/// REQ: X6 (in part): a task that hangs again and again is held, wherever in its loop it is
/// stopped.
#[test]
fn hangs_of_a_task_are_one_series() {
    let mut machine = Machine::new();
    machine.supervisor.kernel.tasks[CONSOLE].doing = SchedState::Runnable.into();
    let mut last = Consequence::Restart;
    for round in 0..=5 {
        machine.steps(10 + round, &[CONSOLE]);
        machine.supervisor.kernel.tasks[CONSOLE].registers[15] = 0x100 + round;
        let started = machine.now.into();
        last = machine
            .supervisor
            .handle_fault(CONSOLE, false, round, started);
        let hangs = machine.supervisor.hangs.as_ref().unwrap();
        assert_eq!(hangs.fault_of(CONSOLE), None, "the hang was handled");
        machine.supervisor.kernel.tasks[CONSOLE].fault = None;
    }
    assert_eq!(last, Consequence::Hold);
}
