//! Block 0 and the two partition tables. A partition that is found lies inside the card, behind
//! the primary header, and has no block of a table; it is found again, and nothing is written.
#![no_main]

use arbitrary::Unstructured;
use block_device::{BLOCK_LEN, Block, now_or_never};
use crashlog_format::PARTITION_NAME;
use crashlog_format::gpt::{CRASHLOG_TYPE, ENTRY_LEN, GptEntry, GptHeader, Guid, MAX_ENTRIES};
use crashlog_fuzz::{MemoryCard, seal};
use crashlog_store::{Polled, find_partition};
use libfuzzer_sys::fuzz_target;
use zerocopy::{FromBytes, IntoBytes};

/// Number of blocks of the card.
const BLOCKS: u64 = 4096;
/// Most blocks that are read, for a table of 256 entries and its backup, each read twice.
const MOST_READ: u64 = 300;

fuzz_target!(|input: &[u8]| {
    let mut card = MemoryCard::new(BLOCKS);
    let mut input = Unstructured::new(input);
    let _ = fill(&mut card, &mut input);
    let scratch: Vec<Block> = (0..1 + input.len() % 16).map(|_| Block::zeroed()).collect();
    let mut find = || {
        card.read = 0;
        let found = now_or_never(find_partition(
            &mut Polled(&mut card),
            PARTITION_NAME,
            &scratch,
        ));
        assert!(card.read <= MOST_READ, "{} blocks were read", card.read);
        assert_eq!(card.changed, 0);
        found.expect("ready at once")
    };
    let found = find();
    assert_eq!(found, find());
    if let Ok(found) = found {
        let place = found.place;
        assert!(place.first > 1 && place.blocks > 0);
        let end = place
            .first
            .checked_add(place.blocks)
            .expect("blocks that there can be");
        assert!(place.first < BLOCKS);
        assert!(end <= BLOCKS || found.problem.is_some());
    }
});

/// Makes the tables that the input describes.
fn fill(card: &mut MemoryCard, input: &mut Unstructured<'_>) -> arbitrary::Result<()> {
    let mut first = [0; BLOCK_LEN];
    if input.arbitrary()? {
        let partitions = input.bytes(66)?;
        first[446..].copy_from_slice(partitions);
    }
    card.set(0, first);
    for lba in [1, BLOCKS - 1] {
        if !input.arbitrary::<bool>()? {
            continue;
        }
        table(card, input, lba)?;
    }
    Ok(())
}

fn table(card: &mut MemoryCard, input: &mut Unstructured<'_>, lba: u64) -> arbitrary::Result<()> {
    let count: u8 = input.arbitrary()?;
    let mut entries = vec![0; (usize::from(count) + 1) * ENTRY_LEN as usize];
    for bytes in entries.chunks_exact_mut(ENTRY_LEN as usize) {
        let mut entry = GptEntry::new_zeroed_named(input)?;
        if input.ratio(1, 8)? {
            entry.attributes = input.arbitrary::<u64>()?.into();
        }
        bytes.copy_from_slice(entry.as_bytes());
        if input.is_empty() {
            break;
        }
    }
    let mut header = GptHeader {
        signature: GptHeader::SIGNATURE,
        revision: GptHeader::REVISION.into(),
        header_size: (size_of::<GptHeader>() as u32).into(),
        header_crc32: 0.into(),
        reserved: 0.into(),
        my_lba: lba.into(),
        alternate_lba: (BLOCKS - lba).into(),
        first_usable_lba: u64::from(input.arbitrary::<u16>()?).into(),
        last_usable_lba: u64::from(input.arbitrary::<u16>()?).into(),
        disk_guid: Guid([1; 16]),
        partition_entry_lba: u64::from(input.arbitrary::<u16>()?).into(),
        number_of_partition_entries: (u32::from(count) + 1).into(),
        size_of_partition_entry: ENTRY_LEN.into(),
        partition_entry_array_crc32: 0.into(),
    };
    // Any field may be any number.
    if input.ratio(1, 4)? {
        let at = input.choose_index(size_of::<GptHeader>() - 8)?;
        header.as_mut_bytes()[at..at + 8].copy_from_slice(&input.arbitrary::<[u8; 8]>()?);
    }
    assert!(u32::from(count) < MAX_ENTRIES);
    if !input.ratio(1, 8)? {
        seal::gpt(&mut header, &entries);
    }
    let mut block = [0; BLOCK_LEN];
    block[..size_of::<GptHeader>()].copy_from_slice(header.as_bytes());
    card.set(lba, block);
    let from = header.partition_entry_lba.get();
    for (index, bytes) in (0..).zip(entries.chunks(BLOCK_LEN)) {
        let Some(number) = from.checked_add(index) else {
            break;
        };
        let mut block = [0; BLOCK_LEN];
        block[..bytes.len()].copy_from_slice(bytes);
        card.set(number, block);
    }
    Ok(())
}

/// An entry whose name and type are often those of the log.
trait Chosen: Sized {
    fn new_zeroed_named(input: &mut Unstructured<'_>) -> arbitrary::Result<Self>;
}

impl Chosen for GptEntry {
    fn new_zeroed_named(input: &mut Unstructured<'_>) -> arbitrary::Result<Self> {
        let mut entry = Self::read_from_bytes(&[0; ENTRY_LEN as usize]).expect("any bytes are one");
        let kind: u8 = input.arbitrary()?;
        if kind & 3 == 0 {
            return Ok(entry);
        }
        entry.partition_type_guid = if kind & 4 == 0 {
            CRASHLOG_TYPE
        } else {
            Guid([kind; 16])
        };
        entry.unique_partition_guid = Guid([kind; 16]);
        if kind & 8 == 0 {
            for (unit, to) in PARTITION_NAME.encode_utf16().zip(&mut entry.partition_name) {
                *to = unit.into();
            }
        }
        entry.starting_lba = u64::from(input.arbitrary::<u16>()? % 5000).into();
        entry.ending_lba = u64::from(input.arbitrary::<u16>()? % 5000).into();
        Ok(entry)
    }
}
