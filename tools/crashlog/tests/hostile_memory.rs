//! A card whose sums match and whose snapshot asks for as much as the format can express: each
//! command ends in bounded time and memory, with its result or with one line.

mod common;

use common::golden::{SABOTEUR, Scene};
use common::{Bench, Partition, golden, ok};
use crashlog_format::snapshot::{ExtentKind, ExtentStatus, SnapshotExtent, WordSum};
use std::path::Path;
use std::process::{Command, Output};

/// A card with the longest slots, and the archive of its crash.
fn scene() -> Scene {
    let bench = Bench::new();
    let real = Partition::open(&golden::card(&bench, "stack-overflow"));
    let snapshot = golden::snapshot(&real, golden::crash(&real));
    let card = bench.path("card.img");
    let size = ["--size", "256M", "--slots", "3", "--slot-size", "32M"];
    ok([&["format"], &size[..], &[card.to_str().expect("path")]].concat());
    let mut partition = Partition::open(&card);
    (partition.image_id, partition.task) = (SABOTEUR, 4);
    let crash = partition.crash(1, &[5, 0, 0, 0, 0], "fatal");
    Scene {
        archive: golden::archive(&bench, "saboteur.zip"),
        card,
        partition,
        crash,
        snapshot: golden::without(&snapshot, |_| false),
        bench,
    }
}

impl Scene {
    /// Adds zeros.
    fn add(&mut self, address: u32, length: u16) {
        let mut extent = SnapshotExtent::new(ExtentKind::Memory, 1, address, length, 0);
        extent.set_saved(0x5555_5555, WordSum::SEED);
        self.snapshot.extents.push(extent);
    }

    fn write(&mut self) {
        self.snapshot.write(&mut self.partition, self.crash, |_| ());
    }

    /// Runs a command within 30 s of processor time and 1 GiB; not ended by a signal, it has said
    /// at most one line.
    fn run(&self, words: &[&str]) -> Output {
        let limits = "ulimit -t 30 && ulimit -v 1000000 && exec \"$@\"";
        let output = Command::new("sh")
            .args(["-c", limits, "sh", env!("CARGO_BIN_EXE_crashlog")])
            .args(words)
            .args(["--archive".as_ref(), self.archive.as_os_str()])
            .arg(&self.card)
            .output()
            .expect("sh");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code().is_some(), "{words:?}: {said}");
        assert!(
            said.lines().count() <= 1 && !said.contains("panicked"),
            "{words:?}: {said}"
        );
        output
    }

    /// Runs all commands that read memory; returns their exit codes.
    fn run_all(&self) -> [i32; 5] {
        let files = ["core", "zip", "html"].map(|name| self.bench.path(name));
        let [core, zip, html] = files.each_ref().map(|path| text(path));
        [
            &["show", "--tasks", "all"][..],
            &["show", "--json"],
            &["dump", "--force", "-o", core],
            &["dump", "--hydrate", "--force", "-o", zip],
            &["report", "--force", "-o", html],
        ]
        .map(|words| self.run(words).status.code().expect("a code"))
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("path")
}

#[test]
fn a_hundred_thousand_pieces() {
    let mut scene = scene();
    for index in 0..100_000 {
        scene.add(0x9000_0000 + 8 * index, 4);
    }
    scene.write();
    // A core has no room for so many pieces.
    assert_eq!(scene.run_all(), [0, 0, 1, 0, 0]);
    let core = scene.bench.path("other");
    let said = scene.run(&["dump", "-o", text(&core)]).stderr;
    let said = String::from_utf8(said).expect("text");
    assert!(
        said.contains("its snapshot cannot be written as a core: it has 100") && !core.exists(),
        "{said}"
    );
}

#[test]
fn a_hundred_thousand_gaps() {
    let mut scene = scene();
    for index in 0..100_000_u32 {
        let kind = [ExtentKind::Memory, ExtentKind::Region][index as usize % 2];
        let mut extent = SnapshotExtent::new(kind, 1, 0x9000_0000 + 8 * index, 4, 0);
        extent.set_missing(ExtentStatus::NoRoom);
        scene.snapshot.extents.push(extent);
    }
    scene.write();
    assert_eq!(scene.run_all(), [0; 5]);
}

#[test]
fn pieces_overlap_and_reach_the_last_byte() {
    let mut scene = scene();
    for (address, length) in [
        (0xffff_f000, 4096),
        (0xffff_fffc, 4),
        (0xffff_f004, 2048),
        (0, 4096),
        (4, 4),
    ] {
        scene.add(address, length);
    }
    // Over flash, over a stack, over the table of tasks: the first that was saved counts.
    for address in [0x8010_0000, 0x8084_0000, 0x8080_1000] {
        scene.add(address, 4096);
    }
    scene.write();
    assert_eq!(scene.run_all(), [0; 5]);
    // As many pages as this program keeps, and more.
    for page in 0..20_000 {
        scene.add(0xa000_0000 + 4096 * page, 4096);
    }
    scene.write();
    assert_eq!(scene.run_all(), [0; 5]);
}

/// As many pages as this program keeps, each with its last word alone.
#[test]
fn a_word_in_each_page() {
    let mut scene = scene();
    for page in 1..=16_000 {
        scene.add(0xa000_0000 + 4096 * page - 4, 4);
    }
    scene.write();
    assert_eq!(scene.run_all(), [0; 5]);
}
