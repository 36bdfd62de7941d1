//! Making a GPT: for the host.

use crate::FormatError;
use crate::format::put;
use block_device::{BLOCK_LEN, Block, BlockDevice};
use crashlog_format::PartitionPlace;
use crashlog_format::crc::Crc32;
use crashlog_format::gpt::{self, GptEntry, GptHeader, Guid};
use zerocopy::IntoBytes;

/// What [`write_table`] writes into a GPT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableOptions<'a> {
    /// Name of the partition.
    pub name: &'a str,
    /// A random GUID for the card.
    pub disk: Guid,
    /// A random GUID for the partition.
    pub partition: Guid,
}

/// Number of blocks before the first partition: 1 MiB.
const ALIGNMENT: u64 = 2048;
/// Number of blocks that the specification reserves for the entries (UEFI 2.10, section 5.3.3).
const TABLE_BLOCKS: u64 = 32;
/// Number of entries in the table: one block has them, so one block is read at each start.
const ENTRIES: u32 = gpt::ENTRIES_PER_BLOCK;

/// Where [`write_table`] puts the partition of a card of `blocks` blocks.
///
/// # Errors
/// [`FormatError::TooSmall`].
pub fn partition_place<E>(
    blocks: u64,
    options: &TableOptions<'_>,
) -> Result<PartitionPlace, FormatError<E>> {
    let end = blocks.saturating_sub(1 + TABLE_BLOCKS) / 8 * 8;
    if end <= ALIGNMENT {
        return Err(FormatError::TooSmall(blocks));
    }
    Ok(PartitionPlace {
        first: ALIGNMENT,
        blocks: end - ALIGNMENT,
        guid: options.partition,
    })
}

/// Writes a GPT with one partition that takes the whole card, its backup, and the protective MBR.
/// The partition may be formatted before ([`partition_place`]): then the card is one with an empty
/// log as soon as it has a table.
///
/// Backup first, each header after its entries. If it is dropped before its end, the card has the
/// table that it had before, or this one, or none if it had none.
///
/// # Errors
/// See [`FormatError`]; nothing was written if the card is too small.
pub async fn write_table<D: BlockDevice>(
    device: &mut D,
    options: &TableOptions<'_>,
) -> Result<PartitionPlace, FormatError<D::Error>> {
    let blocks = device.block_count();
    let place = partition_place(blocks, options)?;
    let last = blocks.saturating_sub(1);
    let backup_table = last.saturating_sub(TABLE_BLOCKS);
    let end = place.first.saturating_add(place.blocks).saturating_sub(1);
    let entry = GptEntry::new(options.name, options.partition, place.first, end);
    let mut table = [0; BLOCK_LEN];
    for (to, from) in table.iter_mut().zip(entry.as_bytes()) {
        *to = *from;
    }
    let mut header = GptHeader {
        signature: GptHeader::SIGNATURE,
        revision: GptHeader::REVISION.into(),
        header_size: (size_of::<GptHeader>() as u32).into(),
        header_crc32: 0.into(),
        reserved: 0.into(),
        my_lba: last.into(),
        alternate_lba: gpt::PRIMARY.into(),
        first_usable_lba: (gpt::PRIMARY + 1 + TABLE_BLOCKS).into(),
        last_usable_lba: (backup_table - 1).into(),
        disk_guid: options.disk,
        partition_entry_lba: backup_table.into(),
        number_of_partition_entries: ENTRIES.into(),
        size_of_partition_entry: gpt::ENTRY_LEN.into(),
        partition_entry_array_crc32: Crc32::new().bytes(&table).value().into(),
    };
    header.seal();

    let block = Block::zeroed();
    block.copy_from(0, &protective_mbr(blocks));
    put(device, 0, &block).await?;
    block.copy_from(0, &table);
    put(device, backup_table, &block).await?;
    device.flush().await.map_err(FormatError::Device)?;
    put_header(device, &header).await?;

    header.my_lba = gpt::PRIMARY.into();
    header.alternate_lba = last.into();
    header.partition_entry_lba = (gpt::PRIMARY + 1).into();
    header.seal();
    block.copy_from(0, &table);
    put(device, gpt::PRIMARY + 1, &block).await?;
    device.flush().await.map_err(FormatError::Device)?;
    put_header(device, &header).await?;
    Ok(place)
}

/// Writes a header to its block and makes it durable.
async fn put_header<D: BlockDevice>(
    device: &mut D,
    header: &GptHeader,
) -> Result<(), FormatError<D::Error>> {
    let block = Block::zeroed();
    block.copy_from(0, header.as_bytes());
    put(device, header.my_lba.get(), &block).await?;
    device.flush().await.map_err(FormatError::Device)
}

/// The protective MBR, which shows a used disk to programs that do not know GPT (UEFI 2.10, section
/// 5.2.3).
fn protective_mbr(blocks: u64) -> [u8; BLOCK_LEN] {
    let mut mbr = [0; BLOCK_LEN];
    let size = u32::try_from(blocks - 1).unwrap_or(u32::MAX).to_le_bytes();
    let entry = [0, 0x00, 0x02, 0x00, 0xEE, 0xFF, 0xFF, 0xFF, 1, 0, 0, 0];
    let bytes = entry.into_iter().chain(size);
    for (to, from) in mbr.iter_mut().skip(446).zip(bytes) {
        *to = from;
    }
    for (to, from) in mbr.iter_mut().skip(510).zip([0x55, 0xAA]) {
        *to = from;
    }
    mbr
}
