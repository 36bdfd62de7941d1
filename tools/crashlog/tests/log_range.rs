//! Parts of the log: the last records, those since a time of day, those of a boot.

mod common;

use common::{Bench, Partition, crashlog, header, ok};
use crashlog_format::{Level, Stream, TimeAnchor};
use std::path::{Path, PathBuf};

const IMAGE: u64 = 0xac7f_1045_79de_0074;
/// 2026-11-28 09:40:00 UTC.
const MORNING: u64 = 1_795_858_800_000;

fn text(path: &Path) -> &str {
    path.to_str().expect("path")
}

fn line(partition: &mut Partition, boot: u32, time: u64, task: u16) {
    let record = header(Stream::Console, Level::Info, task, time);
    let text = format!("line at {time}\n");
    partition.page(boot, &[(record, text.as_bytes())]);
}

/// Three boots of 1500 pages each, of tasks 2 and 4; task 4 has every hundredth.
fn long(bench: &Bench) -> PathBuf {
    let path = bench.formatted();
    let mut partition = Partition::open(&path);
    for boot in 1..=3 {
        partition.boot_record(boot, IMAGE);
        for time in 1..1500 {
            line(
                &mut partition,
                boot,
                time,
                if time % 100 == 0 { 4 } else { 2 },
            );
        }
    }
    path
}

/// The last `count` lines.
fn tail(lines: &str, count: usize) -> Vec<&str> {
    let lines: Vec<&str> = lines.lines().collect();
    lines[lines.len().saturating_sub(count)..].to_vec()
}

#[test]
fn the_last_records_are_the_end_of_what_is_selected() {
    let bench = Bench::new();
    let path = long(&bench);
    for selected in [
        &[][..],
        &["--task", "4"],
        &["--boot", "2"],
        &["--boot", "..2", "--task", "4"],
        &["--json"],
        &["--stream", "event"],
    ] {
        let log = |more: &[&str]| ok([&["log", text(&path)], selected, more].concat());
        let all = log(&[]);
        for count in [0, 1, 7, 100, 1499, 1500, 1501, 4000, 1_000_000] {
            let last = log(&["--last", &count.to_string()]);
            let lines: Vec<&str> = last.lines().collect();
            assert_eq!(lines, tail(&all, count), "{selected:?} {count}");
        }
    }
}

#[test]
fn a_boot_alone_is_a_part_of_the_log() {
    let bench = Bench::new();
    let path = long(&bench);
    let all = ok(["log", text(&path)]);
    for boot in 0..5 {
        let begin = format!("{boot:>4} ");
        let expected: Vec<&str> = all
            .lines()
            .filter(|line| line.starts_with(&begin))
            .collect();
        let log = ok(["log", text(&path), "--boot", &boot.to_string()]);
        assert_eq!(log.lines().collect::<Vec<_>>(), expected, "boot {boot}");
    }
}

#[test]
fn a_time_of_day_selects_what_came_then_or_later() {
    let bench = Bench::new();
    let path = bench.formatted();
    let mut partition = Partition::open(&path);
    // Boot 2 has no time, boot 3 has it a minute after its start.
    for (boot, day) in [(1, Some(0)), (2, None), (3, Some(2))] {
        partition.boot_record(boot, IMAGE);
        for minute in 0..300 {
            if let (1, Some(day)) = (minute, day) {
                let time = TimeAnchor::new(MORNING + day * 86_400_000).expect("a time");
                let record = header(Stream::Boot, Level::Info, 1, 60_000);
                partition.page(boot, &[(record, &time.to_bytes())]);
            }
            line(&mut partition, boot, minute * 60_000, 2);
        }
    }
    let since = |time: &str| ok(["log", text(&path), "--stream", "console", "--since", time]);
    for (time, count, first) in [
        ("2026-11-28T09:39:00Z", 600, "2026-11-28T09:39:00.000Z"),
        ("2026-11-28T09:39:00.001Z", 599, "2026-11-28T09:40:00.000Z"),
        ("2026-11-28 14:00", 339, "2026-11-28T14:00:00.000Z"),
        ("2026-11-29", 300, "2026-11-30T09:39:00.000Z"),
        ("2026-11-30T10:40:00Z", 239, "2026-11-30T10:40:00.000Z"),
    ] {
        let log = since(time);
        assert_eq!(log.lines().count(), count, "{time}");
        let line = log.lines().next().expect("a line");
        assert!(line.contains(first), "{time}: {line}");
    }
    assert_eq!(since("2026-12-01"), "");
    let output = crashlog(["log", text(&path), "--since", "noon"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("2026-11-28T09:40"), "{said}");
}

/// The clock of the second boot is years behind, and that of the third is set back by a day.
#[test]
fn a_clock_that_goes_back_hides_nothing() {
    let bench = Bench::new();
    let path = bench.formatted();
    let mut partition = Partition::open(&path);
    let day = 86_400_000;
    for (boot, anchors) in [
        (1, vec![MORNING]),
        (2, vec![day]),
        (3, vec![MORNING + day, MORNING]),
    ] {
        partition.boot_record(boot, IMAGE);
        let mut anchors = anchors.into_iter();
        for minute in 0..300 {
            if matches!(minute, 1 | 150)
                && let Some(utc_ms) = anchors.next()
            {
                let time = TimeAnchor::new(utc_ms + minute * 60_000).expect("a time");
                let record = header(Stream::Boot, Level::Info, 1, minute * 60_000);
                partition.page(boot, &[(record, &time.to_bytes())]);
            }
            line(&mut partition, boot, minute * 60_000, 2);
        }
    }
    let count = |since: &str| {
        let log = ok(["log", text(&path), "--stream", "console", "--since", since]);
        log.lines().count()
    };
    assert_eq!(count("2026-01-01"), 600);
    // Up to the jump the third boot is a day ahead.
    assert_eq!(count("2026-11-29"), 150);
}
