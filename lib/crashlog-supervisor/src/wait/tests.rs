//! Tasks that wait for each other.

use super::check;
use crate::supervisor::tests::{CONSOLE, RECORDER, TASKS, WORKER, boot, retained};
use crate::testing::TestKernel;
use crate::{Supervisor, TaskPolicy};
use abi::{SchedState, TaskId};
use crashlog_retained::CrashFault;

/// A system whose worker has a limit of 500 ms. Each of these tasks waits for another, since 100
/// ms.
fn system(waits: &[(usize, usize)]) -> Supervisor<'static, TestKernel> {
    let mut supervisor = boot(retained());
    let mut tasks: [TaskPolicy; 5] = TASKS;
    tasks[WORKER].wait_ms = 500;
    supervisor.config.tasks = Box::leak(Box::new(tasks));
    for &(task, peer) in waits {
        // A generation other than the first one.
        let peer = TaskId(peer as u16 | 5 << 10);
        supervisor.kernel.tasks[task].doing = SchedState::InReply(peer).into();
    }
    supervisor
}

/// The fault that is found at this time.
fn found(supervisor: &mut Supervisor<'static, TestKernel>, now: u32) -> Option<(u16, String)> {
    found_of::<5>(supervisor, now)
}

/// The same, of so many tasks.
fn found_of<const TASKS: usize>(
    supervisor: &mut Supervisor<'static, TestKernel>,
    now: u32,
) -> Option<(u16, String)> {
    let times = [100_u32.to_le_bytes(); TASKS];
    let hang = check(&supervisor.config, &mut supervisor.kernel, &times, now, 0)?;
    let fault = CrashFault::decode(&hang.fault).expect("a fault that is known");
    Some((hang.task, fault.to_string()))
}

#[test]
fn a_wait_ends_at_its_limit_and_the_chain_is_kept() {
    let mut supervisor = system(&[(WORKER, CONSOLE), (CONSOLE, RECORDER)]);
    assert_eq!(found(&mut supervisor, 599), None);
    let text = "Wait for 500 ms for task 2 which waits for task 1";
    assert_eq!(found(&mut supervisor, 600), Some((3, text.into())));
}

#[test]
fn a_cycle_is_found_at_once() {
    let mut supervisor = system(&[(WORKER, CONSOLE), (CONSOLE, WORKER)]);
    let text = "Wait for 1 ms for task 2 which waits for task 3";
    assert_eq!(found(&mut supervisor, 101), Some((3, text.into())));
    // The worker waits for two that wait for each other.
    let mut supervisor = system(&[(WORKER, CONSOLE), (CONSOLE, RECORDER), (RECORDER, CONSOLE)]);
    let text = "Wait for 1 ms for task 2 which waits for task 1 which waits for task 2";
    assert_eq!(found(&mut supervisor, 101), Some((3, text.into())));
}

/// A crash keeps ten tasks of the chain.
#[test]
fn a_cycle_of_more_tasks_than_a_crash_keeps_is_found_at_once() {
    const MANY: usize = 14;
    let waits_for = |task: usize| TaskId(task as u16 | 5 << 10);
    let mut supervisor = boot(retained());
    let mut tasks = vec![TASKS[WORKER]; MANY];
    tasks[1].wait_ms = 500;
    supervisor.config.tasks = Box::leak(tasks.into_boxed_slice());
    supervisor.kernel = TestKernel::new(MANY);
    for task in 1..MANY {
        let peer = waits_for(task % (MANY - 1) + 1);
        supervisor.kernel.tasks[task].doing = SchedState::InSend(peer).into();
    }
    let (task, text) = found_of::<MANY>(&mut supervisor, 101).expect("a cycle");
    assert_eq!(task, 1);
    assert!(text.ends_with("which waits for task 11"), "{text}");
    // One of them runs.
    supervisor.kernel.tasks[13].doing = SchedState::Runnable.into();
    assert_eq!(found_of::<MANY>(&mut supervisor, 101), None);
}

#[test]
fn who_has_no_limit_or_does_not_wait_is_left_alone() {
    let mut supervisor = system(&[(CONSOLE, RECORDER), (RECORDER, CONSOLE)]);
    assert_eq!(found(&mut supervisor, 1_000_000), None);
    let mut supervisor = system(&[]);
    assert_eq!(found(&mut supervisor, 1_000_000), None);
}

#[test]
fn a_task_that_waits_for_itself_is_a_cycle() {
    let mut supervisor = system(&[(WORKER, WORKER)]);
    let text = "Wait for 1 ms for task 3";
    assert_eq!(found(&mut supervisor, 101), Some((3, text.into())));
}

#[test]
fn the_time_of_a_debuggers_halt_does_not_count() {
    let mut supervisor = system(&[(WORKER, CONSOLE)]);
    let times = [100_u32.to_le_bytes(); 5];
    let (config, kernel) = (&supervisor.config, &mut supervisor.kernel);
    assert_eq!(check(config, kernel, &times, 60_000, 59_900), None);
    assert_eq!(check(config, kernel, &times, 60_399, 59_900), None);
    assert!(check(config, kernel, &times, 60_400, 59_900).is_some());
}
