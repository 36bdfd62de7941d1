//! Tests of the keys of the configuration files
//!
//! Each key must be in the reference, doc/app-toml.md. Keys that no other test covers are tested
//! here.

use super::{
    App, Board, Kernel, KernelCallers, KernelRegion, Output, Peripheral, ProbeRs, Substrate, Task,
};
use crate::allocate::{Needs, allocate};
use crate::config::Config;
use crate::environment;
use crate::linker::{self, Range};
use crate::testing::Files;
use indexmap::IndexMap;
use serde::de::DeserializeOwned;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use toml_task::BinDep;

/// The keys that a table may have. serde lists them in the error about an unknown one.
fn keys_of<T: DeserializeOwned>() -> BTreeSet<String> {
    let error = match toml::from_str::<T>("no-such-key = 1") {
        Ok(_) => panic!("unknown keys are accepted"),
        Err(error) => error.message().to_string(),
    };
    let (_, list) = error.split_once("expected ").expect("a list of keys");
    list.split('`')
        .skip(1)
        .step_by(2)
        .map(String::from)
        .collect()
}

/// A row of the reference: table, key, and the test that covers it.
struct Row {
    table: String,
    key: String,
    proof: String,
}

/// The rows of doc/app-toml.md: under a heading with the table's name, `| key | what it does | test
/// |`.
fn reference(text: &str) -> Vec<Row> {
    let mut table = String::new();
    let mut rows = Vec::new();
    for line in text.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            table = heading.trim_matches('`').to_string();
        }
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, keys, .., proof, _] = cells.as_slice() else {
            continue;
        };
        for key in keys
            .split(", ")
            .filter_map(|key| key.strip_prefix('`').and_then(|key| key.strip_suffix('`')))
        {
            rows.push(Row {
                table: table.clone(),
                key: key.to_string(),
                proof: proof.trim_matches('`').to_string(),
            });
        }
    }
    rows
}

#[test]
fn every_key_has_a_row_and_a_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let text = fs::read_to_string(root.join("doc/app-toml.md")).expect("doc/app-toml.md");
    let rows = reference(&text);
    let mut app = keys_of::<App>();
    // `inherit` is removed before the table is read.
    app.insert("inherit".into());
    let tables = [
        ("app.toml", app),
        ("[kernel]", keys_of::<Kernel>()),
        ("[kernel] extern-regions", keys_of::<KernelRegion>()),
        ("[kernel.allowed-callers]", keys_of::<KernelCallers>()),
        ("[tasks.NAME]", keys_of::<Task>()),
        ("[tasks.NAME] bindeps", keys_of::<BinDep>()),
        ("chip.toml", keys_of::<Peripheral>()),
        ("memory.toml", keys_of::<Output>()),
        ("boards/BOARD.toml", keys_of::<Board>()),
        ("boards/BOARD.toml [probe-rs]", keys_of::<ProbeRs>()),
        ("boards/BOARD.toml [substrate]", keys_of::<Substrate>()),
    ];
    for (table, keys) in &tables {
        let shown: BTreeSet<String> = rows
            .iter()
            .filter(|row| row.table == *table)
            .map(|row| row.key.clone())
            .collect();
        assert_eq!(&shown, keys, "keys of {table} in doc/app-toml.md");
    }
    for row in &rows {
        let (file, test) = row.proof.split_once("::").unwrap_or_default();
        let source = fs::read_to_string(root.join(file))
            .unwrap_or_else(|cause| panic!("{} of {}: {file}: {cause}", row.key, row.table));
        assert!(
            source.contains(&format!("fn {test}(")),
            "{} of {}: {file} has no test {test}",
            row.key,
            row.table
        );
    }
}

fn needs(names: &[&str], ram: &str) -> IndexMap<String, Needs> {
    let of = || Needs::from([("flash".to_string(), 100), (ram.to_string(), 100)]);
    names.iter().map(|name| (name.to_string(), of())).collect()
}

const TASKS: [&str; 3] = ["jefe", "net", "idle"];

/// A second image, whose flash and other memory is elsewhere.
#[test]
fn images_have_memory_of_their_own() {
    let mut files = Files::good();
    files.app = files.app.replacen(
        "stacksize = 1024",
        "stacksize = 1024\nimage-names = [\"a\", \"b\"]",
        1,
    );
    files.memory = files.memory.replace("\"default\"", "\"a\"");
    let second = files.memory.replace("\"a\"", "\"b\"");
    let second = second.replace("0x0800_0000", "0x0900_0000");
    files.memory.push_str(&second);
    // A piece of flash that belongs to another image. Programs have symbols for its ends.
    files
        .memory
        .push_str("[[flash]]\nname = \"stage0\"\naddress = 0x0a00_0000\nsize = 0x1000\n");
    let config = files.load().expect("good");
    let first_of = |image: &str| {
        let allocation = allocate(&config, image, &needs(&TASKS, "ram")).expect("fits");
        allocation.of_task("jefe", "flash").expect("a piece").base
    };
    assert_eq!((first_of("a"), first_of("b")), (0x0800_8000, 0x0900_8000));
    let script = script(&config, "net", "b");
    for line in [
        "__IMAGE_STAGE0_BASE = 0x0a000000;",
        "__IMAGE_STAGE0_END = 0x0a001000;",
        "__this_image = 0x09000000;",
    ] {
        assert!(script.contains(line), "{line} is not in {script}");
    }
    files.memory = files.memory.replace("\"b\"", "\"c\"");
    assert_eq!(
        files.error(),
        "chip/memory.toml:1: flash: has 0 entries for image `b`, must have one"
    );
}

fn script(config: &Config, task: &str, image: &str) -> String {
    let place = |output: &str| {
        let output = config.output(output, image)?;
        Ok(Range {
            base: output.address,
            size: output.size,
        })
    };
    linker::task_memory(config, &config.app.tasks[task], image, place).expect("a script")
}

/// The default RAM of all, of the kernel, of a task; `ram` means it wherever sizes are given.
#[test]
fn ram_may_be_elsewhere() {
    let mut files = Files::good();
    files.memory = files.memory.replace("[[ram]]", "[[dtcm]]");
    files.memory.push_str(
        "[[sram]]\nname = \"default\"\naddress = 0x3000_0000\nsize = 0x4000\nread = true\nwrite = true\n",
    );
    files.app = files.app.replacen(
        "stacksize = 1024",
        "stacksize = 1024\ndefault-ram = \"dtcm\"",
        1,
    );
    files.app = files.app.replacen(
        "priority = 2",
        "priority = 2\ndefault-ram = \"sram\"\nmax-sizes = { ram = 0x1000 }",
        1,
    );
    let config = files.load().expect("good");
    let net = &config.app.tasks["net"];
    assert_eq!(config.kernel_ram(), "dtcm");
    assert_eq!(config.ram_of(&config.app.tasks["jefe"]), "dtcm");
    assert_eq!(config.ram_of(net), "sram");
    assert_eq!(config.app.kernel.requires["dtcm"], 0x2000);
    assert_eq!(net.max_sizes["sram"], 0x1000);
    assert!(script(&config, "net", "default").contains("STACK (rw) : ORIGIN = 0x30000000"));

    files.app = files.app.replacen(
        "name = \"kern\"",
        "name = \"kern\"\ndefault-ram = \"sram\"",
        1,
    );
    let config = files.load().expect("good");
    assert_eq!(config.kernel_ram(), "sram");
    assert_eq!(config.app.kernel.requires["sram"], 0x2000);
}

/// What build scripts are told, by environment variables.
#[test]
fn build_scripts_are_told() {
    let mut files = Files::good();
    files.app = files.app.replacen(
        "stacksize = 1024",
        "stacksize = 1024\nepoch = 3\nversion = 4\nconfig = { answer = 42 }",
        1,
    );
    files.app = files.app.replacen(
        "priority = 2",
        "priority = 2\nextern-regions = [\"crash\"]\nconfig = { baud = 9600 }",
        1,
    );
    let config = files.load().expect("good");
    let net = &config.app.tasks["net"];
    let told = environment::task(&config, "net", net, "default").expect("told");
    let value = |name: &str| {
        let found = told.iter().find(|(key, _)| key == name);
        found.unwrap_or_else(|| panic!("no {name}")).1.clone()
    };
    assert_eq!(value("HUBRIS_TASKS"), "jefe,net,idle");
    assert_eq!(value("HUBRIS_TASK_NAME"), "net");
    assert_eq!(value("HUBRIS_APP_NAME"), "demo");
    assert_eq!(value("HUBRIS_IMAGE_NAME"), "default");
    assert_eq!(value("HUBRIS_BOARD"), "bench");
    assert_eq!(value("HUBRIS_BUILD_EPOCH"), "3");
    assert_eq!(value("HUBRIS_BUILD_VERSION"), "4");
    assert_eq!(value("HUBRIS_APP_CONFIG").trim(), "answer = 42");
    assert!(value("HUBRIS_TASK_CONFIG").contains("baud = 9600"));
    assert!(value("HUBRIS_ALL_TASK_CONFIGS").contains("[jefe]"));
    assert_eq!(
        value("HUBRIS_TASK_EXTERN_REGIONS").trim(),
        format!("crash = [{}, {}]", 0x2001_0000, 0x1000)
    );
}

/// Sections that are not initialised, in memory of their own; extern regions by their ends.
#[test]
fn sections_are_placed() {
    let mut files = Files::good();
    files.memory.push_str(
        "[[sram]]\nname = \"default\"\naddress = 0x3000_0000\nsize = 0x4000\nread = true\nwrite = true\n",
    );
    files.app = files.app.replacen(
        "priority = 2",
        "priority = 2\nsections = { buffers = \"sram\" }\nextern-regions = [\"crash\"]",
        1,
    );
    let config = files.load().expect("good");
    let script = script(&config, "net", "default");
    for line in [
        "SRAM (rw) : ORIGIN = 0x30000000, LENGTH = 0x00004000",
        "SECTIONS { .buffers (NOLOAD) : ALIGN(4) { *(.buffers .buffers.*) } > SRAM } INSERT AFTER .uninit;",
        "__REGION_CRASH_BASE = 0x20010000;",
        "__REGION_CRASH_END = 0x20011000;",
    ] {
        assert!(script.contains(line), "{line} is not in {script}");
    }
}

/// `extratext`: a region that tasks may read and execute.
#[test]
fn extra_text_is_mapped() {
    let mut files = Files::good();
    files.app = files.app.replacen(
        "stacksize = 1024",
        "stacksize = 1024\nextratext = { rom = { address = 0x0900_0000, size = 0x1000 } }",
        1,
    );
    files.app = files.app.replacen("[\"eth\"]", "[\"eth\", \"rom\"]", 1);
    let config = files.load().expect("good");
    let allocation = allocate(&config, "default", &needs(&TASKS, "ram")).expect("fits");
    let entries = TASKS.map(|name| (name.to_string(), 0x0801_0000));
    let kernel =
        crate::kconfig::make(&config, "default", &allocation, &entries.into()).expect("made");
    let rom = &kernel.shared_regions["rom"];
    assert_eq!((rom.base, rom.size), (0x0900_0000, 0x1000));
    let may = rom.attributes;
    assert_eq!((may.read, may.write, may.execute), (true, false, true));
}

/// Task ids, and what is bound to them, follow the order in the file; that of a board is searched
/// beside it first.
#[test]
fn slots_have_two_shapes() {
    let mut files = Files::good();
    files.app = files
        .app
        .replacen("[\"jefe\"]", "[\"jefe\", { boss = \"jefe\" }]", 1);
    let config = files.load().expect("good");
    let slots = &config.app.tasks["net"].task_slots;
    assert_eq!((&*slots["jefe"], &*slots["boss"]), ("jefe", "jefe"));
    files.app = files.app.replacen("{ boss =", "{ jefe =", 1);
    let config = files.load().expect("the same slot twice");
    assert_eq!(config.app.tasks["net"].task_slots.len(), 1);
    files.app = files
        .app
        .replacen("{ jefe = \"jefe\" }", "{ jefe = \"idle\" }", 1);
    assert!(
        files
            .error()
            .contains("slot `jefe` is named twice, for different tasks")
    );
}

/// The dump agent needs a supervisor and a kernel that make dumps.
#[test]
fn a_dump_agent_needs_the_others() {
    let mut files = Files::good();
    files.app.push_str(
        "[tasks.dump_agent]\nname = \"agent\"\npriority = 3\nextern-regions = [\"crash\"]\ntask-slots = [\"jefe\"]\n",
    );
    let steps = [
        (
            "needs task `jefe` with the feature `dump`",
            "name = \"task-jefe\"",
            "name = \"task-jefe\"\nfeatures = [\"dump\"]",
        ),
        (
            "needs the kernel's feature `dump`",
            "name = \"kern\"",
            "name = \"kern\"\nfeatures = [\"dump\"]",
        ),
    ];
    for (expected, from, to) in steps {
        let error = files.error();
        assert!(error.contains(expected), "{error}");
        files.app = files.app.replacen(from, to, 1);
    }
    assert_eq!(files.error(), "no error");
    // The region `crash` cannot be used for dumps.
    let whole = files.app.clone();
    files.app += "\n[tasks.jefe.config.crash]\nrecorder = \"net\"\n";
    let error = files.error();
    assert!(error.contains("`crash` is for the supervisor"), "{error}");
    files.app = whole;
    for (from, to, expected) in [
        (
            "extern-regions = [\"crash\"]\n\n",
            "\n",
            "`crash` must be in those of `jefe` too",
        ),
        ("task-slots = [\"jefe\"]\n", "", "must have `jefe`"),
    ] {
        let whole = files.app.clone();
        files.app = match expected.starts_with("must") {
            true => whole
                .rsplitn(2, from)
                .collect::<Vec<_>>()
                .into_iter()
                .rev()
                .collect::<Vec<_>>()
                .join(to),
            false => whole.replacen(from, to, 1),
        };
        let error = files.error();
        assert!(error.contains(expected), "{error}");
        files.app = whole;
    }
}

/// A supervisor that records crashes reads memory of tasks, which the kernel gives out with a
/// feature.
#[test]
fn a_recording_supervisor_needs_a_kernel_that_dumps() {
    let crash = "\n[tasks.jefe.config.crash]\nrecorder = \"net\"\n";
    let mut files = Files::good();
    files.app.push_str(crash);
    let error = files.error();
    assert!(
        error.contains("kernel.features: must have \"dump\""),
        "{error}"
    );
    let whole = files.app.clone();
    for (from, to) in [
        ("name = \"kern\"", "name = \"kern\"\nfeatures = [\"dump\"]"),
        (
            "name = \"task-jefe\"",
            "name = \"task-jefe\"\nno-default-features = true",
        ),
        (crash, ""),
    ] {
        assert!(whole.contains(from), "{from}");
        files.app = whole.replacen(from, to, 1);
        assert_eq!(files.error(), "no error");
    }
}
