//! Partition tables, and what device and program say of each: the same.

mod common;

use block_device::{BLOCK_LEN, Block, BlockDevice, Window, now_or_never};
use common::{Bench, Partition, STRAY_WRITE, crashlog};
use crashlog_format::crc::Crc32;
use crashlog_format::gpt::{CRASHLOG_TYPE, GptEntry, GptHeader, Guid, READ_ONLY};
use crashlog_store::{Store, StoreOptions, find_partition};
use std::fs;
use zerocopy::{FromBytes, IntoBytes};

const LINUX: Guid = Guid::new(0x0FC6_3DAF_8483_4772_8E79_3D69_D847_7DE4);
const UNUSED: Guid = Guid([0; 16]);
/// Blocks of the card, and of its partition.
const CARD: u64 = 16_384;
const OURS: (u64, u64) = (2048, 16_343);

/// What is said of a card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    /// The partition is read and written.
    Written,
    /// It is read and not written; these words say why.
    Read(&'static str),
    /// There is none: the device's error, and words of the program.
    Absent(&'static str, &'static str),
}
use Said::{Absent, Read, Written};

/// A card in memory.
struct Card(Vec<u8>);

impl BlockDevice for Card {
    type Error = ();

    fn block_count(&self) -> u64 {
        (self.0.len() / BLOCK_LEN) as u64
    }

    async fn read(&mut self, first: u64, blocks: &[Block]) -> Result<(), ()> {
        for (at, block) in (first as usize..).zip(blocks) {
            let bytes = self.0.get(at * BLOCK_LEN..).ok_or(())?;
            block.copy_from(0, bytes.get(..BLOCK_LEN).ok_or(())?);
        }
        Ok(())
    }

    async fn write(&mut self, _: u64, _: &[Block]) -> Result<(), ()> {
        panic!("a mount writes nothing")
    }

    async fn write_reliable(&mut self, _: u64, _: &Block) -> Result<(), ()> {
        panic!("a mount writes nothing")
    }

    async fn flush(&mut self) -> Result<(), ()> {
        Ok(())
    }
}

/// What the device says.
fn device(bytes: &[u8]) -> Result<Option<String>, String> {
    let mut card = Card(bytes.to_vec());
    let scratch: Vec<Block> = (0..16).map(|_| Block::zeroed()).collect();
    let found = now_or_never(find_partition(&mut card, "crashlog", &scratch)).expect("ready");
    let found = found.map_err(|error| format!("{error:?}"))?;
    let there = card.block_count() - found.place.first;
    let window = Window::new(card, found.place.first, found.place.blocks.min(there));
    let options = StoreOptions { keep_first: 0 };
    let mounted = Store::mount(window.expect("on the card"), &found, options, &scratch);
    let store = now_or_never(mounted).expect("ready");
    let store = store.map_err(|error| format!("{error:?}"))?;
    Ok(store.write_refusal().map(|refusal| refusal.to_string()))
}

/// A table, as it is written to a card.
#[derive(Clone)]
struct Table {
    entries: Vec<GptEntry>,
    count: usize,
    entry_len: usize,
    /// Block of the primary entries.
    at: u64,
    first_usable: u64,
    last_usable: u64,
    /// Number of blocks of the card that it is for.
    blocks: u64,
}

/// The sound card that each case changes.
struct Base {
    bytes: Vec<u8>,
    ours: GptEntry,
}

impl Base {
    fn new(bench: &Bench) -> Self {
        let path = bench.formatted();
        let mut partition = Partition::open(&path);
        partition.crash(1, STRAY_WRITE, "worker");
        partition.crash(2, STRAY_WRITE, "worker");
        drop(partition);
        let bytes = fs::read(path).expect("read");
        let (ours, _) = GptEntry::read_from_prefix(&bytes[2 * BLOCK_LEN..]).expect("entry");
        assert_eq!((ours.starting_lba.get(), ours.ending_lba.get()), OURS);
        Self { bytes, ours }
    }

    fn table(&self) -> Table {
        Table {
            entries: vec![self.ours],
            count: 4,
            entry_len: 128,
            at: 2,
            first_usable: 34,
            last_usable: CARD - 34,
            blocks: CARD,
        }
    }

    /// The card with this table in place of its own.
    fn with(&self, table: &Table) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        bytes[BLOCK_LEN..34 * BLOCK_LEN].fill(0);
        let end = bytes.len();
        bytes[end - 33 * BLOCK_LEN..].fill(0);
        let mut array = vec![0; table.count * table.entry_len];
        for (to, entry) in array.chunks_mut(table.entry_len).zip(&table.entries) {
            to[..128].copy_from_slice(entry.as_bytes());
        }
        let length = array.len().div_ceil(BLOCK_LEN) as u64;
        let last = table.blocks - 1;
        for (my, other, at) in [(1, last, table.at), (last, 1, last - length)] {
            if my >= (bytes.len() / BLOCK_LEN) as u64 {
                continue;
            }
            let mut header = GptHeader {
                signature: GptHeader::SIGNATURE,
                revision: GptHeader::REVISION.into(),
                header_size: 92.into(),
                header_crc32: 0.into(),
                reserved: 0.into(),
                my_lba: my.into(),
                alternate_lba: other.into(),
                first_usable_lba: table.first_usable.into(),
                last_usable_lba: table.last_usable.into(),
                disk_guid: Guid::new(1),
                partition_entry_lba: at.into(),
                number_of_partition_entries: (table.count as u32).into(),
                size_of_partition_entry: (table.entry_len as u32).into(),
                partition_entry_array_crc32: Crc32::new().bytes(&array).value().into(),
            };
            header.seal();
            put(&mut bytes, at, &array);
            put(&mut bytes, my, header.as_bytes());
        }
        bytes
    }
}

fn put(bytes: &mut [u8], block: u64, data: &[u8]) {
    let at = block as usize * BLOCK_LEN;
    bytes[at..at + data.len()].copy_from_slice(data);
}

fn entry(kind: Guid, name: &str, (first, last): (u64, u64)) -> GptEntry {
    GptEntry {
        partition_type_guid: kind,
        ..GptEntry::new(name, Guid::new(9), first, last)
    }
}

const ANEW: Said = Read("the card was made anew");
const COPIED: Said = Read("the partition was copied or moved");
const OUTSIDE: Said = Read("outside the blocks that its table gives");
const OVERLAPS: Said = Read("has blocks of the crashlog partition");
const SEVERAL: Said = Read("more than one crashlog partition");
const IMPOSSIBLE: Said = Absent("OutOfBounds", "cannot be right");

type Case = (&'static str, Said, Vec<u8>);

/// Cases in which the entries differ.
fn entries(base: &Base) -> Vec<Case> {
    let ours = base.ours;
    let linux = |range| entry(LINUX, "data", range);
    let at = |first: u64, last: u64| GptEntry {
        starting_lba: first.into(),
        ending_lba: last.into(),
        ..ours
    };
    let guid = GptEntry {
        unique_partition_guid: Guid::new(77),
        ..ours
    };
    let read_only = GptEntry {
        attributes: READ_ONLY.into(),
        ..ours
    };
    let required = GptEntry {
        attributes: 1.into(),
        ..ours
    };
    let kind = |kind| GptEntry {
        partition_type_guid: kind,
        ..ours
    };
    let long = entry(LINUX, "crashlog-crashlog-crashlog-crashlog-", (100, 200));
    let unknown = Absent("NotFound", "has no partition named");
    let cases = [
        ("ours alone", Written, vec![ours]),
        ("beside another", Written, vec![ours, linux((100, 2047))]),
        ("behind another", Written, vec![linux((100, 2047)), ours]),
        ("behind a name of 36 units", Written, vec![long, ours]),
        (
            "behind unused entries",
            Written,
            vec![entry(UNUSED, "", (0, 0)), ours],
        ),
        ("behind a deleted one", Written, vec![kind(UNUSED), ours]),
        (
            "behind a foreign one of its name",
            Written,
            vec![entry(LINUX, "crashlog", (100, 200)), ours],
        ),
        ("a required partition", Written, vec![required]),
        ("no entry", unknown, vec![]),
        ("a deleted one alone", unknown, vec![kind(UNUSED)]),
        (
            "another name",
            unknown,
            vec![entry(CRASHLOG_TYPE, "crash", OURS)],
        ),
        (
            "a longer name",
            unknown,
            vec![entry(CRASHLOG_TYPE, "crashlog2", OURS)],
        ),
        (
            "another type",
            Absent(
                "WrongType(0fc63daf-8483-4772-8e79-3d69d8477de4)",
                "has the type 0fc63daf",
            ),
            vec![kind(LINUX)],
        ),
        (
            "two of the name",
            SEVERAL,
            vec![ours, entry(CRASHLOG_TYPE, "crashlog", (100, 200))],
        ),
        ("the same twice", SEVERAL, vec![ours, ours]),
        (
            "another has its first block",
            OVERLAPS,
            vec![ours, linux((2000, 2048))],
        ),
        (
            "another has its last block",
            OVERLAPS,
            vec![ours, linux((16_343, 16_344))],
        ),
        (
            "another inside of it",
            OVERLAPS,
            vec![ours, linux((4000, 4000))],
        ),
        (
            "another around it",
            OVERLAPS,
            vec![linux((34, 16_350)), ours],
        ),
        (
            "its end before its start",
            IMPOSSIBLE,
            vec![at(16_343, 2048)],
        ),
        ("on the table", IMPOSSIBLE, vec![at(1, 16_343)]),
        ("behind the card", IMPOSSIBLE, vec![at(1 << 40, 1 << 41)]),
        ("another GUID", COPIED, vec![guid]),
        ("read-only", Read("attribute 60"), vec![read_only]),
    ];
    let table = base.table();
    cases
        .into_iter()
        .map(|(name, said, entries)| {
            let table = Table {
                entries,
                ..table.clone()
            };
            (name, said, base.with(&table))
        })
        .collect()
}

/// Cases in which the table differs, or the card.
fn tables(base: &Base) -> Vec<Case> {
    let table = base.table();
    let with = |change: &dyn Fn(&mut Table)| {
        let mut table = table.clone();
        change(&mut table);
        base.with(&table)
    };
    let last = |count: usize| {
        let mut entries = vec![entry(UNUSED, "", (0, 0)); count - 1];
        entries.push(base.ours);
        with(&|table: &mut Table| {
            table.count = count;
            table.entries.clone_from(&entries);
        })
    };
    let sound = base.bytes.clone();
    let end = sound.len();
    let change = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = sound.clone();
        change(&mut bytes);
        bytes
    };
    let mbr = |bytes: &mut Vec<u8>, kind: u8, other: u8| {
        bytes[..BLOCK_LEN].fill(0);
        (bytes[450], bytes[466]) = (kind, other);
        bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
    };
    // A primary header that is damaged, so that the backup counts, and this in block 0.
    let backup = |kind: u8, other: u8| {
        change(&|bytes: &mut Vec<u8>| {
            mbr(bytes, kind, other);
            bytes[BLOCK_LEN + 20] ^= 1;
        })
    };
    vec![
        ("as it was made", Written, sound.clone()),
        ("1 entry", Written, last(1)),
        ("13 entries", Written, last(13)),
        ("128 entries, ours last", Written, last(128)),
        (
            "256 entries, whose backup has blocks of ours",
            OVERLAPS,
            last(256),
        ),
        (
            "257 entries",
            Absent("Entries(257)", "has 257 entries"),
            with(&|table: &mut Table| table.count = 257),
        ),
        (
            "entries of 256 bytes",
            Absent("EntryLength(256)", "256 bytes long"),
            with(&|table: &mut Table| table.entry_len = 256),
        ),
        (
            "entries moved",
            Written,
            with(&|table: &mut Table| table.at = 1000),
        ),
        (
            "entries inside of ours",
            OVERLAPS,
            with(&|table: &mut Table| table.at = 16_343),
        ),
        (
            "usable blocks begin later",
            OUTSIDE,
            with(&|table: &mut Table| table.first_usable = 2049),
        ),
        (
            "usable blocks end earlier",
            OUTSIDE,
            with(&|table: &mut Table| table.last_usable = 16_342),
        ),
        (
            "of a card twice as large",
            Read("of a larger card"),
            with(&|table: &mut Table| table.blocks = 2 * CARD),
        ),
        (
            "on a card twice as large",
            Written,
            change(&|bytes: &mut Vec<u8>| bytes.resize(2 * end, 0)),
        ),
        (
            "on a larger card, primary entries damaged",
            Written,
            change(&|bytes: &mut Vec<u8>| {
                bytes.resize(2 * end, 0);
                bytes[2 * BLOCK_LEN..3 * BLOCK_LEN].fill(0xa5);
            }),
        ),
        (
            "on a larger card, primary header damaged",
            Absent("Damaged", "both copies"),
            change(&|bytes: &mut Vec<u8>| {
                bytes.resize(2 * end, 0);
                bytes[BLOCK_LEN + 20] ^= 1;
            }),
        ),
        (
            "the image cut off",
            Read("of a larger card"),
            change(&|bytes: &mut Vec<u8>| bytes.truncate(end / 2)),
        ),
        (
            "the image cut off before ours",
            IMPOSSIBLE_CUT,
            change(&|bytes: &mut Vec<u8>| bytes.truncate(1 << 20)),
        ),
        (
            "a hybrid MBR",
            Written,
            change(&|bytes: &mut Vec<u8>| mbr(bytes, 0x83, 0xee)),
        ),
        (
            "a foreign MBR, and a sound primary table",
            Written,
            change(&|bytes: &mut Vec<u8>| mbr(bytes, 0x83, 0)),
        ),
        ("the backup, protective MBR", Written, backup(0xee, 0)),
        ("the backup, hybrid MBR", Written, backup(0x83, 0xee)),
        ("the backup, foreign MBR", ANEW, backup(0x83, 0)),
        ("the backup, MBR without partitions", ANEW, backup(0, 0)),
        (
            "the backup, blank block 0",
            Written,
            change(&|bytes: &mut Vec<u8>| bytes[..2 * BLOCK_LEN].fill(0)),
        ),
        (
            "the backup, erased block 0",
            Written,
            change(&|bytes: &mut Vec<u8>| bytes[..2 * BLOCK_LEN].fill(0xff)),
        ),
        (
            "the backup, a loader in block 0",
            ANEW,
            change(&|bytes: &mut Vec<u8>| bytes[..2 * BLOCK_LEN].fill(0x5a)),
        ),
        (
            "the backup damaged",
            Written,
            change(&|bytes: &mut Vec<u8>| bytes[end - 1 - BLOCK_LEN..].fill(1)),
        ),
        (
            "both damaged",
            Absent("Damaged", "both copies"),
            change(&|bytes: &mut Vec<u8>| {
                bytes[BLOCK_LEN + 20] ^= 1;
                bytes[end - BLOCK_LEN + 20] ^= 1;
            }),
        ),
        (
            "none",
            Absent("NoTable", "neither a partition table nor a superblock"),
            change(&|bytes: &mut Vec<u8>| {
                bytes[..34 * BLOCK_LEN].fill(0);
                bytes[end - 33 * BLOCK_LEN..].fill(0);
            }),
        ),
        (
            "for blocks of 4096 bytes",
            Absent("LargeBlocks", "blocks of 4096 bytes"),
            change(&|bytes: &mut Vec<u8>| {
                bytes[..34 * BLOCK_LEN].fill(0);
                bytes[end - 33 * BLOCK_LEN..].fill(0);
                bytes[4096..4104].copy_from_slice(b"EFI PART");
            }),
        ),
    ]
}

const IMPOSSIBLE_CUT: Said = Absent("OutOfBounds", "is truncated: the card had 16384 blocks");

/// REQ: X12 Device and program use the same partition of each table, say the same of it, and write
/// it or do not.
#[test]
fn device_and_program_say_the_same_of_each_partition_table() {
    let bench = Bench::new();
    let base = Base::new(&bench);
    let cases: Vec<Case> = entries(&base).into_iter().chain(tables(&base)).collect();
    assert!(cases.len() >= 40, "{} cases", cases.len());
    let path = bench.path("table.img");
    let card = path.to_str().expect("path");
    for (name, said, bytes) in cases {
        match (said, device(&bytes)) {
            (Written, Ok(None)) => {}
            (Read(why), Ok(Some(refusal))) => assert!(refusal.contains(why), "{name}: {refusal}"),
            (Absent(error, _), Err(found)) => assert_eq!(found, error, "{name}"),
            (_, found) => panic!("{name}: the device says {found:?}"),
        }

        fs::write(&path, &bytes).expect("write");
        if let Absent(_, words) = said {
            let line = common::fails(3, ["list", card]);
            assert!(line.contains(words), "{name}: {line}");
            continue;
        }
        // A table may take a block of the partition, which is damage.
        let list = crashlog(["list", card]);
        assert!(
            matches!(list.status.code(), Some(0 | 1)),
            "{name}: {list:?}"
        );
        let list = String::from_utf8(list.stdout).expect("text");
        assert!(list.contains("worker"), "{name}: {list}");
        let erased = crashlog(["erase", card, "1"]);
        let line = String::from_utf8_lossy(&erased.stderr);
        match said {
            Read(why) => {
                assert!(
                    list.contains("a device does not write this card"),
                    "{name}: {list}"
                );
                assert!(list.contains(why), "{name}: {list}");
                assert_eq!(erased.status.code(), Some(3), "{name}: {line}");
                assert!(line.contains("is not written"), "{name}: {line}");
                assert!(fs::read(&path).expect("read") == bytes, "{name}");
            }
            _ => {
                assert!(!list.contains("does not write"), "{name}: {list}");
                assert!(erased.status.success(), "{name}: {line}");
            }
        }
    }
}
