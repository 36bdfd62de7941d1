//! A crash in its slot: header, segments, tasks and snapshot. What the decoders return lies inside
//! the slot.
#![no_main]

use block_device::BLOCK_LEN;
use crashlog_format::crash::{CrashHeader, Segment, TaskEntry};
use crashlog_format::snapshot::{EXTENT_MAX, SnapshotExtent, SnapshotHeader};
use crashlog_format::{CrashFault, FormatId};
use crashlog_fuzz::seal;
use libfuzzer_sys::fuzz_target;
use zerocopy::FromBytes;

const SLOT_BLOCKS: u32 = 64;

fuzz_target!(|input: &[u8]| {
    let format = FormatId::new(7);
    let mut block = [0; BLOCK_LEN];
    let length = input.len().min(BLOCK_LEN);
    block[..length].copy_from_slice(&input[..length]);
    seal::block(&mut block, format);
    if let Ok((header, segments)) = CrashHeader::parse(&block, format, SLOT_BLOCKS) {
        assert!(header.segments() <= CrashHeader::MAX_SEGMENTS);
        for segment in &segments[..header.segments()] {
            assert!(segment.block() > 0);
            assert!(segment.block() + segment.blocks() <= SLOT_BLOCKS);
            let _ = (segment.kind(), segment.is_truncated());
        }
        let _ = (
            header.reason(),
            header.late(),
            header.fault(),
            header.known_registers(),
        );
        let end = CrashHeader::snapshot_block(&segments[..header.segments()]);
        assert!(end <= SLOT_BLOCKS);
    }
    if let Ok(header) = SnapshotHeader::parse(&block, format, SLOT_BLOCKS * BLOCK_LEN as u32) {
        assert!(header.extents_at() <= header.tables_end());
        assert!(header.tables_end() <= header.data_at());
        assert!(header.data_at() <= header.length());
        // The data may lie outside.
        assert!(header.tables_end() <= SLOT_BLOCKS * BLOCK_LEN as u32);
    }
    for bytes in input.chunks_exact(size_of::<SnapshotExtent>()) {
        let Ok(extent) = SnapshotExtent::read_from_bytes(bytes) else {
            continue;
        };
        if extent.check().is_ok() {
            let total: usize = extent.granules().map(|(_, length)| length).sum();
            assert!(total <= EXTENT_MAX);
            assert!(extent.stored() as usize <= EXTENT_MAX);
        }
    }
    for bytes in input.chunks_exact(size_of::<TaskEntry>()) {
        let Ok(entry) = TaskEntry::read_from_bytes(bytes) else {
            continue;
        };
        let _ = (entry.activity(), entry.is_current(), entry.fault());
    }
    let _ = Segment::read_from_prefix(input).map(|(segment, _)| segment.blocks());
    let _ = CrashFault::decode(input);
});
