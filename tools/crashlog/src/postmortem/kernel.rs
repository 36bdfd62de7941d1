//! The kernel's tables: tasks, their descriptors, their memory; and the registers of tasks.

use crate::archive::Archive;
use crate::describe::Names;
use crate::dwarf::{DebugInfo, Member, Struct, Type, Variable};
use crate::postmortem::{MemoryRange, SUPERVISOR};
use crate::problem::{Code, Problem};
use crate::program::Program;
use crate::snapshot::Snapshot;
use crate::value::Value;
use build_core_file::{is_cpsr, xpsr};
use crashlog_format::snapshot::SnapshotKind;
use std::ops::Range;
use toml::{Table, Value as Toml};

/// Bytes of the exception frame of a task: 8 words, and those of the floating point unit (ARMv7-M
/// Architecture Reference Manual, section B1.5.7).
const FRAME: u32 = 26 * 4;

/// Bits of the attributes of a region.
const WRITE: u32 = 2;
const DEVICE: u32 = 8;

/// Longest message of a kernel that has failed.
const EPITAPH_MAX: usize = 4096;

/// The kernel of an image, and the memory of its machine.
pub struct Kernel<'a> {
    archive: &'a Archive,
    program: Program,
    debug: DebugInfo,
    snapshot: &'a Snapshot,
    config: AppConfig,
    table: Variable,
    task: Struct,
    task_type: usize,
}

/// An entry of the table of tasks.
pub struct TaskEntry {
    pub index: u16,
    /// Its address.
    pub address: u32,
    pub value: Value,
    pub generation: u64,
    pub priority: u64,
    pub is_current: bool,
}

/// A region of a task, as the kernel's constant tables have it.
pub struct RegionEntry {
    /// The address of its descriptor: tasks that share it have the same.
    pub descriptor: u32,
    pub base: u32,
    pub size: u32,
    pub attributes: u32,
}

/// What the kernel's tables say of the memory of a task.
pub struct TaskMemory {
    /// Its regions that are memory which it can write, and no device.
    pub writable: Vec<MemoryRange>,
    /// Lowest address of its stack, and the one behind its highest.
    pub stack: (u32, u32),
}

impl<'a> Kernel<'a> {
    pub fn new(
        archive: &'a Archive,
        program: Program,
        snapshot: &'a Snapshot,
    ) -> Result<Self, Problem> {
        let refused = |what: &str| {
            Problem::new(
                Code::Usage,
                format!(
                    "{}: its kernel has no {what}, which says what a snapshot holds; give the archive as the build made it",
                    archive.path().display()
                ),
            )
        };
        let debug = program.debug_info();
        let table = debug.variable("HUBRIS_TASK_TABLE_SPACE").cloned();
        let table = table.ok_or_else(|| refused("HUBRIS_TASK_TABLE_SPACE"))?;
        let (task_type, task) = debug
            .structure("Task", &["save", "state", "descriptor"])
            .map(|(id, it)| (id, it.clone()))
            .ok_or_else(|| refused("type `Task`"))?;
        Ok(Self {
            config: AppConfig::new(archive),
            archive,
            program,
            debug,
            snapshot,
            table,
            task,
            task_type,
        })
    }

    pub fn archive(&self) -> &'a Archive {
        self.archive
    }

    pub fn snapshot(&self) -> &'a Snapshot {
        self.snapshot
    }

    pub fn config(&self) -> &AppConfig {
        &self.config
    }

    /// The bytes at an address, or why they are missing.
    pub fn bytes(&self, address: u32, length: usize) -> Result<Vec<u8>, String> {
        self.snapshot
            .memory
            .bytes(address, length)
            .map_err(|absent| self.absent(absent.0))
    }

    /// The word at an address, or why it is missing.
    pub fn word(&self, address: u32) -> Result<u32, String> {
        self.snapshot
            .memory
            .word(address)
            .map_err(|absent| self.absent(absent.0))
    }

    fn absent(&self, address: u32) -> String {
        format!(
            "{address:#010x} is missing: {}",
            self.snapshot.why_missing(address)
        )
    }

    /// The kernel's time; that of the crash, if the snapshot has no kernel.
    pub fn ticks(&self) -> u64 {
        let time = || {
            let address = self.program.symbol("TICKS")?.0;
            let bytes = self.bytes(address, 8).ok()?;
            Some(u64::from_le_bytes(bytes.try_into().ok()?))
        };
        match self.snapshot.header.kind() {
            Ok(SnapshotKind::System) => time(),
            _ => None,
        }
        .unwrap_or(self.snapshot.header.time.get())
    }

    /// The message of a kernel that has failed.
    pub fn epitaph(&self) -> Option<String> {
        let (failed, _) = self.program.symbol("KERNEL_HAS_FAILED")?;
        if self.bytes(failed, 1).ok()? == [0] {
            return None;
        }
        let (text, size) = self.program.symbol("KERNEL_EPITAPH")?;
        let bytes = self.bytes(text, (size as usize).min(EPITAPH_MAX)).ok()?;
        let text = bytes.split(|byte| *byte == 0).next()?;
        Some(String::from_utf8_lossy(text).into_owned())
    }

    /// Where the table of tasks has the entry of a task.
    pub fn entry_of(&self, index: u16) -> Option<MemoryRange> {
        let size = self.task.size;
        let offset = u32::from(index).checked_mul(size).filter(|_| size > 0)?;
        (offset.saturating_add(size) <= self.table.size).then_some(())?;
        let base = self.table.address.checked_add(offset)?;
        Some(MemoryRange { base, size })
    }

    /// The entry of a task.
    pub fn task(&self, index: u16) -> Result<TaskEntry, String> {
        let place = self.entry_of(index);
        let MemoryRange {
            base: address,
            size,
        } = place.ok_or("the kernel's table has no such task")?;
        let bytes = self.bytes(address, size as usize)?;
        let value = Value::read(&self.debug, self.task_type, &bytes)
            .ok_or("its entry in the kernel's table is no `Task`")?;
        let number = |name: &str| {
            let number = value.member(name).and_then(Value::number);
            number.ok_or(format!("its entry in the kernel's table has no {name}"))
        };
        let current = self
            .program
            .symbol("CURRENT_TASK_PTR")
            .and_then(|(pointer, _)| self.word(pointer).ok());
        Ok(TaskEntry {
            index,
            address,
            generation: number("generation")?,
            priority: number("priority")?,
            is_current: current == Some(address),
            value,
        })
    }

    /// r0 to r15 and the status register of a task. `text` is where its code is.
    ///
    /// Of the task that ran they are in the header. But the supervisor, which makes the snapshot,
    /// runs on meanwhile: what the kernel saved at its last entry, with the table of tasks, fits
    /// the stack that was saved; the registers in the header are of a call before that.
    pub fn registers(
        &self,
        entry: &TaskEntry,
        text: Option<Range<u32>>,
    ) -> Result<[u32; 17], String> {
        let is_code = |registers: &[u32; 17]| {
            let text = text.as_ref();
            text.is_some_and(|text| text.contains(&(registers[15] & !1)))
        };
        let saved = self.saved_registers(entry);
        if entry.index == SUPERVISOR && saved.as_ref().is_ok_and(is_code) {
            return saved;
        }
        let mut now = self.snapshot.header.registers.map(|value| value.get());
        let is_running = entry.is_current && self.snapshot.header.current.get() == entry.index;
        if !is_running || !is_code(&now) {
            return saved;
        }
        if is_cpsr(now[16]) {
            now[16] = xpsr(now[16]);
        }
        Ok(now)
    }

    /// What the kernel has saved of a task.
    fn saved_registers(&self, entry: &TaskEntry) -> Result<[u32; 17], String> {
        let unknown = || "the kernel's `Task` has no saved registers".to_owned();
        let save = entry.value.member("save").ok_or_else(unknown)?;
        let saved = |name: &str| {
            let number = save.member(name).and_then(Value::number);
            number
                .and_then(|number| u32::try_from(number).ok())
                .ok_or_else(unknown)
        };
        let mut registers = [0; 17];
        for (number, register) in registers.iter_mut().enumerate().take(12).skip(4) {
            *register = saved(&format!("r{number}"))?;
        }
        let frame = saved("psp")?;
        let pushed = |index: u32| self.word(frame.wrapping_add(4 * index));
        for (register, index) in [(0, 0), (1, 1), (2, 2), (3, 3), (12, 4), (14, 5), (15, 6)] {
            registers[register] = pushed(index)?;
        }
        let xpsr = pushed(7)?;
        // Of a stack that overflowed the frame is elsewhere, and the kernel keeps the pointer.
        let arch = entry.value.member("arch");
        let lost = arch.and_then(|arch| arch.member("lost_stack_pointer")?.number());
        registers[13] = match lost.and_then(|lost| u32::try_from(lost).ok()) {
            Some(lost @ 1..) => lost,
            // Bit 9 of xPSR: the stack was aligned by one word more.
            _ => frame.wrapping_add(FRAME + 4 * (xpsr >> 9 & 1)),
        };
        registers[16] = xpsr;
        Ok(registers)
    }

    /// Where the exception frame of a task that does not run is.
    pub fn frame(&self, entry: &TaskEntry) -> Option<u32> {
        let psp = entry.value.member("save")?.member("psp")?.number()?;
        u32::try_from(psp).ok()
    }

    /// The kernel's stack pointer when its stack is empty.
    pub fn stack_top(&self) -> Option<u32> {
        self.program.symbol("_stack_start").map(|(top, _)| top)
    }

    /// Where the kernel's code is.
    pub fn text(&self) -> Range<u32> {
        self.program.text()
    }

    /// The entry of a task in the kernel's table.
    pub fn entry_range(&self, entry: &TaskEntry) -> MemoryRange {
        MemoryRange {
            base: entry.address,
            size: self.task.size,
        }
    }

    /// The memory of a task; its stack is at the bottom of one of its regions.
    pub fn memory(&self, entry: &TaskEntry) -> Result<TaskMemory, String> {
        let unknown = || "the kernel's tables do not say where it is".to_owned();
        let at = entry.value.member("descriptor").and_then(Value::number);
        let at = at
            .and_then(|at| u32::try_from(at).ok())
            .ok_or_else(unknown)?;
        let (_, desc) = self
            .debug
            .structure("TaskDesc", &["regions", "initial_stack"])
            .ok_or_else(unknown)?;
        let (_, region) = self
            .debug
            .structure("RegionDesc", &["base", "size", "attributes"])
            .ok_or_else(unknown)?;
        let place = |it: &Struct, name: &str| it.member(name).map_or(0, |it| it.offset);
        let top = self.word(at.wrapping_add(place(desc, "initial_stack")))?;
        let (mut writable, mut stack) = (Vec::new(), None);
        let read = |address, length| self.bytes(address, length).ok();
        let regions = self.regions_of(at, desc, region, read);
        for address in regions.ok_or_else(unknown)? {
            let field = |name: &str| self.word(address.wrapping_add(place(region, name)));
            let (base, size) = (field("base")?, field("size")?);
            let attributes = field("attributes")?;
            if base < top && u64::from(top) <= u64::from(base) + u64::from(size) {
                stack = Some((base, top));
            }
            if base != 0 && attributes & WRITE != 0 && attributes & DEVICE == 0 {
                writable.push(MemoryRange { base, size });
            }
        }
        Ok(TaskMemory {
            writable,
            stack: stack.ok_or_else(unknown)?,
        })
    }

    /// The regions of a task by the constant tables in the archive's flash alone: nothing on a card
    /// changes them. None if they are not there.
    pub fn regions(&self, index: u16) -> Vec<RegionEntry> {
        let flash = |address, length| {
            let bytes = self.snapshot.memory.flash_bytes(address, length)?;
            Some(bytes.to_vec())
        };
        let read = || {
            let table = self.program.symbol("HUBRIS_TASK_DESCS")?.0;
            let (_, desc) = self
                .debug
                .structure("TaskDesc", &["regions", "initial_stack"])?;
            let (_, region) = self
                .debug
                .structure("RegionDesc", &["base", "size", "attributes"])?;
            let task = table.checked_add(u32::from(index).checked_mul(desc.size)?)?;
            let descriptors = self.regions_of(task, desc, region, flash)?;
            let regions = descriptors.into_iter().map(|descriptor| {
                let field = |name: &str| {
                    let offset = region.member(name)?.offset;
                    word(&flash(descriptor.wrapping_add(offset), 4)?)
                };
                Some(RegionEntry {
                    descriptor,
                    base: field("base")?,
                    size: field("size")?,
                    attributes: field("attributes")?,
                })
            });
            regions.collect::<Option<Vec<_>>>()
        };
        read().unwrap_or_default()
    }

    /// The address of a symbol of the kernel.
    pub fn address(&self, symbol: &str) -> Option<u32> {
        self.program.symbol(symbol).map(|(address, _)| address)
    }

    /// The addresses of the descriptors of a task's regions; `read` has the tables.
    fn regions_of(
        &self,
        task: u32,
        desc: &Struct,
        region: &Struct,
        read: impl Fn(u32, usize) -> Option<Vec<u8>>,
    ) -> Option<Vec<u32>> {
        let list: &Member = desc.member("regions")?;
        let Some(Type::Array(element, count)) = self.debug.resolve(list.ty) else {
            return None;
        };
        let each = self
            .debug
            .size(*element)
            .filter(|each| [1, 4].contains(each))?;
        let (table, _) = self.program.symbol("HUBRIS_REGION_DESCS")?;
        let count = u32::try_from(*count).ok()?.min(64);
        let slots = (0..count).map(|slot| task.wrapping_add(list.offset).wrapping_add(slot * each));
        slots
            .map(|slot| match each {
                1 => {
                    let index = u32::from(*read(slot, 1)?.first()?);
                    Some(table.wrapping_add(index.wrapping_mul(region.size)))
                }
                _ => word(&read(slot, 4)?),
            })
            .collect()
    }

    /// The name of a task id, as Humility shows it.
    pub fn task_id(&self, id: u64) -> String {
        let (index, generation) = (id & 0x3ff, id >> 10 & 0x3f);
        let name = u16::try_from(index)
            .ok()
            .and_then(|index| self.archive.task(index));
        match name {
            Some(name) => format!("{name}/gen{generation}"),
            None => format!("unknown#{index}/gen{generation}"),
        }
    }
}

/// The little-endian word in these four bytes.
fn word(bytes: &[u8]) -> Option<u32> {
    bytes.try_into().ok().map(u32::from_le_bytes)
}

/// The application's configuration, as far as it has names for what the kernel has as numbers.
pub struct AppConfig {
    app: Table,
    chip: Table,
    names: Vec<String>,
}

impl AppConfig {
    fn new(archive: &Archive) -> Self {
        Self {
            app: archive.config.app.clone(),
            chip: archive.config.chip.clone(),
            names: (0..archive.task_count())
                .filter_map(|index| archive.task(u16::try_from(index).ok()?))
                .collect(),
        }
    }

    fn task(&self, index: u16) -> Option<&Table> {
        let name = self.names.get(usize::from(index))?;
        self.app.get("tasks")?.get(name)?.as_table()
    }

    /// The name of a notification bit of a task.
    pub fn notification(&self, task: u16, bit: usize) -> String {
        let name = self
            .task(task)
            .and_then(|task| task.get("notifications")?.get(bit)?.as_str());
        name.map_or_else(|| format!("bit{bit}"), str::to_owned)
    }

    /// The interrupts that post a notification bit of a task.
    pub fn interrupts(&self, task: u16, bit: usize) -> Vec<u64> {
        let name = self.notification(task, bit);
        let table = self
            .task(task)
            .and_then(|task| task.get("interrupts")?.as_table());
        let all = table
            .into_iter()
            .flatten()
            .filter(|(_, posts)| match posts {
                Toml::String(posts) => *posts == name,
                Toml::Integer(mask) => *mask == 1 << bit,
                _ => false,
            });
        all.filter_map(|(interrupt, _)| self.interrupt(interrupt))
            .collect()
    }

    /// The number of an interrupt: written as one, or as `peripheral.name`.
    fn interrupt(&self, name: &str) -> Option<u64> {
        if let Ok(number) = name.parse() {
            return Some(number);
        }
        let (peripheral, irq) = name.split_once('.')?;
        let own = self
            .app
            .get("peripherals")
            .and_then(|all| all.get(peripheral));
        let peripheral = own.or_else(|| self.chip.get(peripheral))?;
        let number = peripheral.get("interrupts")?.get(irq)?.as_integer()?;
        u64::try_from(number).ok()
    }

    /// The index of the recorder: the task that the supervisor's configuration names.
    pub fn recorder(&self) -> Option<u16> {
        let tasks = self.app.get("tasks")?.as_table()?;
        let named = tasks
            .values()
            .find_map(|task| task.get("config")?.get("crash")?.get("recorder")?.as_str());
        let name = named.unwrap_or("crashlog");
        let index = self.names.iter().position(|own| own == name)?;
        u16::try_from(index).ok()
    }
}
