//! The report: structure of the page, hostile content, and output files.

mod common;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use common::archive::Build;
use common::report::{HOSTILE, HOSTILE_TASK, hostile_page, plain_page, read};
use common::snapshot::Snapshot;
use common::{Bench, Partition, STRAY_WRITE, crashlog, fails, header, ok};
use crashlog_format::snapshot::{ExtentStatus, KERNEL_OWNER, SnapshotKind};
use crashlog_format::{Activity, Level, Stream, TaskEntry};
use scraper::{Html, Selector};
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::fs;
use std::path::Path;

fn all<'a>(page: &'a Html, selector: &str) -> Vec<scraper::ElementRef<'a>> {
    let selector = Selector::parse(selector).expect("selector");
    page.select(&selector).collect()
}

fn texts(page: &Html, selector: &str) -> Vec<String> {
    let elements = all(page, selector).into_iter();
    elements
        .map(|element| element.text().collect::<String>())
        .collect()
}

/// What holds for every page: it is sound HTML, has nothing that refers to elsewhere, and one style
/// and one script, which its policy allows by their hashes.
fn check(text: &str) -> Html {
    let page = Html::parse_document(text);
    assert!(page.errors.is_empty(), "{:?}", page.errors);
    let mut ids = HashSet::new();
    for element in all(&page, "*") {
        let name = element.value().name();
        assert!(
            ![
                "iframe", "img", "object", "embed", "link", "base", "audio", "video", "a:href"
            ]
            .contains(&name),
            "{name}"
        );
        for (attribute, value) in element.value().attrs() {
            assert!(
                !attribute.starts_with("on")
                    && !["style", "src", "action", "srcdoc"].contains(&attribute),
                "{name} has the attribute {attribute}={value}"
            );
            match attribute {
                "href" => assert!(value.starts_with('#'), "{value}"),
                "id" => assert!(ids.insert(value.to_owned()), "{value} is there twice"),
                _ => {}
            }
        }
    }
    for link in all(&page, "a") {
        let target = link.value().attr("href").expect("address");
        assert!(ids.contains(&target[1..]), "{target} leads nowhere");
    }
    for element in all(&page, "[aria-labelledby], label[for]") {
        let value = element.value();
        let target = value.attr("aria-labelledby").or(value.attr("for"));
        assert!(ids.contains(target.expect("attribute")), "{target:?}");
    }
    let policy = all(&page, "meta[http-equiv=Content-Security-Policy]");
    let policy = policy[0].value().attr("content").expect("policy");
    assert!(policy.starts_with("default-src 'none';"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    for (element, directive) in [("script", "script-src"), ("style", "style-src")] {
        let found = texts(&page, element);
        assert_eq!(found.len(), 1, "{element}");
        let hash = BASE64_STANDARD.encode(Sha256::digest(found[0].as_bytes()));
        assert!(
            policy.contains(&format!("{directive} 'sha256-{hash}';")),
            "{policy}"
        );
    }
    page
}

#[test]
fn the_page_has_every_part() {
    let bench = Bench::new();
    let text = read(&plain_page(&bench));
    let page = check(&text);
    assert_eq!(texts(&page, "h1"), ["Crash 1: task worker"]);
    let what = texts(&page, ".what p");
    assert_eq!(what.len(), 3, "{what:?}");
    assert_eq!(
        what[0],
        "Task worker (index 6) accessed memory that it may not access, at 0xdeadbee0."
    );
    assert!(
        what[1].contains("0x8080003c") && what[1].contains("archive"),
        "{what:?}"
    );
    assert!(what[2].starts_with("The system was restarted, 3.012 s after the start of boot 1."));
    assert_eq!(
        texts(&page, ".message pre"),
        ["index out of bounds: the len is 4 but the index is 7\n"]
    );
    for section in ["log", "place", "memory", "emergency", "card", "missing"] {
        assert_eq!(
            all(&page, &format!("section#{section} h2")).len(),
            1,
            "{section}"
        );
    }
    assert_eq!(all(&page, ".registers div").len(), 17);
    assert_eq!(texts(&page, ".records tbody tr").len(), 40);
    let steps = texts(&page, ".steps .done b");
    assert_eq!(
        steps,
        ["controller reset", "card ready", "crash record", "commit"]
    );
    assert_eq!(all(&page, ".lanes g").len(), 2, "a lane for each task");
}

/// A box hides rows and ticks without a script: each has its box's class, and the style a rule for
/// it.
#[test]
fn the_log_is_filtered_by_style() {
    let bench = Bench::new();
    let text = read(&plain_page(&bench));
    let page = check(&text);
    let style = texts(&page, "style").concat();
    let boxes = all(&page, ".filter input[type=checkbox]");
    assert_eq!(boxes.len(), 6, "two streams, two levels, two tasks");
    for element in boxes {
        let id = element.value().attr("id").expect("id");
        let class = id.strip_prefix("show-").expect("class");
        assert!(
            style.contains(&format!("body:has(#{id}:not(:checked)) .log .{class} ")),
            "{id}"
        );
        let rows = all(&page, &format!(".records tbody tr.{class}")).len();
        assert!(rows == 10 || rows == 30, "{class}: {rows}");
        assert!(
            !all(&page, &format!(".lanes path.{class}")).is_empty(),
            "{class}"
        );
    }
}

#[test]
fn hostile_content_is_text() {
    let bench = Bench::new();
    let text = read(&hostile_page(&bench));
    let page = check(&text);
    let rows = texts(&page, ".records tbody td.text");
    assert_eq!(rows.len(), 2 * HOSTILE.len());
    for hostile in HOSTILE
        .iter()
        .filter(|text| text.is_ascii() && !text.contains('\0'))
    {
        assert!(rows.contains(&(*hostile).to_owned()), "{hostile}: {rows:?}");
    }
    assert!(texts(&page, ".records td").contains(&HOSTILE_TASK.to_owned()));
    assert!(texts(&page, ".lane-name").contains(&HOSTILE_TASK.to_owned()));
    assert_eq!(texts(&page, ".function")[0], "<b>run</b>::<script>");
    for character in ['\u{202e}', '\u{2066}', '\u{200f}', '\0', '\u{1b}'] {
        assert!(!text.contains(character), "{character:?}");
    }
}

#[test]
fn a_hostile_name_in_the_header_is_text() {
    let bench = Bench::new();
    let path = bench.formatted();
    Partition::open(&path).crash(1, STRAY_WRITE, "\"><script>x</script>");
    let page = bench.path("page.html");
    report(&path, &page, &[]);
    let page = check(&read(&page));
    assert_eq!(texts(&page, "h1"), ["Crash 1: task \"><script>x</script>"]);
}

fn report(image: &Path, page: &Path, more: &[&str]) {
    let arguments = [
        "report".as_ref(),
        image.as_os_str(),
        "-o".as_ref(),
        page.as_os_str(),
    ];
    ok(arguments
        .into_iter()
        .chain(more.iter().map(|text| text.as_ref())));
}

fn refused(code: i32, image: &Path, page: &Path, more: &[&str]) -> String {
    let arguments = [
        "report".as_ref(),
        image.as_os_str(),
        "-o".as_ref(),
        page.as_os_str(),
    ];
    fails(
        code,
        arguments
            .into_iter()
            .chain(more.iter().map(|text| text.as_ref())),
    )
}

#[test]
fn a_long_log_is_cut_and_the_page_says_so() {
    let bench = Bench::new();
    let path = bench.formatted();
    let mut partition = Partition::open(&path);
    let line = [b'<'; 100];
    for page in 0..1_000_u64 {
        // Each of another task.
        let records = [0, 1, 2].map(|number| {
            let task = (3 * page + number) as u16 % 1024;
            (
                header(Stream::Console, Level::Info, task, 3 * page),
                &line[..],
            )
        });
        partition.page(1, &records);
    }
    partition.crash(1, STRAY_WRITE, "worker");
    let page = bench.path("page.html");
    report(&path, &page, &[]);
    let text = read(&page);
    assert!(text.len() < 4 << 20, "{}", text.len());
    let parsed = check(&text);
    assert_eq!(texts(&parsed, ".records tbody tr").len(), 2_000);
    assert!(
        texts(&parsed, "#log .note")[0].starts_with("The last 2000 records of the 3000 of boot 1")
    );
    assert_eq!(all(&parsed, ".lanes g").len(), 16);
    assert_eq!(texts(&parsed, ".lane-name")[15], "other tasks");
    report(&path, &page, &["--force", "--lines", "7"]);
    assert_eq!(texts(&check(&read(&page)), ".records tbody tr").len(), 7);
    report(&path, &page, &["--force", "--lines", "0"]);
    assert_eq!(all(&check(&read(&page)), ".records").len(), 0);
    assert!(fails_usage(&path, &page).contains("0 to 20000"));
}

fn fails_usage(image: &Path, page: &Path) -> String {
    let output = crashlog([
        "report".as_ref(),
        image.as_os_str(),
        "-o".as_ref(),
        page.as_os_str(),
        "--lines=20001".as_ref(),
    ]);
    assert_eq!(output.status.code(), Some(2));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn times_that_make_no_sense_are_shown() {
    let bench = Bench::new();
    let path = bench.formatted();
    let mut partition = Partition::open(&path);
    for time in [u64::MAX, 0, 5_000, 17] {
        partition.page(
            1,
            &[(header(Stream::Trace, Level::Trace, u16::MAX, time), b"\xff")],
        );
    }
    partition.crash(1, STRAY_WRITE, "worker");
    let page = bench.path("page.html");
    report(&path, &page, &[]);
    let page = check(&read(&page));
    let times = texts(&page, ".records tbody tr td:nth-child(2)");
    assert_eq!(times[1..], ["\u{2212}3.012", "+1.988", "\u{2212}2.995"]);
}

#[test]
fn a_self_test_and_an_empty_log() {
    let bench = Bench::new();
    let path = bench.formatted();
    Partition::open(&path).self_test(1);
    let page = bench.path("page.html");
    report(&path, &page, &["1"]);
    let page = check(&read(&page));
    assert_eq!(texts(&page, "h1"), ["Self-test 1: task crashlog"]);
    assert!(texts(&page, ".what p")[0].contains("nothing crashed"));
    assert!(texts(&page, "#log .note")[0].starts_with("The card has no log of that boot"));
}

#[test]
fn output_files_are_not_overwritten() {
    let bench = Bench::new();
    let path = bench.formatted();
    Partition::open(&path).crash(1, STRAY_WRITE, "worker");
    let page = bench.path("page.html");
    fs::write(&page, "mine").expect("write");
    let line = refused(2, &path, &page, &[]);
    assert!(
        line.contains("page.html: exists already; --force overwrites it"),
        "{line}"
    );
    assert_eq!(read(&page), "mine");
    report(&path, &page, &["--force"]);
    check(&read(&page));

    let card = fs::read(&path).expect("card");
    for command in ["report", "dump"] {
        let [image, force] = [path.as_os_str(), "--force".as_ref()];
        let line = fails(2, [command.as_ref(), image, "-o".as_ref(), image, force]);
        assert!(line.contains("is the card"), "{line}");
    }
    assert!(
        fs::read(&path).expect("card") == card,
        "the card is unchanged"
    );
    let line = refused(2, &path, &bench.path(""), &["--force"]);
    assert!(line.contains("is a folder"), "{line}");
    let line = refused(4, &path, &bench.path("none/page.html"), &[]);
    assert!(line.contains("there is no folder"), "{}", line);
}

#[test]
fn a_full_disk_is_reported() {
    let bench = Bench::new();
    let path = bench.formatted();
    Partition::open(&path).crash(1, STRAY_WRITE, "worker");
    let line = refused(4, &path, Path::new("/dev/full"), &["--force"]);
    assert!(line.contains("/dev/full: cannot write it: "), "{line}");
}

#[test]
fn a_crash_that_does_not_exist_leaves_no_file() {
    let bench = Bench::new();
    let path = bench.formatted();
    let page = bench.path("page.html");
    let line = refused(1, &path, &page, &["7"]);
    assert!(line.contains("has no crash record 7"), "{line}");
    assert!(!page.exists());
}

/// A crash that has the state of all tasks: their table, who waited for whom, and a deadlock.
#[test]
fn tasks_and_who_waited_for_whom_are_shown() {
    let bench = Bench::new();
    let path = bench.formatted();
    let mut partition = Partition::open(&path);
    let mut failed = TaskEntry::new(Activity::Runnable, 0);
    failed.set_fault(STRAY_WRITE);
    partition.tasks = vec![
        TaskEntry::new(Activity::Receiving, 0),
        TaskEntry::new(Activity::AwaitingReply, 2),
        TaskEntry::new(Activity::Sending, 1),
        TaskEntry::new(Activity::AwaitingReply, 0),
        failed,
        TaskEntry::new(Activity::ReceivingFrom, u16::MAX),
    ];
    partition.crash(1, STRAY_WRITE, "worker");
    let page = bench.path("page.html");
    report(&path, &page, &[]);
    let page = check(&read(&page));
    assert_eq!(all(&page, ".tasks tbody tr").len(), 6);
    assert_eq!(texts(&page, ".tasks .failed th"), ["task 4"]);
    assert_eq!(
        texts(&page, ".deadlocks li"),
        ["Deadlock: task 1 waits for the reply of task 2, task 2 is sending to task 1."]
    );
    assert_eq!(all(&page, ".graph .deadlock").len(), 2);
    assert_eq!(all(&page, ".graph .wait").len(), 1);
    assert_eq!(
        all(&page, ".graph .task").len(),
        4,
        "a task that does not wait is not drawn"
    );
}

/// The memory that was saved: a map, regions under their (hostile) names, and what is missing.
#[test]
fn saved_memory_is_shown_and_what_is_missing_is_said() {
    let bench = Bench::new();
    let path = bench.formatted();
    let mut partition = Partition::open(&path);
    let crash = partition.crash(1, STRAY_WRITE, "worker");
    let mut snapshot = Snapshot::new(SnapshotKind::System);
    snapshot
        .save(6, 0x8082_0000, &[7; 2048])
        .region("<b>fan</b>", 6, 0x8082_0000, &[7; 16])
        .save(KERNEL_OWNER, 0x4000_0000, &[1; 512])
        .miss(3, 0x8082_0800, 1024, ExtentStatus::NoRoom);
    snapshot.write(&mut partition, crash, |_| ());
    let page = bench.path("page.html");
    report(&path, &page, &[]);
    let page = check(&read(&page));
    let areas = texts(&page, ".map text");
    assert_eq!(areas, ["40000000  512 B", "80820000  3 KiB"]);
    assert_eq!(all(&page, ".map .saved").len(), 2);
    assert!(texts(&page, "#memory summary")[0].starts_with("<b>fan</b> of task 6; 16 bytes"));
    let missing = texts(&page, "#missing li");
    assert_eq!(missing.len(), 1, "{missing:?}");
    assert!(
        missing[0].contains("80820800  1024 bytes of task 3"),
        "{missing:?}"
    );
}

/// A damaged snapshot: the page is written all the same, and the exit code says it.
#[test]
fn a_damaged_snapshot_is_named() {
    let bench = Bench::new();
    let path = bench.formatted();
    let mut partition = Partition::open(&path);
    let crash = partition.crash(1, STRAY_WRITE, "worker");
    let mut snapshot = Snapshot::new(SnapshotKind::System);
    snapshot.save(6, 0x8082_0000, &[7; 2048]);
    let block = snapshot.write(&mut partition, crash, |_| ());
    partition.damage(block + 2, 5);
    let page = bench.path("page.html");
    let line = refused(1, &path, &page, &[]);
    assert!(line.contains("its snapshot is damaged in part"), "{line}");
    let page = check(&read(&page));
    assert!(texts(&page, "#missing li")[0].contains("damaged"));
}

#[test]
fn a_hundred_thousand_pieces_of_memory_make_a_page() {
    let bench = Bench::new();
    let path = bench.path("card.img");
    ok([
        "format",
        "--size",
        "64M",
        "--slot-size",
        "8M",
        "--slots",
        "3",
        path.to_str().expect("path"),
    ]);
    let mut partition = Partition::open(&path);
    let crash = partition.crash(1, STRAY_WRITE, "worker");
    let mut snapshot = Snapshot::new(SnapshotKind::System);
    for number in 0..100_000_u32 {
        snapshot.miss(
            number as u16,
            number.wrapping_mul(0x9e37_79b0),
            8,
            ExtentStatus::NoRoom,
        );
    }
    snapshot.write(&mut partition, crash, |_| ());
    let page = bench.path("page.html");
    report(&path, &page, &[]);
    let text = read(&page);
    assert!(text.len() < 1 << 20, "{}", text.len());
    let page = check(&text);
    assert_eq!(texts(&page, "#missing li").len(), 61);
}

#[test]
fn a_failure_of_the_kernel_is_a_page() {
    let bench = Bench::new();
    let path = bench.formatted();
    let mut partition = Partition::open(&path);
    partition.task = u16::MAX;
    partition.crash(1, &[], "kernel");
    let page = bench.path("page.html");
    report(&path, &page, &[]);
    let page = check(&read(&page));
    assert_eq!(texts(&page, "h1"), ["Crash 1: the kernel"]);
    let what = texts(&page, ".what p");
    assert_eq!(what[0], "The kernel failed.");
    assert!(
        what[2].starts_with("The system was restarted, "),
        "{what:?}"
    );
}

/// An archive of another image: the page says so, and is made all the same.
#[test]
fn an_archive_that_does_not_fit_is_named() {
    let bench = Bench::new();
    let path = bench.formatted();
    let mut partition = Partition::open(&path);
    partition.image_id = 1;
    partition.task = 0;
    let crash = partition.crash(1, STRAY_WRITE, "worker");
    let mut snapshot = Snapshot::new(SnapshotKind::System);
    snapshot.save(0, 0x8082_0000, &[7; 2048]);
    snapshot.write(&mut partition, crash, |_| ());
    let archive = bench.path("other.zip");
    Build {
        id: Some(2),
        tasks: &[("worker", Some("run"))],
    }
    .write(&archive);
    let page = bench.path("page.html");
    let output = crashlog([
        "report".as_ref(),
        path.as_os_str(),
        "-o".as_ref(),
        page.as_os_str(),
        "--archive-mismatch-ok".as_ref(),
        "--archive".as_ref(),
        archive.as_os_str(),
    ]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.contains("WARNING"),
        "{said}"
    );
    let page = check(&read(&page));
    let build = texts(&page, "#card dd").concat();
    assert!(
        build.contains("other.zip, which is of another image"),
        "{build}"
    );
    // Its kernel has no tables, by which the snapshot would be explained.
    assert!(!texts(&page, "#missing li").is_empty());
    assert_eq!(texts(&page, ".map .saved").len(), 1);
}

/// What is not known is not shown as zeros, and no place is made up.
#[test]
fn a_report_says_that_registers_are_not_known() {
    let bench = Bench::new();
    let path = bench.formatted();
    let mut partition = Partition::open(&path);
    partition.registers = [0; 17];
    partition.crash(1, STRAY_WRITE, "worker");
    let report = bench.path("report.html");
    ok([
        "report",
        path.to_str().expect("path"),
        "-o",
        report.to_str().expect("path"),
    ]);
    let text = fs::read_to_string(&report).expect("the report");
    let page = check(&text);
    assert!(!text.contains("00000000"), "{text}");
    assert!(text.contains("Where it was is not known."));
    assert!(text.contains("Registers: not given out by this kernel."));
    assert!(all(&page, ".registers").is_empty());
}
