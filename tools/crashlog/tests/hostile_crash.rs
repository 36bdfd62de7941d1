//! A crash whose sums match and whose content lies, or that is damaged in part: what there is, is
//! shown, what is not known is named, and nothing reaches the terminal that it acts on.

mod common;

use common::golden::{SABOTEUR, Scene};
use common::{Bench, Partition, crashlog, fails, golden, ok};
use crashlog_format::crash::CrashHeader;
use serde_json::Value;
use std::path::Path;

/// Nothing of this may reach a terminal: a new line, colour, a control character of two bytes, a
/// change of direction.
const NAME: &str = "a\n\u{1b}[31mb\u{9b}31m\u{202e}c";

fn text(path: &Path) -> &str {
    path.to_str().expect("path")
}

/// The golden card of a stack overflow.
fn overflow() -> Scene {
    scene("stack-overflow")
}

fn scene(card: &str) -> Scene {
    let bench = Bench::new();
    let archive = match card {
        "client-panic" => "demo.zip",
        _ => "saboteur.zip",
    };
    let card = golden::card(&bench, card);
    let partition = Partition::open(&card);
    let crash = golden::crash(&partition);
    Scene {
        archive: golden::archive(&bench, archive),
        snapshot: golden::snapshot(&partition, crash),
        bench,
        card,
        partition,
        crash,
    }
}

impl Scene {
    fn words<'a>(&'a self, words: &[&'a str]) -> Vec<&'a str> {
        let files = ["--archive", text(&self.archive), text(&self.card)];
        [words, &files].concat()
    }

    /// Changes the block of the crash header, and makes its sum right.
    fn reseal(&self, change: impl FnOnce(&mut [u8])) {
        let mut block = self.partition.read(self.crash);
        change(&mut block);
        let (words, _) = block[8..220 + 24 * usize::from(block[11])].as_chunks::<4>();
        let words = words.iter().map(|word| u32::from_le_bytes(*word));
        let sum = CrashHeader::checksum_of(self.partition.format, words);
        block[4..8].copy_from_slice(&sum.to_le_bytes());
        self.partition.write(self.crash, &block);
    }
}

fn is_safe(said: &str) -> bool {
    let is_active = |c: char| c.is_control() && c != '\n' || c == '\u{202e}';
    !said.chars().any(is_active)
}

/// The archive is of the image that crashed, and the name in the crash is that of no task of it.
#[test]
fn a_task_that_the_archive_has_not_is_named_and_the_rest_shown() {
    let bench = Bench::new();
    let card = bench.formatted();
    let mut partition = Partition::open(&card);
    (partition.image_id, partition.task) = (SABOTEUR, 4);
    partition.crash(1, &[5, 0, 0, 0, 0], NAME);
    let archive = golden::archive(&bench, "saboteur.zip");
    let page = bench.path("page.html");
    for words in [
        &["show"][..],
        &["show", "--json"],
        &["report", "-o", text(&page)],
    ] {
        let files = ["--archive", text(&archive), text(&card)];
        let output = crashlog([words, &files].concat());
        let said = String::from_utf8(output.stderr).expect("text");
        let shown = String::from_utf8(output.stdout).expect("text");
        assert_eq!(output.status.code(), Some(0), "{words:?}: {said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.contains("has no such task there"), "{said}");
        assert!(is_safe(&said) && is_safe(&shown), "{said}{shown}");
        assert!(!shown.is_empty(), "{words:?}");
    }
}

/// What a user asks for by `--archive-mismatch-ok` is done, also if the archive has other tasks.
#[test]
fn an_archive_with_other_tasks_is_used_if_the_user_insists() {
    let bench = Bench::new();
    let card = golden::card(&bench, "client-panic");
    let archive = golden::archive(&bench, "saboteur.zip");
    let page = bench.path("page.html");
    for words in [&["show"][..], &["report", "-o", text(&page)]] {
        let files = ["--archive", text(&archive), text(&card)];
        let output = crashlog([words, &["--archive-mismatch-ok"], &files].concat());
        let said = String::from_utf8(output.stderr).expect("text");
        assert_eq!(output.status.code(), Some(0), "{words:?}: {said}");
        assert!(said.contains("WARNING: "), "{said}");
        assert!(said.contains("is of task 5, \"worker\""), "{said}");
    }
}

#[test]
fn json_is_safe_for_a_terminal() {
    let bench = Bench::new();
    let card = bench.formatted();
    let mut partition = Partition::open(&card);
    partition.crash(1, &[5, 0, 0, 0, 0], NAME);
    for command in ["list", "show"] {
        let shown = ok([command, "--json", text(&card)]);
        assert!(is_safe(&shown), "{shown}");
        let value: Value = serde_json::from_str(&shown).expect("JSON");
        let crash = match command {
            "list" => &value["crashes"][0],
            _ => &value,
        };
        assert_eq!(crash["task"], NAME);
    }
}

#[test]
fn a_crash_without_a_snapshot_says_so() {
    let bench = Bench::new();
    let card = bench.formatted();
    let mut partition = Partition::open(&card);
    partition.crash(1, &[5, 0, 0, 0, 0], "worker");
    let shown = ok(["show", text(&card)]);
    let line = "\n  memory    none: the memory was not saved, or not written to the card";
    assert!(shown.contains(line), "{shown}");
    partition.self_test(1);
    assert!(!ok(["show", text(&card), "2"]).contains("  memory "));
}

/// As of a damaged snapshot: the rest is shown, and the exit code says it.
#[test]
fn a_damaged_segment_is_no_success() {
    let scene = overflow();
    scene.partition.damage(scene.crash + 2, 20);
    let page = scene.bench.path("page.html");
    for words in [
        &["show"][..],
        &["show", "--json"],
        &["report", "-o", text(&page)],
    ] {
        let line = fails(1, scene.words(words));
        assert!(line.contains("its segment stack is damaged"), "{line}");
    }
    assert!(page.exists());
    // The stack is in the snapshot, too.
    ok(scene.words(&["dump", "-o", text(&scene.bench.path("core"))]));
}

/// The bytes of a segment may not end before 2^32, by what a damaged table says.
#[test]
fn a_segment_at_the_end_of_memory_is_shown() {
    for sp in [0, 0x8080_0000, 0xffff_fff4_u32] {
        let scene = overflow();
        scene.reseal(|header| {
            header[76 + 4 * 13..][..4].copy_from_slice(&sp.to_le_bytes());
            for segment in 0..usize::from(header[11]) {
                let address = 0xffff_fff0_u32.to_le_bytes();
                header[220 + 24 * segment + 16..][..4].copy_from_slice(&address);
            }
        });
        let page = scene.bench.path("page.html");
        for words in [
            &["show"][..],
            &["show", "--json"],
            &["list"],
            &["verify"],
            &["report", "-o", text(&page)],
            &["dump", "-o", text(&scene.bench.path("core"))],
        ] {
            let words = match words {
                ["list" | "verify", ..] => [words, &[text(&scene.card)]].concat(),
                _ => scene.words(words),
            };
            let output = crashlog(&words);
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(
                output.status.code().is_some_and(|code| code < 2),
                "{words:?}: {said}"
            );
            assert!(!said.contains("panicked"), "{words:?}: {said}");
        }
    }
}

/// Of functions at one address the same is named each time: `memclr` and `memset`, for blocks that
/// are aligned to 4 and to 8.
#[test]
fn one_of_several_functions_is_named_each_time() {
    let scene = overflow();
    let pc = 0x8013_41c0_u32;
    scene.reseal(|header| header[76 + 4 * 15..][..4].copy_from_slice(&pc.to_le_bytes()));
    for _ in 0..12 {
        let shown = ok(scene.words(&["show"]));
        assert!(shown.contains("  801341c0  __aeabi_memset4\n"), "{shown}");
    }
}

/// A variable begins there, and the region is longer.
#[test]
fn all_of_a_region_is_shown() {
    let mut scene = scene("client-panic");
    let shown = ok(scene.words(&["show"]));
    let value = "task_worker::PROGRESS = Progress { job: ";
    assert!(shown.contains(value), "{shown}");
    scene.snapshot.regions[0].length = 64.into();
    scene
        .snapshot
        .write_without_ledger(&scene.partition, scene.crash, |_| ());
    let shown = ok(scene.words(&["show"]));
    assert!(!shown.contains(value), "{shown}");
    let (_, bytes) = shown
        .split_once("  progress of worker (64 bytes at 8084a800)\n")
        .expect("the region");
    let lines: Vec<&str> = bytes.lines().take(4).collect();
    assert!(
        lines[0].starts_with("    8084a800  0000002b a778024d")
            && lines[3].starts_with("    8084a830  "),
        "{lines:#?}"
    );
}

/// The kernel's entries are in assembly language, without sizes.
#[test]
fn a_function_without_a_size_is_named() {
    let scene = scene("kernel-failure");
    let shown = ok(scene.words(&["show"]));
    let (_, backtrace) = shown.split_once("Backtrace\n").expect("a backtrace");
    let lines: Vec<&str> = backtrace.lines().take(3).collect();
    assert!(
        lines[0].contains("arm_a::entry::interrupt (") && lines[2].is_empty(),
        "{lines:#?}"
    );
    assert_eq!(lines[1], "  801002d6  interrupt");
}

#[test]
fn the_backtrace_of_a_recursion_leads_to_its_first_call() {
    let scene = overflow();
    let value = ok(scene.words(&["show", "--json"]));
    let value: Value = serde_json::from_str(&value).expect("JSON");
    let chain = value["chain"].as_array().expect("a backtrace");
    let places = |call: &Value| call["places"].to_string();
    let calls = chain.iter().filter(|call| places(call).contains("recurse"));
    assert_eq!((calls.count(), chain.len()), (32, 33));
    let last = places(chain.last().expect("a call"));
    assert!(
        last.contains("serve (") && last.contains("in main ("),
        "{last}"
    );
    // Once where the program counter is, once where it calls itself.
    let shown = ok(scene.words(&["show"]));
    assert_eq!(shown.matches("test_assist::recurse").count(), 2, "{shown}");
    let more = "          and 30 more times from the same place\n";
    assert!(shown.contains(more), "{shown}");
}

/// Without the memory of the task there is an excerpt of its stack.
#[test]
fn a_backtrace_names_the_stack_that_is_missing() {
    let scene = overflow();
    let less = golden::without(&scene.snapshot, |extent| extent.owner() == 4);
    less.write_without_ledger(&scene.partition, scene.crash, |_| ());
    let output = crashlog(scene.words(&["show"]));
    let shown = String::from_utf8(output.stdout).expect("text");
    let line = "          further callers are not known: the stack at 808490d";
    assert!(shown.contains(line), "{shown}");
    assert!(
        !shown.contains("in main (/crashlog/test/tasks/assist"),
        "{shown}"
    );
    // The caller of `main` is the entry point, of which nothing is shown.
    let scene = self::scene("client-panic");
    let less = golden::without(&scene.snapshot, |extent| extent.owner() == 5);
    less.write_without_ledger(&scene.partition, scene.crash, |_| ());
    let output = crashlog(scene.words(&["show"]));
    let shown = String::from_utf8(output.stdout).expect("text");
    assert!(
        shown.contains("  main (/crashlog/app/demo/worker"),
        "{shown}"
    );
    assert!(!shown.contains("further callers"), "{shown}");
}
