//! Everything that Humility shows of the tasks of a dump: state, registers, stack, ring buffers,
//! counters.

use super::content;
use crate::core_dump::CoreDump;
use crate::humility::system::{DumpedSystem, Registers, Task};
use crate::humility::traces::{self, Ring};
use crate::humility::unwind::{self, Look};
use crate::suite::Rig;
use anyhow::{Context, Result, ensure};

/// A task of a dump.
pub(super) struct TaskInDump {
    pub(super) name: String,
    /// Its state, as `humility tasks` shows it.
    pub(super) state: String,
    pub(super) running: bool,
    pub(super) generation: u64,
    /// Innermost first.
    pub(super) calls: Vec<String>,
    pub(super) rings: Vec<Ring>,
}

pub(super) fn of<'s>(all: &'s [TaskInDump], name: &str) -> Result<&'s TaskInDump> {
    let found = all.iter().find(|task| task.name == name);
    found.with_context(|| format!("no task {name}"))
}

/// Reads and checks everything in a dump.
pub(super) fn seen(dump: &CoreDump, rig: &Rig) -> Result<Vec<TaskInDump>> {
    content::check(dump, &rig.image)?;
    all(&DumpedSystem::open(dump)?)
}

/// Reads and checks everything that Humility shows of the tasks of a system.
pub(super) fn all(system: &DumpedSystem<'_>) -> Result<Vec<TaskInDump>> {
    kernel(system)?;
    let table = system.table()?;
    let least = table.iter().max_by_key(|task| task.priority);
    ensure!(
        least.is_some_and(|task| system.tasks[task.index].name == "idle"),
        "idle is not the least important task"
    );
    table
        .iter()
        .map(|task| {
            let name = system.tasks[task.index].name.clone();
            one(system, task).with_context(|| format!("task {name}"))
        })
        .collect()
}

fn one(system: &DumpedSystem<'_>, task: &Task) -> Result<TaskInDump> {
    let program = &system.tasks[task.index];
    let state = system.explain(task)?;
    margin(system, task)?;
    let trace = |look| {
        let limit = task.initial_stack;
        unwind::trace(system, program, &task.registers, limit, look)
            .with_context(|| format!("{state}, {:x?}", task.registers))
    };
    let frames = trace(Look::At)?;
    let before = trace(Look::Before)?;
    ensure!(frames == before, "{frames:x?} is not {before:x?}");
    let last = frames.last().context("no frames")?;
    let entry = last.function.as_deref().unwrap_or_default();
    ensure!(
        last.cfa == task.initial_stack && (entry == "main" || entry == "_start"),
        "the trace does not end at the task's entry: {frames:x?}"
    );
    let calls = frames
        .iter()
        .map(|frame| frame.function.clone().context("a function without name"))
        .collect::<Result<_>>()?;
    let rings = traces::rings(system, program)?;
    // An entry is counted before it is recorded; a task that does not wait may be in between.
    let between = u64::from(!state.starts_with("recv"));
    rings.iter().try_for_each(|ring| sound(ring, between))?;
    traces::counters(system, program)?;
    Ok(TaskInDump {
        name: program.name.clone(),
        state,
        running: task.running,
        generation: task.generation,
        calls,
        rings,
    })
}

/// Checks what `humility stackmargin` needs: the stack is at the bottom of a region of this task
/// alone, and its unused part has the kernel's fill pattern.
fn margin(system: &DumpedSystem<'_>, task: &Task) -> Result<()> {
    let top = task.initial_stack;
    let mut regions = system.regions.values();
    let region = regions.find(|it| it.base < top && top - it.base <= it.size);
    let region = region.context("the stack is in no region")?;
    ensure!(
        region.tasks == [task.index],
        "the stack's region is of the tasks {:?}",
        region.tasks
    );
    let filled = system.dump.word(region.base)?;
    ensure!(
        filled == 0xbadd_cafe,
        "the stack is not filled: {filled:#x}"
    );
    Ok(())
}

/// Checks the kernel's stack, if the kernel was running. The trace must end at the kernel's entry,
/// whether it is bounded by the end of the stack or not.
fn kernel(system: &DumpedSystem<'_>) -> Result<()> {
    let mut registers: Registers = [None; 16];
    for (number, register) in (0..).zip(&mut registers) {
        *register = system.dump.registers.get(&number).copied();
    }
    let pc = registers[15].context("no program counter")?;
    if !system.kernel.text.contains(&pc) {
        return Ok(());
    }
    let top = system.kernel.symbol("_stack_start")?;
    for limit in [top, u32::MAX] {
        for look in [Look::At, Look::Before] {
            let frames = unwind::trace(system, &system.kernel, &registers, limit, look)?;
            let mut inside = frames.iter().take_while(|frame| frame.cfa < top);
            let named = inside.all(|frame| frame.function.is_some());
            ensure!(
                named && frames.last().is_some_and(|last| last.cfa == top),
                "the kernel's trace does not end at its entry: {frames:x?}"
            );
        }
    }
    Ok(())
}

/// Checks that each kind of entry was counted as often as it was recorded. The count may be higher
/// by `between`, and by any number if entries have been overwritten.
fn sound(ring: &Ring, between: u64) -> Result<()> {
    for entry in &ring.entries {
        ensure!(entry.line > 0, "{}: an entry without a line", ring.name);
        let (variant, _) = match entry.payload.variant_of() {
            Ok(variant) => variant,
            // A trace need not be an enum.
            Err(_) => continue,
        };
        let is_of = |path: &str| path.split('.').next() == Some(variant);
        let of_it = ring.counts.iter().filter(|(path, _)| is_of(path));
        let counted: Vec<u64> = of_it.map(|(_, count)| *count).collect();
        let same = ring.entries.iter().filter(|other| {
            let other = other.payload.variant_of();
            other.is_ok_and(|(name, _)| name == variant)
        });
        let recorded: u64 = same.map(|entry| entry.count).sum();
        let whole = ring.entries.len() < ring.capacity;
        let counted_in_all: u64 = counted.iter().sum();
        ensure!(
            counted.is_empty()
                || recorded <= counted_in_all && (!whole || recorded + between >= counted_in_all),
            "{}: {variant} was counted {counted_in_all} times and recorded {recorded} times",
            ring.name
        );
    }
    Ok(())
}
