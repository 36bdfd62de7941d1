//! What Humility reads of the kernel (humility.md, section 4), and of each task's stack (section 6).

use super::Report;
use super::container::Archive;
use super::dwarf::{Debug, Struct, Type};
use super::program::Program;

/// Structures that are looked up by name in all programs together, so no program may have another of that name.
const UNIQUE: [&str; 4] = ["Task", "SavedState", "TaskDesc", "RegionDesc"];

/// Checks the kernel, and the stacks of all tasks.
pub fn check(archive: &Archive, objects: &[Program], debugs: &[Debug], report: &mut Report) {
    unique(objects, debugs, report);
    let found = objects
        .iter()
        .zip(debugs)
        .find(|(it, _)| it.name == "kernel");
    let Some((program, debug)) = found else {
        return;
    };
    let mut kernel = Kernel {
        program,
        debug,
        archive,
        tasks: objects.iter().filter(|it| it.name != "kernel").collect(),
        report,
    };
    kernel.symbols();
    kernel.variables();
    kernel.task();
    kernel.descriptors();
    kernel.attributes();
    kernel.stacks();
}

/// Several definitions of a structure are fine if they are equal.
fn unique(objects: &[Program], debugs: &[Debug], report: &mut Report) {
    for name in UNIQUE {
        let mut known: Option<String> = None;
        for (program, debug) in objects.iter().zip(debugs) {
            for it in debug.structs(name) {
                let shape = shape(debug, it);
                if known.get_or_insert_with(|| shape.clone()) != &shape {
                    report.add(
                        &program.member,
                        "3.1",
                        format!(
                            "defines a structure `{}` that differs from another one called `{name}`; Humility then finds \
                             neither, so rename it",
                            it.path
                        ),
                    );
                }
            }
        }
    }
}

fn shape(debug: &Debug, it: &Struct) -> String {
    let member = |member: &super::dwarf::Member| {
        format!(
            "{}@{}:{}",
            member.name,
            member.offset,
            debug.describe(member.ty)
        )
    };
    let members: Vec<String> = it.members.iter().chain(&it.variants).map(member).collect();
    format!("{} {} {}", it.name, it.size, members.join(" "))
}

/// The kernel's program, and what it is held against.
pub(super) struct Kernel<'a> {
    program: &'a Program,
    pub(super) debug: &'a Debug,
    archive: &'a Archive,
    tasks: Vec<&'a Program>,
    report: &'a mut Report,
}

impl Kernel<'_> {
    pub(super) fn expect(&mut self, holds: bool, section: &'static str, what: impl Into<String>) {
        if !holds {
            self.report.add(&self.program.member, section, what);
        }
    }

    fn symbols(&mut self) {
        let symbol = |name: &str| self.program.symbol(name).cloned();
        let id = symbol("HUBRIS_IMAGE_ID");
        let placed = id.is_some_and(|id| id.size == 8 && id.section.is_some() && id.bytes);
        let current = symbol("CURRENT_TASK_PTR").is_some_and(|it| it.size == 4);
        let stack =
            ["_stack_base", "_stack_start"].map(|name| symbol(name).is_some_and(|it| it.absolute));
        let statics = ["__sbss", "__eheap"].map(|name| symbol(name).is_some());
        let old = symbol("TASK_TABLE_BASE").is_some();
        self.expect(
            placed,
            "3",
            "symbol `HUBRIS_IMAGE_ID` must be there, with 8 bytes in the file; Humility compares it with the target's",
        );
        self.expect(
            current,
            "3",
            "symbol `CURRENT_TASK_PTR` must be there, with 4 bytes",
        );
        self.expect(
            stack == [true; 2],
            "3",
            "symbols `_stack_base` and `_stack_start` must be there, absolute; they are the kernel's stack",
        );
        self.expect(
            statics == [true; 2],
            "3",
            "symbols `__sbss` and `__eheap` must be there; without them a dump lacks the kernel's statics",
        );
        self.expect(
            !old,
            "3",
            "symbol `TASK_TABLE_BASE` is there, which Humility takes for that of an old kernel",
        );
    }

    /// Size of the symbol of a variable that has a type, too.
    fn size_of(&self, name: &str) -> Option<u32> {
        let variable = self.debug.variable(name)?;
        Some(self.program.symbol(&variable.linkage)?.size)
    }

    fn variables(&mut self) {
        for (name, size) in [
            ("TICKS", 8),
            ("KERNEL_HAS_FAILED", 1),
            ("CLOCK_FREQ_KHZ", 4),
        ] {
            let found = self.size_of(name);
            self.expect(
                found == Some(size),
                "4",
                format!("variable `{name}` must have {size} bytes, and has {found:?}"),
            );
        }
        let epitaph = self.debug.variable("KERNEL_EPITAPH").map(|it| it.ty);
        let bytes = epitaph.is_some_and(|ty| match self.debug.ty(ty) {
            Some(Type::Array { element, .. }) => self.debug.size(*element) == Some(1),
            _ => false,
        });
        self.expect(
            bytes,
            "4",
            "variable `KERNEL_EPITAPH` must be an array of bytes",
        );
        let each = self.only("Task").map_or(0, |it| it.size);
        let table = self.size_of("HUBRIS_TASK_TABLE_SPACE").map(u64::from);
        let count = self.tasks.len() as u64;
        self.expect(
            each > 0 && table == each.checked_mul(count),
            "4",
            format!(
                "variable `HUBRIS_TASK_TABLE_SPACE` has {table:?} bytes, which is not {count} tasks of {each}, one for \
                 each program"
            ),
        );
        let descriptors = self.size_of("HUBRIS_TASK_DESCS").map(u64::from);
        let each = self.only("TaskDesc").map_or(0, |it| it.size);
        self.expect(
            each > 0 && descriptors == each.checked_mul(count),
            "4",
            format!(
                "variable `HUBRIS_TASK_DESCS` has {descriptors:?} bytes, which is not {count} descriptors of {each}, one for \
                 each program"
            ),
        );
        for (name, element) in [
            ("HUBRIS_TASK_DESCS", "TaskDesc"),
            ("HUBRIS_REGION_DESCS", "RegionDesc"),
        ] {
            let ty = self
                .debug
                .variable(name)
                .and_then(|it| self.debug.ty(it.ty));
            let sound = match ty {
                Some(Type::Array { element: of, .. }) => self
                    .debug
                    .structure(*of)
                    .is_some_and(|it| it.name == element),
                _ => false,
            };
            self.expect(
                sound,
                "4",
                format!("variable `{name}` must be an array of `{element}`"),
            );
            let place = self.place(name);
            let there = place.is_some_and(|(address, size)| {
                self.archive.read_flash(address, size as usize).is_some()
            });
            self.expect(
                there,
                "4",
                format!("variable `{name}` is not in img/final.elf, so it is not in flash"),
            );
        }
    }

    fn place(&self, name: &str) -> Option<(u32, u32)> {
        let symbol = self.program.symbol(&self.debug.variable(name)?.linkage)?;
        Some((symbol.address, symbol.size))
    }

    /// The structure of this name.
    pub(super) fn only(&self, name: &str) -> Option<&Struct> {
        self.debug.structs(name).first().copied()
    }

    fn descriptors(&mut self) {
        let desc = self.only("TaskDesc").cloned().unwrap_or_default();
        let sized = |name: &str| {
            desc.member(name)
                .is_some_and(|it| self.debug.size(it.ty) == Some(4))
        };
        let numbers = sized("entry_point") && sized("initial_stack");
        let regions = desc.member("regions").and_then(|it| self.debug.ty(it.ty));
        let references = match regions {
            Some(Type::Array { element, .. }) => {
                matches!(self.debug.size(*element), Some(1 | 4))
            }
            _ => false,
        };
        self.expect(
            numbers && references,
            "4.1",
            "structure `TaskDesc` must have `entry_point` and `initial_stack` of 4 bytes, and `regions`, an array of \
             indices or references",
        );
        let region = self.only("RegionDesc").cloned().unwrap_or_default();
        let plain = |name: &str| {
            region.member(name).is_some_and(|it| {
                self.debug.size(it.ty) == Some(4) && self.debug.structure(it.ty).is_none()
            })
        };
        let numbers = plain("base") && plain("size");
        let attributes = region.member("attributes").and_then(|it| {
            let it = self.debug.structure(it.ty)?;
            let bits = it.member("bits").or_else(|| it.member("__0"))?;
            Some(matches!(
                self.debug.ty(bits.ty),
                Some(Type::Base { size: 4, .. })
            ))
        });
        self.expect(
            numbers && attributes == Some(true),
            "4.1",
            "structure `RegionDesc` must have `base` and `size` of 4 bytes, and `attributes` whose `bits` or `__0` is a \
             base type of 4 bytes",
        );
    }

    /// Read, write, execute, device, DMA: Humility knows no other attribute.
    fn attributes(&mut self) {
        let of_region = || -> Option<Vec<u32>> {
            let region = self.only("RegionDesc")?;
            let (table, length) = self.place("HUBRIS_REGION_DESCS")?;
            let offset = region.member("attributes")?.offset as u32;
            let places = (table..table.checked_add(length)?).step_by(region.size.max(4) as usize);
            let word = |at: u32| {
                let bytes = self.archive.read_flash(at.checked_add(offset)?, 4)?;
                Some(u32::from_le_bytes(bytes.try_into().ok()?))
            };
            places.map(word).collect()
        };
        let unknown = of_region()
            .into_iter()
            .flatten()
            .find(|attributes| *attributes > 0x1f);
        self.expect(
            unknown.is_none(),
            "4.1",
            format!("a region has the attributes {unknown:x?}; Humility knows bits 0 to 4"),
        );
    }

    /// Each task's stack is in a region that is its alone, and its entry point in its program.
    fn stacks(&mut self) {
        let Some(tasks) = self.task_regions() else {
            self.expect(
                false,
                "4.1",
                "the tables of tasks and regions in flash do not fit their types",
            );
            return;
        };
        let names: Vec<String> = self.tasks.iter().map(|task| task.name.clone()).collect();
        for (index, (entry, stack, regions)) in tasks.iter().enumerate() {
            let Some(name) = names.get(index) else {
                continue;
            };
            let (start, end) = self.tasks[index].text;
            self.expect(
                (start..end).contains(&(entry & !1)),
                "4.1",
                format!("task {index} enters at {entry:#x}, which is not in the .text of `{name}`; its members are in another order"),
            );
            let is_of = |region: &(u32, u32)| region.0 < *stack && *stack - region.0 <= region.1;
            let own = regions.iter().find(|region| is_of(region));
            let sharers = tasks
                .iter()
                .filter(|task| own.is_some_and(|own| task.2.contains(own)))
                .count();
            self.expect(
                own.is_some() && sharers == 1,
                "6",
                format!("the stack of `{name}`, which ends at {stack:#x}, must be in a region of this task alone"),
            );
        }
    }

    /// Of each task: entry point, end of the stack, regions.
    #[allow(clippy::type_complexity, reason = "read at one place")]
    fn task_regions(&self) -> Option<Vec<(u32, u32, Vec<(u32, u32)>)>> {
        let word = |address: u32| {
            let bytes = self.archive.read_flash(address, 4)?;
            Some(u32::from_le_bytes(bytes.try_into().ok()?))
        };
        let (desc, region) = (self.only("TaskDesc")?, self.only("RegionDesc")?);
        let (descs, _) = self.place("HUBRIS_TASK_DESCS")?;
        let (table, length) = self.place("HUBRIS_REGION_DESCS")?;
        let at = |it: &Struct, name: &str| it.member(name).map(|member| member.offset as u32);
        let Type::Array { element, count } = self.debug.ty(desc.member("regions")?.ty)? else {
            return None;
        };
        let wide = self.debug.size(*element)? == 4;
        let stride = region.size as u32;
        let mut all = Vec::new();
        for index in 0..self.tasks.len() as u32 {
            let base = descs + index * desc.size as u32;
            let mut regions = Vec::new();
            for slot in 0..*count as u32 {
                let list = base + at(desc, "regions")?;
                let entry = if wide {
                    word(list + 4 * slot)?
                } else {
                    table + stride * u32::from(self.archive.read_flash(list + slot, 1)?[0])
                };
                let offset = entry.checked_sub(table)?;
                if offset % stride != 0 || offset >= length {
                    return None;
                }
                let region = (
                    word(entry + at(region, "base")?)?,
                    word(entry + at(region, "size")?)?,
                );
                if region.0 != 0 {
                    regions.push(region);
                }
            }
            all.push((
                word(base + at(desc, "entry_point")?)?,
                word(base + at(desc, "initial_stack")?)?,
                regions,
            ));
        }
        Some(all)
    }
}
