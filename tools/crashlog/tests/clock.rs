//! Time of day: what is known of it by the time anchors in the log.

mod common;

use common::{Bench, Partition, STRAY_WRITE, header, ok};
use crashlog_format::{BootEnds, Level, Stream, TimeAnchor};
use serde_json::Value;
use std::path::{Path, PathBuf};

const IMAGE: u64 = 0xac7f_1045_79de_0074;

/// 2026-11-28 09:40:00 UTC.
const MORNING: u64 = 1_795_858_800_000;

fn text(path: &Path) -> &str {
    path.to_str().expect("path")
}

fn line(partition: &mut Partition, boot: u32, time: u64) {
    let record = header(Stream::Console, Level::Info, 2, time);
    partition.page(boot, &[(record, b"line\n")]);
}

/// A record of the boot stream with these bytes.
fn said(partition: &mut Partition, boot: u32, time: u64, payload: &[u8]) -> u32 {
    let record = header(Stream::Boot, Level::Info, 3, time);
    partition.page(boot, &[(record, payload)])
}

fn anchor(partition: &mut Partition, boot: u32, time: u64, utc_ms: u64) -> u32 {
    let anchor = TimeAnchor::new(utc_ms).expect("a time");
    said(partition, boot, time, &anchor.to_bytes())
}

/// Boot 1 has no anchor. In boot 2 the time is set after the crash, and set back later. What boot 3
/// has is not an anchor. Each has a crash after 3.012 s.
fn card(bench: &Bench) -> (PathBuf, u32) {
    let path = bench.formatted();
    let mut partition = Partition::open(&path);
    let begin = |partition: &mut Partition, boot, name| {
        partition.boot_record_after(boot, IMAGE, BootEnds::NONE);
        line(partition, boot, 1_000);
        // One task each, so that they are not the same crash.
        partition.crash(boot, &[8 + boot as u8], name);
    };
    begin(&mut partition, 1, "worker");
    begin(&mut partition, 2, "sensor");
    let first = anchor(&mut partition, 2, 5_000, MORNING);
    line(&mut partition, 2, 6_000);
    anchor(&mut partition, 2, 7_000, MORNING - 3_600_000);
    line(&mut partition, 2, 8_000);
    begin(&mut partition, 3, "console");
    let mut late = TimeAnchor::new(0).expect("a time").to_bytes();
    late[8..].copy_from_slice(&(TimeAnchor::MAX_UTC_MS + 1).to_le_bytes());
    said(&mut partition, 3, 5_000, &late);
    late[8..].copy_from_slice(&u64::MAX.to_le_bytes());
    said(&mut partition, 3, 5_001, &late);
    late[8..].fill(0);
    late[0] = 2;
    said(&mut partition, 3, 5_002, &late);
    said(&mut partition, 3, 5_003, &[1]);
    said(&mut partition, 3, 5_004, &[]);
    (path, first)
}

/// The values of a key in lines of JSON.
fn each(lines: &str, key: &str) -> Vec<(u64, Value)> {
    let records = lines.lines().map(|line| -> Value {
        let value = serde_json::from_str(line);
        value.expect("JSON")
    });
    records
        .map(|record| {
            (
                record["boot"].as_u64().expect("a boot"),
                record[key].clone(),
            )
        })
        .collect()
}

fn json(arguments: &[&str]) -> Value {
    serde_json::from_str(&ok(arguments)).expect("JSON")
}

#[test]
fn the_log_has_the_time_of_what_was_before_the_anchor_too() {
    let bench = Bench::new();
    let (path, _) = card(&bench);
    let times: Vec<(u64, String)> = each(&ok(["log", "--json", text(&path)]), "utc")
        .into_iter()
        .filter_map(|(boot, utc)| Some((boot, utc.as_str()?.to_owned())))
        .collect();
    let of_boot_2 = [
        "2026-11-28T09:39:55.002Z",
        "2026-11-28T09:39:56.000Z",
        "2026-11-28T09:40:00.000Z",
        "2026-11-28T09:40:01.000Z",
        "2026-11-28T08:40:00.000Z",
        "2026-11-28T08:40:01.000Z",
    ];
    assert_eq!(times, of_boot_2.map(|utc| (2, utc.to_owned())));

    let log = ok(["log", text(&path), "--boot", "2.."]);
    for shown in [
        "   2      1.000  2026-11-28T09:39:56.000Z  ",
        "   2      7.000  2026-11-28T08:40:00.000Z  task 3     boot    the time is 2026-11-28T08:40:00.000Z\n",
        "   3      1.000                            task 2     console line\n",
        "boot    02000000000000000000000000000000\n",
    ] {
        assert!(log.contains(shown), "{shown:?}: {log}");
    }
}

#[test]
fn crashes_and_boots_have_their_time() {
    let bench = Bench::new();
    let (path, _) = card(&bench);
    let utc = "2026-11-28T09:39:58.012Z";
    let list = json(&["list", "--json", text(&path)]);
    let times: Vec<&Value> = list["crashes"]
        .as_array()
        .expect("crashes")
        .iter()
        .map(|crash| &crash["utc"])
        .collect();
    assert_eq!(times, [&Value::Null, &utc.into(), &Value::Null]);
    let list = ok(["list", text(&path)]);
    assert!(
        list.contains(&format!("   2        3.012  {utc}  sensor ")),
        "{list}"
    );

    let shown = json(&["show", "--json", text(&path), "2"]);
    assert_eq!(shown["utc"], utc);
    assert_eq!(shown["log"][1]["utc"], "2026-11-28T09:39:56.000Z");
    let shown = ok(["show", text(&path), "2"]);
    assert!(shown.contains(&format!("  time      {utc}\n")), "{shown}");
    for sequence in ["1", "3"] {
        let shown = ok(["show", text(&path), sequence]);
        assert!(!shown.contains("  time  "), "{shown}");
    }

    let boots = json(&["boots", "--json", text(&path)]);
    assert_eq!(boots["boots"][1]["start_utc"], "2026-11-28T09:39:55.000Z");
    assert_eq!(boots["boots"][2]["start_utc"], Value::Null);
    let boots = ok(["boots", text(&path)]);
    assert!(
        boots.contains("   2  2026-11-28T09:39:55.000Z        8.000 "),
        "{boots}"
    );

    let report = bench.path("report.html");
    for (sequence, known) in [("1", false), ("2", true)] {
        let to = text(&report);
        ok(["report", text(&path), sequence, "--force", "-o", to]);
        let page = std::fs::read_to_string(&report).expect("the page");
        assert_eq!(page.contains(utc), known, "crash {sequence}");
        assert_eq!(page.contains(">UTC</th>"), known, "crash {sequence}");
    }
}

/// The last occurrence of a crash has a time of its own.
#[test]
fn a_crash_that_came_again_has_both_times() {
    let bench = Bench::new();
    let path = bench.formatted();
    let mut partition = Partition::open(&path);
    partition.boot_record(1, IMAGE);
    partition.crash(1, STRAY_WRITE, "worker");
    partition.boot_record(2, IMAGE);
    partition.repeat(2);
    anchor(&mut partition, 2, 3_012, MORNING);
    let crash = json(&["list", "--json", text(&path)])["crashes"][0].clone();
    assert_eq!(crash["utc"], Value::Null);
    assert_eq!(crash["last_utc"], "2026-11-28T09:40:00.000Z");
}

/// The page with the anchor is gone, as if the ring had come round: no time is known before the
/// next one, which tells it for all.
#[test]
fn an_anchor_that_is_gone_tells_nothing() {
    let bench = Bench::new();
    let (path, first) = card(&bench);
    Partition::open(&path).write(first, &[0; 512]);
    let shown = json(&["show", "--json", text(&path), "2"]);
    assert_eq!(shown["utc"], "2026-11-28T08:39:56.012Z");

    let bench = Bench::new();
    let path = bench.formatted();
    let mut partition = Partition::open(&path);
    partition.boot_record(1, IMAGE);
    let block = anchor(&mut partition, 1, 500, MORNING);
    line(&mut partition, 1, 1_000);
    let with_time = ok(["log", text(&path)]);
    partition.write(block, &[0; 512]);
    // The record that is missing is the only thing that is.
    let (code, without) = common::shown(["log", text(&path)]);
    assert_eq!(code, 1);
    assert!(with_time.contains("2026-") && !without.contains("2026-"));
    assert!(without.contains("   1      1.000  task 2 "), "{without}");
}
