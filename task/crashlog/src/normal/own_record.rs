//! Log records that the recorder makes itself.

use crashlog_retained::page::record_len;
use crashlog_retained::{Level, LogHeader, Record, Stream};
use userlib::sys_get_timer;

use crate::recorder::Recorder;

/// Appends a record of `task` with the first `length` of these bytes, and charges the task for it,
/// whatever its quota. Returns its sequence number; `None` if it is too long or the ring is full.
// Not inlined: the record on its stack would be in the frame of the caller.
#[inline(never)]
pub fn append<'a>(
    recorder: &Recorder,
    task: usize,
    stream: Stream,
    level: Level,
    length: usize,
    bytes: impl Iterator<Item = &'a u8>,
) -> Option<u32> {
    let mut record = Record::new();
    let payload = record.payload(length).ok()?;
    for (to, from) in payload.iter_mut().zip(bytes) {
        *to = *from;
    }
    let now = sys_get_timer().now;
    let header = LogHeader {
        stream,
        level,
        // The kernel's task indices have 10 bits.
        task: task as u16,
        lost: 0,
        time: now,
    };
    let sequence = recorder.ring.append_record(&header, &mut record).ok()?;
    let bytes = record_len(length) as u32;
    recorder.quotas.charge(task, bytes);
    recorder.oldest.set(recorder.oldest.get().or(Some(now)));
    Some(sequence)
}
