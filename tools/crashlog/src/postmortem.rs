//! What was in the machine: the memory of a snapshot, explained by the programs of its archive.
//!
//! The result is one structure, from which text and JSON are printed. Whatever cannot be read is
//! left out there, and named in its notes with the reason: no value is made up.
//!
//! * `belongs`: what belongs into a snapshot;
//! * `kernel`: the kernel's tables, and the registers of tasks;
//! * `state`: the state of a task in the words of Humility;
//! * `waits`: who waits for whom, and where nothing comes of it;
//! * `rings`: trace ring buffers.

mod belongs;
mod kernel;
mod rings;
mod state;
mod waits;

pub use rings::{Ring, RingEntry};
pub use waits::{Wait, WaitKind};

use crate::archive::Archive;
use crate::backtrace::{Backtrace, Call};
use crate::crash::Crash;
use crate::describe::Names;
use crate::dwarf::DebugInfo;
use crate::problem::Problem;
use crate::program::Program;
use crate::snapshot::Snapshot;
use crate::value::Value;
use crashlog_format::snapshot::{ExtentKind, SnapshotKind};
use kernel::Kernel;
use std::collections::BTreeMap;
use std::ops::Range;

/// Longest stack, and most bytes and number of all registered regions: they bound what a card can
/// make this program do.
const STACK_MAX: u32 = 1 << 20;
const REGIONS_LENGTH_MAX: u32 = 16 << 20;
const REGIONS_MAX: usize = 1024;

/// The index of the supervisor.
const SUPERVISOR: u16 = 0;

/// What was in the machine.
pub struct PostMortem {
    /// The kernel's time in ticks: milliseconds.
    pub ticks: u64,
    /// The message of a kernel that has failed.
    pub epitaph: Option<String>,
    /// The kernel's stack pointer when its stack is empty.
    pub kernel_stack: Option<u32>,
    /// The index of the task that the kernel takes for the running one.
    pub current: Option<u16>,
    /// Where the code of each program is: the kernel's first.
    pub texts: Vec<Range<u32>>,
    /// The tasks, by index. A snapshot of one task has only that.
    pub tasks: Vec<TaskState>,
    /// Who waits for whom.
    pub waits: Vec<Wait>,
    /// Tasks that wait for each other in a circle, each for the next, the last for the first.
    pub deadlocks: Vec<Vec<u16>>,
    /// The ring buffers of all tasks that could be read.
    pub rings: Vec<Ring>,
    /// What tasks have registered.
    pub regions: Vec<Region>,
    /// What could not be read, and why.
    pub notes: Vec<String>,
    /// Indices of the crashed task, the supervisor and the recorder, as far as they are known.
    pub important: Vec<u16>,
}

/// A task.
pub struct TaskState {
    pub index: u16,
    pub name: String,
    pub generation: u64,
    pub priority: u64,
    /// What it does, as `humility tasks` says it.
    pub state: String,
    pub is_faulted: bool,
    /// Whether it is the task of the crash.
    pub is_crashed: bool,
    /// r0 to r15 and the status register, in the layout of xPSR, when it ran last.
    pub registers: Option<[u32; 17]>,
    /// Its calls, the innermost first.
    pub calls: Vec<Call>,
    /// The same for people; and why it ends, if it may have more.
    pub backtrace: Vec<String>,
    pub stack: Option<Stack>,
    /// Its memory that it can write: its regions that are no devices.
    pub memory: Vec<MemoryRange>,
    /// Its entry in the kernel's table.
    pub entry: MemoryRange,
    /// Where its exception frame is, if it does not run.
    pub frame: Option<u32>,
}

/// A range of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryRange {
    /// Address of its first byte.
    pub base: u32,
    /// Its length in bytes.
    pub size: u32,
}

/// How far a stack was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stack {
    /// Its lowest address.
    pub base: u32,
    /// Its size in bytes.
    pub size: u32,
    /// How many bytes of it have never been used.
    pub margin: u32,
}

/// A region that a task has registered.
pub struct Region {
    pub name: String,
    pub owner: u16,
    pub address: u32,
    pub length: u32,
    /// Whether it is registers of a peripheral.
    pub is_device: bool,
    pub content: RegionContent,
    /// Of a region of which something is missing, what is there: address and bytes.
    pub parts: Vec<(u32, Vec<u8>)>,
}

/// What is in a region.
pub enum RegionContent {
    /// The value of a variable: its path and the value.
    Variable(String, Value),
    /// Bytes for which no variable is known.
    Bytes(Vec<u8>),
    /// It, or a part of it, is missing: the address and the reason.
    Missing(u32, &'static str),
}

/// The programs of an archive, each loaded when it is needed.
struct Programs<'a> {
    archive: &'a Archive,
    loaded: BTreeMap<u16, Option<(Program, DebugInfo)>>,
}

impl<'a> Programs<'a> {
    fn of(&mut self, task: u16, notes: &mut Vec<String>) -> Option<&(Program, DebugInfo)> {
        let archive = self.archive;
        let loaded = self
            .loaded
            .entry(task)
            .or_insert_with(|| match archive.program_at(task) {
                Ok(program) => {
                    let debug = program.debug_info();
                    Some((program, debug))
                }
                Err(problem) => {
                    notes.push(problem.to_string());
                    None
                }
            });
        loaded.as_ref()
    }
}

impl PostMortem {
    /// Explains a snapshot, whose memory gets the archive's flash, and its gaps what its tables do
    /// not mention.
    ///
    /// # Errors
    /// The kernel of the archive cannot be read, or is of no use for this.
    pub fn new(archive: &Archive, crash: &Crash, snapshot: &mut Snapshot) -> Result<Self, Problem> {
        snapshot.memory.add_flash(archive.flash().iter().cloned());
        let program = archive.kernel()?;
        let all = &mut *snapshot;
        let snapshot = &*all;
        let kernel = Kernel::new(archive, program, snapshot)?;
        // The tables of another image say nothing of this snapshot.
        let left_out = if crash.image_id() == Some(archive.id()) {
            belongs::left_out(&kernel, snapshot)
        } else {
            Vec::new()
        };
        let mut post = Self {
            ticks: kernel.ticks(),
            epitaph: kernel.epitaph(),
            kernel_stack: kernel.stack_top(),
            current: None,
            texts: vec![kernel.text()],
            tasks: Vec::new(),
            waits: Vec::new(),
            deadlocks: Vec::new(),
            rings: Vec::new(),
            regions: Vec::new(),
            notes: Vec::new(),
            important: Vec::new(),
        };
        let mut programs = Programs {
            archive,
            loaded: BTreeMap::new(),
        };
        let crashed = crash.header.task.get();
        let of = match snapshot.header.kind() {
            Ok(SnapshotKind::Task) => crashed..crashed.saturating_add(1),
            _ => 0..u16::try_from(archive.task_count()).unwrap_or(u16::MAX),
        };
        let of = of.filter(|index| usize::from(*index) < archive.task_count());
        let mut entries = Vec::new();
        for index in of.clone() {
            if let Some((program, _)) = programs.of(index, &mut post.notes) {
                post.texts.push(program.text());
            }
            match kernel.task(index) {
                Ok(entry) => entries.push(entry),
                Err(why) => post.notes.push(format!("{}: {why}", name(archive, index))),
            }
        }
        for entry in &entries {
            if entry.is_current {
                post.current = Some(entry.index);
            }
            let task = post.task_state(&kernel, entry, &mut programs, crash);
            post.tasks.push(task);
        }
        post.waits = waits::find(&entries, &post.tasks, archive);
        post.deadlocks = waits::circles(&post.waits);
        for index in of {
            if let Some((_, debug)) = programs.of(index, &mut post.notes) {
                let (found, why) = rings::read(debug, index, snapshot);
                post.rings.extend(found);
                let name = name(archive, index);
                post.notes
                    .extend(why.iter().map(|why| format!("{name}: {why}")));
            }
        }
        let mut left = REGIONS_LENGTH_MAX;
        for index in 0..snapshot.regions.len().min(REGIONS_MAX) {
            let length = snapshot.regions[index].length.get();
            let Some(rest) = left.checked_sub(length) else {
                post.notes.push(format!(
                    "registered region {}: its {length} bytes are more than this program shows",
                    snapshot.regions[index].name.as_str()
                ));
                continue;
            };
            left = rest;
            let region = post.region(snapshot, index, &mut programs);
            post.regions.push(region);
        }
        if let Some(more @ 1..) = snapshot.regions.len().checked_sub(REGIONS_MAX) {
            post.notes.push(format!(
                "{more} more registered regions than this program shows"
            ));
        }
        let recorder = kernel.config().recorder();
        let important = [Some(crashed), Some(SUPERVISOR), recorder];
        for index in important.into_iter().flatten() {
            if usize::from(index) < archive.task_count() && !post.important.contains(&index) {
                post.important.push(index);
            }
        }
        all.gaps.extend(left_out);
        Ok(post)
    }

    fn task_state(
        &mut self,
        kernel: &Kernel<'_>,
        entry: &kernel::TaskEntry,
        programs: &mut Programs<'_>,
        crash: &Crash,
    ) -> TaskState {
        let is_crashed = entry.index == crash.header.task.get();
        let name = name(kernel.archive(), entry.index);
        let text = programs
            .of(entry.index, &mut self.notes)
            .map(|(program, _)| program.text());
        let registers = match kernel.registers(entry, text) {
            Ok(registers) => Some(registers),
            Err(why) if is_crashed => {
                let note = format!("{name}: registers: {why}; those of the crash are shown");
                self.notes.push(note);
                Some(crash.header.registers.map(|value| value.get()))
            }
            Err(why) => {
                self.notes.push(format!("{name}: registers: {why}"));
                None
            }
        };
        let (calls, backtrace) = match (registers, programs.of(entry.index, &mut self.notes)) {
            (Some(registers), Some((program, _))) => calls(program, &registers, kernel.snapshot()),
            _ => Default::default(),
        };
        let (memory, stack) = match kernel.memory(entry) {
            Ok(memory) => (memory.writable, margin(kernel, memory.stack)),
            Err(why) => (Vec::new(), Err(why)),
        };
        let stack = stack
            .map_err(|why| self.notes.push(format!("{name}: stack: {why}")))
            .ok();
        TaskState {
            index: entry.index,
            generation: entry.generation,
            priority: entry.priority,
            state: state::explain(kernel, entry, registers.as_ref()),
            is_faulted: state::is_faulted(entry),
            is_crashed,
            name,
            registers,
            calls,
            backtrace,
            stack,
            memory,
            entry: kernel.entry_range(entry),
            frame: kernel.frame(entry),
        }
    }

    fn region(&mut self, snapshot: &Snapshot, index: usize, programs: &mut Programs<'_>) -> Region {
        let it = &snapshot.regions[index];
        let (address, length, owner) = (it.address.get(), it.length.get(), it.owner.get());
        let kind = snapshot.region_kinds.get(index).copied().flatten();
        let content = match snapshot.memory.bytes(address, length as usize) {
            Err(absent) => RegionContent::Missing(absent.0, snapshot.why_missing(absent.0)),
            Ok(bytes) => {
                let debug = programs.of(owner, &mut self.notes).map(|(_, debug)| debug);
                let value = debug.and_then(|debug| {
                    let variable = debug.variables.get(&address)?;
                    // More than the variable would not be shown; words are saved whole.
                    let size = debug.size(variable.ty)?;
                    let end = size.checked_next_multiple_of(4)?;
                    (size..=end).contains(&length).then_some(())?;
                    let value = Value::read(debug, variable.ty, &bytes)?;
                    Some((variable.path.clone(), value))
                });
                match value {
                    Some((path, value)) => RegionContent::Variable(path, value),
                    None => RegionContent::Bytes(bytes),
                }
            }
        };
        let parts = match content {
            RegionContent::Missing(..) => snapshot.memory.saved_in(address, length.into()),
            _ => Vec::new(),
        };
        Region {
            parts,
            name: it.name.as_str().to_owned(),
            owner,
            address,
            length,
            is_device: kind == Some(ExtentKind::Device),
            content,
        }
    }

    /// The task with this index.
    pub fn task(&self, index: u16) -> Option<&TaskState> {
        self.tasks.iter().find(|task| task.index == index)
    }
}

/// The name of a task.
fn name(archive: &Archive, index: u16) -> String {
    archive.task_or_number(index)
}

/// A backtrace by saved memory: each call, and all of it for people.
fn calls(
    program: &Program,
    registers: &[u32; 17],
    snapshot: &Snapshot,
) -> (Vec<Call>, Vec<String>) {
    let word = |address: u32| snapshot.memory.word(address).ok();
    let mut general = [0; 16];
    general.copy_from_slice(&registers[..16]);
    let backtrace = Backtrace::unwind(program, &general, &word);
    (backtrace.calls(), backtrace.text())
}

/// Counts the words at the bottom of a stack that still have their fill.
fn margin(kernel: &Kernel<'_>, (base, top): (u32, u32)) -> Result<Stack, String> {
    let size = top - base;
    if size > STACK_MAX {
        return Err(format!("{size} bytes are too many for a stack"));
    }
    let mut margin = 0;
    while margin < size && kernel.word(base + margin)? == crashlog_format::snapshot::STACK_FILL {
        margin += 4;
    }
    Ok(Stack {
        base,
        size,
        margin: margin.min(size),
    })
}
