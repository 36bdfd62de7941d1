//! Secrets of tasks are in nothing that the tool writes, not even their initial values, which are
//! in the archive.

mod common;

use common::{Bench, golden, ok};
use std::ffi::OsStr;
use std::fs;
use std::io::{Cursor, Read};
use zip::ZipArchive;

/// The secret of `test/tasks/assist`, of which the golden image has two.
const SECRET: &[u8] = b"KEY!KEY!KEY!KEY!";

fn count(bytes: &[u8], what: &[u8]) -> usize {
    let parts = bytes.windows(what.len());
    parts.filter(|part| *part == what).count()
}

/// Of the members of the zip file in these bytes that have the secret, the names.
fn members_with_it(zip: &[u8]) -> Vec<String> {
    let mut zip = ZipArchive::new(Cursor::new(zip)).expect("zip");
    let mut found = Vec::new();
    for index in 0..zip.len() {
        let mut member = zip.by_index(index).expect("member");
        let mut bytes = Vec::new();
        // The sum of the member is checked at its end.
        member.read_to_end(&mut bytes).expect("member");
        if count(&bytes, SECRET) > 0 {
            found.push(member.name().expect("name").into_owned());
        }
    }
    found
}

/// REQ: X14 (in part)
#[test]
fn no_file_that_is_written_has_a_secret() {
    let bench = Bench::new();
    let archive = golden::archive(&bench, "saboteur.zip");
    let with_it = members_with_it(&fs::read(&archive).expect("archive"));
    assert_eq!(
        with_it,
        ["elf/task/victim", "elf/task/fatal", "img/final.elf"]
    );
    for name in ["stack-overflow", "oops"] {
        let card = golden::card(&bench, name);
        for (number, words) in [&["dump"][..], &["dump", "--hydrate"], &["report"]]
            .iter()
            .enumerate()
        {
            let output = bench.path(&format!("{name}.{number}"));
            let files = [
                OsStr::new("--archive"),
                archive.as_os_str(),
                OsStr::new("-o"),
                output.as_os_str(),
                card.as_os_str(),
            ];
            let said = ok(words.iter().map(OsStr::new).chain(files));
            let bytes = fs::read(&output).expect("output");
            assert_eq!(count(&bytes, SECRET), 0, "{name}: {words:?}");
            match number {
                0 => {
                    assert!(said.contains("secrets of tasks are blanked"), "{said}");
                    // The archive in it is whole.
                    let start = place(&bytes, b"PK\x03\x04");
                    let end = start + archive_length(&bytes[start..]);
                    assert_eq!(members_with_it(&bytes[start..end]), [""; 0]);
                    // In flash and in the memory of the tasks.
                    assert!(count(&bytes, b"****************") >= 2);
                }
                1 => assert_eq!(members_with_it(&bytes), [""; 0]),
                _ => {}
            }
        }
    }
}

/// Where the bytes are.
fn place(bytes: &[u8], what: &[u8]) -> usize {
    let mut parts = bytes.windows(what.len());
    parts.position(|part| part == what).expect("is there")
}

/// The length of a zip file: to the end of its comment.
fn archive_length(bytes: &[u8]) -> usize {
    const COMMENT: &[u8] = b"hubris build archive v11";
    place(bytes, COMMENT) + COMMENT.len()
}
