//! A client that attacks recorder and supervisor through the kernel and through the supervisor.
//!
//! The configuration allows it to restart and to fault tasks, but these two are out of reach for
//! all. Where it is refused it is faulted; the recorder is not restarted, and the system neither.

use crate::misuse::{fault, misuser};
use crate::{CRASHLOG, Case, Wrong, expect, generation};
use task_crashlog_api::CrashLog;
use test_api::ask;
use userlib::{FaultInfo, Kipcnum, ReplyFaultReason, TaskId, UsageError, sys_refresh_task_id};

pub const CASES: &[Case] = &[
    ("attack: restart, stop and fault by the kernel", by_kernel),
    ("attack: reset by the kernel", reset_by_kernel),
    ("attack: operations of the supervisor", by_supervisor),
];

/// To whom the misuser sends.
const TO_KERNEL: u16 = 3;
const TO_SUPERVISOR: u16 = 4;

/// Makes the misuser send a message of `length` bytes that begins with `first`, with room for a
/// reply; expects this fault of it, and that the recorder was not restarted.
fn refused(
    to: u16,
    operation: u32,
    length: u32,
    first: u32,
    expected: FaultInfo,
) -> Result<(), Wrong> {
    let before = generation();
    ask(misuser(), to, [operation, length, 64, 0, 0, 0, first]);
    expect!(fault() == Some(expected));
    expect!(generation() == before);
    Ok(())
}

/// REQ: C1 (in part), X7 (in part)
fn by_kernel(_: &CrashLog) -> Result<(), Wrong> {
    for target in [0, CRASHLOG.get_task_id().index() as u32] {
        // The byte behind the index is 0: the task is not to run again.
        for (operation, length) in [(Kipcnum::ReinitTask, 5), (Kipcnum::FaultTask, 4)] {
            let illegal = UsageError::IllegalTask.into();
            refused(TO_KERNEL, operation as u32, length, target, illegal)?;
        }
    }
    Ok(())
}

/// REQ: C3 (in part)
fn reset_by_kernel(_: &CrashLog) -> Result<(), Wrong> {
    let expected = UsageError::NotSupervisor.into();
    refused(TO_KERNEL, Kipcnum::Reset as u32, 0, 0, expected)
}

/// Those that nobody may use unless the configuration names it, by number, with the lengths of
/// their messages.
const CLOSED: [(u32, u32); 8] = [
    (2, 4),
    (3, 0),
    (5, 1),
    (6, 0),
    (8, 0),
    (9, 4),
    (10, 12),
    (11, 1),
];

/// REQ: C3 (in part), X7 (in part)
fn by_supervisor(_: &CrashLog) -> Result<(), Wrong> {
    let supervisor = sys_refresh_task_id(TaskId(0));
    let expected = FaultInfo::FromServer(supervisor, ReplyFaultReason::AccessViolation);
    for (operation, length) in CLOSED {
        refused(TO_SUPERVISOR, operation, length, 1, expected)?;
    }
    Ok(())
}
