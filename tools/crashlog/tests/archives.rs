//! Build archives: the one that fits is picked by image id, and no other is used in silence.

mod common;

use common::archive::Build;
use common::{Bench, Partition, STRAY_WRITE, crashlog, fails, header, ok};
use crashlog_format::{Level, Stream};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The images of two builds. The second has one task more, above the others.
const FIRST: u64 = 0xac7f_1045_79de_0074;
const SECOND: u64 = 0x1122_3344_5566_7788;
/// The same as they are shown: bytes in the order of the image.
const FIRST_SHOWN: &str = "7400de7945107fac";
const SECOND_SHOWN: &str = "8877665544332211";

const BEFORE: [&str; 6] = ["jefe", "crashlog", "console", "sensor", "monitor", "hiffy"];

struct Scene {
    bench: Bench,
    card: PathBuf,
    partition: Partition,
    first: PathBuf,
    second: PathBuf,
}

/// A card with a crash of the first image, and the archives of both in a folder.
fn scene() -> Scene {
    let bench = Bench::new();
    let card = bench.formatted();
    let mut partition = Partition::open(&card);
    partition.page(
        1,
        &[(header(Stream::Event, Level::Info, 6, 10), b"\0job done")],
    );
    partition.image_id = FIRST;
    partition.crash(1, STRAY_WRITE, "worker");
    let folder = bench.path("builds");
    fs::create_dir(&folder).expect("folder");
    let (first, second) = (folder.join("first.zip"), folder.join("second.zip"));
    let mut tasks: Vec<_> = BEFORE.map(|name| (name, Some("other"))).into();
    tasks.push(("worker", Some("deliver")));
    let build = |id, tasks: &[_]| {
        Build {
            id: Some(id),
            tasks,
        }
        .write(if id == FIRST { &first } else { &second })
    };
    build(FIRST, &tasks);
    tasks.insert(3, ("thermo", Some("other")));
    tasks.retain(|(name, _)| *name != "hiffy");
    tasks[6].1 = Some("changed");
    build(SECOND, &tasks);
    Scene {
        bench,
        card,
        partition,
        first,
        second,
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("path")
}

fn said(output: &Output) -> (String, String) {
    assert!(output.status.success(), "{output:?}");
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
    (text(&output.stdout), text(&output.stderr))
}

fn json(arguments: &[&str]) -> Value {
    serde_json::from_str(&ok(arguments)).expect("JSON")
}

/// REQ: X9 (in part: a crash)
#[test]
fn the_archive_that_fits_is_picked() {
    let scene = scene();
    let card = text(&scene.card);
    let [first, second] = [&scene.first, &scene.second].map(|path| text(path));
    let folder = text(scene.first.parent().expect("folder"));
    let choices: [&[&str]; 4] = [
        &["--archive", first],
        &["--archive", second, "--archive", first],
        &["--archive", folder],
        &[
            "--archive",
            second,
            "--archive",
            folder,
            "--archive-mismatch-ok",
        ],
    ];
    for choice in choices {
        let shown = ok([&["show", card], choice].concat());
        assert!(shown.contains("8080003c  deliver"), "{choice:?}: {shown}");
        let build = format!("  build     {FIRST_SHOWN}  test-app default (git 2cf33c0f7280)\n");
        assert!(shown.contains(&build), "{choice:?}: {shown}");
        assert!(shown.contains("worker     event   job done"), "{shown}");
        let value = json(&[&["show", "--json", card], choice].concat());
        assert_eq!(value["image_id"], FIRST_SHOWN);
        assert_eq!(value["archive"], first);
    }

    // Without an archive the id alone is known.
    let shown = ok(["show", card]);
    assert!(
        shown.contains(&format!("  build     {FIRST_SHOWN}\n")),
        "{shown}"
    );
    let value = json(&["list", "--json", card]);
    assert_eq!(value["crashes"][0]["image_id"], FIRST_SHOWN);
    assert_eq!(json(&["show", "--json", card])["archive"], Value::Null);
}

/// REQ: X9 (in part: a list)
#[test]
fn a_list_names_the_images_if_they_differ() {
    let mut scene = scene();
    let list = || ok(["list", text(&scene.card)]);
    let shown = list();
    assert!(!shown.contains(FIRST_SHOWN), "one image: {shown}");
    scene.partition.image_id = SECOND;
    scene.partition.crash(2, STRAY_WRITE, "sensor");
    scene.partition.image_id = 0;
    scene.partition.crash(3, STRAY_WRITE, "console");
    let shown = list();
    let lines: Vec<&str> = shown.lines().skip(2).collect();
    let wanted = [
        ("worker", FIRST_SHOWN),
        ("sensor", SECOND_SHOWN),
        ("console", "not known"),
    ];
    assert_eq!(lines.len(), wanted.len(), "{shown}");
    for (line, (task, image)) in lines.iter().zip(wanted) {
        assert!(line.contains(task) && line.contains(image), "{shown}");
    }
    let columns = ["MemoryAccess", "fault "].map(|word| {
        let line = shown.lines().find(|line| line.contains(word));
        line.and_then(|line| line.find(word))
    });
    assert_eq!(columns[0], columns[1], "{shown}");
}

/// REQ: X9 (in part: a crash)
#[test]
fn an_archive_of_another_build_is_refused_unless_the_user_insists() {
    let mut scene = scene();
    let card = text(&scene.card);
    let second = text(&scene.second);
    let (shown, warned) = said(&crashlog(["show", card, "--archive", second]));
    assert_eq!(warned.lines().count(), 1, "{warned}");
    for words in [FIRST_SHOWN, SECOND_SHOWN, second, "--archive-mismatch-ok"] {
        assert!(warned.contains(words), "{words}: {warned}");
    }
    assert!(
        !shown.contains("Backtrace") && !shown.contains("changed"),
        "{shown}"
    );
    assert!(
        shown.contains(" pc 8080003c") && shown.contains("task 6     event"),
        "{shown}"
    );
    let output = crashlog(["show", "--json", card, "--archive", second]);
    let value: Value = serde_json::from_str(&said(&output).0).expect("JSON");
    assert_eq!(
        (&value["archive"], &value["chain"]),
        (&Value::Null, &Value::Null)
    );

    let insist = ["show", card, "--archive", second, "--archive-mismatch-ok"];
    let (shown, warned) = said(&crashlog(insist));
    assert_eq!(warned.lines().count(), 1, "{warned}");
    assert!(
        warned.contains("WARNING") && warned.contains(SECOND_SHOWN),
        "{warned}"
    );
    assert!(shown.contains("8080003c  changed"), "{shown}");
    assert!(
        shown.contains(&format!("  build     {FIRST_SHOWN}\n")),
        "{shown}"
    );

    // A crash of a build that did not know its image.
    scene.partition.image_id = 0;
    scene.partition.crash(2, &[8], "worker");
    let (shown, warned) = said(&crashlog(["show", card, "--archive", second]));
    assert_eq!(warned.lines().count(), 1, "{warned}");
    assert!(warned.contains("does not name"), "{warned}");
    assert!(
        shown.contains("  build     unknown\n") && !shown.contains("Backtrace"),
        "{shown}"
    );
    assert_eq!(json(&["show", "--json", card])["image_id"], Value::Null);
}

/// What `log` prints, without boot and time.
fn lines(log: &str) -> Vec<String> {
    let line = |line: &str| {
        line.split_whitespace()
            .skip(2)
            .collect::<Vec<_>>()
            .join(" ")
    };
    log.lines().map(line).collect()
}

/// The indices of the second build are shifted: `worker` has that of `monitor` in the first. No
/// crash of its boots is on the card; of the first the boot record is gone, and its crash names it.
///
/// REQ: X9 (in part: boots)
#[test]
fn the_names_in_the_log_are_those_of_the_build_of_the_boot() {
    let mut scene = scene();
    let partition = &mut scene.partition;
    let sensor = header(Stream::Event, Level::Info, 3, 20);
    partition.page(1, &[(sensor, b"\0warm")]);
    partition.boot_record(2, SECOND);
    let records = [
        (header(Stream::Event, Level::Info, 4, 30), &b"\0cold"[..]),
        (sensor, b"\0hot"),
    ];
    partition.page(2, &records);
    partition.boot_record(3, FIRST);
    partition.page(3, &[(sensor, b"\0mild")]);
    let card = text(&scene.card);
    let [first, second] = [&scene.first, &scene.second].map(|path| text(path));
    let folder = text(scene.first.parent().expect("folder"));
    let log = ok(["log", card, "--archive", folder]);
    let boot = "crashlog boot test-app default version 3 (git 2cf33c0f7280-dirty) for bench, image";
    let expected = [
        "worker event job done".to_owned(),
        "sensor event warm".to_owned(),
        format!("{boot} {SECOND_SHOWN}"),
        "sensor event cold".to_owned(),
        "thermo event hot".to_owned(),
        format!("{boot} {FIRST_SHOWN}"),
        "sensor event mild".to_owned(),
    ];
    assert_eq!(lines(&log), expected);
    let both = ["log", card, "--archive", first, "--archive", second];
    let log = ok(both.iter().chain(&["--task", "sensor"]));
    for word in ["warm", "cold", "mild"] {
        assert!(log.contains(word), "{word}: {log}");
    }
    assert!(!log.contains("hot") && !log.contains("job"), "{log}");
    let line = fails(2, both.iter().chain(&["--task", "nobody"]));
    assert!(
        line.contains("no archive has a task of that name"),
        "{line}"
    );

    // Of the second boot there is no archive: numbers, and one line.
    let (log, warned) = said(&crashlog(["log", card, "--archive", first]));
    assert_eq!(warned.lines().count(), 1, "{warned}");
    assert!(
        warned.contains("boot 2") && warned.contains(SECOND_SHOWN),
        "{warned}"
    );
    assert!(log.contains("task 3     event   hot"), "{log}");
    assert!(log.contains("sensor     event   mild"), "{log}");
    let log = ok(["log", card, "--archive", first, "--boot", "1"]);
    assert!(log.contains("sensor     event   warm"), "{log}");
}

/// What runs is known without an archive.
///
/// REQ: X9 (in part: boots)
#[test]
fn the_boot_record_is_read_without_an_archive() {
    let mut scene = scene();
    scene.partition.boot_record(2, SECOND);
    scene.partition.image_id = SECOND;
    scene.partition.crash(2, STRAY_WRITE, "worker");
    let card = text(&scene.card);
    let shown = ok(["log", card, "--stream", "boot"]);
    let names = "test-app default version 3 (git 2cf33c0f7280-dirty) for bench";
    assert_eq!(
        lines(&shown),
        [format!("task 1 boot {names}, image {SECOND_SHOWN}")],
        "{shown}"
    );
    let value = json(&["log", card, "--stream", "boot", "--json"]);
    assert_eq!(value["stream"], "boot");
    let build = serde_json::json!({
        "image_id": SECOND_SHOWN,
        "app": "test-app",
        "image": "default",
        "version": 3,
        "epoch": 0,
        "board": "bench",
        "commit": "2cf33c0f7280bf4b8391227169654265a2864fee-dirty",
    });
    assert_eq!(value["build"], build);
    let shown = ok(["show", card]);
    let expected = format!("  build     {SECOND_SHOWN}  {names}\n");
    assert!(shown.contains(&expected), "{shown}");
    // The boot record of another image is not that of the crash.
    scene.partition.image_id = FIRST;
    scene.partition.crash(2, &[8], "worker");
    let shown = ok(["show", card]);
    let expected = format!("  build     {FIRST_SHOWN}\n");
    assert!(shown.contains(&expected), "{shown}");
}

/// A record that calls itself a boot record, and is none.
#[test]
fn a_damaged_boot_record() {
    let mut scene = scene();
    let boot = header(Stream::Boot, Level::Info, 1, 2);
    scene.partition.page(2, &[(boot, &[0; 16])]);
    // One that is not the first record of its boot was not written by the recorder.
    scene.partition.page(3, &[(boot, b"")]);
    scene.partition.boot_record(3, FIRST);
    scene
        .partition
        .page(3, &[(header(Stream::Event, Level::Info, 3, 30), b"\0cold")]);
    let card = text(&scene.card);
    let (log, warned) = said(&crashlog(["log", card, "--archive", text(&scene.first)]));
    let unknown: Vec<_> = warned.lines().collect();
    assert_eq!(unknown.len(), 2, "{warned}");
    assert!(
        unknown[0].contains("boot 2 has no known build")
            && unknown[1].contains("boot 3 has no known build"),
        "{warned}"
    );
    assert!(
        log.contains("boot    00000000000000000000000000000000"),
        "{log}"
    );
    assert!(log.contains("task 3     event   cold"), "{log}");
}

/// Neither a boot record nor a crash of a boot is on the card.
///
/// REQ: X9 (in part: boots)
#[test]
fn a_boot_whose_build_is_not_known() {
    let mut scene = scene();
    let record = (header(Stream::Event, Level::Info, 3, 30), &b"\0cold"[..]);
    scene.partition.page(2, &[record]);
    scene.partition.page(2, &[record]);
    scene.partition.page(3, &[record]);
    let card = text(&scene.card);
    let first = text(&scene.first);
    let folder = text(scene.first.parent().expect("folder"));
    for archive in [first, folder] {
        let (log, warned) = said(&crashlog(["log", card, "--archive", archive]));
        let said: Vec<_> = warned.lines().collect();
        assert_eq!(said.len(), 2, "{warned}");
        for (line, boot) in said.iter().zip(["boot 2 ", "boot 3 "]) {
            assert!(
                line.contains(boot)
                    && line.contains("has no known build")
                    && line.contains("--archive-mismatch-ok"),
                "{warned}"
            );
        }
        assert!(
            log.contains("worker ") && log.matches("task 3 ").count() == 3,
            "{log}"
        );
    }
    let insist = ["log", card, "--archive", first, "--archive-mismatch-ok"];
    let (log, warned) = said(&crashlog(insist));
    assert_eq!(warned.lines().count(), 1, "{warned}");
    assert!(
        warned.contains("WARNING: boot 2 ") && warned.contains(FIRST_SHOWN),
        "{warned}"
    );
    assert_eq!(log.matches("sensor ").count(), 3, "{log}");
    // Without an archive there are no names to be wrong.
    let log = ok(["log", card]);
    assert_eq!(log.matches("task 3 ").count(), 3, "{log}");
}

#[test]
fn the_environment_names_archives() {
    let scene = scene();
    let run = |variable: &str, arguments: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_crashlog"))
            .args(["show", text(&scene.card)])
            .args(arguments)
            .env("CRASHLOG_ARCHIVES", variable)
            .output()
            .expect("the tool runs")
    };
    let [first, second] = [&scene.first, &scene.second].map(|path| text(path));
    let (shown, warned) = said(&run(&format!("{second}:{first}:"), &[]));
    assert!(
        shown.contains("deliver") && warned.is_empty(),
        "{warned}{shown}"
    );
    // The command line comes before it.
    let (shown, warned) = said(&run(first, &["--archive", second]));
    assert!(
        !shown.contains("deliver") && warned.lines().count() == 1,
        "{warned}"
    );
    assert!(!run("/no/such.zip", &[]).status.success());
}

#[test]
fn archives_that_are_none() {
    let mut scene = scene();
    let card = text(&scene.card).to_owned();
    let show = |path: &Path| fails(2, ["show", &card, "--archive", text(path)]);
    let whole = fs::read(&scene.first).expect("archive");
    let bad = scene.bench.path("bad.zip");
    let cases: [(&[u8], &str); 4] = [
        (b"", "it is not a zip file"),
        (b"no archive", "it is not a zip file"),
        (&whole[..whole.len() / 2], "the zip file is truncated"),
        (&whole[..whole.len() - 1], "the zip file is truncated"),
    ];
    for (bytes, words) in cases {
        fs::write(&bad, bytes).expect("write");
        let line = show(&bad);
        assert!(line.contains(words) && line.contains("bad.zip"), "{line}");
    }
    let worker = [("worker", Some("deliver"))];
    Build {
        id: None,
        tasks: &worker,
    }
    .write(&bad);
    assert!(show(&bad).contains("has no HUBRIS_IMAGE_ID"));
    let mut tasks: Vec<_> = BEFORE.map(|name| (name, None)).into();
    tasks.push(("worker", None));
    let id = Some(FIRST);
    Build { id, tasks: &tasks }.write(&bad);
    let line = show(&bad);
    assert!(
        line.contains("the ELF of task worker has no debug information"),
        "{line}"
    );
    Build { id, tasks: &[] }.write(&bad);
    assert!(show(&bad).contains("it has no tasks"));

    let folder = scene.bench.path("empty");
    fs::create_dir(&folder).expect("folder");
    assert!(show(&folder).contains("no file *.zip"));
    let line = fails(2, ["show", &card, "--archive-mismatch-ok"]);
    assert!(line.contains("no archive is given"), "{line}");

    // In a folder what is no archive is left out.
    let folder = scene.first.parent().expect("folder").to_owned();
    fs::write(folder.join("a.zip"), &whole[..100]).expect("write");
    fs::write(folder.join("notes.txt"), b"").expect("write");
    let (shown, warned) = said(&crashlog(["show", &card, "--archive", text(&folder)]));
    assert!(shown.contains("deliver"), "{shown}");
    assert_eq!(warned.lines().count(), 1, "{warned}");
    assert!(
        warned.contains("a.zip") && warned.contains("left out"),
        "{warned}"
    );

    // A task whose name is another in the archive of its own image: the card is hostile.
    scene.partition.image_id = FIRST;
    scene.partition.crash(3, &[8], "sensor");
    let (shown, warned) = said(&crashlog(["show", &card, "--archive", text(&scene.first)]));
    assert!(warned.contains("is of task 6, \"sensor\", and"), "{warned}");
    assert!(shown.contains("task sensor (index 6)") && !shown.contains("Backtrace"));
}
