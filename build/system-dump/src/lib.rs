//! Writes the memory of a running QEMU as a system dump that Humility and gdb open
//!
//! [`run`] connects to QEMU's monitor (QMP), which `./x qemu` offers on a socket beside the image.
//! The processors are stopped while memory is read, so that the dump is of one moment, and continue
//! afterwards if they ran before, also if the dump fails.

#![forbid(unsafe_code)]

mod layout;
mod qmp;
mod registers;

use anyhow::{Context, Result, bail};
use build_core_file::{CoreFile, Segment, Thread};
use layout::{Layout, Tasks};
use qmp::Machine;
use registers::{Core, Hidden};
use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

/// How often the machine may be stopped with its program counter in no program, as in the exception
/// vectors.
const TRIES: u32 = 50;

/// The number of the kernel's thread in gdb: its task id.
const KERNEL_THREAD: u32 = 0xffff;

/// Writes a dump to `output`, or to the first `hubris.core.N` that is free. Returns its path.
pub fn run(archive: &Path, socket: &Path, output: Option<&Path>) -> Result<PathBuf> {
    let bytes = fs::read(archive).with_context(|| {
        format!(
            "{}: the archive of the running image cannot be read; ./x dist makes one",
            archive.display()
        )
    })?;
    let layout = Layout::read(bytes.clone()).with_context(|| archive.display().to_string())?;
    let output = match output {
        Some(path) => path.to_path_buf(),
        None => free_name()?,
    };
    let folder = tempfile::tempdir().context("no folder for memory")?;
    let scratch = folder.path().join("memory");
    let mut machine = Machine::connect(socket)?;
    let running = machine.is_running()?;
    let dump = take(&mut machine, running, &layout, &bytes, &scratch);
    if running {
        machine.go_on()?;
    }
    let dump = dump.with_context(|| format!("{}: no dump of this machine", socket.display()))?;
    fs::write(&output, dump).with_context(|| format!("cannot write {}", output.display()))?;
    Ok(output)
}

/// The dump's bytes; leaves the machine stopped.
fn take(
    machine: &mut Machine,
    running: bool,
    layout: &Layout,
    archive: &[u8],
    scratch: &Path,
) -> Result<Vec<u8>> {
    let core = stop_in_code(machine, running, layout)?;
    let word = |machine: &mut Machine, address: u32| -> Result<u32> {
        let bytes = machine.memory(address, 4, scratch)?;
        Ok(u32::from_le_bytes(bytes.as_slice().try_into()?))
    };
    let (address, id) = &layout.image_id;
    if machine.memory(*address, id.len() as u32, scratch)? != *id {
        bail!("it runs another image than that of the archive; the image ids differ");
    }
    let current = word(machine, layout.current_task)?;
    let mut segments = Vec::new();
    for range in &layout.ranges {
        segments.push(Segment {
            address: range.start,
            bytes: machine.memory(range.start, range.end - range.start, scratch)?,
        });
    }
    let hidden = Hidden {
        kernel: layout.kernel_stack,
        task: word_of(&segments, current + layout.tasks.psp()).unwrap_or_default(),
    };
    let threads = threads(&core, current, &layout.tasks, &segments);
    let file = CoreFile {
        archive,
        registers: &core.numbered(hidden),
        task: None,
        threads: &threads,
        segments: &segments,
    };
    if let Err(why) = file.check() {
        bail!("it has {why}");
    }
    let mut bytes = Vec::new();
    file.write(&mut bytes)?;
    Ok(bytes)
}

/// The thread that runs, and behind it the other tasks as they were when they ran last. Task `n`
/// has number `n + 1`.
fn threads(core: &Core, current: u32, tasks: &Tasks, segments: &[Segment]) -> Vec<Thread> {
    let mut threads = Vec::new();
    for index in 0..tasks.count {
        let task = tasks.address + index * tasks.each;
        let number = index + 1;
        if task == current && core.is_task() {
            threads.insert(0, core.thread(number));
        } else if let Some(registers) = registers::saved(task, tasks, |at| word_of(segments, at)) {
            threads.push(Thread { number, registers });
        }
    }
    if !core.is_task() {
        threads.insert(0, core.thread(KERNEL_THREAD));
    }
    threads
}

/// The word at an address of saved memory.
fn word_of(segments: &[Segment], address: u32) -> Option<u32> {
    segments.iter().find_map(|segment| {
        let at = address.checked_sub(segment.address)? as usize;
        let bytes = segment.bytes.get(at..at.checked_add(4)?)?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?))
    })
}

/// Stops the machine with its program counter in the code of a program. Humility refuses other
/// dumps.
fn stop_in_code(machine: &mut Machine, running: bool, layout: &Layout) -> Result<Core> {
    let mut pc = 0;
    for attempt in 0..TRIES {
        if attempt > 0 {
            machine.go_on()?;
            sleep(Duration::from_millis(3));
        }
        machine.stop()?;
        let core = Core::parse(&machine.registers()?)?;
        pc = core.pc();
        if layout.is_code(pc) {
            return Ok(core);
        }
        if !running {
            break;
        }
    }
    bail!(
        "the program counter is {pc:#x}, in no program of the archive; Humility would refuse the dump"
    )
}

fn free_name() -> Result<PathBuf> {
    (0..1000)
        .map(|number| PathBuf::from(format!("hubris.core.{number}")))
        .find(|path| !path.exists())
        .context("hubris.core.0 to hubris.core.999 all exist; name the file")
}
