//! The memory that was saved with a crash: what is there, what is missing and why.

mod common;

use common::snapshot::Snapshot;
use common::{Bench, Partition, STRAY_WRITE, crashlog, fails, ok};
use crashlog_format::snapshot::{
    ExtentKind, ExtentStatus, KERNEL_OWNER, STACK_FILL, SnapshotExtent, SnapshotKind, WordSum,
};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::Command;

struct Scene {
    _bench: Bench,
    card: PathBuf,
    partition: Partition,
    /// The block of the crash's header.
    crash: u32,
}

fn scene() -> Scene {
    scene_of(&["format", "--size", "8M"])
}

/// A card with a crash.
fn scene_of(format: &[&str]) -> Scene {
    let bench = Bench::new();
    let card = bench.path("card.img");
    ok([format, &[card.to_str().expect("path")]].concat());
    let mut partition = Partition::open(&card);
    let crash = partition.crash(1, STRAY_WRITE, "worker");
    Scene {
        _bench: bench,
        card,
        partition,
        crash,
    }
}

impl Scene {
    fn path(&self) -> &str {
        self.card.to_str().expect("path")
    }

    /// What `show --json` says of the snapshot, and its exit code.
    fn shown(&self) -> (Value, Option<i32>) {
        let output = crashlog(["show", "--json", self.path()]);
        let mut value: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        (value["snapshot"].take(), output.status.code())
    }
}

/// 4096 bytes of data, 1024 of unused stack, 1024 of zeros.
fn memory() -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..4096_u32).map(|n| (n / 5) as u8 | 1).collect();
    bytes.extend(STACK_FILL.to_le_bytes().repeat(256));
    bytes.extend([0; 1024]);
    bytes
}

fn system() -> Snapshot {
    let mut snapshot = Snapshot::new(SnapshotKind::System);
    snapshot
        .region("fan", 6, 0x8084_0010, &[5; 64])
        .save(6, 0x8084_0000, &memory())
        .miss(3, 0x8085_0000, 4096, ExtentStatus::NoRoom)
        .miss(3, 0x8085_1000, 1024, ExtentStatus::NoRoom)
        .save(KERNEL_OWNER, 0x8080_1000, &[9; 512]);
    snapshot
}

#[test]
fn what_is_saved_and_what_is_missing_is_said() {
    let mut scene = scene();
    system().write(&mut scene.partition, scene.crash, |_| ());
    let text = ok(["show", scene.path()]);
    assert!(
        text.contains("  memory    6656 bytes of the system, saved in 12 ms\n"),
        "{text}"
    );
    assert!(
        text.contains(
            "Missing memory\n  80850000  5120 bytes of task 3: no room in retained RAM\n"
        ),
        "{text}"
    );
    let (value, code) = scene.shown();
    assert_eq!(code, Some(0));
    assert_eq!(
        value["saved"],
        json!([{ "address": 0x8080_1000_u32, "length": 512 }, { "address": 0x8084_0000_u32, "length": 6144 }])
    );
    assert_eq!(value["missing"][0]["owner"], "task 3");
    assert_eq!(value["whole"], true);
    assert!(ok(["verify", scene.path()]).contains("everything is sound"));
}

#[test]
fn a_crash_without_a_snapshot_says_why() {
    let mut scene = scene();
    let why = |scene: &Scene| {
        let (value, code) = scene.shown();
        let why = value["none"].as_str().expect("none").to_owned();
        (why, value["damaged"].as_bool().expect("damaged"), code)
    };
    let (said, damaged, code) = why(&scene);
    assert!(said.contains("was not saved") && !damaged, "{said}");
    assert_eq!(code, Some(0));
    // The slot holds the image of an older crash.
    system().write_without_ledger(&scene.partition, scene.crash, |header| {
        header.sequence = 77.into();
    });
    assert!(why(&scene).0.contains("was not saved"));
    // One that the ledger names must be there.
    scene.partition.note_snapshot();
    let (said, damaged, code) = why(&scene);
    assert!(said.contains("another crash") && damaged, "{said}");
    assert_eq!(code, Some(1));
    let block = system().write(&mut scene.partition, scene.crash, |_| ());
    scene.partition.damage(block, 20);
    let (said, damaged, code) = why(&scene);
    assert!(said.contains("checksum") && damaged, "{said}");
    assert_eq!(code, Some(1));
    assert!(ok_or_found(&["verify", scene.path()]).contains("snapshot: its first block"));
    // Of a self-test there is none.
    scene.partition.self_test(1);
    let value: Value =
        serde_json::from_str(&ok(["show", "--json", scene.path(), "2"])).expect("JSON");
    assert_eq!(value["snapshot"]["none"], "a self-test saves no memory");
}

fn ok_or_found(arguments: &[&str]) -> String {
    let output = crashlog(arguments);
    assert!(output.status.code() <= Some(1), "{output:?}");
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn of_a_damaged_block_the_rest_is_shown() {
    let mut scene = scene();
    let block = system().write(&mut scene.partition, scene.crash, |_| ());
    // The header, a block of tables, then data: 64 bytes of the region, 4096 of the task.
    scene.partition.damage(block + 4, 7);
    let (value, code) = scene.shown();
    assert_eq!(code, Some(1));
    // The region is part of the damaged page, and was saved for itself.
    assert_eq!(
        value["saved"],
        json!([
            { "address": 0x8080_1000_u32, "length": 512 },
            { "address": 0x8084_0010_u32, "length": 64 },
            { "address": 0x8084_1000_u32, "length": 2048 },
        ])
    );
    assert_eq!(value["missing"][0]["address"], 0x8084_0000_u32);
    assert_eq!(
        value["missing"][0]["why"],
        "damaged: its sum does not match"
    );
    let said = fails(1, ["show", scene.path()]);
    assert!(
        said.contains("its snapshot is damaged in part; the rest is shown"),
        "{said}"
    );
    let text = ok_or_found(&["verify", scene.path()]);
    assert!(
        text.contains("snapshot: 4096 bytes at 0x80840000: the sum does not match"),
        "{text}"
    );
    // Without the tables nothing has an address.
    scene.partition.damage(block + 1, 40);
    let (value, code) = scene.shown();
    assert_eq!(code, Some(1));
    assert!(
        value["none"].as_str().expect("none").contains("its tables"),
        "{value}"
    );
}

#[test]
fn a_snapshot_that_was_cut_short_is_used_as_far_as_it_goes() {
    let mut scene = scene();
    // The slot was too short.
    system().write(&mut scene.partition, scene.crash, |header| {
        header.written = (header.data_at() + 100).into();
    });
    let (value, code) = scene.shown();
    assert_eq!(code, Some(0));
    let cut = "writing the snapshot was cut short before it";
    assert_eq!(value["missing"][0]["why"], cut);
    assert_eq!(value["saved"][0]["length"], 64);
    // In the tables.
    system().write(&mut scene.partition, scene.crash, |header| {
        header.written = 520.into();
    });
    let (value, code) = scene.shown();
    assert_eq!(code, Some(0));
    assert!(
        value["none"].as_str().expect("none").contains("cut short"),
        "{value}"
    );
    // The power was lost when the data were written: they are what was there before.
    let scene = self::scene();
    let block = system().write_without_ledger(&scene.partition, scene.crash, |_| ());
    scene.partition.write(block + 6, &[0xff; 512 * 8]);
    let (value, code) = scene.shown();
    assert_eq!((code, &value["whole"]), (Some(0), &json!(false)));
    assert_eq!(value["missing"][0]["why"], cut);
    let text = ok(["show", scene.path()]);
    assert!(text.contains("; writing it was cut short\n"), "{text}");
}

#[test]
fn extents_may_overlap_and_end_at_the_last_byte() {
    let mut scene = scene();
    let mut snapshot = Snapshot::new(SnapshotKind::Task);
    snapshot
        .save(1, 0xffff_f000, &[3; 4096])
        .save(1, 0xffff_f800, &[4; 2048])
        .save(2, 0, &[5; 8])
        .save(2, 4, &[6; 8]);
    snapshot.write(&mut scene.partition, scene.crash, |_| ());
    let (value, code) = scene.shown();
    assert_eq!(code, Some(0));
    assert_eq!(
        value["saved"],
        json!([{ "address": 0, "length": 12 }, { "address": 0xffff_f000_u32, "length": 4096 }])
    );
}

/// Tables whose sums match, and which lie all the same.
#[test]
fn lies_are_found() {
    let of = |change: &dyn Fn(&mut Snapshot), header: &dyn Fn(&mut _)| {
        let mut scene = scene();
        let mut snapshot = system();
        change(&mut snapshot);
        snapshot.write(&mut scene.partition, scene.crash, |it| header(it));
        scene.shown()
    };
    type Header = crashlog_format::snapshot::SnapshotHeader;
    // More extents, or more data, than the slot has room for.
    for lie in [
        &|header: &mut Header| header.extents = u32::MAX.into(),
        &|header: &mut Header| header.extents = 20_000.into(),
        &|header: &mut Header| header.written = u32::MAX.into(),
        &|header: &mut Header| header.data = u32::MAX.into(),
    ] as [&dyn Fn(&mut Header); 4]
    {
        let (value, code) = of(&|_| (), lie);
        assert_eq!(code, Some(1), "{value}");
        assert_eq!(value["damaged"], true, "{value}");
    }
    // Data behind the end of the data, or of the slot.
    let (value, code) = of(&|_| (), &|header| {
        header.data = 100.into();
    });
    assert_eq!(code, Some(1), "{value}");
    let far = |snapshot: &mut Snapshot| {
        let mut extent = SnapshotExtent::new(ExtentKind::Memory, 0, 0x9000_0000, 4096, 0);
        extent.set_saved(0, 1);
        snapshot.extents.extend([extent; 100]);
    };
    let (value, code) = of(&far, &|header| {
        header.data = 0x7fff_0000.into();
    });
    assert_eq!(code, Some(0), "{value}");
    assert_eq!(value["saved"][1]["length"], 6144, "{value}");
    // An extent that breaks a rule of the format.
    let odd = |snapshot: &mut Snapshot| {
        snapshot
            .extents
            .push(SnapshotExtent::new(ExtentKind::Memory, 0, 3, 4, 0));
    };
    let (value, code) = of(&odd, &|_| ());
    assert_eq!(code, Some(1));
    assert!(
        value["none"]
            .as_str()
            .expect("none")
            .contains("1 extent in its table"),
        "{value}"
    );
}

/// As many extents as the longest slot has room for, each over all others: reading them takes a
/// bounded time and a bounded amount of memory.
#[test]
fn a_million_extents_are_read() {
    for (count, apart) in [(100_000, 0), (1_000_000, 4), (1_000_000, 4096)] {
        let size = ["--size", "256M", "--slots", "3", "--slot-size", "32M"];
        let mut scene = scene_of(&[&["format"], &size[..]].concat());
        let mut snapshot = Snapshot::new(SnapshotKind::System);
        for index in 0..count {
            let address = 0x8000_0000_u32 + index % 0x8_0000 * apart;
            let mut extent = SnapshotExtent::new(ExtentKind::Memory, 1, address, 4096, 0);
            extent.set_saved(0x5555_5555, WordSum::SEED);
            snapshot.extents.push(extent);
        }
        snapshot.write(&mut scene.partition, scene.crash, |_| ());
        // Seconds of processor time, KiB of address space.
        let limits = "ulimit -t 20 && ulimit -v 600000 && exec \"$@\"";
        let tool = env!("CARGO_BIN_EXE_crashlog");
        let output = Command::new("sh")
            .args(["-c", limits, "sh", tool, "show", "--json", scene.path()])
            .output()
            .expect("sh");
        assert!(output.status.success(), "{output:?}");
        let value: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let saved = value["snapshot"]["saved"].as_array().expect("saved");
        let lengths = saved.iter().map(|it| it["length"].as_u64());
        let sum: u64 = lengths.map(|length| length.expect("length")).sum();
        assert!((4096..=64 << 20).contains(&sum), "{sum}");
    }
}
