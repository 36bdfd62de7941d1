//! Deferred replies.
//!
//! The generated server sends the others; these have the same encoding, and are counted as it
//! counts those. A call that is void ([`crashlog_core::deferred`]) gets no reply, and counts as one
//! whose client went away.

use hubpack::SerializedSize;
use task_crashlog_api::{CrashInfo, CrashLogError};
use userlib::sys_reply;
use zerocopy::IntoBytes;

use crate::recorder::{DeferredCall, Recorder};
use crate::server::count_reply;

/// Replies to an operation that has no result.
pub fn unit(recorder: &Recorder, call: &DeferredCall, result: Result<(), CrashLogError>) {
    send(recorder, call, result.map(|()| &[][..]));
}

/// Replies to an operation whose result is a number.
pub fn number(recorder: &Recorder, call: &DeferredCall, result: Result<u32, CrashLogError>) {
    send(
        recorder,
        call,
        result
            .as_ref()
            .map(IntoBytes::as_bytes)
            .map_err(|error| *error),
    );
}

/// Replies to `crash_info`.
pub fn crash_info(
    recorder: &Recorder,
    call: &DeferredCall,
    result: Result<CrashInfo, CrashLogError>,
) {
    let mut message = [0; CrashInfo::MAX_SIZE];
    let encoded = result.and_then(|crash| {
        // It cannot fail: the buffer has the maximum size of the encoding.
        hubpack::serialize(&mut message, &crash).map_err(|_| CrashLogError::Damaged)
    });
    send(
        recorder,
        call,
        encoded.map(|length| message.get(..length).unwrap_or(&[])),
    );
}

/// Counts and replies, if the client still waits.
fn send(recorder: &Recorder, call: &DeferredCall, result: Result<&[u8], CrashLogError>) {
    if !recorder.deferred.is_current() {
        return;
    }
    count_reply(&call.operation, result.map(|_| ()));
    match result {
        Ok(message) => sys_reply(call.client, 0, message),
        Err(error) => sys_reply(call.client, error.into(), &[]),
    }
}
