//! Deferred replies.
//!
//! The generated server sends the others; these have the same encoding, and are counted as it
//! counts those.

use hubpack::SerializedSize;
use task_crashlog_api::{CrashInfo, CrashLogError};
use userlib::sys_reply;
use zerocopy::IntoBytes;

use crate::recorder::DeferredCall;
use crate::server::count_reply;

/// Replies to an operation that has no result.
pub fn unit(call: &DeferredCall, result: Result<(), CrashLogError>) {
    send(call, result.map(|()| &[][..]));
}

/// Replies to an operation whose result is a number.
pub fn number(call: &DeferredCall, result: Result<u32, CrashLogError>) {
    send(
        call,
        result
            .as_ref()
            .map(IntoBytes::as_bytes)
            .map_err(|error| *error),
    );
}

/// Replies to `crash_info`.
pub fn crash_info(call: &DeferredCall, result: Result<CrashInfo, CrashLogError>) {
    let mut message = [0; CrashInfo::MAX_SIZE];
    let encoded = result.and_then(|crash| {
        // It cannot fail: the buffer has the maximum size of the encoding.
        hubpack::serialize(&mut message, &crash).map_err(|_| CrashLogError::Damaged)
    });
    send(
        call,
        encoded.map(|length| message.get(..length).unwrap_or(&[])),
    );
}

/// Counts and replies.
fn send(call: &DeferredCall, result: Result<&[u8], CrashLogError>) {
    count_reply(&call.operation, result.map(|_| ()));
    match result {
        Ok(message) => sys_reply(call.client, 0, message),
        Err(error) => sys_reply(call.client, error.into(), &[]),
    }
}
