//! Right checksums for structures whose fields the fuzzer has chosen: it does not find them.

use block_device::BLOCK_LEN;
use crashlog_format::crash::{CrashHeader, Segment};
use crashlog_format::crc::Crc32;
use crashlog_format::gpt::GptHeader;
use crashlog_format::ledger::Ledger;
use crashlog_format::page::{HEADER_LEN, PageHeader};
use crashlog_format::snapshot::SnapshotHeader;
use crashlog_format::{Crc32c, FormatId, Superblock};
use zerocopy::{FromBytes, IntoBytes};

/// First byte that a checksum in the second word covers.
const COVERED_FROM: usize = 8;

/// Makes the checksums of a block right, if its first word is the magic of a structure.
pub fn block(bytes: &mut [u8; BLOCK_LEN], format: FormatId) {
    let magic = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    match magic {
        Superblock::MAGIC => {
            let covered = &bytes[COVERED_FROM..size_of::<Superblock>()];
            let sum = Crc32c::new().bytes(covered).value();
            set(bytes, sum);
        }
        Ledger::MAGIC => {
            if let Ok(mut ledger) = Ledger::read_from_bytes(&bytes[..size_of::<Ledger>()]) {
                ledger.seal(format);
                bytes[..size_of::<Ledger>()].copy_from_slice(ledger.as_bytes());
            }
        }
        PageHeader::MAGIC => {
            let length = usize::from(u16::from_le_bytes([bytes[10], bytes[11]]));
            if let Some(records) = bytes[HEADER_LEN..].get(..length) {
                let sum = Crc32c::new().bytes(records).value();
                bytes[24..28].copy_from_slice(&sum.to_le_bytes());
            }
            let sum = format.crc().bytes(&bytes[COVERED_FROM..HEADER_LEN]).value();
            set(bytes, sum);
        }
        CrashHeader::MAGIC => {
            let Ok((header, _)) = CrashHeader::read_from_prefix(bytes) else {
                return;
            };
            let end = size_of::<CrashHeader>() + header.segments() * size_of::<Segment>();
            let sum = format
                .crc()
                .bytes(&bytes[COVERED_FROM..end.min(BLOCK_LEN)])
                .value();
            set(bytes, sum);
        }
        SnapshotHeader::MAGIC => {
            if let Ok((mut header, _)) = SnapshotHeader::read_from_prefix(bytes) {
                header.seal(format);
                bytes[..size_of::<SnapshotHeader>()].copy_from_slice(header.as_bytes());
            }
        }
        _ => {}
    }
}

/// Stores the second word.
fn set(bytes: &mut [u8; BLOCK_LEN], sum: u32) {
    bytes[4..8].copy_from_slice(&sum.to_le_bytes());
}

/// Makes the checksums of a partition table's header right, for these entries.
pub fn gpt(header: &mut GptHeader, entries: &[u8]) {
    header.partition_entry_array_crc32 = Crc32::new().bytes(entries).value().into();
    header.seal();
}
