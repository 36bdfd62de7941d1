//! Formatting cards, and what is not overwritten.

mod common;

use common::{Bench, Partition, STRAY_WRITE, fails, ok};
use std::fs;
use std::path::Path;

fn text(path: &Path) -> &str {
    path.to_str().expect("path")
}

/// A card with another partition, and its first block, which holds data.
fn foreign(bench: &Bench) -> (std::path::PathBuf, u64) {
    let path = bench.zeros("other.img", 16 << 20);
    let file = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(&path)
        .expect("open");
    let mut disk = gpt::GptConfig::new()
        .writable(true)
        .create_from_device(file, None)
        .expect("table");
    disk.add_partition(
        "rootfs",
        4 << 20,
        gpt::partition_types::LINUX_FS,
        0,
        Some(2048),
    )
    .expect("partition");
    let first = disk.partitions()[&1].first_lba;
    disk.write().expect("write");
    let mut bytes = fs::read(&path).expect("read");
    let start = first as usize * 512;
    bytes[start..start + 6].copy_from_slice(b"theirs");
    fs::write(&path, bytes).expect("write");
    (path, first)
}

#[test]
fn a_new_card_is_empty_and_sound() {
    let bench = Bench::new();
    let path = bench.path("card.img");
    assert!(ok(["format", text(&path)]).contains("partition \"crashlog\""));
    assert_eq!(fs::metadata(&path).expect("card").len(), 64 << 20);
    assert!(ok(["list", text(&path)]).contains("no crash records"));
    assert_eq!(ok(["log", text(&path)]), "");
    assert!(ok(["verify", text(&path)]).contains("everything is sound"));
}

#[test]
fn the_table_is_valid_for_other_programs() {
    let bench = Bench::new();
    let path = bench.formatted();
    let disk = gpt::GptConfig::new()
        .only_valid_headers(true)
        .open(&path)
        .expect("both headers are valid");
    let partitions: Vec<_> = disk
        .partitions()
        .values()
        .filter(|partition| partition.is_used())
        .collect();
    assert_eq!(partitions.len(), 1);
    assert_eq!(partitions[0].name, "crashlog");
    assert_eq!(partitions[0].first_lba % 2048, 0);
}

#[test]
fn an_empty_crashlog_card_can_be_formatted_again() {
    let bench = Bench::new();
    let path = bench.formatted();
    ok(["format", text(&path)]);
    ok(["format", "--slots", "5", text(&path)]);
    assert!(ok(["list", text(&path)]).contains("5 crash slots"));
}

#[test]
fn crashes_are_only_overwritten_by_force() {
    let bench = Bench::new();
    let path = bench.formatted();
    Partition::open(&path).crash(1, STRAY_WRITE, "worker");
    let line = fails(3, ["format", text(&path)]);
    assert!(
        line.contains("holds 1 crash record") && line.contains("--force"),
        "{line}"
    );
    assert!(ok(["list", text(&path)]).contains("worker"));
    ok(["format", "--force", text(&path)]);
    assert!(ok(["list", text(&path)]).contains("no crash records"));
    assert!(
        ok(["verify", text(&path)]).contains("everything is sound"),
        "nothing of the earlier format is read"
    );
}

#[test]
fn data_of_another_kind_is_only_overwritten_by_force() {
    let bench = Bench::new();
    let path = bench.zeros("data.img", 8 << 20);
    let mut bytes = fs::read(&path).expect("read");
    bytes[1080] = 0x53;
    fs::write(&path, &bytes).expect("write");
    let line = fails(3, ["format", text(&path)]);
    assert!(
        line.contains("not empty") && line.contains("--force"),
        "{line}"
    );
    assert!(fs::read(&path).expect("read") == bytes);
    ok(["format", "--force", text(&path)]);
    assert!(ok(["verify", text(&path)]).contains("everything is sound"));
}

#[test]
fn a_partition_is_added_beside_others() {
    let bench = Bench::new();
    let (path, first) = foreign(&bench);
    let line = fails(3, ["format", text(&path)]);
    assert!(line.contains("--keep"), "{line}");
    ok(["format", "--keep", text(&path)]);
    assert!(ok(["verify", text(&path)]).contains("everything is sound"));
    let disk = gpt::GptConfig::new()
        .only_valid_headers(true)
        .open(&path)
        .expect("both headers are valid");
    let names: Vec<_> = disk
        .partitions()
        .values()
        .filter(|partition| partition.is_used())
        .map(|partition| &partition.name)
        .collect();
    assert_eq!(names, ["rootfs", "crashlog"]);
    let bytes = fs::read(&path).expect("read");
    assert_eq!(&bytes[first as usize * 512..][..6], b"theirs");
    // The second time there is a crashlog partition.
    ok(["format", text(&path)]);
}

#[test]
fn another_partition_table_is_only_replaced_by_force() {
    let bench = Bench::new();
    let (path, _) = foreign(&bench);
    ok(["format", "--force", text(&path)]);
    let disk = gpt::GptConfig::new()
        .only_valid_headers(true)
        .open(&path)
        .expect("both headers are valid");
    assert_eq!(
        disk.partitions()
            .values()
            .filter(|partition| partition.is_used())
            .count(),
        1
    );
}

/// A card that was made anew, with an MBR and a file system at our old place, and our backup table
/// left at its end.
///
/// REQ: M8 (in part: which partition is written)
#[test]
fn a_card_that_was_made_anew_is_read_and_not_written() {
    let bench = Bench::new();
    let path = bench.formatted();
    let mut partition = Partition::open(&path);
    partition.crash(1, STRAY_WRITE, "worker");
    drop(partition);
    let mut bytes = fs::read(&path).expect("read");
    bytes[..1024].fill(0);
    bytes[450] = 0x83;
    bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
    fs::write(&path, &bytes).expect("write");

    const WHY: &str = "the primary partition table is damaged, and block 0 is of another one";
    let (code, shown) = common::shown(["show", text(&path)]);
    assert_eq!(code, 1);
    assert!(shown.contains("task worker"), "{shown}");
    assert!(
        shown.contains(&format!("a device does not write this card: {WHY}")),
        "{shown}"
    );
    for arguments in [vec!["erase", text(&path), "1"], vec!["format", text(&path)]] {
        let output = common::crashlog(&arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && said.contains(WHY),
            "{arguments:?}: {said}"
        );
        assert_eq!(fs::read(&path).expect("read"), bytes, "{arguments:?}");
    }
    ok(["format", "--force", text(&path)]);
    assert!(ok(["verify", text(&path)]).contains("everything is sound"));
}
