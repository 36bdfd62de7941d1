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

/// Name and bytes of each member of the zip file in these bytes.
fn members(zip: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut zip = ZipArchive::new(Cursor::new(zip)).expect("zip");
    let all = (0..zip.len()).map(|index| {
        let mut member = zip.by_index(index).expect("member");
        let mut bytes = Vec::new();
        // The sum of the member is checked at its end.
        member.read_to_end(&mut bytes).expect("member");
        (member.name().expect("name").into_owned(), bytes)
    });
    all.collect()
}

/// Of the members of the zip file in these bytes that have the secret, the names.
fn members_with_it(zip: &[u8]) -> Vec<String> {
    let with_it = members(zip).into_iter();
    let with_it = with_it.filter(|(_, bytes)| count(bytes, SECRET) > 0);
    with_it.map(|(name, _)| name).collect()
}

/// The names of the members that are not the same byte for byte in two zip files, which have the
/// same members in the same order.
fn changed_members(before: &[u8], after: &[u8]) -> Vec<String> {
    let (before, after) = (members(before), members(after));
    assert_eq!(before.len(), after.len());
    let mut changed = Vec::new();
    for ((name, bytes), (its_name, its_bytes)) in before.into_iter().zip(after) {
        assert_eq!((&name, bytes.len()), (&its_name, its_bytes.len()));
        if bytes != its_bytes {
            changed.push(name);
        }
    }
    changed
}

/// REQ: X14 (in part)
#[test]
fn no_file_that_is_written_has_a_secret() {
    let bench = Bench::new();
    let archive = golden::archive(&bench, "saboteur.zip");
    let before = fs::read(&archive).expect("archive");
    let with_it = members_with_it(&before);
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
                    let less = &bytes[start..end];
                    assert_eq!(members_with_it(less), [""; 0]);
                    assert_eq!(changed_members(&before, less), with_it);
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
