//! Clients that misuse the recorder.
//!
//! They are faulted or get an error, as Idol defines. The recorder is not restarted.

use crate::{CRASHLOG, Case, MISUSER, Wrong, expect, generation};
use task_crashlog_api::{CrashLog, Level, Stream};
use test_api::ask;
use userlib::{
    FaultInfo, FaultSource, ReplyFaultReason, TaskId, TaskState, hl, kipc, sys_refresh_task_id,
};

pub const CASES: &[Case] = &[
    ("misuse: unknown operations", unknown_operations),
    ("misuse: messages of the wrong size", wrong_size),
    ("misuse: values that do not exist", wrong_values),
    ("misuse: no room for the reply", no_room),
    ("misuse: a wrong number of leases", lease_count),
    ("misuse: a lease that is too long", lease_too_long),
    ("misuse: a lease without the right", lease_direction),
    ("misuse: a lease of foreign memory", lease_foreign),
    ("misuse: operations for others", not_allowed),
    ("misuse: correct calls work all the same", correct),
    ("misuse: crashes of one task are recorded", recorded),
];

/// Numbers of the operations, in the order of idl/crashlog.idol.
const APPEND: u32 = 1;
const STATUS: u32 = 3;
const CRASH_INFO: u32 = 4;
const READ_CRASH: u32 = 5;
const ERASE_CRASH: u32 = 6;
const READ_PAGE: u32 = 7;
const ACKNOWLEDGE_CRASH: u32 = 8;
const SET_TIME: u32 = 9;
const KERNEL_TEXT: u32 = 0x8010_0000;

/// The message that the misuser sends: a correct `append`, except for what a case changes.
#[derive(Copy, Clone)]
struct Message {
    operation: u32,
    length: u32,
    capacity: u32,
    leases: u32,
    lease_length: u32,
    lease_kind: u32,
    first: u32,
}

/// Stream event, level info, nothing lost.
const CORRECT: Message = Message {
    operation: APPEND,
    length: 4,
    capacity: 4,
    leases: 1,
    lease_length: 10,
    lease_kind: 0,
    first: 0x0201,
};

pub fn misuser() -> TaskId {
    sys_refresh_task_id(MISUSER.get_task_id())
}

/// Makes the misuser send. It has sent, or is faulted, when this returns, because it is more
/// important than this task.
fn send(message: Message) {
    let Message {
        operation,
        length,
        capacity,
        leases,
        lease_length,
        lease_kind,
        first,
    } = message;
    ask(
        misuser(),
        1,
        [
            operation,
            length,
            capacity,
            leases,
            lease_length,
            lease_kind,
            first,
        ],
    );
}

/// The state of the misuser. If it is faulted, it is restarted.
pub fn fault() -> Option<FaultInfo> {
    let task = misuser();
    match kipc::read_task_status(task.index()) {
        TaskState::Faulted { fault, .. } => {
            kipc::reinit_task(task.index(), true);
            Some(fault)
        }
        TaskState::Healthy(_) => None,
    }
}

/// Expects a reply fault with this reason, and that the recorder was not restarted.
fn refused(message: Message, reason: ReplyFaultReason) -> Result<(), Wrong> {
    let before = generation();
    send(message);
    expect!(fault() == Some(FaultInfo::FromServer(before, reason)));
    expect!(generation() == before);
    Ok(())
}

/// Is a record of another client than this task accepted?
pub fn another_client_appends() -> bool {
    send(CORRECT);
    let (code, [result, length, ..]) = ask(misuser(), 2, []);
    (code, result, length) == (0, 0, 4)
}

fn unknown_operations(_: &CrashLog) -> Result<(), Wrong> {
    for operation in [0, 11, 99, 0xffff] {
        refused(
            Message {
                operation,
                ..CORRECT
            },
            ReplyFaultReason::UndefinedOperation,
        )?;
    }
    Ok(())
}

fn wrong_size(_: &CrashLog) -> Result<(), Wrong> {
    for length in [0, 1, 3, 5] {
        refused(
            Message { length, ..CORRECT },
            ReplyFaultReason::BadMessageContents,
        )?;
    }
    // Longer than any message of the interface.
    for length in [13, 200, 512] {
        refused(
            Message { length, ..CORRECT },
            ReplyFaultReason::BadMessageSize,
        )?;
    }
    Ok(())
}

fn wrong_values(_: &CrashLog) -> Result<(), Wrong> {
    for first in [0x0209, 0x0901, 0xffff] {
        refused(
            Message { first, ..CORRECT },
            ReplyFaultReason::BadMessageContents,
        )?;
    }
    Ok(())
}

fn no_room(_: &CrashLog) -> Result<(), Wrong> {
    refused(
        Message {
            capacity: 3,
            ..CORRECT
        },
        ReplyFaultReason::ReplyBufferTooSmall,
    )?;
    let status = Message {
        operation: STATUS,
        length: 0,
        capacity: 4,
        leases: 0,
        ..CORRECT
    };
    refused(status, ReplyFaultReason::ReplyBufferTooSmall)
}

fn lease_count(_: &CrashLog) -> Result<(), Wrong> {
    for leases in [0, 2] {
        refused(Message { leases, ..CORRECT }, ReplyFaultReason::BadLeases)?;
    }
    Ok(())
}

fn lease_too_long(_: &CrashLog) -> Result<(), Wrong> {
    for lease_length in [257, 512] {
        refused(
            Message {
                lease_length,
                ..CORRECT
            },
            ReplyFaultReason::BadLeases,
        )?;
    }
    Ok(())
}

fn lease_direction(_: &CrashLog) -> Result<(), Wrong> {
    refused(
        Message {
            lease_kind: 1,
            ..CORRECT
        },
        ReplyFaultReason::BadLeases,
    )
}

/// The kernel faults the lender when the recorder reads.
fn lease_foreign(_: &CrashLog) -> Result<(), Wrong> {
    let before = generation();
    send(Message {
        lease_kind: 2,
        ..CORRECT
    });
    let wanted = FaultInfo::MemoryAccess {
        address: Some(KERNEL_TEXT),
        source: FaultSource::Kernel,
    };
    expect!(fault() == Some(wanted));
    expect!(generation() == before);
    Ok(())
}

/// REQ: P9, X7: only tasks that are named in the configuration may erase, read what others have
/// recorded, and say what time it is.
fn not_allowed(_: &CrashLog) -> Result<(), Wrong> {
    for (operation, length, capacity, leases) in [
        (ERASE_CRASH, 4, 0, 0),
        (CRASH_INFO, 4, 512, 0),
        (READ_CRASH, 12, 4, 1),
        (READ_PAGE, 4, 0, 1),
        (ACKNOWLEDGE_CRASH, 4, 0, 0),
        (SET_TIME, 8, 4, 0),
    ] {
        let message = Message {
            operation,
            length,
            capacity,
            leases,
            lease_kind: 1,
            first: 1,
            ..CORRECT
        };
        refused(message, ReplyFaultReason::AccessViolation)?;
    }
    Ok(())
}

fn correct(recorder: &CrashLog) -> Result<(), Wrong> {
    expect!(another_client_appends());
    expect!(fault().is_none());
    expect!(
        recorder
            .append(Stream::Event, Level::Info, 0, b"\0still here")
            .is_ok()
    );
    expect!(recorder.flush().is_ok());
    expect!(generation() == CRASHLOG.get_task_id());
    Ok(())
}

/// REQ: P5: faults that do not restart the system are written if the configuration says so.
fn recorded(recorder: &CrashLog) -> Result<(), Wrong> {
    for _ in 0..500 {
        if recorder.status().is_ok_and(|status| status.crashes > 0) {
            break;
        }
        hl::sleep_for(10);
    }
    let info = recorder.crash_info(0);
    expect!(info.is_ok_and(|info| info.name.as_str() == "misuser"));
    expect!(
        recorder
            .status()
            .is_ok_and(|status| status.panics == 0 && status.oopses > 0)
    );
    Ok(())
}
