//! Deferred replies.
//!
//! The generated server sends the others; these have the same encoding.

use hubpack::SerializedSize;
use task_crashlog_api::{CrashInfo, CrashLogError};
use userlib::{TaskId, sys_reply};
use zerocopy::IntoBytes;

/// Replies to an operation that has no result.
pub fn unit(client: TaskId, result: Result<(), CrashLogError>) {
    match result {
        Ok(()) => sys_reply(client, 0, &[]),
        Err(error) => fail(client, error),
    }
}

/// Replies to an operation whose result is a number.
pub fn number(client: TaskId, result: Result<u32, CrashLogError>) {
    match result {
        Ok(number) => sys_reply(client, 0, number.as_bytes()),
        Err(error) => fail(client, error),
    }
}

/// Replies to `crash_info`.
pub fn crash_info(client: TaskId, result: Result<CrashInfo, CrashLogError>) {
    let mut message = [0; CrashInfo::MAX_SIZE];
    let encoded = result.and_then(|crash| {
        // It cannot fail: the buffer has the maximum size of the encoding.
        hubpack::serialize(&mut message, &crash).map_err(|_| CrashLogError::Damaged)
    });
    match encoded {
        Ok(length) => sys_reply(client, 0, message.get(..length).unwrap_or(&[])),
        Err(error) => fail(client, error),
    }
}

fn fail(client: TaskId, error: CrashLogError) {
    sys_reply(client, error.into(), &[]);
}
