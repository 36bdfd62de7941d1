//! Stamps: what an output was made from, to skip making it again from the same
//!
//! Cargo runs only if something has changed. A call of Cargo takes part of a second even if all is
//! fresh, and two tasks of the same crate with different configurations would replace each other's
//! output in each build. The stamp beside an output has a key (arguments, environment, compiler),
//! and size and modification time of every source file in Cargo's dependency file.

use crate::hash::Fnv64;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// Whether `output` exists and was made with this `key` from files that have not changed since.
pub fn is_fresh(output: &Path, key: &str) -> bool {
    let Ok(stamp) = fs::read_to_string(path_of(output)) else {
        return false;
    };
    let mut lines = stamp.lines();
    output.is_file()
        && lines.next() == Some(digest(output, key).as_str())
        && lines.all(|line| {
            line.split_once('\t')
                .is_some_and(|(state, path)| state == state_of(Path::new(path)))
        })
}

/// Writes the stamp of `output`, which was made with `key` from `sources`.
pub fn write(output: &Path, key: &str, sources: &BTreeSet<PathBuf>) -> std::io::Result<()> {
    let mut text = digest(output, key);
    text.push('\n');
    for source in sources {
        text.push_str(&format!("{}\t{}\n", state_of(source), source.display()));
    }
    fs::write(path_of(output), text)
}

/// The files named in a dependency file of Cargo's, and the manifests that govern them, up to
/// `root`.
pub fn sources(dep_info: &Path, root: &Path) -> BTreeSet<PathBuf> {
    let text = fs::read_to_string(dep_info).unwrap_or_default();
    let mut sources: BTreeSet<PathBuf> = parse(&text)
        .into_iter()
        .map(|path| root.join(path))
        .collect();
    sources.insert(root.join("Cargo.lock"));
    sources.insert(root.join("Cargo.toml"));
    let mut manifests = BTreeSet::new();
    for source in &sources {
        let inside = source
            .ancestors()
            .take_while(|dir| *dir != root && dir.starts_with(root));
        manifests.extend(
            inside
                .map(|dir| dir.join("Cargo.toml"))
                .filter(|path| path.is_file()),
        );
    }
    sources.extend(manifests);
    sources
}

/// The prerequisites of the first rule of a dependency file.
fn parse(text: &str) -> Vec<PathBuf> {
    let rule = text.lines().next().unwrap_or_default();
    let Some((_, files)) = rule.split_once(": ") else {
        return Vec::new();
    };
    // A space in a name is written "\ ".
    files
        .replace("\\ ", "\0")
        .split_whitespace()
        .map(|file| PathBuf::from(file.replace('\0', " ")))
        .collect()
}

/// Size and modification time of a file; "absent" if it does not exist.
fn state_of(path: &Path) -> String {
    let Ok(meta) = fs::metadata(path) else {
        return "absent".into();
    };
    let time = meta
        .modified()
        .ok()
        .and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    format!("{} {}", meta.len(), time.map_or(0, |time| time.as_nanos()))
}

/// A digest of the key and of the output's place: in a copy of the tree, the paths in a stamp lead
/// to the original.
fn digest(output: &Path, key: &str) -> String {
    let place = format!("{}\n{key}", output.display());
    format!("{:016x}", Fnv64::of(place.as_bytes()))
}

fn path_of(output: &Path) -> PathBuf {
    let mut name = output.file_name().unwrap_or_default().to_os_string();
    name.push(".stamp");
    output.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_every_change() {
        let dir = tempfile::tempdir().expect("directory");
        let (output, source) = (dir.path().join("out"), dir.path().join("in.rs"));
        fs::write(&output, "output").expect("file");
        fs::write(&source, "source").expect("file");
        let sources = BTreeSet::from([source.clone()]);
        write(&output, "key", &sources).expect("stamp");
        assert!(is_fresh(&output, "key"));
        assert!(!is_fresh(&output, "another key"));
        fs::write(&source, "longer source").expect("file");
        assert!(!is_fresh(&output, "key"));
        write(&output, "key", &sources).expect("stamp");
        assert!(is_fresh(&output, "key"));
        fs::remove_file(&output).expect("removed");
        assert!(!is_fresh(&output, "key"));
    }

    #[test]
    fn a_copied_tree_is_built_anew() {
        let [original, copy] = [(); 2].map(|()| tempfile::tempdir().expect("directory"));
        let source = original.path().join("in.rs");
        fs::write(&source, "source").expect("file");
        let output = original.path().join("out");
        fs::write(&output, "output").expect("file");
        write(&output, "key", &BTreeSet::from([source])).expect("stamp");
        for name in ["out", "out.stamp"] {
            fs::copy(original.path().join(name), copy.path().join(name)).expect("copy");
        }
        assert!(!is_fresh(&copy.path().join("out"), "key"));
    }

    #[test]
    fn reads_names_with_spaces() {
        assert_eq!(
            parse("/t/a: /x/b.rs /x/c\\ d.rs\n\n/t/e: /f.rs\n"),
            [PathBuf::from("/x/b.rs"), PathBuf::from("/x/c d.rs")]
        );
    }
}
