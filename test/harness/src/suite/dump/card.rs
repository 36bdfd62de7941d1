//! A snapshot on a card, read by the host tool.
//!
//! The memory is that of a machine in QEMU, taken at the moment of a crash. The image is made of it
//! by the code that makes it on the target, and put behind the crash of the same firmware on a
//! card.

use super::scene::DumpScene;
use super::tasks::{self, TaskInDump, of};
use crate::build::DEMO;
use crate::core_dump::CoreDump;
use crate::humility::system::DumpedSystem;
use crate::suite::{Cases, Rig, Session};
use anyhow::{Context, Result, ensure};
use block_device::{BLOCK_LEN, Block};
use crashlog_format::crash::{CrashHeader, Name};
use crashlog_format::ledger::Ledger;
use crashlog_format::snapshot::{
    ExtentStatus, GRANULE, KERNEL_OWNER, STACK_FILL, SnapshotKind, WordSum,
};
use crashlog_format::{FormatId, Geometry};
use crashlog_retained::{
    MemoryRange, Region, RegisteredRegion, SavedMemory, SnapshotFacts, SnapshotPiece,
    SnapshotSource,
};
use libtest_mimic::Trial;
use serde_json::Value;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use zerocopy::{FromBytes, FromZeros, IntoBytes};

/// The index of the worker, which crashes, and the name of its trace.
const WORKER: u16 = 5;
const TRACE: &str = "__RINGBUF";

/// REQ: D3 (in part): the host tool makes of a snapshot a core in which Humility finds of each task
/// what it finds in a dump of the machine; `show` says the same.
pub(super) fn trial(session: &Arc<Session>) -> Trial {
    session.trial("dump::from-a-card", DEMO, run)
}

fn run(rig: &Rig) -> Result<Cases> {
    let card = rig.artefacts.path("crashed.img");
    let scene = DumpScene::at_rest(rig, "1 crash on the card")?;
    scene.machine.kill()?;
    fs::rename(rig.artefacts.path("card.img"), &card)?;
    let mut scene = DumpScene::new(rig)?;
    scene.run_to("crashlog", &["task_crashlog::emergency::run"])?;
    let live = scene.dump("live.core")?;
    scene.machine.kill()?;
    let system = DumpedSystem::open(&live)?;
    let expected = tasks::all(&system)?;

    put(rig, &card, &system, SnapshotKind::System)?;
    let path = rig.artefacts.path("card.core");
    dump(rig, &card, &path, &[])?;
    let made = CoreDump::read(&path)?;
    ensure!(
        made.archive == live.archive && made.registers == live.registers,
        "archive or registers differ"
    );
    let (found, wanted) = (made.threads.len(), expected.len());
    ensure!(found == wanted, "{found} threads for {wanted} tasks");
    ensure!(
        made.threads[0].0 == u32::from(WORKER) + 1,
        "gdb does not begin with what crashed"
    );
    let seen = tasks::all(&DumpedSystem::open(&made)?)?;
    for task in &expected {
        same(task, of(&seen, &task.name)?).with_context(|| task.name.clone())?;
    }
    shown(rig, &card, &expected)?;

    put(rig, &card, &system, SnapshotKind::Task)?;
    dump(rig, &card, &path, &["--force"])?;
    let made = CoreDump::read(&path)?;
    let (index, _) = made.task.context("no dump of one task")?;
    ensure!(index == WORKER && made.threads.len() == 1, "task {index}");
    // A full disk.
    let full = Path::new("/dev/full");
    let error = dump(rig, &card, full, &["--force"]).expect_err("there is no room");
    let said = format!("{error:#}");
    ensure!(said.contains("No space left on device"), "{said}");
    Ok(Cases::one())
}

fn dump(rig: &Rig, card: &Path, output: &Path, more: &[&str]) -> Result<()> {
    let mut arguments = vec!["dump".as_ref(), card.as_os_str(), "--output".as_ref()];
    arguments.extend([output.as_os_str(), "--archive".as_ref()]);
    arguments.push(rig.image.archive.as_os_str());
    arguments.extend(more.iter().map(OsStr::new));
    rig.tool.bytes(arguments).map(drop)
}

fn same(a: &TaskInDump, b: &TaskInDump) -> Result<()> {
    ensure!(
        (&a.state, a.running, a.generation, &a.calls)
            == (&b.state, b.running, b.generation, &b.calls),
        "{} {:?} is not {} {:?}",
        a.state,
        a.calls,
        b.state,
        b.calls
    );
    let rings = [a, b].map(|task| format!("{:?}", task.rings));
    ensure!(rings[0] == rings[1], "{} is not {}", rings[0], rings[1]);
    Ok(())
}

/// Compares `show --json` with what Humility finds.
fn shown(rig: &Rig, card: &Path, expected: &[TaskInDump]) -> Result<()> {
    let archive = rig.image.archive.as_os_str();
    let arguments = ["show", "--json", "--archive"].map(AsRef::as_ref);
    let value = rig
        .tool
        .json(arguments.into_iter().chain([archive, card.as_os_str()]))?;
    let machine = &value["machine"];
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let tasks = list(&machine["tasks"]);
    ensure!(tasks.len() == expected.len(), "{} tasks", tasks.len());
    let notes = list(&machine["notes"]);
    ensure!(notes.is_empty(), "something could not be read: {notes:?}");
    for (task, wanted) in tasks.iter().zip(expected) {
        let calls = list(&task["chain"]);
        ensure!(
            task["task"] == *wanted.name
                && task["generation"] == wanted.generation
                && calls.len() == wanted.calls.len(),
            "{task} is not {} {:?}",
            wanted.name,
            wanted.calls
        );
        let rings: Vec<Value> = list(&machine["rings"])
            .into_iter()
            .filter(|ring| ring["task"] == task["index"])
            .collect();
        ensure!(rings.len() == wanted.rings.len(), "{} rings", rings.len());
        for (ring, wanted) in rings.iter().zip(&wanted.rings) {
            let entries = list(&ring["entries"]);
            let lines = entries.iter().map(|entry| entry["line"].as_u64());
            let wanted_lines = wanted.entries.iter().map(|entry| Some(entry.line));
            ensure!(
                ring["name"] == *wanted.name && lines.eq(wanted_lines),
                "{ring} is not {wanted:?}"
            );
        }
    }
    let state = |index: u16| {
        tasks[usize::from(index)]["state"]
            .as_str()
            .unwrap_or_default()
    };
    ensure!(
        state(WORKER) == "FAULT: mem fault (precise: 0xdeadbee0) in task code (was: ready)",
        "the worker's state is {}",
        state(WORKER)
    );
    // The supervisor has started the recorder again, and waits for it.
    ensure!(
        state(1) == "RUNNING",
        "the recorder's state is {}",
        state(1)
    );
    let regions = list(&machine["regions"]);
    let [trace, uart] = regions.as_slice() else {
        anyhow::bail!("{} regions", regions.len());
    };
    ensure!(
        trace["variable"] == "task_worker::__RINGBUF"
            && trace["value"]["counters"].is_object()
            && trace["device"] == false,
        "the trace is {trace}"
    );
    ensure!(
        uart["missing"]["why"] == ExtentStatus::NotReadable.text() && uart["device"] == true,
        "the UART is {uart}"
    );
    let margin = &tasks[usize::from(WORKER)]["stack"]["margin"];
    ensure!(margin.as_u64().is_some_and(|it| it > 0), "margin {margin}");
    Ok(())
}

/// The memory of a dump as the target sees its own.
struct DumpMemory<'d> {
    system: &'d DumpedSystem<'d>,
}

impl DumpMemory<'_> {
    /// The kernel's data and stack, by its symbols.
    fn kernel(&self, n: usize) -> Option<MemoryRange> {
        const RANGES: [(&str, &str); 3] = [
            ("_stack_base", "_stack_start"),
            ("__sbss", "__eheap"),
            ("__sdata", "__edata"),
        ];
        let (start, end) = RANGES.get(n)?;
        let [base, end] = [start, end].map(|name| self.system.kernel.symbol(name));
        let base = base.ok()?;
        let size = end.ok()?.checked_sub(base)? & !3;
        Some(MemoryRange { base, size })
    }
}

impl SnapshotSource for DumpMemory<'_> {
    fn now(&mut self) -> u64 {
        0
    }

    fn memory(&mut self, owner: u16, n: usize) -> Option<MemoryRange> {
        if owner == KERNEL_OWNER {
            return self.kernel(n);
        }
        // Flash is below the kernel's stack, and regions that several tasks have are shared.
        let first = self.kernel(0)?.base;
        let own = self.system.regions.values().filter(|region| {
            region.base >= first
                && region.tasks == [usize::from(owner)]
                && self.system.dump.word(region.base).is_ok()
        });
        own.map(|region| MemoryRange {
            base: region.base,
            size: region.size,
        })
        .nth(n)
    }

    fn task_entry(&mut self, task: u16) -> Option<MemoryRange> {
        let table = self.system.variable("HUBRIS_TASK_TABLE_SPACE").ok()?;
        let size = table.size / self.system.tasks.len() as u32;
        let base = table.address + u32::from(task) * size;
        Some(MemoryRange { base, size })
    }

    /// The worker's trace, and registers that it may not read.
    fn region(&mut self, n: usize) -> Option<RegisteredRegion> {
        let trace = self.system.tasks[usize::from(WORKER)]
            .debug
            .variable(TRACE)?;
        let (name, address, length) = match n {
            0 => ("trace", trace.address, trace.size),
            1 => ("uart", 0x1e78_3000, 8),
            _ => return None,
        };
        Some(RegisteredRegion {
            name: Name::new(name),
            owner: WORKER,
            address,
            length,
            is_device: n == 1,
        })
    }

    fn save(
        &mut self,
        piece: &SnapshotPiece,
        to: &[Block],
        offset: u32,
    ) -> Result<SavedMemory, ExtentStatus> {
        let bytes = self.system.dump.memory(piece.address, piece.length);
        let bytes = bytes.map_err(|_| ExtentStatus::NotReadable)?;
        let (mut map, mut stored, mut sum) = (0, 0, WordSum::new());
        for (index, granule) in bytes.chunks(GRANULE).enumerate() {
            let (words, _) = granule.as_chunks::<4>();
            let words = words.iter().map(|word| u32::from_le_bytes(*word));
            let is_all = |fill: u32| words.clone().all(|word| word == fill);
            if is_all(0) {
                map |= 1 << (2 * index);
                continue;
            }
            if is_all(STACK_FILL) {
                map |= 2 << (2 * index);
                continue;
            }
            for word in words {
                let at = ((offset + stored) / 4) as usize;
                to[at / 128].set_word(at % 128, word);
                sum = sum.word(word);
                stored += 4;
            }
        }
        let sum = sum.value();
        Ok(SavedMemory { map, stored, sum })
    }
}

/// Puts an image of the memory behind the crash of a card.
fn put(rig: &Rig, card: &Path, system: &DumpedSystem<'_>, kind: SnapshotKind) -> Result<()> {
    let value = rig
        .tool
        .json(["list".as_ref(), "--json".as_ref(), card.as_os_str()])?;
    let value = &value["card"];
    let number = |name: &str| value[name].as_u64().context("`list` says too little");
    let text = value["format"].as_str().context("`list` says too little")?;
    let format = FormatId::new(u64::from_str_radix(text, 16)?);
    let slot_blocks = u32::try_from(number("slot_bytes")? / BLOCK_LEN as u64)?;
    let geometry = Geometry::new(
        number("blocks")?,
        u32::try_from(number("slots")?)?,
        slot_blocks,
    );
    let geometry = geometry.map_err(|_| anyhow::anyhow!("no geometry"))?;
    let first = number("first_block")?;
    let file = File::options().read(true).write(true).open(card)?;
    let at = |block: u32| (first + u64::from(block)) * BLOCK_LEN as u64;
    let read = |block: u32| -> Result<[u8; BLOCK_LEN]> {
        let mut bytes = [0; BLOCK_LEN];
        file.read_exact_at(&mut bytes, at(block))?;
        Ok(bytes)
    };
    let mut ledger = Ledger::new_zeroed();
    for generation in [0, 1] {
        let bytes = read(geometry.ledger(generation))?;
        let found = Ledger::read_from_bytes(&bytes);
        let found = found.map_err(|_| anyhow::anyhow!("no ledger"))?;
        let is_better = ledger.check(format, &geometry).is_err() || found.is_newer_than(&ledger);
        if found.check(format, &geometry).is_ok() && is_better {
            ledger = found;
        }
    }
    let (slot, entry) = ledger.by_age(0).context("no crash")?;
    let sequence = entry.sequence.get();
    let slot = geometry.slot(slot).context("no slot")?;
    let (crash, segments) = CrashHeader::parse(&read(slot)?, format, slot_blocks)
        .map_err(|error| anyhow::anyhow!("{error}"))?;
    let behind = CrashHeader::snapshot_block(&segments[..crash.segments()]);

    let blocks: Vec<Block> = (0..Region::len_with(128) / BLOCK_LEN + 400)
        .map(|_| Block::zeroed())
        .collect();
    let region = Region::over(&blocks).context("no region")?;
    let area = region.snapshot();
    let registers = &system.dump.registers;
    let facts = SnapshotFacts {
        kind,
        boot: crash.boot.get(),
        task: crash.task.get(),
        // The recorder runs.
        current: 1,
        time: crash.time.get(),
        image_id: crash.image_id.get(),
        registers: std::array::from_fn(|number| registers[&(number as u32)]),
        deadline: 1,
    };
    let tasks = system.tasks.len() as u16;
    let owners = (0..tasks).chain([KERNEL_OWNER]);
    ensure!(
        area.write(&facts, owners, &mut DumpMemory { system }),
        "no image"
    );
    let mut header = area.header().context("no image")?;
    let mut image = Vec::new();
    for block in area.image(&header) {
        let mut bytes = [0; BLOCK_LEN];
        block.copy_to(0, &mut bytes);
        image.extend(bytes);
    }
    header.sequence = crash.sequence;
    header.written = (image.len() as u32).into();
    header.seal(format);
    let bytes = header.as_bytes();
    image[..bytes.len()].copy_from_slice(bytes);
    file.write_all_at(&image, at(slot + behind))?;
    ensure!(ledger.note_snapshot(sequence), "no crash");
    ledger.seal(format);
    file.write_all_at(ledger.as_bytes(), at(geometry.ledger(ledger.generation())))?;
    Ok(())
}
