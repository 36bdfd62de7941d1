//! `./x dump`: what it writes, read back by a reader that shares nothing with the writer.

use super::proof::damage;
use super::{Bench, Cases, Rig};
use crate::build::{DEMO, cargo};
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

/// A dump, as section 5.1 of the description of Humility has it.
struct Dump {
    archive: Vec<u8>,
    registers: BTreeMap<u32, u32>,
    segments: Vec<(u32, Vec<u8>)>,
}

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

impl Dump {
    fn read(path: &Path) -> Result<Self> {
        let file = std::fs::read(path).with_context(|| path.display().to_string())?;
        let word = |at: usize| -> Result<u32> {
            let bytes = file.get(at..at + 4).context("the dump is cut short")?;
            Ok(u32::from_le_bytes(bytes.try_into()?))
        };
        let half = |at: usize| word(at).map(|word| word & 0xffff);
        ensure!(
            file.starts_with(b"\x7fELF\x01\x01\x01\0"),
            "not ELF32, little endian"
        );
        ensure!(half(16)? == 4 && half(18)? == 40, "not ET_CORE for EM_ARM");
        ensure!(
            word(28)? == 52 && half(42)? == 32,
            "program headers are not behind the header"
        );
        let (mut archive, mut registers, mut segments) = (None, None, Vec::new());
        for index in 0..half(44)? as usize {
            let at = 52 + 32 * index;
            let (offset, length) = (word(at + 4)? as usize, word(at + 16)? as usize);
            let content = file
                .get(offset..offset + length)
                .context("content lies outside the file")?;
            match word(at)? {
                1 => {
                    ensure!(
                        word(at + 16)? == word(at + 20)?,
                        "a segment has two lengths"
                    );
                    segments.push((word(at + 8)?, content.to_vec()));
                }
                4 => {
                    ensure!(
                        word(offset)? == 23 && content[12..35] == *b"Oxide Computer Company\0",
                        "a note of somebody else"
                    );
                    let length = word(offset + 4)? as usize;
                    let body = content
                        .get(36..36 + length)
                        .context("a note is cut short")?
                        .to_vec();
                    let old = match word(offset + 8)? {
                        0x1de0_0001 => archive.replace(body),
                        0x1de0_0002 => registers.replace(body),
                        kind => bail!("a note of the unknown type {kind:#x}"),
                    };
                    ensure!(old.is_none(), "a note is there twice");
                }
                kind => bail!("a program header of type {kind}"),
            }
        }
        let pairs = registers.context("no registers")?;
        ensure!(
            pairs.len() == 160,
            "20 registers are 160 bytes, not {}",
            pairs.len()
        );
        let mut registers = BTreeMap::new();
        for pair in pairs.chunks_exact(8) {
            let [number, value] = [0, 4]
                .map(|at| u32::from_le_bytes([pair[at], pair[at + 1], pair[at + 2], pair[at + 3]]));
            ensure!(
                registers.insert(number, value).is_none(),
                "register {number} twice"
            );
        }
        Ok(Self {
            archive: archive.context("no archive")?,
            registers,
            segments,
        })
    }

    /// Memory, which may go over several segments.
    fn memory(&self, address: u32, length: u32) -> Result<Vec<u8>> {
        (address..address + length)
            .map(|address| {
                let hit = self
                    .segments
                    .iter()
                    .find_map(|(start, bytes)| bytes.get(address.checked_sub(*start)? as usize));
                hit.copied()
                    .with_context(|| format!("{address:#x} is in no segment"))
            })
            .collect()
    }

    fn word(&self, address: u32) -> Result<u32> {
        Ok(u32::from_le_bytes(
            self.memory(address, 4)?.as_slice().try_into()?,
        ))
    }
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
    // The memory of each task, as its descriptor has it, with the stack at its begin; the retained region is not.
    let (regions, length) = place("HUBRIS_REGION_DESCS")?;
    let mut stacks = 0;
    ensure!(length % REGION == 0, "the region table has {length} bytes");
    for at in (regions..regions + length).step_by(REGION as usize) {
        let [base, size, attributes] = [4, 8, 12].map(|field| dump.word(at + field));
        let (base, size, attributes) = (base?, size?, attributes?);
        let is_memory = base != 0 && attributes & 8 == 0 && attributes & 16 == 0;
        if is_memory {
            dump.memory(base, size)
                .with_context(|| format!("the region at {base:#x} is not whole"))?;
            stacks += usize::from(attributes & 2 != 0);
        } else if base != 0 {
            ensure!(
                dump.word(base).is_err(),
                "{base:#x} is hardware or external, and in the dump"
            );
        }
    }
    ensure!(
        stacks >= tasks as usize,
        "{stacks} writable regions for {tasks} tasks"
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
