//! The time anchor: the log record that is made when a task says what time it is.
//!
//! It is a record of that task, so who sets the time too often fills its own part of the ring.

use crashlog_format::TimeAnchor;
use crashlog_retained::page::record_len;
use crashlog_retained::{Level, Stream};

use super::own_record;
use crate::recorder::Recorder;

/// Appends an anchor for a task. Returns the number of the record; `None` if the quota of the task
/// is used up, or the ring is full.
pub fn append(recorder: &Recorder, task: usize, anchor: TimeAnchor) -> Option<u32> {
    let bytes = record_len(TimeAnchor::LEN) as u32;
    // It is charged when the record is in the ring.
    if recorder.quotas.check(task, bytes).is_err() {
        return None;
    }
    let payload = anchor.to_bytes();
    let (stream, level, length) = (Stream::Boot, Level::Info, payload.len());
    let sequence = own_record::append(recorder, task, stream, level, length, payload.iter())?;
    // It may be the first that is not durable.
    recorder.events.work();
    Some(sequence)
}
