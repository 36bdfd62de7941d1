//! Finding the partition on a card, by its GPT.

use block_device::{BLOCK_LEN, Block, BlockDevice};
use crashlog_format::crc::Crc32;
use crashlog_format::gpt::{self, ChoiceError, GptEntry, GptHeader, Guid, PartitionChoice};
use zerocopy::FromBytes;

/// The place of a partition: blocks `first .. first + blocks` of the card, which has that many
/// blocks.
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
    /// There is no GPT, or both copies are damaged; or the primary one is, and block 0 says that
    /// the backup is of a card of before.
    NoTable,
    /// No partition has the name.
    NotFound,
    /// The partition with the name has this type, which is not [`gpt::CRASHLOG_TYPE`].
    WrongType(Guid),
    /// The partition with the name lies outside the card, or outside what its table gives to
    /// partitions.
    OutOfBounds,
    /// Several partitions have the name and the type.
    Ambiguous,
    /// The partition with the name has blocks of the table, or of another partition.
    Overlaps,
}

/// Finds the partition named `name` in the GPT, or in the backup if the primary one is damaged and
/// block 0 is blank or protective. All checksums are checked. The partition is the only one of its
/// name and type, and has no block of another or of the table. `scratch` is one block or more. It
/// only reads, and may be dropped at any time.
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
        if lba == last {
            match backup_counts(device, scratch).await {
                Ok(true) => {}
                Ok(false) => break,
                // Whose the card is cannot be read, and no table is.
                Err(error) => return Err(PartitionError::Device(error)),
            }
        }
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
    let entries = header.number_of_partition_entries.get();
    let in_scratch = entries.div_ceil(gpt::ENTRIES_PER_BLOCK) as usize <= scratch.len();
    let mut choice = PartitionChoice::default();
    let mut crc = Crc32::new();
    let mut found = None;
    for compares in [false, true] {
        let mut remaining = entries;
        let mut at = header.partition_entry_lba.get();
        while remaining > 0 {
            let count = remaining.div_ceil(gpt::ENTRIES_PER_BLOCK) as usize;
            let table = scratch.get(..count).unwrap_or(scratch);
            if !(compares && in_scratch) {
                device.read(at, table).await?;
            }
            let here = (table.len() as u32).saturating_mul(gpt::ENTRIES_PER_BLOCK);
            for index in 0..remaining.min(here) {
                let bytes = entry_in(table, index);
                let Ok(entry) = GptEntry::read_from_bytes(&bytes) else {
                    continue;
                };
                if compares {
                    choice.compare(&entry);
                } else {
                    crc = crc.bytes(&bytes);
                    choice.find(&entry, name);
                }
            }
            remaining = remaining.saturating_sub(here);
            at = at.saturating_add(table.len() as u64);
        }
        if compares {
            break;
        }
        if crc.value() != header.partition_entry_array_crc32.get() {
            return Ok(None);
        }
        match choice.found(&header, blocks) {
            Ok(range) => found = Some(range),
            Err(error) => return Ok(Some(Err(error.into()))),
        }
    }
    Ok(found.map(|(first, last)| {
        if choice.is_overlapped() {
            return Err(PartitionError::Overlaps);
        }
        let blocks = last.wrapping_sub(first).wrapping_add(1);
        Ok(Partition { first, blocks })
    }))
}

/// Whether block 0 has nothing against the backup table.
async fn backup_counts<D: BlockDevice>(
    device: &mut D,
    scratch: &[Block],
) -> Result<bool, D::Error> {
    let Some(first) = scratch.get(..1) else {
        return Ok(false);
    };
    if device.block_count() == 0 {
        return Ok(false);
    }
    device.read(0, first).await?;
    Ok(first.first().is_some_and(block_permits_backup))
}

fn block_permits_backup(block: &Block) -> bool {
    let mut bytes = [0; BLOCK_LEN];
    block.copy_to(0, &mut bytes);
    gpt::backup_counts(&bytes)
}

/// The bytes of an entry of the table.
fn entry_in(table: &[Block], index: u32) -> [u8; gpt::ENTRY_LEN as usize] {
    let mut bytes = [0; gpt::ENTRY_LEN as usize];
    if let Some(block) = table.get((index / gpt::ENTRIES_PER_BLOCK) as usize) {
        block.copy_to(
            (index % gpt::ENTRIES_PER_BLOCK).saturating_mul(gpt::ENTRY_LEN) as usize,
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

impl<E> From<ChoiceError> for PartitionError<E> {
    fn from(error: ChoiceError) -> Self {
        match error {
            ChoiceError::NotFound => Self::NotFound,
            ChoiceError::WrongType(found) => Self::WrongType(found),
            ChoiceError::Ambiguous => Self::Ambiguous,
            ChoiceError::OutOfBounds => Self::OutOfBounds,
            ChoiceError::Overlaps => Self::Overlaps,
        }
    }
}
