//! `./x dump`: what it writes, read back by a reader that shares nothing with the writer.

use super::proof::damage;
use super::{Bench, Cases, Rig, scripts};
use crate::build::{DEMO, cargo};
use crate::core_dump::Dump;
use crate::machine::{Config, Machine};
use crate::symbols::Symbols;
use anyhow::{Context, Result, bail, ensure};
use libtest_mimic::Trial;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);
/// Memory of the machine; everything below it is hardware.
const DRAM: u32 = 0x8000_0000;

/// REQ: C6, D3: the dump of a machine holds what Humility needs (humility.md, section 5), as it is in the machine.
pub fn trials(bench: &Arc<Bench>) -> Vec<Trial> {
    vec![
        bench.trial("dump::read-back", DEMO, read_back),
        bench.trial("dump::of-another-image", DEMO, of_another_image),
    ]
}

/// Bytes of a region's description: the kernel's own word, base, size, attributes.
const REGION: u32 = 16;

fn read_back(rig: &Rig) -> Result<Cases> {
    let socket = rig.artefacts.path("qmp-of-dump");
    let mut machine = start(rig, &socket)?;
    // Running: it must go on afterwards.
    let first = rig.artefacts.path("running.core");
    dump(&socket, &rig.image.archive, &first)?;
    let status = machine
        .qmp
        .execute("query-status", serde_json::Value::Null)?;
    ensure!(
        status["running"] == true,
        "the machine does not go on after a dump"
    );
    check(&Dump::read(&first)?, rig)?;

    // Stopped at the next place where the program counter is in a program: it must stay so, and can be compared.
    let symbols = Symbols::read(&rig.image)?;
    let core = loop {
        machine.stop()?;
        let core = registers(&mut machine)?;
        if symbols.at(core[&15]).1 != "?" {
            break core;
        }
        machine.run()?;
    };
    let second = rig.artefacts.path("stopped.core");
    dump(&socket, &rig.image.archive, &second)?;
    let status = machine
        .qmp
        .execute("query-status", serde_json::Value::Null)?;
    ensure!(
        status["running"] == false,
        "a stopped machine runs after a dump"
    );
    let found = Dump::read(&second)?;
    check(&found, rig)?;
    for (number, value) in core {
        ensure!(
            found.registers.get(&number) == Some(&value),
            "register {number} is {value:#x} in the machine and {:x?} in the dump",
            found.registers.get(&number)
        );
    }
    for (address, bytes) in &found.segments {
        let there = machine.memory(*address, bytes.len() as u32)?;
        ensure!(
            there == *bytes,
            "the segment at {address:#x} is not what the machine has there"
        );
    }
    machine.kill()?;
    scripts::ring_of(&second)?;
    Ok(Cases::one())
}

/// The archive of another image is refused in one line that says so.
fn of_another_image(rig: &Rig) -> Result<Cases> {
    let socket = rig.artefacts.path("qmp-of-dump");
    let mut machine = start(rig, &socket)?;
    let other = rig.artefacts.path("other.core");
    let symbols = Symbols::read(&rig.image)?;
    let (address, length) = place(&symbols, "HUBRIS_IMAGE_ID")?;
    let id = machine.memory(address, length)?;
    let archive = rig.artefacts.path("other.zip");
    damage::change_image(&rig.image.archive, &id, &archive)?;
    let said = match dump(&socket, &archive, &other) {
        Ok(()) => bail!("a dump was made of a machine with another image"),
        Err(said) => said.to_string(),
    };
    ensure!(
        said.contains("another image"),
        "the reason is missing: {said}"
    );
    ensure!(!other.exists(), "a refused dump leaves a file");
    machine.kill()?;
    Ok(Cases::one())
}

fn start(rig: &Rig, socket: &Path) -> Result<Machine> {
    let mut config = Config::new(&rig.image.elf, None);
    config.extra = vec![
        "-qmp".into(),
        format!("unix:{},server=on,wait=off", socket.display()).into(),
    ];
    let mut machine = Machine::start(&rig.qemu, &config, &rig.artefacts)?;
    machine.run()?;
    machine.uart5.wait_for("there is no card", LIMIT)?;
    Ok(machine)
}

fn dump(socket: &Path, archive: &Path, output: &Path) -> Result<()> {
    let run = cargo()
        .args(["xtask", "dump"])
        .arg(output)
        .arg("--qmp")
        .arg(socket)
        .arg("--archive")
        .arg(archive)
        .output()
        .context("cannot run cargo")?;
    if !run.status.success() {
        bail!("{}", String::from_utf8_lossy(&run.stderr).trim());
    }
    Ok(())
}

/// r0 to r15 of the machine, by the monitor.
fn registers(machine: &mut Machine) -> Result<BTreeMap<u32, u32>> {
    let arguments = json!({ "command-line": "info registers", "cpu-index": 0 });
    let text = machine.qmp.execute("human-monitor-command", arguments)?;
    let text = text.as_str().context("no text")?;
    let mut found = BTreeMap::new();
    for (name, value) in text
        .split_whitespace()
        .filter_map(|word| word.split_once('='))
    {
        if let Some(number) = name.strip_prefix('R').and_then(|rest| rest.parse().ok()) {
            found.insert(number, u32::from_str_radix(value, 16)?);
        }
    }
    ensure!(
        found.len() == 16,
        "the monitor shows {} registers",
        found.len()
    );
    Ok(found)
}

/// Sections 5.1 to 5.3.
fn check(dump: &Dump, rig: &Rig) -> Result<()> {
    ensure!(
        dump.archive == std::fs::read(&rig.image.archive)?,
        "the archive is not in the dump byte for byte"
    );
    let numbers: Vec<u32> = dump.registers.keys().copied().collect();
    ensure!(
        numbers == (0..=18).chain([20]).collect::<Vec<_>>(),
        "other registers: {numbers:?}"
    );
    let mut sorted = dump.segments.clone();
    sorted.sort();
    for pair in sorted.windows(2) {
        ensure!(
            pair[0].0 as usize + pair[0].1.len() <= pair[1].0 as usize,
            "segments overlap at {:#x}",
            pair[1].0
        );
    }
    for (address, _) in &dump.segments {
        ensure!(*address >= DRAM, "the dump holds hardware, at {address:#x}");
    }

    let symbols = Symbols::read(&rig.image)?;
    let (_, function) = symbols.at(dump.registers[&15]);
    ensure!(
        function != "?",
        "the program counter {:#x} is in no program",
        dump.registers[&15]
    );
    let place = |name: &str| place(&symbols, name);
    let (id, length) = place("HUBRIS_IMAGE_ID")?;
    ensure!(
        dump.memory(id, length)? != vec![0; 8],
        "the image id is missing"
    );
    let (table, size) = place("HUBRIS_TASK_TABLE_SPACE")?;
    let tasks = tasks(&dump.archive)?;
    let each = size / tasks;
    let current = dump.word(place("CURRENT_TASK_PTR")?.0)?;
    ensure!(
        current >= table && current < table + size && (current - table) % each == 0,
        "the current task {current:#x} is not in the table at {table:#x}"
    );
    for name in [
        "TICKS",
        "KERNEL_HAS_FAILED",
        "KERNEL_EPITAPH",
        "HUBRIS_TASK_DESCS",
        "HUBRIS_REGION_DESCS",
        "HUBRIS_TASK_TABLE_SPACE",
    ] {
        let (address, size) = place(name)?;
        dump.memory(address, size)
            .with_context(|| format!("{name} is not in the dump"))?;
    }
    let ticks = dump.word(place("TICKS")?.0)?;
    ensure!(ticks > 0, "no time has passed");
    // The memory of each task, as its descriptor has it, with the stack at its begin.
    let (regions, length) = place("HUBRIS_REGION_DESCS")?;
    let (mut stacks, mut retained) = (0, 0);
    ensure!(length % REGION == 0, "the region table has {length} bytes");
    for at in (regions..regions + length).step_by(REGION as usize) {
        let [base, size, attributes] = [4, 8, 12].map(|field| dump.word(at + field));
        let (base, size, attributes) = (base?, size?, attributes?);
        let is_memory = base != 0 && attributes & 8 == 0;
        if is_memory {
            dump.memory(base, size)
                .with_context(|| format!("the region at {base:#x} is not whole"))?;
            // The retained region is the one that the controller reaches, too.
            retained += usize::from(attributes & 16 != 0);
            stacks += usize::from(attributes & 2 != 0 && attributes & 16 == 0);
        } else if base != 0 {
            ensure!(
                dump.word(base).is_err(),
                "{base:#x} is hardware, and in the dump"
            );
        }
    }
    ensure!(
        stacks >= tasks as usize,
        "{stacks} writable regions for {tasks} tasks"
    );
    ensure!(retained == 1, "the retained region is not in the dump");
    ensure!(
        dump.threads.len() == tasks as usize + usize::from(dump.threads[0].0 == 0xffff),
        "{} threads for {tasks} tasks",
        dump.threads.len()
    );
    Ok(())
}

/// The one place of a variable of the kernel.
fn place(symbols: &Symbols, name: &str) -> Result<(u32, u32)> {
    let places = symbols.variable("kernel", name)?;
    places
        .first()
        .copied()
        .with_context(|| format!("{name} is nowhere"))
}

/// How many tasks an archive has.
fn tasks(archive: &[u8]) -> Result<u32> {
    let zip = zip::ZipArchive::new(std::io::Cursor::new(archive))
        .context("the archive is no zip file")?;
    let names = zip.file_names_raw();
    Ok(names.filter(|name| name.starts_with(b"elf/task/")).count() as u32)
}
