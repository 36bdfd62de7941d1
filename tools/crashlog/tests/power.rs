//! `crashlog verify`, and the others: what a loss of power explains, and what is damage.

mod common;

use common::{Bench, Partition, STRAY_WRITE, crashlog, fails, header, ok, shown};
use crashlog_format::ledger::Ledger;
use crashlog_format::{BootEnd, BootEnds, Level, Stream};
use std::path::{Path, PathBuf};
use zerocopy::{FromBytes, IntoBytes};

fn text(path: &Path) -> &str {
    path.to_str().expect("path")
}

/// Writes pages of a boot with one record each.
fn pages(partition: &mut Partition, boot: u32, count: u32) {
    for number in 0..count {
        let console = header(Stream::Console, Level::Info, 2, number.into());
        partition.page(boot, &[(console, b"line\n")]);
    }
}

/// A card with boots of as many pages.
fn card(bench: &Bench, boots: &[u32]) -> (PathBuf, Partition) {
    let path = bench.formatted();
    let mut partition = Partition::open(&path);
    for (boot, count) in (1..).zip(boots) {
        pages(&mut partition, boot, *count);
    }
    (path, partition)
}

/// Removes a page.
fn clear(partition: &Partition, page: u32) {
    partition.write(partition.geometry.page(page), &[0; 512]);
}

/// What `verify` says of a card that passes with notes.
fn noted(path: &Path) -> String {
    let said = ok(["verify", text(path)]);
    assert!(
        said.contains("note  ") && !said.contains("damaged  "),
        "{said}"
    );
    assert!(!said.contains("everything is sound"), "{said}");
    said
}

/// What `verify` says of a damaged card.
fn found(path: &Path) -> String {
    let (code, said) = shown(["verify", text(path)]);
    assert_eq!(code, 1, "{said}");
    said
}

/// The last run of a boot, of which any pages may be missing, whatever comes after it.
#[test]
fn a_card_passes_that_lost_power_while_a_run_was_written() {
    for next_boot in [0, 20] {
        for kept in 0..8_u32 {
            let bench = Bench::new();
            let (path, mut partition) = card(&bench, &[20]);
            pages(&mut partition, 1, 4);
            pages(&mut partition, 2, next_boot);
            for page in (0..3).filter(|page| kept & 1 << page == 0) {
                clear(&partition, 20 + page);
            }
            if kept == 7 {
                assert!(ok(["verify", text(&path)]).contains("everything is sound"));
            } else {
                assert!(noted(&path).contains("power was lost while"));
            }
        }
    }
}

#[test]
fn a_missing_page_is_damage_if_its_boot_went_on() {
    let bench = Bench::new();
    let (path, partition) = card(&bench, &[40, 2]);
    clear(&partition, 23);
    assert!(found(&path).contains("log page 23: is missing"));
    // The last sixteen pages of a boot may be one run.
    let bench = Bench::new();
    let (path, partition) = card(&bench, &[40, 2]);
    clear(&partition, 24);
    noted(&path);
}

/// The first page of a boot holds its boot record.
#[test]
fn a_boot_without_its_first_page_is_damaged() {
    let bench = Bench::new();
    let (path, partition) = card(&bench, &[3, 30, 3]);
    clear(&partition, 3);
    assert!(found(&path).contains("log page 3: is missing"));
}

#[test]
fn a_missing_page_is_damage_if_the_ledger_has_it_as_written() {
    let bench = Bench::new();
    let (path, mut partition) = card(&bench, &[5]);
    partition.note_pages(1);
    clear(&partition, 3);
    assert!(found(&path).contains("log page 3: is missing"));
    for page in [2, 4] {
        clear(&partition, page);
    }
    let said = found(&path);
    assert!(
        said.contains("log pages 2 to 4: are missing: the ledger has them as written"),
        "{said}"
    );
    for page in [0, 1] {
        clear(&partition, page);
    }
    let said = found(&path);
    assert!(said.contains("log pages 0 to 4: are missing"), "{said}");
}

/// A system that kept its memory completes the run.
#[test]
fn a_missing_page_is_damage_if_the_next_boot_had_it_in_memory() {
    for (end, is_damage) in [
        (BootEnd::Crash(6), true),
        (BootEnd::Watchdog, true),
        (BootEnd::PowerLost, false),
    ] {
        let bench = Bench::new();
        let (path, mut partition) = card(&bench, &[5]);
        partition.boot_record_after(2, 7, BootEnds::NONE.and(end));
        clear(&partition, 3);
        if is_damage {
            assert!(found(&path).contains("log page 3: is missing"), "{end:?}");
        } else {
            noted(&path);
        }
    }
}

/// In a ring in its second lap the run that was cut off overwrites the oldest pages.
#[test]
fn the_places_after_the_newest_page_may_be_torn() {
    let bench = Bench::new();
    let path = bench.with_short_ring();
    let mut partition = Partition::open(&path);
    let ring = partition.geometry.ring_pages();
    pages(&mut partition, 1, ring + 50);
    partition.note_pages(1);
    assert!(ok(["verify", text(&path)]).contains("everything is sound"));
    for page in 50..66 {
        partition.damage(partition.geometry.page(page), 4);
    }
    assert!(noted(&path).contains("log page 50: is missing"));
    partition.damage(partition.geometry.page(66), 4);
    assert!(found(&path).contains("log page 50: is missing"));
}

/// An emergency writes the crash, then the log tail, then the snapshot.
#[test]
fn a_crash_knows_how_many_pages_were_written_before_it() {
    let bench = Bench::new();
    let (path, mut partition) = card(&bench, &[5]);
    partition.log_page = 8;
    partition.crash(1, STRAY_WRITE, "worker");
    let words = "crash record 1: its log ends before page 8, and 3 pages before that are missing";
    assert!(noted(&path).contains(words));
    partition.note_snapshot();
    assert!(found(&path).contains(words));

    let bench = Bench::new();
    let (path, mut partition) = card(&bench, &[5]);
    partition.log_page = 8000;
    partition.crash(1, STRAY_WRITE, "worker");
    assert!(found(&path).contains("its log ends before page 8000"));

    // An oops is written by the normal path, after its log.
    let bench = Bench::new();
    let (path, mut partition) = card(&bench, &[5]);
    partition.log_page = 6;
    partition.oops(1, STRAY_WRITE, "worker");
    let words = "crash record 1: its log ends before page 6, and 1 page before that is missing";
    assert!(found(&path).contains(words));
}

/// The device finds the crash in its slot, and so does the tool.
#[test]
fn a_crash_whose_ledger_is_damaged_is_found() {
    let bench = Bench::new();
    let (path, mut partition) = card(&bench, &[5]);
    let block = partition.crash(1, STRAY_WRITE, "worker");
    partition.damage(partition.geometry.ledger(partition.ledger.generation()), 20);
    let list = ok(["list", text(&path)]);
    assert!(
        list.contains("worker") && list.contains("ledger: checksum does not match"),
        "{list}"
    );
    assert!(ok(["show", text(&path)]).contains("Crash record 1"));
    assert!(noted(&path).contains("ledger: checksum does not match"));
    let refused = fails(3, ["format", text(&path)]);
    assert!(refused.contains("1 crash record"), "{refused}");

    // A crash that is not whole was not durable when the ledger was written.
    partition.damage(block + 1, 3);
    let list = ok(["list", text(&path)]);
    assert!(!list.contains("worker"), "{list}");
    assert!(list.contains("crash record 1 that is not whole"), "{list}");
    noted(&path);
}

#[test]
fn a_number_that_a_ledger_has_twice_is_found() {
    let bench = Bench::new();
    let (path, mut partition) = card(&bench, &[1]);
    partition.crash(1, STRAY_WRITE, "worker");
    partition.crash(1, &[8], "sensor");
    partition.crash(1, &[5], "third");
    let mut bytes = partition.ledger.as_bytes().to_vec();
    // The entries are 20 bytes each, at the end of the block's header, and begin with the number.
    bytes[72 + 20] = 1;
    bytes[72 + 40] = 1;
    partition.ledger = Ledger::read_from_bytes(&bytes).expect("a ledger");
    partition.write_ledger();
    let (code, list) = shown(["list", text(&path)]);
    assert_eq!(code, 1);
    for words in [
        "worker",
        "its slot holds crash record 2",
        "its slot holds crash record 3",
    ] {
        assert!(list.contains(words), "{words}: {list}");
    }
    let said = found(&path);
    assert!(
        said.contains("slot 1: the number 1 is in another slot, too"),
        "{said}"
    );
}

#[test]
fn the_log_says_where_records_are_missing() {
    let bench = Bench::new();
    let (path, partition) = card(&bench, &[9, 2]);
    clear(&partition, 4);
    clear(&partition, 5);
    for more in [&[][..], &["--json"], &["--raw"]] {
        let why = fails(1, ["log", text(&path)].iter().chain(more));
        let words = "2 records of the log are missing: 2 of boot 1 before record 7";
        assert!(why.contains(words), "{why}");
    }
    ok(["log", "--boot", "2", text(&path)]);
}

/// Records that a task had to drop have no number, and raw payloads no room for a remark.
#[test]
fn the_raw_log_says_what_was_lost() {
    let bench = Bench::new();
    let (path, mut partition) = card(&bench, &[1]);
    let mut lossy = header(Stream::Console, Level::Info, 3, 5);
    lossy.lost = 2;
    partition.page(1, &[(lossy, b"on\n")]);
    let output = crashlog(["log", "--raw", text(&path)]);
    assert_eq!(output.stdout, b"line\non\n");
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "crashlog: log of boot 1: 2 records of task 3 lost before record 2\n"
    );
    assert!(output.status.success());
}
