//! The regions of the tasks, as the kernel's tables give them, and of the kernel, and the stacks in
//! them

use super::Topic;
use super::dwarf::{Struct, Type};
use super::kernel::Kernel;
use std::collections::BTreeMap;

/// Of a task: entry point, end of the stack, regions.
type TaskRegions = (u32, u32, Vec<Region>);

/// Attribute bits of a region that is not flash: it is writable, or registers of a device.
const WRITE_OR_DEVICE: u32 = 2 | 8;

/// A region that a table in flash gives to a task.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Region {
    base: u32,
    size: u32,
    attributes: u32,
}

impl Kernel<'_> {
    /// Checks the attributes: Humility knows read, write, execute, device and DMA.
    pub(super) fn attributes(&mut self) {
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
            Topic::Tasks,
            format!("a region has the attributes {unknown:x?}; Humility knows bits 0 to 4"),
        );
    }

    /// Checks that each task's stack is in a region that no other task has, and its entry point in
    /// its program.
    pub(super) fn stacks(&mut self) {
        let Some(tasks) = self.task_regions() else {
            self.expect(
                false,
                Topic::Tasks,
                "the tables of tasks and regions in flash do not fit their types",
            );
            return;
        };
        self.disjoint(&tasks);
        self.in_flash(&tasks);
        let names: Vec<String> = self.tasks.iter().map(|task| task.name.clone()).collect();
        for (index, (entry, stack, regions)) in tasks.iter().enumerate() {
            let Some(name) = names.get(index) else {
                continue;
            };
            let (start, end) = self.tasks[index].text;
            self.expect(
                (start..end).contains(&(entry & !1)),
                Topic::Tasks,
                format!("task {index} enters at {entry:#x}, which is not in the .text of `{name}`; its members are in another order"),
            );
            let is_of =
                |region: &Region| region.base < *stack && *stack - region.base <= region.size;
            let own = regions.iter().find(|region| is_of(region));
            let sharers = tasks
                .iter()
                .filter(|task| own.is_some_and(|own| task.2.contains(own)))
                .count();
            self.expect(
                own.is_some() && sharers == 1,
                Topic::StackMargins,
                format!("the stack of `{name}`, which ends at {stack:#x}, must be in a region of this task alone"),
            );
        }
    }

    /// Checks that regions with one base have one size, and that none begins inside another.
    /// Humility keeps regions by base, and takes the one with the greatest base at or below the
    /// stack pointer for the stack's.
    fn disjoint(&mut self, tasks: &[TaskRegions]) {
        let regions = tasks.iter().flat_map(|task| &task.2);
        let mut all: Vec<(u32, u32)> = regions.map(|it| (it.base, it.size)).collect();
        all.sort_unstable();
        all.dedup();
        let symbol = |name: &str| self.program.symbol(name).map(|it| it.address);
        let stack = symbol("_stack_base").zip(symbol("_stack_start"));
        all.extend(stack.map(|(base, end)| (base, end.saturating_sub(base))));
        all.sort_unstable();
        let broken = all
            .windows(2)
            .find(|pair| u64::from(pair[0].0) + u64::from(pair[0].1) > u64::from(pair[1].0))
            .map(|pair| (pair[0].0, pair[1].0));
        self.expect(
            broken.is_none(),
            Topic::Unwinding,
            format!(
                "two regions overlap: {:#x?}; Humility would look for a stack in the wrong one",
                broken.unwrap_or_default()
            ),
        );
    }

    /// Checks that the kernel's segments, its stack and its statics do not overlap. Each is a
    /// region to Humility, which keeps one for each base; a dump of two that overlap cannot be
    /// read.
    pub(super) fn memory(&mut self) {
        let mut all = BTreeMap::new();
        let symbol = |name: &str| self.program.symbol(name).map(|it| it.address);
        let segments = self.program.elf.segments().unwrap_or_default();
        let segments = segments.iter().map(|it| {
            let end = it.virtual_address.saturating_add(it.memory_size);
            Some((it.virtual_address, end))
        });
        let others = [("_stack_base", "_stack_start"), ("__sbss", "__eheap")];
        let others = others.map(|(base, end)| symbol(base).zip(symbol(end)));
        for (base, end) in segments.chain(others).flatten() {
            let known = all.entry(base).or_insert(end);
            *known = end.max(*known);
        }
        let overlap = all
            .iter()
            .zip(all.iter().skip(1))
            .find(|((_, end), (base, _))| end > base)
            .map(|(_, (base, _))| *base);
        self.expect(
            overlap.is_none(),
            Topic::Kernel,
            format!(
                "two of the kernel's segments, its stack and its statics (`__sbss` to `__eheap`) overlap at {:#x}; \
                 place .data outside of them",
                overlap.unwrap_or_default()
            ),
        );
    }

    /// Checks that the image holds each region of flash to its end. Humility's `hydrate` reads
    /// whole regions from it.
    fn in_flash(&mut self, tasks: &[TaskRegions]) {
        for (index, (_, _, regions)) in tasks.iter().enumerate() {
            let missing = regions.iter().find(|region| {
                region.attributes & WRITE_OR_DEVICE == 0
                    && self
                        .archive
                        .read_flash(region.base, region.size as usize)
                        .is_none()
            });
            let Some(Region { base, size, .. }) = missing else {
                continue;
            };
            let end = u64::from(*base) + u64::from(*size);
            let name = &self.tasks[index].name;
            let what = format!(
                "the region of `{name}` from {base:#x} to {end:#x} is not whole in img/final.elf; \
                 `hydrate` reads it from there, so pad the image"
            );
            self.expect(false, Topic::Image, what);
        }
    }

    /// The regions of each task.
    fn task_regions(&self) -> Option<Vec<TaskRegions>> {
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
                let region = Region {
                    base: word(entry + at(region, "base")?)?,
                    size: word(entry + at(region, "size")?)?,
                    attributes: word(entry + at(region, "attributes")?)?,
                };
                if region.base != 0 {
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
