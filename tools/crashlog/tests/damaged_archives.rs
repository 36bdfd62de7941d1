//! Archives that have lost something on the way: one line that names the member and the rule.

mod common;

use common::{Bench, fails, golden, ok};
use std::path::Path;

/// What each command that reads an archive says of this one.
fn refused(bench: &Bench, card: &Path, archive: &Path, words: &str) {
    let output = bench.path("output");
    let text = |path: &Path| path.to_str().expect("path").to_owned();
    let (card, archive, output) = (text(card), text(archive), text(&output));
    for command in [
        &["show"][..],
        &["show", "--json"],
        &["log"],
        &["dump", "-o", &output],
        &["dump", "--hydrate", "-o", &output],
        &["report", "-o", &output],
    ] {
        let rest = ["--archive", &archive, &card];
        let said = fails(2, command.iter().chain(&rest));
        let end = format!("bad.zip: its {words}; give the archive as the build made it\n");
        assert!(said.ends_with(&end), "{command:?}: {said}");
        assert!(!Path::new(&output).exists(), "{command:?} has left a file");
    }
}

#[test]
fn each_damaged_member_is_named() {
    let bench = Bench::new();
    let card = golden::card(&bench, "stack-overflow");
    let whole = golden::archive(&bench, "saboteur.zip");
    let bad = bench.path("bad.zip");
    let cut = |bytes: Vec<u8>| Some(bytes[..bytes.len() / 2].to_vec());
    type Change<'a> = &'a dyn Fn(Vec<u8>) -> Option<Vec<u8>>;
    let cases: [(&str, Change<'_>, &str); 9] = [
        ("app.toml", &|_| None, "app.toml is missing"),
        (
            "app.toml",
            &|_| Some(b"name = \"demo\n".to_vec()),
            "app.toml is no TOML (invalid basic string, expected `\"`)",
        ),
        (
            "chip.toml",
            &|_| Some(vec![0xff]),
            "chip.toml is no text in UTF-8",
        ),
        (
            "elf/task/load",
            &cut,
            "elf/task/load is cut short, or no ELF file",
        ),
        (
            "elf/task/load",
            &|_| None,
            "elf/task/load is missing: app.toml has a task of this name",
        ),
        (
            "elf/task/idle",
            &|_| Some(Vec::new()),
            "elf/task/idle is cut short, or no ELF file",
        ),
        (
            "elf/kernel",
            &cut,
            "elf/kernel is cut short, or no ELF file",
        ),
        (
            "img/final.elf",
            &cut,
            "img/final.elf is cut short, or no ELF file",
        ),
        (
            "elf/task/idle",
            &|_| Some(vec![0; (64 << 20) + 1]),
            "elf/task/idle has more than 67108864 bytes",
        ),
    ];
    for (name, change, words) in cases {
        golden::changed(&whole, &bad, |own, bytes| {
            if own == name {
                change(bytes)
            } else {
                Some(bytes)
            }
        });
        refused(&bench, &card, &bad, words);
    }
}

#[test]
fn a_member_that_does_not_match_its_sum_is_named() {
    let bench = Bench::new();
    let card = golden::card(&bench, "stack-overflow");
    let archive = golden::archive(&bench, "saboteur.zip");
    let mut bytes = std::fs::read(&archive).expect("archive");
    // Its members are not compressed.
    let revision = bytes.windows(7).position(|part| part == b"git-rev");
    bytes[revision.expect("git-rev") + 20] ^= 1;
    let bad = bench.path("bad.zip");
    std::fs::write(&bad, bytes).expect("archive");
    refused(&bench, &card, &bad, "git-rev is damaged: Invalid checksum");
}

#[test]
fn what_an_archive_may_lack_is_no_damage() {
    let bench = Bench::new();
    let card = golden::card(&bench, "stack-overflow");
    let whole = golden::archive(&bench, "saboteur.zip");
    let other = bench.path("other.zip");
    golden::changed(&whole, &other, |name, bytes| {
        let optional = ["chip.toml", "memory.toml", "git-rev", "image-name"];
        (!optional.contains(&name)).then_some(bytes)
    });
    let text = |path: &Path| path.to_str().expect("path").to_owned();
    ok(["show", "--archive", &text(&other), &text(&card)]);
}
