//! Finding and mounting: number of reads, foreign cards, damaged copies.

use super::card::{CardFailure, Counts, TestCard, mix};
use super::recorder::*;
use crate::*;
use block_device::{BLOCK_LEN, Window, WindowError};
use crashlog_format::gpt::{self, Guid};
use crashlog_format::ledger::Ledger;
use crashlog_format::page::PageHeader;
use crashlog_format::{FormatId, Geometry, Superblock};
use zerocopy::{FromBytes, IntoBytes};

/// A partition of 1 GiB whose stream has `end` pages, of which `noted` are noted in the ledger.
fn large_card(end: u32, noted: u32) -> TestCard {
    let card = card(1 << 21, 16, 512);
    let format = FormatId::new(0xF0);
    let geometry = Geometry::new(1 << 21, 16, 512).unwrap();
    for generation in [0, 1] {
        let block = 2048 + u64::from(geometry.ledger(generation));
        card.poke(block, |bytes| {
            let (mut ledger, _) = Ledger::read_from_prefix(bytes).unwrap();
            // Until the generation has the parity of this copy.
            for _ in 0..=generation {
                ledger.note_page(noted, 3);
            }
            while ledger.generation() % 2 != generation {
                ledger.note_page(noted, 3);
            }
            ledger.seal(format);
            bytes.copy_from_slice(ledger.as_bytes());
        });
    }
    card.set_background(move |block| {
        let position = u32::try_from(block)
            .ok()?
            .checked_sub(2048 + geometry.ring_first())?;
        let pages = geometry.ring_pages();
        if position >= pages || end == 0 {
            return None;
        }
        let lap = (end - 1) / pages * pages;
        let sequence = match lap + position {
            newest if newest < end => newest,
            older => older.checked_sub(pages)?,
        };
        let mut page = [0; BLOCK_LEN];
        let header = PageHeader::new(format, sequence, 4 + sequence / 1000, 1, 0, 0);
        page[..32].copy_from_slice(header.as_bytes());
        Some(page)
    });
    card
}

/// REQ: P8 A mount reads at most 40 blocks, GPT and superblock included, whatever the size of the
/// partition, and writes nothing.
#[test]
fn a_mount_of_a_gibibyte_reads_at_most_40_blocks() {
    let pages = Geometry::new(1 << 21, 16, 512).unwrap().ring_pages();
    let mut ends: Vec<u32> = vec![
        0,
        1,
        15,
        16,
        17,
        2047,
        2048,
        4096,
        pages - 1,
        pages,
        pages + 1,
        7 * pages,
    ];
    ends.extend((0..200).map(|seed| (mix(seed) % (5 * u64::from(pages))) as u32));
    let mut most = Counts::default();
    for end in ends {
        // The note in the ledger is at most one interval old.
        let card = large_card(end, end.saturating_sub(1) / CHECKPOINT * CHECKPOINT);
        let scratch = blocks(16);
        let store = mount(&card, &scratch).unwrap();
        assert_eq!(store.next_page(), end);
        assert_eq!(
            store.last_boot(),
            if end == 0 { 3 } else { 4 + (end - 1) / 1000 }
        );
        let counts = card.take_counts();
        assert_eq!(counts.written, 0);
        most.read = most.read.max(counts.read);
        most.read_commands = most.read_commands.max(counts.read_commands);
    }
    assert!(most.read <= 40, "{most:?}");
    assert!(most.read_commands <= 24, "{most:?}");
}

#[test]
fn the_end_is_found_without_a_note_in_the_ledger() {
    let pages = Geometry::new(1 << 21, 16, 512).unwrap().ring_pages();
    for end in [0, 1, 100_000, pages - 1, pages, pages + 5, 9 * pages + 77] {
        let card = large_card(end, 0);
        let scratch = blocks(16);
        assert_eq!(mount(&card, &scratch).unwrap().next_page(), end);
        assert!(card.take_counts().read < 100);
    }
}

/// Reads one block at a time if there is memory for no more.
#[test]
fn one_block_of_scratch_memory_is_enough() {
    let card = large_card(12345, 10240);
    let scratch = blocks(1);
    assert_eq!(mount(&card, &scratch).unwrap().next_page(), 12345);
}

/// Nothing was written to the card.
fn untouched(card: &TestCard) {
    let counts = card.take_counts();
    assert_eq!((counts.written, counts.flushes), (0, 0));
}

/// A mount fails with this error, an emergency write fails, too, and neither writes anything.
fn mount_fails(card: &TestCard, expected: &str) {
    let scratch = blocks(16);
    assert_eq!(mount(card, &scratch).map(|_| ()).unwrap_err(), expected);
    untouched(card);
    let memory = retained_memory();
    let other = small_card();
    let recorder = TestRecorder::start(&other, &memory, true).unwrap();
    let mut oracle = Oracle::default();
    recorder.append(&mut oracle).unwrap();
    recorder.panic(&mut oracle, 1);
    recorder.region.location().invalidate();
    assert!(emergency(card, &memory).0.is_err());
    untouched(card);
}

/// REQ: M8 A card without a crashlog partition is never written, and the error says why.
#[test]
fn a_foreign_card_is_not_written() {
    mount_fails(&TestCard::new(4096), "NoTable");
    mount_fails(&TestCard::new(0), "NoTable");

    let mut other = TestCard::new(4096);
    let table = TableOptions {
        name: "data",
        disk: Guid::new(1),
        partition: Guid::new(2),
    };
    now(write_table(&mut other, &table)).unwrap();
    other.take_counts();
    mount_fails(&other, "NotFound");

    let mut unformatted = TestCard::new(4096);
    let table = TableOptions {
        name: "crashlog",
        ..table
    };
    now(write_table(&mut unformatted, &table)).unwrap();
    unformatted.take_counts();
    mount_fails(&unformatted, "Superblock(Check(Magic(0)))");

    // Another type GUID, in both copies of the GPT.
    let linux = Guid::new(0x0FC63DAF_8483_4772_8E79_3D69D8477DE4);
    let typed = small_card();
    retype(&typed, linux);
    mount_fails(&typed, &format!("WrongType({linux})"));

    let version = small_card();
    let [first, last] = Geometry::new(192, 4, 8).unwrap().superblocks();
    for block in [first, last] {
        version.poke(2048 + u64::from(block), |bytes| bytes[8] = 3);
    }
    mount_fails(&version, "Superblock(Check(Version(3)))");
}

/// REQ: P1
/// REQ: M8 A superblock is checked when the partition is mounted, and the error has the value that
/// is wrong.
#[test]
fn a_superblock_of_another_partition_is_refused() {
    let card = small_card();
    let geometry = Geometry::new(200, 4, 8).unwrap();
    let superblock =
        Superblock::new(FormatId::new(0xF0), &geometry, &table_entry(&card).place).to_block();
    for block in [0, 191] {
        card.poke(2048 + block, |bytes| *bytes = superblock);
    }
    mount_fails(&card, "Superblock(Blocks(200))");
}

/// Changes the type GUID of the only partition.
fn retype(card: &TestCard, guid: Guid) {
    let last = block_device::PolledDevice::block_count(card) - 1;
    for (header, table) in [(1, 2), (last, last - 32)] {
        card.poke(table, |bytes| bytes[..16].copy_from_slice(&guid.0));
        let table = card.peek(table);
        card.poke(header, |bytes| {
            let (mut header, _) = gpt::GptHeader::read_from_prefix(bytes).unwrap();
            let crc = crashlog_format::crc::Crc32::new().bytes(&table).value();
            header.partition_entry_array_crc32 = crc.into();
            header.seal();
            bytes[..92].copy_from_slice(header.as_bytes());
        });
    }
}

/// If one of two copies is damaged, the other is read: GPT header, entries, superblock.
#[test]
fn either_copy_is_enough() {
    let last = 2048 + 192 + 33 - 1;
    for (first, second) in [(1, last), (2, last - 32), (2048, 2048 + 191)] {
        let card = small_card();
        card.poke(first, |bytes| bytes[20] ^= 1);
        let scratch = blocks(16);
        assert_eq!(mount(&card, &scratch).map(|store| store.next_page()), Ok(0));
        card.poke(second, |bytes| bytes[20] ^= 1);
        card.take_counts();
        assert!(mount(&card, &scratch).is_err());
        untouched(&card);
        let card = small_card();
        card.set_unreadable(first, true);
        assert_eq!(mount(&card, &scratch).map(|store| store.next_page()), Ok(0));
    }
}

/// A GPT of 128 entries, as other tools make it, with the crashlog partition last.
#[test]
fn a_table_by_another_tool_is_read() {
    let card = small_card();
    let entry = card.peek(2);
    let mut table = vec![0; 128 * 128];
    table[..16].copy_from_slice(&[1; 16]);
    table[127 * 128..].copy_from_slice(&entry[..128]);
    for (index, block) in table.chunks(BLOCK_LEN).enumerate() {
        card.poke(2 + index as u64, |bytes| bytes.copy_from_slice(block));
    }
    card.poke(1, |bytes| {
        let (mut header, _) = gpt::GptHeader::read_from_prefix(bytes).unwrap();
        header.number_of_partition_entries = 128.into();
        let crc = crashlog_format::crc::Crc32::new().bytes(&table).value();
        header.partition_entry_array_crc32 = crc.into();
        header.seal();
        bytes[..92].copy_from_slice(header.as_bytes());
    });
    let mut device = card.clone();
    let scratch = blocks(16);
    let found = now(find_partition(&mut device, "crashlog", &scratch)).unwrap();
    assert_eq!((found.place.first, found.place.blocks), (2048, 192));
    // A table that is longer than the scratch memory is read twice.
    assert!(card.take_counts().read_commands <= 5);
}

#[test]
fn the_device_error_is_reported_if_nothing_can_be_read() {
    let card = small_card();
    for block in 0..2048 + 192 + 33 {
        card.set_unreadable(block, true);
    }
    let scratch = blocks(16);
    assert_eq!(
        mount(&card, &scratch).map(|_| ()).unwrap_err(),
        "Device(Unreadable)"
    );
    let device = Window::new(card.clone(), 2048, 192).unwrap();
    let error = now(Store::mount(device, &table_entry(&card), OPTIONS, &scratch))
        .map(|_| ())
        .unwrap_err();
    assert_eq!(
        error,
        MountError::Device(WindowError::Device(CardFailure::Unreadable))
    );
}

/// A page that its own boot cannot read back, now or ever, gives this boot no second number on the
/// card. If it may be of another system, it counts.
#[test]
fn a_boot_keeps_its_number_if_its_last_page_cannot_be_read() {
    let memory = retained_memory();
    let card = small_card();
    let mut oracle = Oracle::default();
    let mut recorder = TestRecorder::start(&card, &memory, true).unwrap();
    recorder.append(&mut oracle).unwrap();
    recorder.flush(&mut oracle).unwrap();
    let region = recorder.region;
    region.begin_boot();
    let mut recorder = TestRecorder::start(&card, &memory, false).unwrap();
    for _ in 0..2 {
        recorder.append(&mut oracle).unwrap();
        recorder.flush(&mut oracle).unwrap();
    }
    let last = recorder.store.next_page() - 1;
    let last = 2048 + u64::from(recorder.store.geometry().page(last));
    let remount = || {
        let search = Search {
            partition: "crashlog",
            options: OPTIONS,
            region: &region,
            ring: &recorder.ring,
            card: &CARD,
            scratch: region.scratch(),
        };
        crate::search::find_log_polled(&mut card.clone(), &search, |_, _| {}).unwrap();
        region.boot() + region.boot_offset()
    };
    for unreadable in [false, true, false, true] {
        card.set_unreadable(last, unreadable);
        assert_eq!(remount(), 2, "{unreadable}");
    }
    // As far as is known now, another system may have written it, in its boot 3.
    region.location().invalidate();
    assert_eq!(remount(), 4);
}

/// REQ: K6 Nothing is erased before it is written, and formatting writes only GPT, superblocks and
/// ledgers.
#[test]
fn formatting_a_gibibyte_writes_nine_blocks() {
    let mut device = TestCard::new(1 << 21);
    let table = TableOptions {
        name: "crashlog",
        disk: Guid::new(1),
        partition: Guid::new(2),
    };
    let partition = now(write_table(&mut device, &table)).unwrap();
    let window = Window::new(device.clone(), partition.first, partition.blocks);
    let options = FormatOptions {
        format: FormatId::new(1),
        slots: None,
        slot_blocks: None,
        place: partition,
    };
    now(format_partition(&mut window.unwrap(), &options)).unwrap();
    assert_eq!(device.take_counts().written, 9);
}
