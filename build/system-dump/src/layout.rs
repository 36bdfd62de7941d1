//! Which memory a dump contains
//!
//! The kernel's, and every region of every task that is no device, as the tables in the archive
//! say. Dumps of stock Humility leave out the regions that a task names in `extern-regions`. They
//! are in the dumps made here, because one of them is the retained region; Humility reads such
//! dumps.

use anyhow::{Context, Result};
use build_archive_check::Report;
use build_archive_check::container::Archive;
use build_archive_check::dwarf::{Debug, Type};
use build_archive_check::program::Program;
use std::ops::Range;

/// Bit of a region's attributes: registers of a device.
const DEVICE: u32 = 8;

/// Addresses in an image.
#[derive(Debug)]
pub struct Layout {
    /// Memory to save, in order, disjoint.
    pub ranges: Vec<Range<u32>>,
    /// The code of each program: where the program counter may be.
    pub texts: Vec<Range<u32>>,
    /// Address of the pointer to the current task.
    pub current_task: u32,
    /// The tasks' structures.
    pub tasks: Tasks,
    /// The kernel's stack pointer when it is empty.
    pub kernel_stack: u32,
    /// Address and bytes of the image id.
    pub image_id: (u32, Vec<u8>),
}

/// The kernel's table of tasks.
#[derive(Debug)]
pub struct Tasks {
    /// Its address.
    pub address: u32,
    /// Bytes of a task's structure.
    pub each: u32,
    /// How many there are.
    pub count: u32,
    /// Offsets of the saved r4 to r11 and of the saved stack pointer in a structure.
    pub saved: [u32; 9],
    /// Offset of the stack pointer of a stack that has overflowed.
    pub lost_stack_pointer: u32,
}

impl Layout {
    /// Reads an archive.
    pub fn read(bytes: Vec<u8>) -> Result<Self> {
        // check-archive reports what is wrong with an archive. Here an error is only what a dump
        // cannot do without.
        let mut ignored = Report::default();
        let archive = Archive::open(bytes, &mut ignored)?;
        let mut kernel = None;
        let mut texts = Vec::new();
        for member in archive.programs() {
            let program = Program::read(&archive, &member, &mut ignored)?;
            let program = program.with_context(|| format!("{member}: no ELF file"))?;
            texts.push(program.text.0..program.text.1);
            if program.name == "kernel" {
                kernel = Some(program);
            }
        }
        let kernel = kernel.context("the archive has no elf/kernel")?;
        let debug = Debug::read(&kernel.file()?, &kernel.member, &mut ignored)?;
        let symbol = |name: &str| {
            let found = kernel.symbol(name).map(|it| it.address);
            found.with_context(|| format!("the kernel has no symbol {name}"))
        };
        let image_id = symbol("HUBRIS_IMAGE_ID")?;
        let id = archive
            .read_flash(image_id, 8)
            .context("img/final.elf has no image id")?;
        let mut ranges = kernel_ranges(&kernel)?;
        ranges.push(symbol("_stack_base")?..symbol("_stack_start")?);
        ranges.push(symbol("__sbss")?..symbol("__eheap")?);
        ranges.extend(regions(&archive, &kernel, &debug)?);
        Ok(Self {
            ranges: union(ranges),
            texts,
            current_task: symbol("CURRENT_TASK_PTR")?,
            tasks: tasks(&kernel, &debug)
                .context("the kernel has no table of `Task`s with a `SavedState`")?,
            kernel_stack: symbol("_stack_start")?,
            image_id: (image_id, id.to_vec()),
        })
    }

    /// Whether an address is in the code of a program.
    pub fn is_code(&self, address: u32) -> bool {
        self.texts.iter().any(|text| text.contains(&address))
    }
}

/// The kernel's loaded segments.
fn kernel_ranges(kernel: &Program) -> Result<Vec<Range<u32>>> {
    let segments = kernel.elf.segments()?;
    Ok(segments
        .iter()
        .map(|it| it.virtual_address..it.virtual_address.saturating_add(it.memory_size))
        .collect())
}

/// The regions of all tasks that are memory.
fn regions(archive: &Archive, kernel: &Program, debug: &Debug) -> Result<Vec<Range<u32>>> {
    let name = "HUBRIS_REGION_DESCS";
    let variable = debug
        .variable(name)
        .with_context(|| format!("the kernel has no {name}"))?;
    let symbol = kernel
        .symbol(&variable.linkage)
        .with_context(|| format!("the kernel has no {name}"))?;
    let Some(Type::Array { element, count }) = debug.ty(variable.ty) else {
        anyhow::bail!("the kernel's {name} is no array");
    };
    let it = debug
        .structure(*element)
        .context("a region is no structure")?;
    let offset = |name: &str| {
        let member = it.member(name).map(|member| member.offset as u32);
        member.with_context(|| format!("the kernel's RegionDesc has no {name}"))
    };
    let (base, size, attributes) = (offset("base")?, offset("size")?, offset("attributes")?);
    let mut ranges = Vec::new();
    for index in 0..*count as u32 {
        let at = symbol.address + index * it.size as u32;
        let word = |offset: u32| -> Result<u32> {
            let bytes = archive
                .read_flash(at + offset, 4)
                .context("the region table is not in flash")?;
            Ok(u32::from_le_bytes(bytes.try_into()?))
        };
        let base = word(base)?;
        if base != 0 && word(attributes)? & DEVICE == 0 {
            ranges.push(base..base.saturating_add(word(size)?));
        }
    }
    Ok(ranges)
}

fn tasks(kernel: &Program, debug: &Debug) -> Option<Tasks> {
    let task = *debug.structs("Task").first()?;
    let save = task.member("save")?;
    let saved = debug.structure(save.ty)?;
    let place = |name: &str| Some((save.offset + saved.member(name)?.offset) as u32);
    let arch = task.member("arch")?;
    let lost = debug.structure(arch.ty)?.member("lost_stack_pointer")?;
    let names = ["r4", "r5", "r6", "r7", "r8", "r9", "r10", "r11", "psp"];
    let mut offsets = [0; 9];
    for (offset, name) in offsets.iter_mut().zip(names) {
        *offset = place(name)?;
    }
    let linkage = &debug.variable("HUBRIS_TASK_TABLE_SPACE")?.linkage;
    let table = kernel.symbol(linkage)?;
    let each = task.size as u32;
    Some(Tasks {
        address: table.address,
        each,
        count: table.size.checked_div(each)?,
        saved: offsets,
        lost_stack_pointer: (arch.offset + lost.offset) as u32,
    })
}

/// The union of ranges, disjoint and in order.
fn union(mut ranges: Vec<Range<u32>>) -> Vec<Range<u32>> {
    ranges.retain(|range| !range.is_empty());
    ranges.sort_by_key(|range| range.start);
    let mut all: Vec<Range<u32>> = Vec::new();
    for range in ranges {
        match all.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => all.push(range),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_do_not_overlap() {
        let ranges = vec![30..40, 0..10, 5..12, 12..20, 33..35, 50..50];
        assert_eq!(union(ranges), [0..20, 30..40]);
    }
}
