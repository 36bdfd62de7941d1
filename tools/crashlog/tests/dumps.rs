//! `dump`: what it refuses. What it writes is tested with real memory, by the harness.

mod common;

use common::archive::Build;
use common::snapshot::Snapshot;
use common::{Bench, Partition, STRAY_WRITE, fails, golden, ok};
use crashlog_format::snapshot::SnapshotKind;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

const IMAGE: u64 = 0xac7f_1045_79de_0074;

struct Scene {
    bench: Bench,
    card: PathBuf,
    partition: Partition,
    crash: u32,
    archive: PathBuf,
}

/// A card with a crash, and the archive of its image.
fn scene() -> Scene {
    let bench = Bench::new();
    let card = bench.formatted();
    let mut partition = Partition::open(&card);
    partition.image_id = IMAGE;
    let crash = partition.crash(1, STRAY_WRITE, "worker");
    let archive = bench.path("build.zip");
    build(IMAGE, &archive);
    Scene {
        bench,
        card,
        partition,
        crash,
        archive,
    }
}

fn build(id: u64, path: &Path) {
    let tasks = [
        "jefe", "crashlog", "console", "sensor", "monitor", "hiffy", "worker",
    ];
    Build {
        id: Some(id),
        tasks: &tasks.map(|name| (name, Some("main"))),
    }
    .write(path);
}

impl Scene {
    fn fails(&self, code: i32, archive: Option<&Path>, more: &[&str]) -> String {
        let output = self.bench.path("core");
        let text = |path: &Path| path.to_str().expect("path").to_owned();
        let mut arguments = vec!["dump".to_owned(), text(&self.card), "-o".to_owned()];
        arguments.push(text(&output));
        if let Some(archive) = archive {
            arguments.extend(["--archive".to_owned(), text(archive)]);
        }
        arguments.extend(more.iter().map(|it| (*it).to_owned()));
        fails(code, arguments)
    }
}

#[test]
fn each_refusal_is_one_line_and_leaves_no_file() {
    let mut scene = scene();
    let archive = scene.archive.clone();
    let said = scene.fails(1, Some(&archive), &[]);
    assert!(
        said.contains("crash record 1 has no snapshot: the memory was not saved"),
        "{said}"
    );
    let mut snapshot = Snapshot::new(SnapshotKind::System);
    snapshot.save(6, 0x8084_0000, &[1; 4096]);
    let block = snapshot.write(&mut scene.partition, scene.crash, |_| ());

    let said = scene.fails(2, None, &[]);
    assert!(
        said.contains("is of image 7400de7945107fac: give its build archive by --archive"),
        "{said}"
    );
    let other = scene.bench.path("other.zip");
    build(0x1122, &other);
    let said = scene.fails(2, Some(&other), &[]);
    assert!(
        said.contains("other.zip is of image 2211000000000000; give the archive of that image"),
        "{said}"
    );
    let said = scene.fails(2, Some(&scene.card), &[]);
    assert!(said.contains("is not a Hubris build archive"), "{said}");
    let said = scene.fails(2, Some(&archive), &[]);
    assert!(said.contains("has no img/final.elf"), "{said}");
    let said = scene.fails(1, Some(&archive), &["7"]);
    assert!(said.contains("has no crash record 7"), "{said}");
    scene.partition.damage(block, 20);
    let said = scene.fails(1, Some(&archive), &[]);
    assert!(said.contains("its first block is damaged"), "{said}");
    assert!(!scene.bench.path("core").exists());
}

#[test]
fn a_file_that_exists_is_kept() {
    let scene = scene();
    let core = scene.bench.path("core");
    fs::write(&core, b"mine").expect("file");
    let said = scene.fails(2, Some(&scene.archive), &[]);
    assert!(
        said.contains("exists already; --force overwrites it"),
        "{said}"
    );
    // Not even by a dump that fails.
    scene.fails(1, Some(&scene.archive), &["--force"]);
    assert_eq!(fs::read(&core).expect("file"), b"mine");
    fs::remove_file(&core).expect("file");
    fs::create_dir(&core).expect("folder");
    let said = scene.fails(2, Some(&scene.archive), &["--force"]);
    assert!(said.contains("is a folder"), "{said}");
}

#[test]
fn what_cannot_be_the_output_is_refused() {
    let bench = Bench::new();
    let card = golden::card(&bench, "stack-overflow");
    let archive = golden::archive(&bench, "saboteur.zip");
    let text = |path: &Path| path.to_str().expect("path").to_owned();
    let words = |command: &str, output: &Path| {
        let words = [
            command,
            "--force",
            "--archive",
            &text(&archive),
            "-o",
            &text(output),
            &text(&card),
        ];
        words.map(str::to_owned)
    };
    let before = fs::read(&archive).expect("archive");
    let (link, other) = (bench.path("link"), bench.path("other"));
    symlink(&other, &link).expect("link");
    for command in ["dump", "report"] {
        for (code, output, why) in [
            (2, &archive, "is an archive; name another file"),
            (2, &card, "is the card; name another file"),
            (2, &link, "is a link to a file that does not exist"),
            (4, &bench.path("no/such"), "there is no folder"),
            (4, &PathBuf::from("/dev/full"), "no space left"),
        ] {
            let said = fails(code, words(command, output));
            assert!(said.to_lowercase().contains(why), "{said}");
        }
    }
    assert!(fs::read(&archive).expect("archive") == before);
    // A link stays one.
    fs::write(&other, b"old").expect("file");
    ok(words("report", &link));
    assert!(link.is_symlink());
    assert!(
        fs::read(&other)
            .expect("file")
            .starts_with(b"<!doctype html>")
    );
}
