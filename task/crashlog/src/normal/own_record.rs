//! Log records of the recorder itself.

use crashlog_retained::page::record_len;
use crashlog_retained::{Level, LogHeader, Record, Stream};
use userlib::sys_get_timer;

use crate::config;
use crate::recorder::Recorder;

/// Appends a record with the first `length` of these bytes, unless it is too long or the ring is
/// full.
// Not inlined: the record on its stack would be in the frame of the caller.
#[inline(never)]
pub fn append<'a>(
    recorder: &Recorder,
    stream: Stream,
    level: Level,
    length: usize,
    bytes: impl Iterator<Item = &'a u8>,
) {
    let mut record = Record::new();
    let Ok(payload) = record.payload(length) else {
        return;
    };
    for (to, from) in payload.iter_mut().zip(bytes) {
        *to = *from;
    }
    let now = sys_get_timer().now;
    let header = LogHeader {
        stream,
        level,
        task: const { config::TASK_INDEX as u16 },
        lost: 0,
        time: now,
    };
    if recorder.ring.append_record(&header, &mut record).is_ok() {
        let bytes = record_len(length) as u32;
        recorder.quotas.charge(config::TASK_INDEX, bytes);
        recorder.oldest.set(recorder.oldest.get().or(Some(now)));
    }
}
