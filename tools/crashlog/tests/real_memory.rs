//! Snapshots of real firmware, changed as a hostile card would: the sums match, the content lies.

mod common;

use common::golden::{SABOTEUR, Scene};
use common::snapshot::Snapshot;
use common::{Bench, Partition, crashlog, fails, golden, ok};
use crashlog_format::snapshot::{KERNEL_OWNER, SnapshotExtent, SnapshotKind};
use object::{Object, ObjectSymbol};
use serde_json::{Value, json};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use zip::ZipArchive;

fn scene(card: &str) -> Scene {
    let bench = Bench::new();
    let card = golden::card(&bench, card);
    let partition = Partition::open(&card);
    let crash = golden::crash(&partition);
    Scene {
        archive: golden::archive(&bench, "saboteur.zip"),
        snapshot: golden::snapshot(&partition, crash),
        bench,
        card,
        partition,
        crash,
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("path")
}

impl Scene {
    /// Puts the snapshot back without some extents.
    fn leave_out(&self, which: impl Fn(&SnapshotExtent) -> bool) {
        let less = golden::without(&self.snapshot, which);
        less.write_without_ledger(&self.partition, self.crash, |_| ());
    }

    /// What `show --json` says, and its exit code.
    fn shown(&self) -> (Value, Option<i32>) {
        let output = crashlog([
            "show",
            "--json",
            "--archive",
            text(&self.archive),
            text(&self.card),
        ]);
        let value = serde_json::from_slice(&output.stdout).expect("JSON");
        (value, output.status.code())
    }

    fn output(&self) -> PathBuf {
        self.bench.path("output")
    }

    fn dump(&self) -> [String; 6] {
        let output = self.output();
        let words = [
            "dump",
            "-o",
            text(&output),
            "--archive",
            text(&self.archive),
            text(&self.card),
        ];
        words.map(str::to_owned)
    }
}

#[test]
fn memory_that_the_tables_leave_out_is_named() {
    let scene = scene("stack-overflow");
    // Put back unchanged, it is whole.
    scene.leave_out(|_| false);
    let (value, code) = scene.shown();
    assert_eq!((code, &value["snapshot"]["missing"]), (Some(0), &json!([])));
    ok(scene.dump());
    std::fs::remove_file(scene.output()).expect("core");

    // The page of one task, and the kernel's.
    scene.leave_out(|extent| extent.address() == 0x8084_b000 || extent.owner() == KERNEL_OWNER);
    let (value, code) = scene.shown();
    assert_eq!(code, Some(1));
    assert_eq!(value["snapshot"]["damaged"], true);
    let why = "the snapshot's tables do not mention it";
    let missing = value["snapshot"]["missing"].as_array().expect("missing");
    assert!(missing.iter().all(|gap| gap["why"] == why), "{missing:#?}");
    assert_eq!(
        (
            &missing[0]["owner"],
            &missing[0]["address"],
            &missing[0]["length"]
        ),
        (&json!("load"), &json!(0x8084_b000_u32), &json!(4096))
    );
    let kernel = missing[1..].iter();
    let kernel: u64 = kernel
        .filter(|gap| gap["owner"] == "the kernel")
        .filter_map(|gap| gap["length"].as_u64())
        .sum();
    assert_eq!(kernel, 0x29c8);
    let said = fails(1, scene.dump());
    assert!(
        said.contains("has no entry for memory that belongs into it"),
        "{said}"
    );
    // Of one task that is left out as a whole, and of a part of a page.
    scene.leave_out(|extent| extent.owner() == 4);
    let (value, code) = scene.shown();
    assert_eq!(
        (code, &value["snapshot"]["missing"][0]["owner"]),
        (Some(1), &json!("fatal"))
    );
}

/// Memory from the card over the kernel's constant tables does not hide what is left out, nor gives
/// each task all of the address space.
#[test]
fn tables_from_the_card_do_not_hide_what_is_left_out() {
    let scene = scene("stack-overflow");
    scene.leave_out(|extent| extent.owner() == 4);
    let expected = scene.shown().0["snapshot"]["missing"].clone();
    // No task has a region; each slot of each task has the same one, which can be written, of 2
    // GiB.
    for (number, words) in [[0, 0], [0, 0x7fff_ffe2_u32]].into_iter().enumerate() {
        let mut hostile = Snapshot::new(SnapshotKind::System);
        let tables = constant_tables(&scene.archive);
        for ((name, address, size), word) in tables.into_iter().zip(words) {
            assert!(size > 0, "{name}");
            let first = address & !3;
            let count = (address + size).div_ceil(4) - first / 4;
            hostile.save(1, first, &word.to_le_bytes().repeat(count as usize));
        }
        let less = golden::without(&scene.snapshot, |extent| extent.owner() == 4);
        hostile.header = less.header;
        hostile.regions.clone_from(&less.regions);
        hostile.extents.extend(&less.extents);
        hostile.data.extend(&less.data);
        hostile.write_without_ledger(&scene.partition, scene.crash, |_| ());
        let (value, code) = scene.shown();
        assert_eq!(
            (code, &value["snapshot"]["missing"]),
            (Some(1), &expected),
            "{number}"
        );
    }
}

/// The kernel's tables of tasks and regions in an archive: name, address and size of each.
fn constant_tables(archive: &Path) -> [(&'static str, u32, u32); 2] {
    let mut zip = ZipArchive::new(File::open(archive).expect("archive")).expect("zip");
    let mut elf = Vec::new();
    let mut kernel = zip.by_name("elf/kernel").expect("kernel");
    kernel.read_to_end(&mut elf).expect("kernel");
    let elf = object::File::parse(&*elf).expect("ELF");
    ["HUBRIS_TASK_DESCS", "HUBRIS_REGION_DESCS"].map(|name| {
        let mut symbols = elf.symbols();
        let symbol = symbols.find(|symbol| symbol.name() == Ok(name));
        let symbol = symbol.expect("symbol");
        (name, symbol.address() as u32, symbol.size() as u32)
    })
}

#[test]
fn a_snapshot_of_one_task_has_that_task_and_its_entry() {
    let scene = scene("oops");
    scene.leave_out(|_| false);
    let (value, code) = scene.shown();
    assert_eq!((code, &value["snapshot"]["missing"]), (Some(0), &json!([])));
    scene.leave_out(|extent| extent.owner() == KERNEL_OWNER);
    let (value, code) = scene.shown();
    assert_eq!(code, Some(1));
    let missing = &value["snapshot"]["missing"][0];
    assert_eq!(
        (&missing["owner"], &missing["address"]),
        (&json!("the kernel"), &json!(0x8080_1370_u32))
    );
}

#[test]
fn a_snapshot_without_memory_cannot_be_dumped() {
    let scene = scene("stack-overflow");
    scene.leave_out(|_| true);
    for more in [&[][..], &["--hydrate"]] {
        let words = scene.dump().into_iter();
        let said = fails(1, words.chain(more.iter().map(|it| (*it).to_owned())));
        assert!(
            said.contains("crash record 1 has a snapshot without any memory: its tables are empty"),
            "{said}"
        );
        assert!(!scene.output().exists());
    }
}

#[test]
fn after_an_overflow_the_stack_pointer_is_the_true_one() {
    let scene = scene("stack-overflow");
    let (value, _) = scene.shown();
    let task = &value["machine"]["tasks"][4];
    assert_eq!(task["crashed"], true);
    // The crash's header has it from the kernel.
    assert_eq!(task["registers"], value["registers"]);
}

/// The supervisor has jumped to where no code is. The kernel makes the snapshot then, with the
/// supervisor's registers.
#[test]
fn a_supervisor_that_failed_has_its_registers() {
    let from = scene("kernel-failure");
    let bench = Bench::new();
    let card = bench.formatted();
    let mut partition = Partition::open(&card);
    (partition.image_id, partition.task) = (SABOTEUR, 0);
    let crash = partition.crash(1, &[3], "jefe");
    let mut snapshot = golden::without(&from.snapshot, |_| false);
    snapshot.header.registers[15] = 0xdead_0000.into();
    snapshot.write(&mut partition, crash, |_| ());
    let mut scene = Scene {
        bench,
        card,
        partition,
        crash,
        archive: from.archive.clone(),
        snapshot,
    };
    let said = ok(scene.dump());
    assert!(
        said.contains("7 threads, registers without pc, which is in no program"),
        "{said}"
    );
    std::fs::remove_file(scene.output()).expect("core");
    // Its stack, with the frame that has the rest of its registers, was not saved.
    scene.snapshot.header.registers[15] = 0x8011_00ca.into();
    scene.leave_out(|extent| (0x8084_0000..0x8084_0800).contains(&extent.address()));
    let (value, _) = scene.shown();
    let task = &value["machine"]["tasks"][0];
    assert_eq!(task["registers"], value["registers"]);
    let notes = value["machine"]["notes"].to_string();
    assert!(notes.contains("those of the crash are shown"), "{notes}");
}

/// The supervisor runs on while it makes the snapshot. Its registers are those that fit its stack:
/// the backtrace leads from the call that saved it to `main`.
#[test]
fn the_supervisor_has_a_backtrace() {
    let scene = scene("stack-overflow");
    let (value, _) = scene.shown();
    let chain = value["machine"]["tasks"][0]["chain"].as_array();
    let chain = chain.expect("a chain");
    let last = chain.last().expect("calls")["places"].to_string();
    assert!(chain.len() > 4 && last.contains("in main ("), "{chain:#?}");
}

/// Without the table of tasks the registers of what crashed are those of its header.
#[test]
fn without_a_task_table_the_crash_has_a_thread() {
    let scene = scene("stack-overflow");
    scene.leave_out(|extent| extent.owner() == KERNEL_OWNER);
    let output = crashlog(scene.dump());
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        said.contains("core of the system, 1 thread, registers, "),
        "{said}"
    );
    assert_eq!(output.status.code(), Some(1));
}

/// Functions that the linker left out have frame information and lines at address 0.
#[test]
fn after_a_jump_to_a_bad_address_the_caller_is_known() {
    let (value, _) = scene("recorder-in-write").shown();
    let chain = value["chain"].as_array().expect("a backtrace");
    assert_eq!(
        chain[0],
        json!({ "address": 0x100, "places": ["00000100  ?"] })
    );
    // The return address is in LR.
    let caller = value["registers"]["lr"].as_u64().expect("a register") & !1;
    assert_eq!(chain[1]["address"], caller);
    let tasks = value["machine"]["tasks"].as_array().expect("tasks");
    let of_task = tasks.iter().find(|task| task["task"] == "crashlog");
    assert_eq!(of_task.expect("the recorder")["chain"], value["chain"]);
}
