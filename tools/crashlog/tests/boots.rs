//! `crashlog boots`, and which boots `--boot` selects.

mod common;

use common::{Bench, Partition, STRAY_WRITE, fails, header, ok, shown};
use crashlog_format::{BootEnd, BootEnds, LastRan, Level, Stream};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

const IMAGE: u64 = 0xac7f_1045_79de_0074;

fn text(path: &Path) -> &str {
    path.to_str().expect("path")
}

/// A boot with a boot record that says this of the boots before, newest last, and three more
/// records, of which two are known to be lost.
fn boot(partition: &mut Partition, boot: u32, ends: &[BootEnd]) {
    let ends = ends.iter().fold(BootEnds::NONE, |ends, end| ends.and(*end));
    partition.boot_record_after(boot, IMAGE, ends);
    let mut lossy = header(Stream::Console, Level::Info, 2, 5_000);
    partition.page(boot, &[(lossy, b"one\n")]);
    partition.skip_records(boot, 1);
    lossy.lost = 1;
    partition.page(boot, &[(lossy, b"two\n"), (lossy, b"three\n")]);
}

/// Boot 4 has no record: it ended before, and boot 5 says how.
fn card(bench: &Bench) -> (PathBuf, Partition) {
    let path = bench.formatted();
    let mut partition = Partition::open(&path);
    boot(&mut partition, 1, &[BootEnd::PowerLost]);
    partition.crash(1, STRAY_WRITE, "worker");
    boot(&mut partition, 2, &[BootEnd::PowerLost, BootEnd::Crash(6)]);
    boot(&mut partition, 3, &[BootEnd::Restart(7)]);
    boot(&mut partition, 5, &[BootEnd::Outside, BootEnd::Watchdog]);
    boot(&mut partition, 6, &[BootEnd::PowerLost]);
    (path, partition)
}

fn boots(path: &Path, more: &[&str]) -> Vec<Value> {
    let arguments = [&["boots", "--json", text(path)], more].concat();
    let value: Value = serde_json::from_str(&ok(arguments)).expect("JSON");
    value["boots"].as_array().expect("boots").clone()
}

fn how(boots: &[Value]) -> Vec<(u64, &str)> {
    let each = boots.iter().map(|boot| {
        (
            boot["boot"].as_u64().expect("a number"),
            boot["ended"]["how"].as_str().expect("text"),
        )
    });
    each.collect()
}

#[test]
fn each_boot_says_how_it_ended() {
    let bench = Bench::new();
    let (path, _) = card(&bench);
    let list = boots(&path, &[]);
    assert_eq!(
        how(&list),
        [
            (1, "crash"),
            (2, "restart"),
            (3, "reset from outside"),
            (4, "watchdog"),
            (5, "power lost"),
            (6, "running")
        ]
    );
    assert_eq!(list[0]["ended"]["crash"], 1);
    assert_eq!(list[0]["ended"]["task"], "worker");
    assert_eq!(list[1]["ended"]["task_index"], 7);
    assert_eq!(list[1]["records"], 4);
    assert_eq!(list[1]["lost"], 3);
    assert_eq!(list[1]["length_ms"], 5_000);
    assert_eq!(list[1]["image_id"], "7400de7945107fac");
    assert_eq!(list[1]["build"]["version"], 3);
    assert_eq!(list[3]["records"], 0);
    assert_eq!(list[3]["image_id"], Value::Null);

    let table = ok(["boots", text(&path)]);
    for words in [
        "crash 1, task worker",
        "restart asked for by task 7",
        "still running",
        "test-app default version 3",
    ] {
        assert!(table.contains(words), "{words}: {table}");
    }
}

/// Without an archive there are numbers.
#[test]
fn who_ran_last_is_told_of_a_boot_without_a_note() {
    let bench = Bench::new();
    let path = bench.formatted();
    let mut partition = Partition::open(&path);
    let ran = |task| LastRan {
        task,
        pc: 0x8013_61c0,
    };
    let ends = BootEnds::NONE.and(BootEnd::PowerLost);
    partition.boot_record_after(1, IMAGE, ends);
    let ends = ends.and(BootEnd::Outside);
    partition.boot_record_with(2, IMAGE, ends, Some(ran(4)));
    let ends = ends.and(BootEnd::Watchdog);
    partition.boot_record_with(3, IMAGE, ends, Some(ran(u16::MAX)));
    partition.failure(2, &[u8::MAX], "kernel");
    let list = boots(&path, &[]);
    assert_eq!(
        list[0]["last_ran"],
        json!({ "task": null, "task_index": 4, "pc": 0x8013_61c0_u32, "function": null })
    );
    assert_eq!(list[2]["last_ran"], Value::Null);
    assert_eq!(list[1]["ended"]["crash"], 1);
    let table = ok(["boots", text(&path)]);
    let told: Vec<&str> = table
        .lines()
        .skip(1)
        .map(|line| line[37..].split("  ").next().unwrap_or_default())
        .collect();
    assert_eq!(
        told,
        [
            "watchdog or reset from outside",
            "task 4 ran last, at 0x801361c0",
            "watchdog, crash 1",
            "task 65535 ran last, at 0x801361c0",
            "still running",
        ]
    );
}

/// Boot records of earlier versions do not say how boots ended; a crash does, and no boot but the
/// last is running.
#[test]
fn what_is_not_said_is_not_known() {
    let bench = Bench::new();
    let path = bench.formatted();
    let mut partition = Partition::open(&path);
    boot(&mut partition, 1, &[]);
    boot(&mut partition, 2, &[]);
    partition.crash(2, STRAY_WRITE, "worker");
    boot(&mut partition, 3, &[]);
    partition.crash(3, &[8], "sensor");
    let list = boots(&path, &[]);
    assert_eq!(how(&list), [(1, "not known"), (2, "crash"), (3, "crash")]);
    assert_eq!(list[1]["ended"]["crash"], 1);
    assert_eq!(list[2]["ended"]["crash"], 2);

    let bench = Bench::new();
    let empty = bench.formatted();
    assert_eq!(ok(["boots", text(&empty)]), "no boots\n");
}

/// The entry of a crash that came again has the first and the last boot. Of those between, which it
/// has ended too, the next one knows the task.
#[test]
fn boots_between_repetitions_have_the_task() {
    let bench = Bench::new();
    let path = bench.formatted();
    let mut partition = Partition::open(&path);
    boot(&mut partition, 1, &[BootEnd::PowerLost]);
    partition.crash(1, STRAY_WRITE, "worker");
    for number in 2..=4 {
        boot(&mut partition, number, &[BootEnd::Crash(6)]);
        partition.repeat(number);
    }
    boot(&mut partition, 5, &[BootEnd::Crash(6)]);
    partition.failure(5, &[8], "jefe");
    boot(&mut partition, 6, &[BootEnd::Kernel]);
    let ended: Vec<Value> = boots(&path, &[])
        .iter()
        .map(|boot| boot["ended"].clone())
        .collect();
    let crash = |task: Value, index: Value, crash: Value, again: bool| {
        json!({
            "how": "crash",
            "task": task,
            "task_index": index,
            "crash": crash,
            "again": again,
        })
    };
    assert_eq!(
        ended[..4],
        [
            crash(json!("worker"), json!(6), json!(1), false),
            crash(Value::Null, json!(6), Value::Null, false),
            crash(Value::Null, json!(6), Value::Null, false),
            crash(json!("worker"), json!(6), json!(1), true),
        ]
    );
    assert_eq!(ended[4]["how"], "kernel failure");
    let table = ok(["boots", text(&path)]);
    let told: Vec<&str> = table
        .lines()
        .skip(1)
        .filter_map(|line| Some(line.get(37..77)?.trim()))
        .collect();
    assert_eq!(
        told,
        [
            "crash 1, task worker",
            "crash of task 6",
            "crash of task 6",
            "crash 1 again, task worker",
            "failure of jefe, crash 2",
            "still running"
        ]
    );
}

/// A crash may be of a boot of which no page was written.
#[test]
fn the_last_boot_is_that_of_the_newest_page() {
    let bench = Bench::new();
    let path = bench.formatted();
    let mut partition = Partition::open(&path);
    partition.crash(1, STRAY_WRITE, "worker");
    assert_eq!(how(&boots(&path, &["--boot", "last"])), [(1, "crash")]);
    boot(&mut partition, 2, &[BootEnd::Crash(6)]);
    partition.crash(3, STRAY_WRITE, "worker");
    let chosen = |which| -> Vec<u64> {
        let boots = boots(&path, &["--boot", which]);
        how(&boots).iter().map(|(number, _)| *number).collect()
    };
    assert_eq!(chosen("last"), [2]);
    assert_eq!(chosen("-1"), [1]);
    assert_eq!(chosen("2.."), [2, 3]);
    // Each boot lacks a record.
    let (code, log) = shown(["log", "--json", text(&path), "--boot", "last"]);
    assert_eq!(code, 1);
    assert!(log.lines().all(|line| line.contains("\"boot\":2")), "{log}");
}

#[test]
fn boots_are_selected_from_the_end_and_by_range() {
    let bench = Bench::new();
    let (path, _) = card(&bench);
    let logged = |which: &str| {
        let (code, log) = shown(["log", "--json", text(&path), "--boot", which]);
        // Each boot lacks a record.
        assert_eq!(code == 0, log.is_empty());
        let mut boots: Vec<u64> = log
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).expect("JSON"))
            .map(|record| record["boot"].as_u64().expect("a number"))
            .collect();
        boots.dedup();
        boots
    };
    assert_eq!(logged("2"), [2]);
    assert_eq!(logged("last"), [6]);
    assert_eq!(logged("-1"), [5]);
    assert_eq!(logged("2..3"), [2, 3]);
    assert_eq!(logged("-3..last"), [3, 5, 6]);
    assert_eq!(logged("5.."), [5, 6]);
    assert_eq!(logged("7"), [0; 0]);
    assert_eq!(how(&boots(&path, &["--boot", "-1"])), [(5, "power lost")]);
    assert!(
        fails(1, ["log", text(&path), "--boot", "-7"]).contains("the last boot in the log is 6")
    );
    assert!(
        fails(2, ["log", text(&path), "--boot", "3..2"]).contains("name the earlier one first")
    );
}
