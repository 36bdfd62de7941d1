//! Dumps of several applications, and of tasks in each state.

use super::scene::DumpScene;
use super::tasks::{TaskInDump, of, seen};
use super::verb::LIMIT;
use crate::build::DEMO;
use crate::hif_executor;
use crate::humility::system::DumpedSystem;
use crate::humility::unwind::{self, Look};
use crate::suite::{Cases, Rig, Session};
use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Applications, and what each prints before all its tasks wait.
const APPS: [(&str, &str, &str); 6] = [
    ("demo", DEMO, "ready"),
    ("example", "app/example/app.toml", "4 and 4 are 8"),
    ("foreign-tasks", "test/apps/foreign/app.toml", "finished:"),
    ("kernel-suite", "test/apps/kernel/app.toml", "finished:"),
    ("recorder-suite", "test/apps/recorder/app.toml", "finished:"),
    ("self-test", "test/apps/self-test/app.toml", "ready"),
];

/// The console task's index, and the instruction that ends a program for the executor.
const CONSOLE: u8 = 2;
const HIF_DONE: u8 = 20;
/// Line status register of the console's UART, and its bit 0, data ready (16550).
const UART1_LSR: u32 = 0x1e78_3014;
const DATA_READY: u32 = 1;

/// REQ: C6, X8 (in part): Humility can read of each task of a dump its state, its registers, its
/// stack up to the entry with the names of all functions, its ring buffers and its counters.
pub(super) fn trials(session: &Arc<Session>) -> Vec<Trial> {
    let mut trials: Vec<Trial> = APPS
        .iter()
        .map(|(name, app, said)| {
            session.trial(format!("dump::of-{name}"), app, move |rig| {
                let scene = DumpScene::at_rest(rig, said)?;
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

/// A task that has never run, one whose message waits, one that was interrupted, one that faulted;
/// and the kernel.
fn states(rig: &Rig) -> Result<Cases> {
    let mut scene = DumpScene::new(rig)?;
    never_run(&mut scene)?;
    sending(&mut scene)?;
    interrupted(&mut scene)?;
    faulted(&mut scene)?;
    scene.machine.kill()?;
    Ok(Cases::one())
}

fn never_run(scene: &mut DumpScene<'_>) -> Result<()> {
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

fn sending(scene: &mut DumpScene<'_>) -> Result<()> {
    const SENDING: &str = "userlib::sys_send_stub";
    // Stopped in the kernel, in a system call of a task.
    scene.run_to("monitor", &["main"])?;
    scene.run_to("kernel", &["KERNEL_CALLS", "handler"])?;
    let in_kernel = seen(&scene.dump("kernel.core")?, scene.rig)?;
    ensure!(
        in_kernel.iter().all(|task| !task.running),
        "a task runs, not the kernel"
    );
    let is_caller =
        |task: &TaskInDump| task.state == "Runnable" && task.calls[0].starts_with("userlib::sys_");
    ensure!(
        in_kernel.iter().any(is_caller),
        "no task is in a system call"
    );

    // The console task receives only from the kernel, so the executor's message waits.
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

/// A byte for the console's UART interrupts the worker.
fn interrupted(scene: &mut DumpScene<'_>) -> Result<()> {
    scene.run_to("worker", &["record_entry"])?;
    for _ in 0..12 {
        scene.debugger.step()?;
    }
    let at = scene.debugger.registers()?[15];
    let _sending = scene.machine.uart1.send(b"x".to_vec(), None)?;
    let deadline = Instant::now() + LIMIT;
    while scene.debugger.word(UART1_LSR)? & DATA_READY == 0 {
        ensure!(Instant::now() < deadline, "the UART has no byte");
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
        "the console task does not run"
    );
    Ok(())
}

/// At the recorder's emergency entry, after the worker has stored through a bad pointer.
fn faulted(scene: &mut DumpScene<'_>) -> Result<()> {
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
    let mut scene = DumpScene::new(rig)?;
    scene.run_to("assist", &["sys_panic_stub"])?;
    scene.run_behind_call("runner", "sys_recv_stub")?;
    let dump = scene.dump("panic.core")?;
    let system = DumpedSystem::open(&dump)?;
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
    // A call that never returns may be the last instruction of a function of `core`. Its return
    // address is in the next function, and the trace ends there.
    ensure!(
        at[..2] == before[..2] && at[1].contains("rust_begin_unwind"),
        "{at:?} is not {before:?}"
    );
    scene.machine.kill()?;
    Ok(Cases::one())
}
