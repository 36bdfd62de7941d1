//! Reading a card: crashes, log, checks, and what is read of a damaged card.

mod common;

use common::{Bench, Partition, STRAY_WRITE, crashlog, fails, header, ok, shown};
use crashlog_format::{Level, Stream};
use serde_json::Value;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Two boots: console lines with control characters, events, and a crash in the first boot.
fn card(bench: &Bench) -> (PathBuf, Partition) {
    let path = bench.formatted();
    let mut partition = Partition::open(&path);
    let console = header(Stream::Console, Level::Info, 2, 1_234);
    let mut lossy = header(Stream::Event, Level::Warn, 3, 1_300);
    lossy.lost = 5;
    partition.page(
        1,
        &[
            (console, b"Booting\r\n"),
            (console, b"esc \x1b[31m nul \0 bad \xff\n"),
        ],
    );
    partition.page(
        1,
        &[
            (console, b"a piece"),
            (lossy, b"\0fan 2 is slow"),
            (lossy, b"\x07Reading\x01\x02"),
        ],
    );
    partition.crash(1, STRAY_WRITE, "worker");
    partition.page(
        2,
        &[(header(Stream::Console, Level::Error, 2, 17), b" goes on\n")],
    );
    (path, partition)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("path")
}

#[test]
fn the_list_shows_each_crash() {
    let bench = Bench::new();
    let (path, _) = card(&bench);
    let list = ok(["list", text(&path)]);
    let line = list.lines().last().expect("a line");
    for word in [
        "1",
        "panic",
        "3.012",
        "worker",
        "MemoryAccess at 0xdeadbee0 (User)",
    ] {
        assert!(line.contains(word), "{word}: {list}");
    }
    assert!(!list.contains('\x1b'), "no colour without a terminal");
    assert!(ok(["list", "--color", "always", text(&path)]).contains('\x1b'));

    let value: Value = serde_json::from_str(&ok(["list", "--json", text(&path)])).expect("JSON");
    assert_eq!(value["crashes"][0]["task"], "worker");
    assert_eq!(value["crashes"][0]["address"], 0xdead_bee0_u32);
    assert_eq!(value["card"]["crashes"]["panic"], 1);
}

#[test]
fn a_crash_is_explained() {
    let bench = Bench::new();
    let (path, mut partition) = card(&bench);
    let shown = ok(["show", text(&path)]);
    for words in [
        "Crash record 1: task worker (index 6) accessed memory that it may not access, at 0xdeadbee0",
        "the system was restarted",
        "3.012 s after the start of boot 1",
        "before the restart, by the emergency path",
        "controller reset, card ready",
        "0 oops, 1 panic, 0 kernel",
        " pc 8080003c",
        "index out of bounds",
        "(truncated: 52 of 80 bytes)",
        "80820100  03020100 07060504",
        "Booting",
        "fan 2 is slow",
    ] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    assert!(
        !shown.contains("goes on"),
        "a line of the next boot: {shown}"
    );
    assert!(!ok(["show", "--lines", "2", text(&path)]).contains("Booting"));

    let value: Value =
        serde_json::from_str(&ok(["show", "--json", text(&path), "1"])).expect("JSON");
    assert_eq!(value["registers"]["r1"], 0x8080_0004_u32);
    assert_eq!(value["segments"][0]["kind"], "message");
    assert_eq!(value["log_records"], 5);
    assert_eq!(value["log"].as_array().map(Vec::len), Some(5));

    // Without a number the newest crash is shown.
    partition.crash(2, &[8], "sensor");
    assert!(ok(["show", text(&path)]).contains("task sensor (index 6) panicked"));
}

/// As a stock kernel without its feature `dump` has it: no registers, no place.
///
/// REQ: X5 (in part: what is not known is not shown as if it was)
#[test]
fn registers_that_are_not_known_are_not_shown_as_zeros() {
    let bench = Bench::new();
    let path = bench.formatted();
    let mut partition = Partition::open(&path);
    partition.registers = [0; 17];
    partition.crash(1, STRAY_WRITE, "worker");
    partition.repeat(2);
    let shown = ok(["show", text(&path)]);
    assert!(
        shown.contains("Registers\n  not given out by this kernel\n"),
        "{shown}"
    );
    assert!(!shown.contains("00000000"), "{shown}");
    assert!(
        shown.contains("1 time with the same task and kind of fault, wherever it was;"),
        "{shown}"
    );
    let value: Value = serde_json::from_str(&ok(["show", "--json", text(&path)])).expect("JSON");
    assert_eq!(value["registers"]["pc"], Value::Null);
    assert_eq!(value["registers"]["r4"], Value::Null);

    // Those that the kernel saves, without an exception frame: the stack had overflowed.
    partition.registers[4..12].fill(0x44);
    partition.registers[13] = 0x8081_fff0;
    partition.crash(2, STRAY_WRITE, "worker");
    let shown = ok(["show", text(&path)]);
    let lines = "
   r4 00000044   r5 00000044   r6 00000044   r7 00000044
   r8 00000044   r9 00000044  r10 00000044  r11 00000044
   sp 8081fff0
  r0 to r3, r12, lr, pc and psr are not known: the processor did not push them onto the stack
";
    assert!(shown.contains(lines), "{shown}");
    let value: Value = serde_json::from_str(&ok(["show", "--json", text(&path)])).expect("JSON");
    assert_eq!(value["registers"]["pc"], Value::Null);
    assert_eq!(value["registers"]["r4"], 0x44);
}

#[test]
fn the_log_is_in_order_and_escaped() {
    let bench = Bench::new();
    let (path, _) = card(&bench);
    let log = ok(["log", text(&path)]);
    let lines: Vec<_> = log.lines().collect();
    assert_eq!(lines.len(), 8, "{log}");
    assert!(
        lines[0].ends_with("Booting") && lines[0].contains("1.234"),
        "{log}"
    );
    assert!(
        lines[1].ends_with("esc \\x1b[31m nul \\x00 bad \\xff"),
        "{log}"
    );
    assert!(lines[2].ends_with("a piece\\"), "{log}");
    assert!(lines[3].contains("5 records of task 3 lost here"), "{log}");
    assert!(lines[4].ends_with("fan 2 is slow"), "{log}");
    assert!(lines[6].ends_with("Reading 0102"), "{log}");
    assert!(lines[7].ends_with(" goes on"), "{log}");
}

#[test]
fn raw_payloads_are_unchanged() {
    let bench = Bench::new();
    let (path, _) = card(&bench);
    let raw = |more: &[&str]| {
        crashlog(
            ["log", "--stream", "console", "--raw", text(&path)]
                .iter()
                .chain(more),
        )
        .stdout
    };
    assert_eq!(
        raw(&[]),
        b"Booting\r\nesc \x1b[31m nul \0 bad \xff\na piece goes on\n"
    );
    assert_eq!(raw(&["--boot", "2"]), b" goes on\n");
    assert_eq!(raw(&["--boot", "3"]), b"");
    assert_eq!(raw(&["--level", "error"]), b" goes on\n");
    assert_eq!(raw(&["--task", "3"]), b"");
}

#[test]
fn every_line_of_json_is_an_object() {
    let bench = Bench::new();
    let (path, _) = card(&bench);
    let values: Vec<Value> = ok(["log", "--json", text(&path)])
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(values.len(), 6);
    assert_eq!(values[0]["text"], "Booting\r\n");
    assert_eq!(
        values[1]["hex"],
        "657363201b5b33316d206e756c2000206261642 0ff0a".replace(' ', "")
    );
    assert_eq!(
        (&values[4]["type"], &values[4]["hex"]),
        (&"Reading".into(), &"0102".into())
    );
    assert_eq!(
        (&values[5]["boot"], &values[5]["sequence"]),
        (&2.into(), &1.into())
    );
}

/// A line longer than a record, with a character in two of them.
#[test]
fn a_character_that_is_in_two_records_is_shown_whole() {
    let bench = Bench::new();
    let path = bench.formatted();
    let mut partition = Partition::open(&path);
    let console = header(Stream::Console, Level::Info, 2, 1);
    let line = format!("{}\u{20ac} after\n", "u".repeat(254));
    let (first, second) = line.as_bytes().split_at(256);
    partition.page(1, &[(console, first)]);
    partition.page(1, &[(console, second), (console, b"end \xe2")]);
    partition.crash(1, STRAY_WRITE, "worker");
    let log = ok(["log", text(&path)]);
    let lines: Vec<_> = log.lines().collect();
    assert!(lines[0].ends_with("uu\\"), "{log}");
    assert!(lines[1].ends_with(" \u{20ac} after"), "{log}");
    assert!(lines[3].contains("ends within a character: \\xe2"), "{log}");
    assert!(ok(["show", text(&path)]).contains(" \u{20ac} after"));
    let raw = crashlog(["log", "--raw", text(&path)]).stdout;
    assert_eq!(raw, [line.as_bytes(), b"end \xe2"].concat());
}

/// What a terminal may act on is escaped, and a program reads what is on the card.
#[test]
fn json_carries_every_byte() {
    let bench = Bench::new();
    let path = bench.formatted();
    let mut partition = Partition::open(&path);
    let console = header(Stream::Console, Level::Info, 2, 1);
    let ascii: Vec<u8> = (0..0x80).collect();
    let format = "\u{85}\u{9b}31m\u{ad}\u{200b}\u{202e}\u{2028}\u{2069}\u{feff}\u{e0041}\n";
    partition.page(1, &[(console, &ascii), (console, format.as_bytes())]);
    partition.crash(1, STRAY_WRITE, "\u{9b}31m\u{202e}\n\u{7f}x");
    let is_safe = |text: &str| {
        let is_shown = |c: char| c == '\n' || (' '..='~').contains(&c);
        text.chars().all(is_shown)
    };
    let read = |args: &[&str]| {
        let said = ok(args.iter().copied().chain([text(&path)]));
        assert!(is_safe(&said), "{args:?}: {said:?}");
        said
    };
    let json = read(&["log", "--json"]);
    let values: Vec<Value> = json
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(
        values[0]["text"].as_str().map(str::as_bytes),
        Some(&ascii[..])
    );
    assert_eq!(values[1]["text"], format);
    for command in ["list", "show"] {
        let value: Value = serde_json::from_str(&read(&[command, "--json"])).expect("JSON");
        let crash = if command == "list" {
            &value["crashes"][0]
        } else {
            &value
        };
        assert_eq!(crash["task"], "\u{9b}31m\u{202e}\n\u{7f}x");
        read(&[command]);
    }
    read(&["log"]);
}

#[test]
fn a_sound_card_verifies() {
    let bench = Bench::new();
    let (path, _) = card(&bench);
    assert!(ok(["verify", text(&path)]).contains("everything is sound"));
    let value: Value = serde_json::from_str(&ok(["verify", "--json", text(&path)])).expect("JSON");
    assert_eq!(value["sound"], true);
    assert_eq!(
        (
            &value["log_pages"],
            &value["log_records"],
            &value["boots"]["1"]
        ),
        (&3.into(), &6.into(), &5.into())
    );
}

/// Damages something and expects `verify` to report where. Returns what `list` and `log` still
/// print; `codes` are their exit codes.
fn damaged(damage: impl FnOnce(&mut Partition), codes: [i32; 2], words: &str) -> (String, String) {
    let bench = Bench::new();
    let (path, mut partition) = card(&bench);
    damage(&mut partition);
    let output = crashlog(["verify", text(&path)]);
    let report = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{report}");
    assert!(report.contains(words), "{report}");
    assert!(fails(1, ["verify", text(&path)]).contains("is damaged in "));
    let value: Value = serde_json::from_slice(&crashlog(["verify", "--json", text(&path)]).stdout)
        .expect("JSON of a damaged card, too");
    assert_eq!(value["sound"], false);
    let (list_code, list) = shown(["list", text(&path)]);
    let (log_code, log) = shown(["log", text(&path)]);
    assert_eq!([list_code, log_code], codes, "{list}{log}");
    (list, log)
}

#[test]
fn a_damaged_page_loses_only_its_own_records() {
    let (list, log) = damaged(
        |partition| {
            partition.note_pages(2);
            partition.damage(partition.geometry.page(0), 40);
        },
        [0, 0],
        "log page 0",
    );
    assert!(list.contains("worker"));
    assert!(
        !log.contains("Booting") && log.contains("a piece") && log.contains("goes on"),
        "{log}"
    );
    let (_, log) = damaged(
        |partition| {
            partition.note_pages(2);
            partition.damage(partition.geometry.page(1), 3);
        },
        [0, 0],
        "log page: magic is",
    );
    assert!(
        log.contains("Booting") && !log.contains("a piece") && log.contains("goes on"),
        "{log}"
    );
}

#[test]
fn missing_records_are_reported() {
    let gap = |partition: &mut Partition| {
        partition.skip_records(2, 3);
        partition.page(
            2,
            &[(header(Stream::Console, Level::Info, 2, 20), b"later\n")],
        );
    };
    let (_, log) = damaged(
        gap,
        [0, 1],
        "log of boot 2: 3 records missing between others",
    );
    assert!(log.contains("3 records missing here"), "{log}");
}

#[test]
fn either_superblock_is_enough() {
    for copy in [0, 1] {
        let (list, log) = damaged(
            |partition| partition.damage(partition.geometry.superblocks()[copy], 20),
            [1, 1],
            "superblock: checksum",
        );
        assert!(list.contains("worker") && log.contains("Booting"));
    }
}

#[test]
fn crashes_are_found_without_ledgers() {
    let lose = |partition: &mut Partition| {
        for generation in [0, 1] {
            partition.damage(partition.geometry.ledger(generation), 30);
        }
    };
    let (list, _) = damaged(lose, [1, 1], "both ledgers are damaged");
    assert!(list.contains("worker"), "{list}");
}

/// With the ledgers a crash may be lost, so a list without one does not look as if all were well.
#[test]
fn the_list_without_a_crash_says_what_is_damaged() {
    let bench = Bench::new();
    let path = bench.formatted();
    let partition = Partition::open(&path);
    for generation in [0, 1] {
        partition.damage(partition.geometry.ledger(generation), 30);
    }
    let (code, list) = shown(["list", text(&path)]);
    assert_eq!(code, 1);
    for words in ["no crash record was found, but", "both ledgers are damaged"] {
        assert!(list.contains(words), "{words}: {list}");
    }
    let why = fails(1, ["show", text(&path)]);
    assert!(
        why.contains("no crash record, but it is damaged in 3 places"),
        "{why}"
    );
}

#[test]
fn a_damaged_crash_is_reported() {
    let slot = |partition: &Partition| partition.geometry.slot(0).expect("slot");
    let (list, _) = damaged(
        |partition| partition.damage(slot(partition), 100),
        [1, 0],
        "crash record 1: checksum",
    );
    assert!(list.contains("damaged: checksum does not match"), "{list}");
    let (list, _) = damaged(
        |partition| partition.damage(slot(partition) + 1, 5),
        [0, 0],
        "segment message: checksum",
    );
    assert!(list.contains("worker"), "{list}");
}

#[test]
fn a_partition_alone_is_read_too() {
    let bench = Bench::new();
    let (path, partition) = card(&bench);
    let whole = std::fs::read(&path).expect("read");
    let alone = bench.path("partition.img");
    let end = (1 << 20) + partition.geometry.blocks() as usize * 512;
    std::fs::write(&alone, &whole[1 << 20..end]).expect("write");
    assert!(ok(["list", text(&alone)]).contains("worker"));
    assert!(ok(["verify", text(&alone)]).contains("everything is sound"));
}

#[test]
fn the_backup_table_is_enough() {
    let bench = Bench::new();
    let (path, _) = card(&bench);
    let mut bytes = std::fs::read(&path).expect("read");
    bytes[512 + 20] ^= 1;
    std::fs::write(&path, &bytes).expect("write");
    let (code, list) = shown(["list", text(&path)]);
    assert_eq!(code, 1);
    assert!(list.contains("worker"));
    let report = String::from_utf8_lossy(&crashlog(["verify", text(&path)]).stdout).into_owned();
    assert!(
        report.contains("primary partition table is damaged"),
        "{report}"
    );
}

#[test]
fn a_ring_in_its_second_lap_begins_with_the_oldest_page() {
    let bench = Bench::new();
    let path = bench.with_short_ring();
    let mut partition = Partition::open(&path);
    let pages = partition.geometry.ring_pages();
    for number in 0..pages + pages / 2 {
        let line = format!("{number}\n");
        partition.page(
            1,
            &[(
                header(Stream::Console, Level::Info, 0, number.into()),
                line.as_bytes(),
            )],
        );
    }
    let raw = crashlog(["log", "--raw", text(&path)]).stdout;
    let wanted: String = (pages / 2..pages + pages / 2)
        .map(|number| format!("{number}\n"))
        .collect();
    assert_eq!(String::from_utf8_lossy(&raw), wanted);
    assert!(ok(["verify", text(&path)]).contains("everything is sound"));
}

#[test]
fn an_erased_crash_is_gone_and_its_number_not_used_again() {
    let bench = Bench::new();
    let (path, mut partition) = card(&bench);
    assert!(ok(["erase", text(&path), "1"]).contains("0 left"));
    assert!(ok(["list", text(&path)]).contains("no crash records"));
    assert!(ok(["verify", text(&path)]).contains("everything is sound"));
    fails(1, ["erase", text(&path), "1"]);
    partition.ledger.erase(1);
    partition.crash(2, &[5], "sensor");
    assert!(ok(["list", text(&path)]).contains("sensor"));
    assert!(ok(["show", text(&path), "2"]).contains("does not exist"));
}

#[test]
fn a_closed_pipe_is_no_error() {
    let bench = Bench::new();
    let path = bench.formatted();
    let mut partition = Partition::open(&path);
    for number in 0..3_000_u64 {
        partition.page(
            1,
            &[(
                header(Stream::Console, Level::Info, 0, number),
                &[b'x'; 250],
            )],
        );
    }
    for raw in [false, true] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_crashlog"))
            .args(["log", text(&path)])
            .args(raw.then_some("--raw"))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the tool runs");
        let mut out = child.stdout.take().expect("pipe");
        out.read_exact(&mut [0; 100]).expect("some output");
        drop(out);
        let output = child.wait_with_output().expect("the tool ends");
        assert!(output.status.success(), "{:?}", output.status);
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    }
}
