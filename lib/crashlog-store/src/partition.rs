//! Finding the partition on a card, by its GPT.

use block_device::{BLOCK_LEN, Block, BlockDevice};
use crashlog_format::crc::Crc32;
use crashlog_format::gpt::{self, GptEntry, GptHeader, Guid};
use zerocopy::FromBytes;

/// The place of a partition: blocks `first .. first + blocks` of the card, which has that many blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition {
    /// First block.
    pub first: u64,
    /// Number of blocks.
    pub blocks: u64,
}

/// Why there is no partition that may be used (M8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartitionError<E> {
    /// The device failed.
    Device(E),
    /// There is no GPT, or both copies are damaged.
    NoTable,
    /// No partition has the name.
    NotFound,
    /// The partition with the name has this type, which is not [`gpt::CRASHLOG_TYPE`].
    WrongType(Guid),
    /// The partition with the name lies outside the card.
    OutOfBounds,
}

/// Number of entries in one block of the table.
const PER_BLOCK: u32 = BLOCK_LEN as u32 / gpt::ENTRY_LEN;

/// Finds the partition named `name` in the GPT, or in the backup if the primary one is damaged. All checksums are checked.
/// `scratch` is one block or more. It only reads, and may be dropped at any time.
///
/// # Errors
/// See [`PartitionError`].
pub async fn find_partition<D: BlockDevice>(
    device: &mut D,
    name: &str,
    scratch: &[Block],
) -> Result<Partition, PartitionError<D::Error>> {
    let last = device.block_count().saturating_sub(1);
    let mut failure = PartitionError::NoTable;
    for lba in [gpt::PRIMARY, last] {
        match search(device, lba, name, scratch).await {
            Ok(Some(found)) => return found,
            Ok(None) => {}
            Err(error) => failure = PartitionError::Device(error),
        }
    }
    Err(failure)
}

/// The result of searching one copy of the table; `None` if that copy is damaged.
type TableSearch<E> = Option<Result<Partition, PartitionError<E>>>;

/// Searches the copy of the table whose header is block `lba`.
async fn search<D: BlockDevice>(
    device: &mut D,
    lba: u64,
    name: &str,
    scratch: &[Block],
) -> Result<TableSearch<D::Error>, D::Error> {
    let blocks = device.block_count();
    let (Some(first), true) = (scratch.get(..1), lba < blocks) else {
        return Ok(None);
    };
    device.read(lba, first).await?;
    let Some(header) = read_header(first, lba, blocks) else {
        return Ok(None);
    };
    let mut remaining = header.number_of_partition_entries.get();
    let mut at = header.partition_entry_lba.get();
    let mut crc = Crc32::new();
    let mut found = None;
    while remaining > 0 {
        let count = remaining.div_ceil(PER_BLOCK) as usize;
        let table = scratch.get(..count).unwrap_or(scratch);
        device.read(at, table).await?;
        for index in 0..remaining.min((table.len() as u32).saturating_mul(PER_BLOCK)) {
            let bytes = entry_in(table, index);
            crc = crc.bytes(&bytes);
            if let Ok(entry) = GptEntry::read_from_bytes(&bytes)
                && found.is_none()
                && entry.is_named(name)
            {
                found = Some(examine(&entry, blocks));
            }
        }
        remaining = remaining.saturating_sub((table.len() as u32).saturating_mul(PER_BLOCK));
        at = at.saturating_add(table.len() as u64);
    }
    if crc.value() != header.partition_entry_array_crc32.get() {
        return Ok(None);
    }
    Ok(Some(found.unwrap_or(Err(PartitionError::NotFound))))
}

/// The bytes of an entry of the table.
fn entry_in(table: &[Block], index: u32) -> [u8; gpt::ENTRY_LEN as usize] {
    let mut bytes = [0; gpt::ENTRY_LEN as usize];
    if let Some(block) = table.get((index / PER_BLOCK) as usize) {
        block.copy_to(
            (index % PER_BLOCK).saturating_mul(gpt::ENTRY_LEN) as usize,
            &mut bytes,
        );
    }
    bytes
}

fn read_header(block: &[Block], lba: u64, blocks: u64) -> Option<GptHeader> {
    let mut bytes = [0; BLOCK_LEN];
    block.first()?.copy_to(0, &mut bytes);
    GptHeader::parse(&bytes, lba, blocks)
}

/// The place of the partition, if it may be used.
fn examine<E>(entry: &GptEntry, blocks: u64) -> Result<Partition, PartitionError<E>> {
    if entry.partition_type_guid != gpt::CRASHLOG_TYPE {
        return Err(PartitionError::WrongType(entry.partition_type_guid));
    }
    let (first, blocks) = entry.range(blocks).ok_or(PartitionError::OutOfBounds)?;
    Ok(Partition { first, blocks })
}
