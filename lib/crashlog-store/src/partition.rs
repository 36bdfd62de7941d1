//! Finding the partition on a card, by its GPT.

use block_device::{BLOCK_LEN, Block, BlockDevice};
use crashlog_format::crc::Crc32;
use crashlog_format::gpt::{
    self, ChoiceError, FoundPartition, GptEntry, GptHeader, Guid, HeaderError, PartitionChoice,
    TableProblem,
};
use zerocopy::FromBytes;

/// Why there is no partition that can be read (M8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartitionError<E> {
    /// The device failed.
    Device(E),
    /// There is no GPT. Or there is only a backup without the partition, and block 0 says that it
    /// is of a card of before.
    NoTable,
    /// There is a GPT, and both copies are damaged.
    Damaged,
    /// The table has this number of entries, more than [`gpt::MAX_ENTRIES`].
    Entries(u32),
    /// The entries of the table have this length in bytes, and not [`gpt::ENTRY_LEN`].
    EntryLength(u32),
    /// The table is that of a device with blocks of 4096 bytes.
    LargeBlocks,
    /// No partition has the name.
    NotFound,
    /// The partition with the name has this type, which is not [`gpt::CRASHLOG_TYPE`].
    WrongType(Guid),
    /// The partition with the name has blocks that no device has, or not this one.
    OutOfBounds,
}

impl<E> PartitionError<E> {
    /// Whether a sound table says so: then no other copy of it is asked.
    const fn is_said_by_a_table(&self) -> bool {
        !matches!(self, Self::Device(_) | Self::NoTable | Self::Damaged)
    }
}

/// Finds the partition named `name` in the GPT, or in its backup if the primary copy is damaged.
/// The backup is where the primary header says, and the last block if that is damaged, too. All
/// checksums are checked, and whether the partition may be written: it is the only one of its name
/// and type, inside of what the table gives to partitions, has no block of another or of the table,
/// and is not read-only; and block 0 is blank or protective if the backup is used.
///
/// `scratch` is one block or more. It only reads, and may be dropped at any time.
///
/// # Errors
/// See [`PartitionError`].
pub async fn find_partition<D: BlockDevice>(
    device: &mut D,
    name: &str,
    scratch: &[Block],
) -> Result<FoundPartition, PartitionError<D::Error>> {
    let mut failure = PartitionError::NoTable;
    let mut backup = device.block_count().saturating_sub(1);
    let mut lba = gpt::PRIMARY;
    loop {
        let is_backup = lba != gpt::PRIMARY;
        let mut is_ours = true;
        if is_backup {
            is_ours = backup_counts(device, scratch)
                .await
                // Whose the card is cannot be read, and no table is.
                .map_err(PartitionError::Device)?;
        }
        match search(device, lba, name, scratch, &mut backup).await {
            Ok(mut found) => {
                found.from_backup = is_backup;
                if !is_ours {
                    found.problem = Some(TableProblem::MadeAnew);
                }
                return Ok(found);
            }
            Err(error) if error.is_said_by_a_table() => {
                return Err(if is_ours {
                    error
                } else {
                    PartitionError::NoTable
                });
            }
            Err(PartitionError::NoTable) => {}
            Err(PartitionError::Damaged) if failure != PartitionError::NoTable => {}
            Err(error) => failure = error,
        }
        if is_backup || backup <= gpt::PRIMARY {
            break;
        }
        lba = backup;
    }
    if failure == PartitionError::NoTable
        && let Some(first) = scratch.get(..1)
        && gpt::PRIMARY_OF_4096 < device.block_count()
        && device.read(gpt::PRIMARY_OF_4096, first).await.is_ok()
        && first.first().is_some_and(has_signature)
    {
        return Err(PartitionError::LargeBlocks);
    }
    Err(failure)
}

/// Searches the copy of the table whose header is block `lba`. If the header is sound, `backup`
/// becomes the block of the other copy's header.
async fn search<D: BlockDevice>(
    device: &mut D,
    lba: u64,
    name: &str,
    scratch: &[Block],
    backup: &mut u64,
) -> Result<FoundPartition, PartitionError<D::Error>> {
    let blocks = device.block_count();
    let (Some(first), true) = (scratch.get(..1), lba < blocks) else {
        return Err(PartitionError::NoTable);
    };
    device
        .read(lba, first)
        .await
        .map_err(PartitionError::Device)?;
    let header = read_header(first, lba, blocks)?;
    *backup = header.alternate_lba.get();
    let entries = header.number_of_partition_entries.get();
    let in_scratch = entries.div_ceil(gpt::ENTRIES_PER_BLOCK) as usize <= scratch.len();
    let mut choice = PartitionChoice::default();
    let mut crc = Crc32::new();
    for compares in [false, true] {
        let mut remaining = entries;
        let mut at = header.partition_entry_lba.get();
        while remaining > 0 {
            let count = remaining.div_ceil(gpt::ENTRIES_PER_BLOCK) as usize;
            let table = scratch.get(..count).unwrap_or(scratch);
            if !(compares && in_scratch) {
                device
                    .read(at, table)
                    .await
                    .map_err(PartitionError::Device)?;
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
        if !compares && crc.value() != header.partition_entry_array_crc32.get() {
            return Err(PartitionError::Damaged);
        }
    }
    Ok(choice.chosen(&header, blocks)?)
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

fn has_signature(block: &Block) -> bool {
    let mut bytes = [0; GptHeader::SIGNATURE.len()];
    block.copy_to(0, &mut bytes);
    bytes == GptHeader::SIGNATURE
}

fn read_header(block: &[Block], lba: u64, blocks: u64) -> Result<GptHeader, HeaderError> {
    let mut bytes = [0; BLOCK_LEN];
    block
        .first()
        .ok_or(HeaderError::Absent)?
        .copy_to(0, &mut bytes);
    GptHeader::parse(&bytes, lba, blocks)
}

impl<E> From<HeaderError> for PartitionError<E> {
    fn from(error: HeaderError) -> Self {
        match error {
            HeaderError::Absent => Self::NoTable,
            HeaderError::Damaged => Self::Damaged,
            HeaderError::Entries(count) => Self::Entries(count),
            HeaderError::EntryLength(length) => Self::EntryLength(length),
        }
    }
}

impl<E> From<ChoiceError> for PartitionError<E> {
    fn from(error: ChoiceError) -> Self {
        match error {
            ChoiceError::NotFound => Self::NotFound,
            ChoiceError::WrongType(found) => Self::WrongType(found),
            ChoiceError::OutOfBounds => Self::OutOfBounds,
        }
    }
}
