//! The kernel's variables and tables that Humility reads

use super::container::Archive;
use super::dwarf::{Debug, Struct, Type};
use super::program::Program;
use super::{Report, Topic, names};

/// Checks the kernel, and the stacks of all tasks.
pub fn check(archive: &Archive, objects: &[Program], debugs: &[Debug], report: &mut Report) {
    names::of_kernel(objects, debugs, report);
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
    kernel.memory();
}

/// The kernel's program, and what its tables are compared with.
pub(super) struct Kernel<'a> {
    pub(super) program: &'a Program,
    pub(super) debug: &'a Debug,
    pub(super) archive: &'a Archive,
    pub(super) tasks: Vec<&'a Program>,
    report: &'a mut Report,
}

impl Kernel<'_> {
    pub(super) fn expect(&mut self, holds: bool, topic: Topic, what: impl Into<String>) {
        if !holds {
            self.report.add(&self.program.member, topic, what);
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
            Topic::Program,
            "symbol `HUBRIS_IMAGE_ID` must be there, with 8 bytes in the file; Humility compares it with the target's",
        );
        self.expect(
            current,
            Topic::Program,
            "symbol `CURRENT_TASK_PTR` must be there, with 4 bytes",
        );
        self.expect(
            stack == [true; 2],
            Topic::Program,
            "symbols `_stack_base` and `_stack_start` must be there, absolute; they are the kernel's stack",
        );
        self.expect(
            statics == [true; 2],
            Topic::Program,
            "symbols `__sbss` and `__eheap` must be there; without them a dump lacks the kernel's statics",
        );
        self.expect(
            !old,
            Topic::Program,
            "symbol `TASK_TABLE_BASE` is there, which Humility takes for that of an old kernel",
        );
    }

    /// Size of a variable that has both a symbol and a type.
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
                Topic::Kernel,
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
            Topic::Kernel,
            "variable `KERNEL_EPITAPH` must be an array of bytes",
        );
        let count = self.tasks.len() as u64;
        for (table, element, what) in [
            ("HUBRIS_TASK_TABLE_SPACE", "Task", "tasks"),
            ("HUBRIS_TASK_DESCS", "TaskDesc", "descriptors"),
        ] {
            let each = self.only(element).map_or(0, |it| it.size);
            let size = self.size_of(table).map(u64::from);
            self.expect(
                each > 0 && size == each.checked_mul(count),
                Topic::Kernel,
                format!(
                    "variable `{table}` has {size:?} bytes, which is not {count} {what} of {each}, one for each program"
                ),
            );
        }
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
                Topic::Kernel,
                format!("variable `{name}` must be an array of `{element}`"),
            );
            let place = self.place(name);
            let there = place.is_some_and(|(address, size)| {
                self.archive.read_flash(address, size as usize).is_some()
            });
            self.expect(
                there,
                Topic::Kernel,
                format!("variable `{name}` is not in img/final.elf, so it is not in flash"),
            );
        }
    }

    pub(super) fn place(&self, name: &str) -> Option<(u32, u32)> {
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
            Topic::Tasks,
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
            Topic::Tasks,
            "structure `RegionDesc` must have `base` and `size` of 4 bytes, and `attributes` whose `bits` or `__0` is a \
             base type of 4 bytes",
        );
    }
}
