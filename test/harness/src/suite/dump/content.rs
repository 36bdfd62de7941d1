//! The content of a dump, as Humility needs it.

use crate::build::Image;
use crate::core_dump::CoreDump;
use crate::symbols::Symbols;
use anyhow::{Context, Result, ensure};
use std::io::Cursor;

/// Start of the machine's memory; everything below are devices.
const DRAM: u32 = 0x8000_0000;
/// Bytes of a region's descriptor: a word of the kernel's own, base, size, attributes.
const REGION: u32 = 16;

/// Checks the dump of a machine that runs an image. Returns the kernel's time in ticks.
pub(super) fn check(dump: &CoreDump, image: &Image) -> Result<u32> {
    ensure!(
        dump.archive == std::fs::read(&image.archive)?,
        "the archive is not in the dump byte for byte"
    );
    let numbers: Vec<u32> = dump.registers.keys().copied().collect();
    ensure!(
        numbers == (0..=18).chain([20]).collect::<Vec<_>>(),
        "the dump has these registers: {numbers:?}"
    );
    // The stack pointer is that of a task or that of the kernel.
    let [sp, msp, psp] = [13, 17, 18].map(|number| dump.registers[&number]);
    let in_task = dump.registers[&20] >> 24 == 3;
    ensure!(
        sp == if in_task { psp } else { msp },
        "the stack pointer is {sp:#x}, neither {msp:#x} nor {psp:#x}"
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
        ensure!(*address >= DRAM, "the dump has a device at {address:#x}");
    }

    let symbols = Symbols::read(image)?;
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
    let names = names(&dump.archive)?;
    let tasks = names.len() as u32;
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
    // The memory of each task, by its descriptor, with the stack at its start.
    let (regions, length) = place("HUBRIS_REGION_DESCS")?;
    let mut stacks = 0;
    ensure!(length % REGION == 0, "the region table has {length} bytes");
    for at in (regions..regions + length).step_by(REGION as usize) {
        let [base, size, attributes] = [4, 8, 12].map(|field| dump.word(at + field));
        let (base, size, attributes) = (base?, size?, attributes?);
        let is_memory = base != 0 && attributes & 8 == 0;
        if is_memory {
            dump.memory(base, size)
                .with_context(|| format!("the region at {base:#x} is not whole"))?;
            stacks += usize::from(attributes & 2 != 0 && attributes & 16 == 0);
        } else if base != 0 {
            ensure!(
                dump.word(base).is_err(),
                "{base:#x} is a device, and in the dump"
            );
        }
    }
    ensure!(
        stacks >= tasks as usize,
        "{stacks} writable regions for {tasks} tasks"
    );
    // For gdb each task is a thread, with a program counter in its own code.
    for (number, pc) in &dump.threads {
        let (program, _) = symbols.at(*pc);
        let expected = match *number {
            0xffff => "kernel",
            number => names[number as usize - 1].as_str(),
        };
        ensure!(
            program == expected,
            "the program counter of {expected}, {pc:#x}, is in {program}"
        );
    }
    ensure!(
        dump.threads.len() == tasks as usize + usize::from(dump.threads[0].0 == 0xffff),
        "{} threads for {tasks} tasks",
        dump.threads.len()
    );
    dump.word(place("TICKS")?.0)
}

/// Address and size of a variable of the kernel.
pub(super) fn place(symbols: &Symbols, name: &str) -> Result<(u32, u32)> {
    let places = symbols.variable("kernel", name)?;
    places
        .first()
        .copied()
        .with_context(|| format!("the kernel has no variable {name}"))
}

/// The tasks of an archive, in order.
pub(super) fn names(archive: &[u8]) -> Result<Vec<String>> {
    let zip = zip::ZipArchive::new(Cursor::new(archive)).context("the archive is no zip file")?;
    let names = zip.file_names_raw().filter_map(|name| {
        let name = name.strip_prefix(b"elf/task/")?;
        Some(String::from_utf8_lossy(name).into_owned())
    });
    Ok(names.collect())
}
