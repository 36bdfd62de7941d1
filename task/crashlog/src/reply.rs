//! Answers that come later than the request: what the generated server does for answers that come at once.

use hubpack::SerializedSize;
use task_crashlog_api::{CrashLogError, RecordInfo};
use userlib::{TaskId, sys_reply};
use zerocopy::IntoBytes;

/// Answers an operation that has no result.
pub fn unit(client: TaskId, result: Result<(), CrashLogError>) {
    match result {
        Ok(()) => sys_reply(client, 0, &[]),
        Err(error) => fail(client, error),
    }
}

/// Answers an operation whose result is a number.
pub fn number(client: TaskId, result: Result<u32, CrashLogError>) {
    match result {
        Ok(number) => sys_reply(client, 0, number.as_bytes()),
        Err(error) => fail(client, error),
    }
}

/// Answers `record_info`.
pub fn record(client: TaskId, result: Result<RecordInfo, CrashLogError>) {
    let mut message = [0; RecordInfo::MAX_SIZE];
    let encoded = result.and_then(|record| {
        // It cannot fail: the buffer has the size that this encoding never exceeds.
        hubpack::serialize(&mut message, &record).map_err(|_| CrashLogError::Damaged)
    });
    match encoded {
        Ok(length) => sys_reply(client, 0, message.get(..length).unwrap_or(&[])),
        Err(error) => fail(client, error),
    }
}

fn fail(client: TaskId, error: CrashLogError) {
    sys_reply(client, error.into(), &[]);
}
