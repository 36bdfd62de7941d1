//! Partition tables: which partition is ours, and which is never written.

use super::card::TestCard;
use super::recorder::{card, now};
use crate::find_partition;
use block_device::{BLOCK_LEN, Block, PolledDevice};
use crashlog_format::PartitionPlace;
use crashlog_format::crc::Crc32;
use crashlog_format::gpt::{CRASHLOG_TYPE, GptEntry, GptHeader, Guid};
use zerocopy::{FromBytes, IntoBytes};

/// The type of a Linux file system.
const LINUX: Guid = Guid::new(0x0FC6_3DAF_8483_4772_8E79_3D69_D847_7DE4);
const UNUSED: Guid = Guid([0; 16]);

/// First and last block of our partition.
const OURS: (u64, u64) = (2048, 2239);

fn entry(kind: Guid, name: &str, (first, last): (u64, u64)) -> GptEntry {
    GptEntry {
        partition_type_guid: kind,
        ..GptEntry::new(name, Guid::new(9), first, last)
    }
}

fn ours() -> GptEntry {
    entry(CRASHLOG_TYPE, "crashlog", OURS)
}

/// A card whose two tables have these entries, in an array of `length`, and headers that `change`
/// was applied to.
fn card_with(entries: &[GptEntry], length: usize, change: impl Fn(&mut GptHeader)) -> TestCard {
    // Behind the partition there is room for an array of 128 entries, or of 256.
    let card = card(if length > 128 { 224 } else { 192 }, 4, 8);
    let last = card.block_count() - 1;
    let mut array = vec![0; length * 128];
    for (to, entry) in array.chunks_mut(128).zip(entries) {
        to.copy_from_slice(entry.as_bytes());
    }
    let blocks = array.len().div_ceil(BLOCK_LEN) as u64;
    for (lba, at) in [(1, 2), (last, last - blocks)] {
        let (mut header, _) = GptHeader::read_from_prefix(&card.peek(lba)).unwrap();
        header.number_of_partition_entries = (length as u32).into();
        header.partition_entry_lba = at.into();
        change(&mut header);
        let at = header.partition_entry_lba.get();
        for (index, block) in array.chunks(BLOCK_LEN).enumerate() {
            card.poke(at + index as u64, |bytes| {
                bytes[..block.len()].copy_from_slice(block);
            });
        }
        header.partition_entry_array_crc32 = Crc32::new().bytes(&array).value().into();
        header.seal();
        card.poke(lba, |bytes| bytes[..92].copy_from_slice(header.as_bytes()));
    }
    card
}

fn found(card: &TestCard, scratch: usize) -> String {
    let scratch: Vec<Block> = (0..scratch).map(|_| Block::zeroed()).collect();
    match now(find_partition(&mut card.clone(), "crashlog", &scratch)) {
        Ok(found) => match found.problem {
            None => {
                let PartitionPlace { first, blocks, .. } = found.place;
                assert_eq!((first, first + blocks - 1), OURS);
                "used".into()
            }
            Some(problem) => format!("{problem:?}"),
        },
        Err(error) => format!("{error:?}"),
    }
}

/// REQ: M8 (in part: which partition is written)
#[test]
fn the_one_partition_that_is_ours_is_used_and_no_other() {
    let with = |other: GptEntry| vec![ours(), other];
    let linux = |range| entry(LINUX, "data", range);
    let cases: Vec<(&str, Vec<GptEntry>, &str)> = vec![
        ("alone", vec![ours()], "used"),
        ("beside another", with(linux((100, 2047))), "used"),
        ("behind another", vec![linux((100, 2047)), ours()], "used"),
        (
            "unused entries",
            vec![entry(UNUSED, "", (0, 0)), ours()],
            "used",
        ),
        (
            "a deleted one of the same name",
            vec![entry(UNUSED, "crashlog", OURS), ours()],
            "used",
        ),
        (
            "a foreign one of the same name first",
            vec![entry(LINUX, "crashlog", (100, 200)), ours()],
            "used",
        ),
        (
            "a foreign one alone",
            vec![entry(LINUX, "crashlog", OURS)],
            "WrongType(0fc63daf-8483-4772-8e79-3d69d8477de4)",
        ),
        (
            "another name",
            vec![entry(CRASHLOG_TYPE, "crash", OURS)],
            "NotFound",
        ),
        ("no entry", vec![], "NotFound"),
        (
            "two of the name",
            with(entry(CRASHLOG_TYPE, "crashlog", (100, 200))),
            "Ambiguous",
        ),
        ("the same twice", with(ours()), "Ambiguous"),
        ("its first block", with(linux((2000, 2048))), "Overlaps"),
        ("its last block", with(linux((2239, 2240))), "Overlaps"),
        ("inside of it", with(linux((2100, 2101))), "Overlaps"),
        ("around it", vec![linux((34, 2240)), ours()], "Overlaps"),
        ("backwards", with(linux((2240, 2048))), "used"),
        (
            "over the table",
            vec![entry(CRASHLOG_TYPE, "crashlog", (2, 40))],
            "OutOfBounds",
        ),
        (
            "over the header",
            vec![entry(CRASHLOG_TYPE, "crashlog", (1, 40))],
            "OutOfBounds",
        ),
        (
            "over the backup table",
            vec![entry(CRASHLOG_TYPE, "crashlog", (2048, 2272))],
            "OutOfBounds",
        ),
        (
            "beyond the card",
            vec![entry(CRASHLOG_TYPE, "crashlog", (2048, 1 << 40))],
            "OutOfBounds",
        ),
        (
            "its end before its start",
            vec![entry(CRASHLOG_TYPE, "crashlog", (2100, 2099))],
            "OutOfBounds",
        ),
    ];
    for (name, entries, expected) in &cases {
        // In an array of four, in one of 128, and read piece by piece.
        for (length, scratch) in [(4, 16), (128, 16), (128, 1), (100, 16)] {
            let card = card_with(entries, length, |_| {});
            assert_eq!(found(&card, scratch), *expected, "{name}, {length} entries");
        }
    }
}

#[test]
fn the_last_of_256_entries_is_found_and_compared() {
    let mut entries = vec![entry(UNUSED, "", (0, 0)); 255];
    entries.push(ours());
    assert_eq!(found(&card_with(&entries, 256, |_| {}), 16), "used");
    entries[0] = entry(LINUX, "data", (2200, 2300));
    assert_eq!(found(&card_with(&entries, 256, |_| {}), 16), "Overlaps");
}

#[test]
fn a_table_that_says_otherwise_of_itself_is_not_believed() {
    let alone = [ours()];
    let card = card_with(&alone, 4, |header| {
        header.partition_entry_lba = 2100.into();
    });
    assert_eq!(found(&card, 16), "Overlaps");
    let card = card_with(&alone, 4, |header| header.alternate_lba = 2239.into());
    assert_eq!(found(&card, 16), "Overlaps");
    let card = card_with(&alone, 4, |header| header.first_usable_lba = 2049.into());
    assert_eq!(found(&card, 16), "OutOfBounds");
    let card = card_with(&alone, 4, |header| header.last_usable_lba = 2238.into());
    assert_eq!(found(&card, 16), "OutOfBounds");
}

/// A card that was made anew, with an MBR, keeps our backup table at its end.
///
/// REQ: M8 (in part: which partition is written)
#[test]
fn the_backup_counts_if_block_0_is_protective_or_blank() {
    let mbr = |kind: u8| {
        let mut block = [0; BLOCK_LEN];
        block[450] = kind;
        block[510..].copy_from_slice(&[0x55, 0xaa]);
        block
    };
    let mut hybrid = mbr(0x83);
    hybrid[466] = 0xee;
    let mut unsigned = mbr(0xee);
    unsigned[511] = 0;
    for (block, expected) in [
        (mbr(0xee), "used"),
        (hybrid, "used"),
        ([0; BLOCK_LEN], "used"),
        ([0xff; BLOCK_LEN], "used"),
        (mbr(0x83), "MadeAnew"),
        (mbr(0), "MadeAnew"),
        (unsigned, "MadeAnew"),
        ([0x20; BLOCK_LEN], "MadeAnew"),
    ] {
        let card = card_with(&[ours()], 4, |_| {});
        card.poke(0, |bytes| bytes.copy_from_slice(&block));
        assert_eq!(found(&card, 16), "used", "by the primary table");
        card.poke(1, |bytes| bytes[0] ^= 1);
        assert_eq!(found(&card, 16), expected, "{:x}", block[450]);
    }
}
