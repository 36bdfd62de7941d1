//! The boot record: the first log record of each boot.
//!
//! It is in the ring before a request is served, so it comes before every record of a client. From
//! there it gets to the card as any record does: with the next pages, or with the log tail of an
//! emergency. It is found in the ring, or in the number of the next record, after a restart of this
//! task alone, so there is one in each boot.
//!
//! If the ring is full with records of earlier boots, nothing is accepted until pages are durable.
//! The boot record then comes first, too: pages are released here and by the search for the log
//! only, and after both it is appended before a request is served.

use crashlog_retained::page::MAX_PAYLOAD;
use crashlog_retained::{BootEnds, LastRan, Level, Stream};
use userlib::kipc;

use super::own_record;
use crate::config;
use crate::recorder::Recorder;

/// Appends the boot record, unless this boot has log records already or the ring is full.
pub fn append(recorder: &Recorder) {
    if recorder.ring.accepted() != 0 {
        return;
    }
    let mut ends = [0; BootEnds::MAX_LEN];
    let region = &recorder.region;
    // `None` does not occur: the buffer has the maximum length of the encoding.
    let used = region.boot_end().ends(region.boot()).encode(&mut ends);
    let ends = used.and_then(|used| ends.get(..used)).unwrap_or(&[]);
    let length = config::BOOT_RECORD.len().saturating_add(ends.len());
    let last_ran = region.boot_end().last_ran(region.boot());
    let last_ran = last_ran.filter(|_| length <= MAX_PAYLOAD - LastRan::LEN);
    let last_ran = last_ran.map(LastRan::to_bytes);
    let last_ran = last_ran.as_ref().map_or::<&[u8], _>(&[], |bytes| bytes);
    let length = length.saturating_add(last_ran.len());
    let id = kipc::read_image_id().to_le_bytes();
    let known = config::BOOT_RECORD.iter().skip(id.len());
    let bytes = id.iter().chain(known).chain(ends).chain(last_ran);
    // The build script has checked the length.
    let (stream, level) = (Stream::Boot, Level::Info);
    own_record::append(recorder, config::TASK_INDEX, stream, level, length, bytes);
}
