//! The programs of a dump's archive, and the kernel's tables of tasks and regions.

use super::program::Program;
use super::types::{Member, Struct, Type, Variable};
use super::value::Value;
use crate::core_dump::CoreDump;
use anyhow::{Context, Result, bail, ensure};
use object::{Object as _, ObjectSegment};
use std::collections::BTreeMap;
use std::io::{Cursor, Read};

/// Registers by their numbers; an unknown one is `None`.
pub type Registers = [Option<u32>; 16];

/// Bytes that an M-profile core pushes at an exception: eight words, and those of the floating
/// point unit.
const BASIC: u32 = 32;
const FLOATING: u32 = 72;

/// A range of memory of the kernel or of tasks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryRegion {
    pub base: u32,
    pub size: u32,
    /// The tasks that may access it; none for the kernel's.
    pub tasks: Vec<usize>,
}

/// A task, by the kernel's table.
pub struct Task {
    pub index: usize,
    /// Its scheduling state.
    pub state: Value,
    pub generation: u64,
    pub priority: u64,
    pub initial_stack: u32,
    pub registers: Registers,
    /// Whether the processor is in its code: its registers are then the processor's.
    pub running: bool,
}

/// A dump with its programs.
pub struct DumpedSystem<'d> {
    pub dump: &'d CoreDump,
    pub kernel: Program,
    /// In the order of the archive, which is the order of the table.
    pub tasks: Vec<Program>,
    /// By base.
    pub regions: BTreeMap<u32, MemoryRegion>,
}

impl<'d> DumpedSystem<'d> {
    /// Reads all programs of the dump's archive.
    pub fn open(dump: &'d CoreDump) -> Result<Self> {
        let mut zip = zip::ZipArchive::new(Cursor::new(&dump.archive))?;
        let (mut kernel, mut tasks) = (None, Vec::new());
        for index in 0..zip.len() {
            let mut member = zip.by_index(index)?;
            let path = member.name()?.into_owned();
            let mut levels = path.rsplit('/');
            let name = levels.next().unwrap_or_default().to_owned();
            let folder = levels.next();
            if path != "elf/kernel" && folder != Some("task") {
                continue;
            }
            let mut elf = Vec::new();
            member.read_to_end(&mut elf)?;
            let program = Program::read(name, elf).with_context(|| path.clone())?;
            if folder == Some("task") {
                tasks.push(program);
            } else {
                kernel = Some(program);
            }
        }
        let mut system = Self {
            dump,
            kernel: kernel.context("no kernel")?,
            tasks,
            regions: BTreeMap::new(),
        };
        system.regions = system.all_regions()?;
        Ok(system)
    }

    /// A variable of the kernel.
    pub fn variable(&self, name: &str) -> Result<&Variable> {
        let found = self.kernel.debug.variable(name);
        found.with_context(|| format!("the kernel has no variable {name}"))
    }

    /// The value of a variable of a program.
    pub fn value(&self, program: &Program, variable: &Variable) -> Result<Value> {
        let bytes = self.dump.memory(variable.address, variable.size)?;
        Value::read(&program.debug, variable.ty, &bytes)
    }

    /// The address of each element of an array of the kernel, and the type of the elements.
    fn elements(&self, name: &str, of: &str) -> Result<Vec<(u32, &Struct)>> {
        let variable = self.variable(name)?;
        let debug = &self.kernel.debug;
        let Some(Type::Array { element, count }) = debug.types.get(&variable.ty) else {
            bail!("{name} is no array");
        };
        let it = debug.structure(*element)?;
        ensure!(it.name == of, "{name} is an array of {}", it.name);
        Ok((0..*count)
            .map(|index| (variable.address + index * it.size, it))
            .collect())
    }

    fn word(&self, address: u32, member: &Member) -> Result<u32> {
        self.dump.word(address + member.offset)
    }

    /// The kernel's memory, and the regions of tasks by the kernel's tables.
    fn all_regions(&self) -> Result<BTreeMap<u32, MemoryRegion>> {
        let file = object::File::parse(&*self.kernel.elf)?;
        let mut kernel: Vec<(u32, u32)> = file
            .segments()
            .map(|segment| (segment.address() as u32, segment.size() as u32))
            .collect();
        let [stack, top, statics, end] = ["_stack_base", "_stack_start", "__sbss", "__eheap"]
            .map(|name| self.kernel.symbol(name));
        let (stack, statics) = (stack?, statics?);
        kernel.extend([(stack, top? - stack), (statics, end? - statics)]);
        let mut all: BTreeMap<u32, MemoryRegion> = BTreeMap::new();
        for (base, size) in kernel.into_iter().filter(|region| region.1 > 0) {
            let region = all.entry(base).or_insert(MemoryRegion {
                base,
                size,
                tasks: Vec::new(),
            });
            region.size = region.size.max(size);
        }
        let table = self.elements("HUBRIS_REGION_DESCS", "RegionDesc")?;
        for (task, (at, desc)) in self
            .elements("HUBRIS_TASK_DESCS", "TaskDesc")?
            .into_iter()
            .enumerate()
        {
            let list = desc.member("regions")?;
            let slots = self.kernel.debug.size(list.ty)?;
            let Some(Type::Array { count, .. }) = self.kernel.debug.types.get(&list.ty) else {
                bail!("`regions` is no array");
            };
            for slot in 0..*count {
                let each = slots / count;
                let place = at + list.offset + slot * each;
                let entry = match each {
                    1 => usize::from(self.dump.memory(place, 1)?[0]),
                    4 => {
                        let address = self.dump.word(place)?;
                        let found = table.iter().position(|entry| entry.0 == address);
                        found.context("a reference to no region")?
                    }
                    other => bail!("a reference of {other} bytes"),
                };
                let (entry, it) = table.get(entry).context("no such region")?;
                let base = self.word(*entry, it.member("base")?)?;
                let size = self.word(*entry, it.member("size")?)?;
                if base == 0 {
                    continue;
                }
                let region = all.entry(base).or_insert(MemoryRegion {
                    base,
                    size,
                    tasks: Vec::new(),
                });
                ensure!(
                    region.size == size && (region.tasks.is_empty() || region.tasks[0] <= task),
                    "two regions begin at {base:#x}"
                );
                region.tasks.push(task);
            }
        }
        Ok(all)
    }

    /// The region of a stack pointer: the one with the greatest base that is not above it.
    pub fn region_of(&self, pointer: u32) -> Result<&MemoryRegion> {
        let found = self.regions.range(..=pointer).next_back();
        Ok(found
            .with_context(|| format!("{pointer:#x} is in no region"))?
            .1)
    }

    /// The tasks, each with its registers.
    pub fn table(&self) -> Result<Vec<Task>> {
        let debug = &self.kernel.debug;
        let it = debug.named("Task")?;
        let table = self.variable("HUBRIS_TASK_TABLE_SPACE")?;
        ensure!(
            table.size == it.size * self.tasks.len() as u32,
            "the table has {} bytes, {} of {} for each of {} tasks",
            table.size,
            it.size,
            it.name,
            self.tasks.len()
        );
        let current = self.dump.word(self.variable("CURRENT_TASK_PTR")?.address)?;
        let is_in = current
            .checked_sub(table.address)
            .is_some_and(|offset| offset < table.size && offset % it.size == 0);
        ensure!(is_in, "the current task is not in the table");
        let at = debug.types.iter().find_map(|(at, ty)| {
            matches!(ty, Type::Struct(own) if own.name == it.name).then_some(*at)
        });
        let at = at.context("no `Task`")?;
        (0..self.tasks.len())
            .map(|index| {
                let address = table.address + index as u32 * it.size;
                let bytes = self.dump.memory(address, it.size)?;
                let value = Value::read(debug, at, &bytes)?;
                self.task(index, address, &value, address == current)
                    .with_context(|| format!("task {}", self.tasks[index].name))
            })
            .collect()
    }

    fn task(&self, index: usize, address: u32, value: &Value, current: bool) -> Result<Task> {
        let debug = &self.kernel.debug;
        let desc = debug.named("TaskDesc")?;
        let at = value.member("descriptor")?.number()? as u32;
        let generation = value.member("generation")?;
        let timer = value.member("timer")?;
        timer.member("to_post")?.only()?.number()?;
        if let Some(deadline) = timer.member("deadline")?.option()? {
            deadline.only()?.number()?;
        }
        let state = value.member("state")?.clone();
        let (registers, running) = self.registers(index, address, current)?;
        Ok(Task {
            index,
            state,
            generation: generation.only().unwrap_or(generation).number()?,
            priority: value.member("priority")?.only()?.number()?,
            initial_stack: self.word(at, desc.member("initial_stack")?)?,
            registers,
            running,
        })
    }

    /// The registers of a task, and whether it is running. A task that is not has its registers in
    /// the kernel's table, and in an exception frame of an M-profile core on its stack.
    fn registers(&self, index: usize, task: u32, current: bool) -> Result<(Registers, bool)> {
        let pc = self.dump.registers.get(&15).copied();
        let text = &self.tasks[index].text;
        let mut registers: Registers = [None; 16];
        if current && pc.is_some_and(|pc| text.contains(&pc)) {
            for number in (0..=18).chain([20]) {
                let value = self.dump.registers.get(&number);
                ensure!(value.is_some(), "register {number} is not in the dump");
            }
            for (number, register) in (0..).zip(&mut registers) {
                *register = self.dump.registers.get(&number).copied();
            }
            return Ok((registers, true));
        }
        let debug = &self.kernel.debug;
        let save = debug.named("Task")?.member("save")?;
        let saved = debug.structure(save.ty)?;
        ensure!(saved.name == "SavedState", "`save` is a {}", saved.name);
        let word = |name: &str| self.word(task + save.offset, saved.member(name)?);
        for (number, register) in registers.iter_mut().enumerate().take(12).skip(4) {
            *register = Some(word(&format!("r{number}"))?);
        }
        let frame = word("psp")?;
        let pushed = |index: u32| self.dump.word(frame + 4 * index);
        for (number, index) in [(0, 0), (1, 1), (2, 2), (3, 3), (12, 4), (14, 5), (15, 6)] {
            registers[number] = Some(pushed(index)?);
        }
        let aligned = pushed(7)? >> 9 & 1;
        registers[13] = Some(frame + BASIC + FLOATING + 4 * aligned);
        Ok((registers, false))
    }

    /// What `humility tasks` says of a state. Some states need registers, and the memory to which
    /// they point.
    pub fn explain(&self, task: &Task) -> Result<String> {
        let known = |number: usize| task.registers[number].context("a register is not known");
        let (name, held) = task.state.variant_of()?;
        let held = held.context("a state without content")?;
        match name {
            "Healthy" => {
                let state = held.only()?;
                let (name, of) = state.variant_of()?;
                Ok(match (name, of) {
                    ("InRecv", Some(of)) => {
                        let from = of.only()?.option()?.map(|id| self.id(id)).transpose()?;
                        let from = from.unwrap_or_else(|| "anyone".into());
                        format!("recv from {from}, notifications {:#x}", known(6)?)
                    }
                    ("InSend" | "InReply", Some(of)) => {
                        format!("{name} {}", self.id(of.only()?)?)
                    }
                    ("Stopped" | "Runnable", None) => name.to_owned(),
                    other => bail!("a state that Humility does not know: {other:?}"),
                })
            }
            "Faulted" => {
                let (fault, _) = held.member("fault")?.variant_of()?;
                held.member("original_state")?.variant_of()?;
                if fault == "Panic" {
                    let text = self.dump.memory(known(4)?, known(5)?.min(255))?;
                    return Ok(format!("panic: {}", String::from_utf8_lossy(&text)));
                }
                Ok(format!("fault: {}", held.member("fault")?))
            }
            other => bail!("a state that Humility does not know: {other}"),
        }
    }

    /// The name of the task with this id.
    fn id(&self, id: &Value) -> Result<String> {
        let id = id.only().unwrap_or(id).number()?;
        if id == 0xffff {
            return Ok("kernel".into());
        }
        let task = self.tasks.get((id & 0x3ff) as usize);
        Ok(task.context("the id of no task")?.name.clone())
    }
}
