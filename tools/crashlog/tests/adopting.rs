//! Partitions that were copied, moved, or formatted apart from their card; and superblocks that
//! differ.

mod common;

use common::{Bench, Partition, STRAY_WRITE, crashlog, fails, ok};
use std::fs;
use std::path::{Path, PathBuf};

const FIRST: usize = 1 << 20;

fn text(path: &Path) -> &str {
    path.to_str().expect("path")
}

/// A card with one crash.
fn crashed(bench: &Bench) -> PathBuf {
    let path = bench.formatted();
    Partition::open(&path).crash(1, STRAY_WRITE, "worker");
    path
}

/// The bytes of the partition of a card.
fn partition(path: &Path) -> Vec<u8> {
    let geometry = Partition::open(path).geometry;
    let bytes = fs::read(path).expect("read");
    bytes[FIRST..FIRST + geometry.blocks() as usize * 512].to_vec()
}

/// REQ: X12 (in part: adopting)
#[test]
fn a_copied_partition_is_read_and_written_only_after_it_is_adopted() {
    let (one, other) = (Bench::new(), Bench::new());
    let path = other.formatted();
    let mut bytes = fs::read(&path).expect("read");
    let copied = partition(&crashed(&one));
    bytes[FIRST..FIRST + copied.len()].copy_from_slice(&copied);
    fs::write(&path, &bytes).expect("write");

    let list = ok(["list", text(&path)]);
    assert!(
        list.contains("worker") && list.contains("was copied or moved; `crashlog adopt`"),
        "{list}"
    );
    let line = fails(3, ["erase", text(&path), "1"]);
    assert!(line.contains("was copied or moved"), "{line}");
    assert!(fs::read(&path).expect("read") == bytes);

    let said = ok(["adopt", text(&path)]);
    for words in [
        "the partition table states blocks 2048 to 16343, GUID ",
        "the superblock states blocks 2048 to 16343, GUID ",
        "1 crash record",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(ok(["verify", text(&path)]).contains("everything is sound"));
    assert!(ok(["adopt", text(&path)]).contains("nothing is written"));
    ok(["erase", text(&path), "1"]);
}

/// REQ: X12 (in part: adopting)
#[test]
fn a_partition_that_was_formatted_as_a_file_is_adopted_on_its_card() {
    let bench = Bench::new();
    let path = bench.formatted();
    let file = bench.path("partition.img");
    fs::write(&file, partition(&path)).expect("write");
    let said = ok(["format", text(&file)]);
    assert!(said.contains("before `crashlog adopt` has run"), "{said}");
    assert!(ok(["verify", text(&file)]).contains("everything is sound"));
    let line = fails(3, ["adopt", text(&file)]);
    assert!(line.contains("give the whole card"), "{line}");

    let mut bytes = fs::read(&path).expect("read");
    let formatted = fs::read(&file).expect("read");
    bytes[FIRST..FIRST + formatted.len()].copy_from_slice(&formatted);
    fs::write(&path, &bytes).expect("write");
    let list = ok(["list", text(&path)]);
    assert!(list.contains("states no place"), "{list}");
    let said = ok(["adopt", text(&path)]);
    assert!(said.contains("the superblock states no place"), "{said}");
    assert!(ok(["verify", text(&path)]).contains("everything is sound"));
}

#[test]
fn superblocks_of_two_formats_are_not_sound() {
    let (one, other) = (Bench::new(), Bench::new());
    let path = crashed(&one);
    let interrupted = partition(&other.formatted());
    let last = Partition::open(&path).geometry.superblocks()[1];
    let mut block = [0; 512];
    block.copy_from_slice(&interrupted[interrupted.len() - 512..]);
    Partition::open(&path).write(last, &block);
    let line = fails(1, ["verify", text(&path)]);
    assert!(line.contains("is damaged"), "{line}");
    let list = crashlog(["list", text(&path)]);
    assert_eq!(list.status.code(), Some(1));
    let list = String::from_utf8(list.stdout).expect("text");
    assert!(
        list.contains("worker") && list.contains("the superblocks are of two formats"),
        "{list}"
    );
}

#[test]
fn a_card_of_version_0_is_refused_by_name() {
    let bench = Bench::new();
    let path = bench.formatted();
    let partition = Partition::open(&path);
    for block in partition.geometry.superblocks() {
        let mut bytes = partition.read(block);
        bytes[8] = 0;
        partition.write(block, &bytes);
    }
    let line = fails(3, ["list", text(&path)]);
    assert!(
        line.contains("format version 0") && line.contains("belongs to the firmware"),
        "{line}"
    );
    let line = fails(3, ["format", text(&path)]);
    assert!(line.contains("--force"), "{line}");
}

/// A boot loader, say, that no table names.
#[test]
fn a_gap_that_is_not_blank_is_only_taken_by_force() {
    let bench = Bench::new();
    let path = bench.zeros("card.img", 8 << 20);
    let file = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(&path)
        .expect("open");
    let disk = gpt::GptConfig::new().writable(true);
    let mut disk = disk.create_from_device(file, None).expect("table");
    disk.add_partition("rootfs", 1 << 20, gpt::partition_types::LINUX_FS, 0, None)
        .expect("partition");
    disk.write().expect("write");
    let mut bytes = fs::read(&path).expect("read");
    bytes[5 << 20] = 0xa5;
    fs::write(&path, &bytes).expect("write");
    let line = fails(3, ["format", "--keep", text(&path)]);
    assert!(
        line.contains("no gap of its partition table is blank") && line.contains("--force"),
        "{line}"
    );
    assert!(fs::read(&path).expect("read") == bytes);
    let said = ok(["format", "--keep", "--force", text(&path)]);
    assert!(said.contains("is overwritten: no gap"), "{said}");
    assert!(ok(["verify", text(&path)]).contains("everything is sound"));
}

#[test]
fn what_force_destroys_is_listed_before() {
    let bench = Bench::new();
    let path = crashed(&bench);
    let said = ok(["format", "--force", text(&path)]);
    assert!(
        said.contains("is overwritten: is a crashlog card that holds 1 crash record"),
        "{said}"
    );
}

/// A boot sector, as a file system has at its start.
fn boot_sector() -> [u8; 512] {
    let mut sector = [0x11; 512];
    (sector[0], sector[510], sector[511]) = (0xeb, 0x55, 0xaa);
    sector
}

/// REQ: X12 (in part: a superblock that was overwritten)
#[test]
fn a_partition_that_something_else_was_written_over_is_not_taken_unforced() {
    let bench = Bench::new();
    let path = bench.formatted();
    Partition::open(&path).write(0, &boot_sector());
    let before = fs::read(&path).expect("read");
    let line = fails(3, ["format", text(&path)]);
    assert!(
        line.contains("superblock") && line.contains("--force"),
        "{line}"
    );
    let line = fails(3, ["adopt", text(&path)]);
    assert!(
        line.contains("the first block of its partition holds neither a superblock nor zeros"),
        "{line}"
    );
    assert!(fs::read(&path).expect("read") == before);
    ok(["format", "--force", text(&path)]);
}

/// A table inside of a partition says nothing of its card.
#[test]
fn a_partition_that_begins_with_its_superblock_is_one_alone() {
    let bench = Bench::new();
    let path = crashed(&bench);
    let card = fs::read(&path).expect("read");
    let mut alone = partition(&path);
    // The header and the entries; the ledgers are behind them.
    alone[512..1536].copy_from_slice(&card[512..1536]);
    let file = bench.path("partition.img");
    fs::write(&file, &alone).expect("write");
    let list = ok(["list", text(&file)]);
    assert!(list.contains("worker"), "{list}");
    let line = fails(3, ["format", "--any-size", text(&file)]);
    assert!(line.contains("1 crash record"), "{line}");
}

/// `--keep` keeps the table, whatever else is forced.
#[test]
fn a_table_that_is_kept_is_never_replaced() {
    let bench = Bench::new();
    let path = crashed(&bench);
    let mut bytes = fs::read(&path).expect("read");
    bytes[..512].copy_from_slice(&boot_sector());
    bytes[512..1024].fill(0);
    let last = bytes.len() - 512;
    bytes[last..].fill(0);
    fs::write(&path, &bytes).expect("write");
    fails(3, ["format", "--keep", "--force", text(&path)]);
    assert!(fs::read(&path).expect("read") == bytes);
}
