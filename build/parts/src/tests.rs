//! Small workspaces, and the one that this is in.

use super::*;
use tempfile::TempDir;

const WORKSPACE: &str =
    "[workspace]\nmembers = [\"lib/*\", \"test/rig\"]\nexclude = [\"lib/other\"]\n";

/// A workspace whose crates have these metadata.
fn workspace(crates: &[(&str, &str)]) -> TempDir {
    let root = tempfile::tempdir().expect("a folder");
    let write = |path: &str, text: String| {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().expect("in a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    };
    write("Cargo.toml", WORKSPACE.into());
    write("lib/notes/README.md", "No crate.".into());
    for (folder, metadata) in crates {
        let name = folder.replace('/', "-");
        write(
            &format!("{folder}/Cargo.toml"),
            format!("[package]\nname = \"{name}\"\n{metadata}"),
        );
    }
    root
}

/// The error for a workspace with a crate `lib/one` that has these metadata.
fn error(metadata: &str) -> String {
    let root = workspace(&[("lib/one", metadata), ("test/rig", RIG)]);
    format!("{:#}", read(root.path()).expect_err("an error"))
}

const RIG: &str = "[package.metadata.crashlog]\npart = \"rig\"\n";

#[test]
fn members_are_found_by_pattern_and_by_name() {
    let product = "[package.metadata.crashlog]\npart = \"product\"\nwith = [\"lib/notes\"]\n";
    let root = workspace(&[("lib/one", product), ("lib/other", ""), ("test/rig", RIG)]);
    let members = read(root.path()).expect("all say their part");
    let found: Vec<_> = members
        .iter()
        .map(|it| (&*it.folder, &*it.name, it.part))
        .collect();
    assert_eq!(
        found,
        [
            ("lib/one", "lib-one", Part::Product),
            ("test/rig", "test-rig", Part::Rig)
        ]
    );
    assert_eq!(
        super::product(&members).into_iter().collect::<Vec<_>>(),
        ["lib/notes", "lib/one"]
    );
}

#[test]
fn a_crate_without_a_part_is_named() {
    let root = workspace(&[("lib/one", ""), ("lib/two", ""), ("test/rig", RIG)]);
    let error = format!("{:#}", read(root.path()).expect_err("an error"));
    let lines: Vec<_> = error.lines().collect();
    assert_eq!(lines.len(), 2, "{error}");
    assert!(lines[0].starts_with("lib/one/Cargo.toml: part: "));
    assert!(lines[1].starts_with("lib/two/Cargo.toml: part: "));
    assert!(error.contains("product, substrate, demo, tool, rig"));
}

#[test]
fn metadata_that_make_no_sense_are_refused() {
    let metadata = |rest: &str| error(&format!("[package.metadata.crashlog]\n{rest}"));
    assert!(metadata("part = \"prodcut\"").contains("must be one of"));
    assert!(metadata("part = 1").contains("must be one of"));
    assert!(metadata("part = \"product\"\nwiht = []").contains("unknown key `wiht`"));
    assert!(metadata("part = \"product\"\nwith = \"x\"").contains("list of paths"));
    assert!(metadata("part = \"product\"\nwith = [\"x\"]").contains("x, which does not exist"));
    assert!(metadata("part = \"rig\"\nwith = [\"lib\"]").contains("product alone"));
}

#[test]
fn this_workspace_says_the_part_of_each_crate() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let members = read(&root).unwrap_or_else(|error| panic!("{error:#}"));
    let part = |folder: &str| {
        let found = members.iter().find(|it| it.folder == folder);
        found
            .unwrap_or_else(|| panic!("{folder} is no member"))
            .part
    };
    assert_eq!(part("task/crashlog"), Part::Product);
    assert_eq!(part("sys/kern"), Part::Substrate);
    assert_eq!(part("lib/counters/derive"), Part::Substrate);
    assert_eq!(part("app/demo/worker"), Part::Demo);
    assert_eq!(part("tools/crashlog"), Part::Tool);
    assert_eq!(part("test/harness"), Part::Rig);
    assert!(super::product(&members).contains("idl/crashlog.idol"));
}
