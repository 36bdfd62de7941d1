//! Every stack, trace and counter of a dump, by the rules of Humility (humility.md, sections 4 to 8).

use super::content;
use super::scene::Scene;
use super::verb::LIMIT;
use crate::build::DEMO;
use crate::core_dump::Dump;
use crate::hif_executor;
use crate::humility::system::{Registers, System, Task};
use crate::humility::traces::{self, Ring};
use crate::humility::unwind::{self, Look};
use crate::suite::{Cases, Rig, Session};
use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Applications, and what each says when it has come to rest.
const APPS: [(&str, &str, &str); 6] = [
    ("demo", DEMO, "ready"),
    ("example", "app/example/app.toml", "4 and 4 are 8"),
    ("foreign-tasks", "test/apps/foreign/app.toml", "finished:"),
    ("kernel-suite", "test/apps/kernel/app.toml", "finished:"),
    ("recorder-suite", "test/apps/recorder/app.toml", "finished:"),
    ("self-test", "test/apps/self-test/app.toml", "ready"),
];

/// The console task's index, and the end of a program for the executor.
const CONSOLE: u8 = 2;
const HIF_DONE: u8 = 20;
/// Line status of the console's UART, and its bit 0 (16550).
const UART1_LSR: u32 = 0x1e78_3014;
const DATA_READY: u32 = 1;

/// REQ: C6, X8: by the rules of Humility every task of a dump has a state, registers and a stack that goes back to its
/// entry through functions with names, and its ring buffers and counters can be read.
pub(super) fn trials(session: &Arc<Session>) -> Vec<Trial> {
    let mut trials: Vec<Trial> = APPS
        .iter()
        .map(|(name, app, said)| {
            session.trial(format!("dump::of-{name}"), app, move |rig| {
                let scene = Scene::at_rest(rig, said)?;
                let all = seen(&scene.dump("core")?, rig)?;
                ensure!(of(&all, "idle")?.running, "idle does not run");
                scene.machine.kill().map(|()| Cases::one())
            })
        })
        .collect();
    trials.push(session.trial("dump::states-of-tasks", DEMO, states));
    trials.push(session.trial("dump::of-a-panic", "test/apps/kernel/app.toml", panic));
    trials
}

/// A task of a dump.
struct Seen {
    name: String,
    /// What `tasks` says that it does.
    state: String,
    running: bool,
    generation: u64,
    /// Innermost first.
    calls: Vec<String>,
    rings: Vec<Ring>,
}

fn of<'s>(all: &'s [Seen], name: &str) -> Result<&'s Seen> {
    let found = all.iter().find(|task| task.name == name);
    found.with_context(|| format!("no task {name}"))
}

/// Everything in a dump.
fn seen(dump: &Dump, rig: &Rig) -> Result<Vec<Seen>> {
    content::check(dump, &rig.image)?;
    let system = System::open(dump)?;
    kernel(&system)?;
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
            one(&system, task).with_context(|| format!("task {name}"))
        })
        .collect()
}

fn one(system: &System<'_>, task: &Task) -> Result<Seen> {
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
    // Counted first, then recorded: it may be between the two, unless it waits.
    let between = u64::from(!state.starts_with("recv"));
    rings.iter().try_for_each(|ring| sound(ring, between))?;
    traces::counters(system, program)?;
    Ok(Seen {
        name: program.name.clone(),
        state,
        running: task.running,
        generation: task.generation,
        calls,
        rings,
    })
}

/// Section 6: the stack is at the bottom of a region of this task alone, and filled as far as it was not used.
fn margin(system: &System<'_>, task: &Task) -> Result<()> {
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

/// What runs if no task does: whether the end of the stack stops the trace or that nothing changes any more.
fn kernel(system: &System<'_>) -> Result<()> {
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

/// What was recorded was counted: exactly as often, as long as nothing was overwritten, but for `between`.
fn sound(ring: &Ring, between: u64) -> Result<()> {
    for entry in &ring.entries {
        ensure!(entry.line > 0, "{}: an entry of no line", ring.name);
        let (variant, _) = match entry.payload.variant_of() {
            Ok(variant) => variant,
            // Not every trace is an enum.
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

/// A task that has never run, one that waits to be received, one that was interrupted, one that faulted; and the kernel.
fn states(rig: &Rig) -> Result<Cases> {
    let mut scene = Scene::new(rig)?;
    never_run(&mut scene)?;
    sending(&mut scene)?;
    interrupted(&mut scene)?;
    faulted(&mut scene)?;
    scene.machine.kill()?;
    Ok(Cases::one())
}

fn never_run(scene: &mut Scene<'_>) -> Result<()> {
    scene.run_to("jefe", &["main"])?;
    let first = seen(&scene.dump("first.core")?, scene.rig)?;
    ensure!(of(&first, "jefe")?.running, "jefe does not run first");
    for task in first.iter().filter(|task| task.name != "jefe") {
        ensure!(
            task.calls == ["_start"] && task.state == "Runnable",
            "{} has run: {} {:?}",
            task.name,
            task.state,
            task.calls
        );
    }
    Ok(())
}

fn sending(scene: &mut Scene<'_>) -> Result<()> {
    const SENDING: &str = "userlib::sys_send_stub";
    // In the kernel, called by a task.
    scene.run_to("monitor", &["main"])?;
    scene.run_to("kernel", &["KERNEL_CALLS", "handler"])?;
    let in_kernel = seen(&scene.dump("kernel.core")?, scene.rig)?;
    ensure!(
        in_kernel.iter().all(|task| !task.running),
        "a task runs, not the kernel"
    );
    let is_caller =
        |task: &Seen| task.state == "Runnable" && task.calls[0].starts_with("userlib::sys_");
    ensure!(
        in_kernel.iter().any(is_caller),
        "nobody has called the kernel"
    );

    // The console task receives from the kernel alone, so the executor's message waits.
    scene.run_to_sleep()?;
    let program = hif_executor::send(hif_executor::SEND, CONSOLE, 1, &[], &[4]);
    let variables = hif_executor::variables(&scene.rig.image)?;
    let place = |name| variables.get(name).copied().context("no executor");
    let text = [program, vec![HIF_DONE]].concat();
    scene.debugger.set_memory(place("HIFFY_TEXT")?, &text)?;
    scene.debugger.set_word(place("HIFFY_KICK")?, 1)?;
    scene.run_to("hiffy", &["sys_send_stub"])?;
    scene.run_to_sleep()?;
    let waiting = seen(&scene.dump("send.core")?, scene.rig)?;
    let executor = of(&waiting, "hiffy")?;
    ensure!(
        executor.state == "InSend console" && executor.calls[0] == SENDING,
        "hiffy: {} {:?}",
        executor.state,
        executor.calls
    );
    let console = of(&waiting, "console")?;
    ensure!(
        console.state == "recv from kernel, notifications 0x3",
        "console: {}",
        console.state
    );
    Ok(())
}

/// A byte on the console's line interrupts the worker somewhere.
fn interrupted(scene: &mut Scene<'_>) -> Result<()> {
    scene.run_to("worker", &["record_entry"])?;
    for _ in 0..12 {
        scene.debugger.step()?;
    }
    let at = scene.debugger.registers()?[15];
    let _player = scene.machine.uart1.play(b"x".to_vec(), None)?;
    let deadline = Instant::now() + LIMIT;
    while scene.debugger.word(UART1_LSR)? & DATA_READY == 0 {
        ensure!(Instant::now() < deadline, "the line has no byte");
        std::thread::sleep(Duration::from_millis(5));
    }
    scene.run_behind_call("console", "sys_recv_stub")?;
    let interrupted = seen(&scene.dump("interrupted.core")?, scene.rig)?;
    let worker = of(&interrupted, "worker")?;
    ensure!(
        worker.state == "Runnable" && !worker.running && worker.calls[0].contains("record_entry"),
        "worker, at {at:#x}: {} {:?}",
        worker.state,
        worker.calls
    );
    ensure!(
        of(&interrupted, "console")?.running,
        "the console was not woken"
    );
    Ok(())
}

/// In an emergency: the worker has stored through a bad pointer.
fn faulted(scene: &mut Scene<'_>) -> Result<()> {
    scene.run_to("crashlog", &["task_crashlog::emergency::run"])?;
    let crashed = seen(&scene.dump("crash.core")?, scene.rig)?;
    let recorder = of(&crashed, "crashlog")?;
    ensure!(
        recorder.running && recorder.generation == 1,
        "the recorder was not started again"
    );
    let worker = of(&crashed, "worker")?;
    ensure!(
        worker.state.starts_with("fault: MemoryAccess") && worker.state.contains("0xdeadbee0"),
        "worker: {}",
        worker.state
    );
    ensure!(
        worker.calls == ["task_worker::deliver", "main"],
        "worker: {:?}",
        worker.calls
    );
    for (task, last) in [("worker", "Faulting"), ("jefe", "Emergency")] {
        let ring = of(&crashed, task)?.rings.first().context("no trace")?;
        let entry = ring.entries.last().context("an empty trace")?;
        let (variant, _) = entry.payload.variant_of()?;
        ensure!(
            variant == last,
            "{task}: the last entry is {}",
            entry.payload
        );
    }
    Ok(())
}

/// A task that called `panic!`.
fn panic(rig: &Rig) -> Result<Cases> {
    let mut scene = Scene::new(rig)?;
    scene.run_to("assist", &["sys_panic_stub"])?;
    scene.run_behind_call("runner", "sys_recv_stub")?;
    let dump = scene.dump("panic.core")?;
    let system = System::open(&dump)?;
    let table = system.table()?;
    let task = table
        .iter()
        .find(|task| system.tasks[task.index].name == "assist");
    let task = task.context("no assist")?;
    let state = system.explain(task)?;
    ensure!(state == "panic: PANIC", "assist: {state}");
    let calls = |look| -> Result<Vec<String>> {
        let (program, limit) = (&system.tasks[task.index], task.initial_stack);
        let frames = unwind::trace(&system, program, &task.registers, limit, look)?;
        let names = frames.into_iter().map(|frame| frame.function);
        names.map(|name| name.context("no name")).collect()
    };
    let [at, before] = [calls(Look::At)?, calls(Look::Before)?];
    ensure!(
        before.len() > 3 && before.last().is_some_and(|last| last == "main"),
        "{before:?}"
    );
    // A call that never returns may be the last instruction of a function of `core`: then the return address belongs to
    // another one, and the trace ends there.
    ensure!(
        at[..2] == before[..2] && at[1].contains("rust_begin_unwind"),
        "{at:?} is not {before:?}"
    );
    scene.machine.kill()?;
    Ok(Cases::one())
}
