//! A page of the log, and what records of the recorder's own say. Records lie inside the page, and
//! their number is bounded by its length.
#![no_main]

use block_device::BLOCK_LEN;
use crashlog_format::page::{CAPACITY, LOG_HEADER_LEN, LogRecords, MAX_PAYLOAD, Page};
use crashlog_format::{BootEnds, BootRecord, CrashFault, FormatId, LastRan, TimeAnchor};
use crashlog_fuzz::seal;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let format = FormatId::new(7);
    let mut block = [0; BLOCK_LEN];
    let length = input.len().min(BLOCK_LEN);
    block[..length].copy_from_slice(&input[..length]);
    let _ = Page::parse(input, format);
    seal::block(&mut block, format);
    if let Ok(page) = Page::parse(&block, format) {
        check(page.records());
    }
    check(LogRecords::new(input, 1, u32::MAX));
    let _ = BootRecord::parse(input);
    let ends = BootEnds::parse(input);
    assert!(ends.iter().count() <= BootEnds::MAX);
    let _ = TimeAnchor::parse(input);
    let _ = CrashFault::decode(input);
    let _ = LastRan::parse(input);
});

fn check(mut records: LogRecords<'_>) {
    let mut left = records.remaining();
    let most = left / LOG_HEADER_LEN;
    assert!(left <= CAPACITY || most > 0);
    let mut count = 0;
    while let Some(record) = records.next() {
        count += 1;
        assert!(record.payload.len() <= MAX_PAYLOAD);
        assert!(records.remaining() < left);
        left = records.remaining();
    }
    assert!(count <= most);
}
