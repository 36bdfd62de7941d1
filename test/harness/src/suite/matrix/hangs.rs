//! A program is in an endless loop, outside of an emergency.

use super::recorder::SERVER;
use super::scene::{LOOP, Scene, is_logging};
use super::system::{KERNEL_IPC, SUPERVISOR, failure};
use super::{IDLE, Row};
use crate::evidence::Expected;
use crate::sabotage::{Deed, Failing, Stop, Work, task};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::ffi::OsStr;

/// `hang-ms` of a client and of the recorder: the defaults.
const CLIENT_MS: u32 = 1_000;
const RECORDER_MS: u32 = 3_000;
/// `alive-within-ms` of `fatal`.
const ALIVE_MS: u32 = 2_500;

/// Where the supervisor begins to describe a fault.
const FOUND: &[&str] = &["ContextWriter", "note"];

/// REQ: X1 (in part), X6 (in part), X10 (in part): the crash of a task that hangs says so, for how
/// long, who could not run, and where the task was.
pub fn rows() -> Vec<Row> {
    let recorded = "recorded before the restart, as a hang, with its place and who could not run";
    vec![
        Row::logging(
            "hang-computes",
            "a client, in an endless loop",
            IDLE,
            recorded,
            "X1",
            |scene| client(scene, Failing::HANG_COMPUTES),
        ),
        Row::logging(
            "hang-calls-the-kernel",
            "a client, in an endless loop with system calls that do not wait",
            IDLE,
            recorded,
            "X1",
            |scene| client(scene, Failing::HANG_CALLS_THE_KERNEL),
        ),
        Row::logging(
            "hang-calls-a-server",
            "a client, in an endless loop with requests that are answered at once",
            IDLE,
            recorded,
            "X1",
            |scene| client(scene, Failing::HANG_CALLS_A_SERVER),
        ),
        Row::logging(
            "hang-oops",
            "a client that is restarted alone, in an endless loop",
            IDLE,
            "recorded without a restart of the system, as a hang",
            "X1 X2",
            oops,
        ),
        Row::logging(
            "hang-recorder",
            "the recorder, in an endless loop in its server code",
            IDLE,
            recorded,
            "X1 X2 M3",
            recorder,
        ),
        Row::logging(
            "wait-too-long",
            "a client, which waits for a server that does not answer",
            IDLE,
            "recorded before the restart, with the time and for whom it waited",
            "X1",
            |scene| waits(scene, Failing::WAIT, 2_000..2_500, "for task 3"),
        ),
        Row::logging(
            "wait-cycle",
            "two clients, which wait for each other",
            IDLE,
            "recorded before the restart, at once, with the cycle",
            "X1",
            |scene| {
                waits(
                    scene,
                    Failing::DEADLOCK,
                    0..300,
                    "for task 3 which waits for task 4",
                )
            },
        ),
        Row::logging(
            "alive-polls",
            "a client, which polls for ever for something that does not happen, and sleeps between",
            IDLE,
            "recorded before the restart, as not alive, with its place",
            "X1",
            |scene| not_alive(scene, Failing::POLLS, 0..4_000),
        ),
        Row::logging(
            "alive-says-so",
            "the same, which says that it is alive for 3 s, and then no more",
            IDLE,
            "recorded before the restart, as not alive, after these 3 s and its limit",
            "X1",
            |scene| not_alive(scene, Failing::POLLS_ALIVE, 5_400..7_000),
        ),
        Row::logging(
            "hang-supervisor",
            "the supervisor, in an endless loop",
            IDLE,
            DESCRIBED,
            "X1 X4",
            |scene| hangs(scene, "jefe", SUPERVISOR, &WAITS, "supervisor"),
        ),
        Row::logging(
            "hang-supervisor-calls",
            "the supervisor, in an endless loop with system calls",
            IDLE,
            DESCRIBED,
            "X1 X4",
            |scene| hangs(scene, "jefe", SUPERVISOR, &CALLS, "supervisor"),
        ),
        Row::logging(
            "hang-kernel",
            "the kernel, in an endless loop in a system call",
            IDLE,
            DESCRIBED,
            "X1 X4",
            |scene| hangs(scene, "kernel", KERNEL_IPC, &LOOP, "kernel"),
        ),
        Row::logging(
            "hang-kernel-interrupt",
            "the kernel, in an endless loop in an interrupt",
            IDLE,
            DESCRIBED,
            "X1 X4",
            |scene| hangs(scene, "kernel", INTERRUPT, &LOOP, "kernel"),
        ),
    ]
}

/// What is checked after a hang of the kernel or the supervisor.
const DESCRIBED: &str =
    "the system restarts within watchdog-ms; recorded late, as a hang, with the place of the loop";

/// `wfi` and a branch to it: a loop like any other, in which the time of the machine passes fast.
const WAITS: [u8; 4] = [0x30, 0xbf, 0xfd, 0xe7];
/// `svc #0` and a branch to it.
const CALLS: [u8; 4] = [0x00, 0xdf, 0xfd, 0xe7];
/// The system call that reads the time; it leaves r11, which has its number, as it is.
const GET_TIMER: u32 = 9;

/// The kernel's function for interrupts.
const INTERRUPT: &[&str] = &["kern::arch::arm_a::entry::interrupt"];

/// `program` enters a function, and then the loop `code`. `who`: how the crash calls it.
fn hangs(
    mut scene: Scene<'_>,
    program: &str,
    function: &[&str],
    code: &[u8],
    who: &str,
) -> Result<()> {
    scene.system.work(Work::Sleep(60_000), 0, Deed::Nothing)?;
    let accepted = scene.system.seen()?.accepted;
    let at = scene.go_into_program(program, function)?;
    scene.system.debugger.set_memory(at, code)?;
    if code == CALLS {
        scene.system.debugger.set_register(11, GET_TIMER)?;
    }
    // There is no stop at the reset: QEMU executes each instruction of a page with a breakpoint
    // apart, and this loop has a hundred million.
    scene.system.forget_time();
    let name = if program == "jefe" { "jefe" } else { "kernel" };
    let crashes = scene.recovers(&[failure(name)], accepted)?;
    let crash = crashes.first().context("there is no crash")?;
    ensure!(
        crash["fault"] == "Hang for 3000 ms",
        "the fault is {}",
        crash["fault"]
    );
    let pc = crash["registers"]["pc"].as_u64().unwrap_or_default();
    let end = u64::from(at) + code.len() as u64;
    ensure!(
        (u64::from(at)..end).contains(&pc),
        "the loop is at {at:#x}, but the crash says {pc:#x}"
    );
    let text = report(&scene)?;
    ensure!(
        text.contains(&format!("hang: the {who}")),
        "the report does not say that the {who} hangs:\n{text}"
    );
    Ok(())
}

/// `fatal` hangs, which is more important than the client and `idle`.
fn client(mut scene: Scene<'_>, how: Failing) -> Result<()> {
    scene
        .system
        .work(Work::Fail { fatal: true, how }, 0, Deed::Nothing)?;
    let crashes = scene.recovers(&[Expected::panic("fatal")], 1)?;
    is_hang(&crashes, CLIENT_MS, &["idle"])?;
    is_at(&scene, "assist_hang")
}

fn oops(mut scene: Scene<'_>) -> Result<()> {
    let (fatal, how) = (false, Failing::HANG_COMPUTES);
    scene
        .system
        .work(Work::Fail { fatal, how }, 0, Deed::Nothing)?;
    scene.system.go_to(Stop::Done)?;
    let crashes = scene.has(&[Expected::oops("victim")], 0)?;
    is_hang(&crashes, CLIENT_MS, &["idle"])?;
    is_at(&scene, "assist_hang")?;
    scene.goes_on()
}

fn recorder(mut scene: Scene<'_>) -> Result<()> {
    scene.system.work(Work::Flush(5), 0, Deed::Nothing)?;
    let at = scene.go_into(SERVER)?;
    let seen = scene.system.seen()?;
    let code = scene.system.debugger.memory(at, 2)?;
    scene.system.debugger.set_memory(at, &LOOP)?;
    scene.go_into_program("jefe", FOUND)?;
    // The emergency may call the same function.
    scene.system.debugger.set_memory(at, &code)?;
    scene.system.forget_time();
    scene.system.go_to(Stop::Start)?;
    scene.system.go_to(Stop::Ready)?;
    is_logging(&scene.system.seen()?)?;
    let crashes = scene.has(&[Expected::panic("crashlog")], seen.accepted)?;
    is_hang(&crashes, RECORDER_MS, &["idle"])?;
    let pc = crashes
        .first()
        .and_then(|crash| crash["registers"]["pc"].as_u64());
    ensure!(
        pc == Some(at.into()),
        "the recorder was at {at:#x}, but the crash says {pc:x?}"
    );
    Ok(())
}

/// `fatal` does not come back to its receive, and is faulted at its limit, at a time of the boot in
/// this range of milliseconds.
fn not_alive(mut scene: Scene<'_>, how: Failing, range: std::ops::Range<u64>) -> Result<()> {
    scene
        .system
        .work(Work::Fail { fatal: true, how }, 0, Deed::Nothing)?;
    // Its limit is longer than the system may take for anything else.
    scene.system.forget_time();
    let crashes = scene.recovers(&[Expected::panic("fatal")], 1)?;
    let crash = crashes.first().context("there is no crash")?;
    let fault = crash["fault"].as_str().unwrap_or_default();
    let ms = fault
        .strip_prefix("NotAlive for ")
        .and_then(|rest| rest.strip_suffix(" ms"));
    let ms: u32 = ms
        .with_context(|| format!("the fault is {fault:?}"))?
        .parse()?;
    ensure!(
        (ALIVE_MS..ALIVE_MS + 200).contains(&ms),
        "its limit is {ALIVE_MS} ms, and the fault is {fault:?}"
    );
    let time = crash["time_ms"].as_u64().context("the crash has no time")?;
    ensure!(
        range.contains(&time),
        "it was faulted after {time} ms, which should be in {range:?}"
    );
    let text = report(&scene)?;
    ensure!(
        text.contains("assist_hang") && text.contains("was not alive for"),
        "the report does not name its place, or does not say that it was not alive:\n{text}"
    );
    Ok(())
}

/// `fatal` waits, is faulted after a time in this range, and its crash says so.
fn waits(
    mut scene: Scene<'_>,
    how: Failing,
    range: std::ops::Range<u32>,
    chain: &str,
) -> Result<()> {
    scene
        .system
        .work(Work::Fail { fatal: true, how }, 0, Deed::Nothing)?;
    let crashes = scene.recovers(&[Expected::panic("fatal")], 1)?;
    let fault = crashes.first().map(|crash| &crash["fault"]);
    let fault = fault.and_then(Value::as_str).unwrap_or_default();
    let parts = fault
        .strip_prefix("Wait for ")
        .and_then(|rest| rest.split_once(" ms "));
    let (ms, listed) = parts.with_context(|| format!("the fault is {fault:?}"))?;
    ensure!(
        range.contains(&ms.parse()?) && listed == chain,
        "the fault is {fault:?}, and should have {chain:?} and a time in {range:?}"
    );
    let text = report(&scene)?;
    ensure!(
        text.contains("for an answer of victim"),
        "the report does not say for whom it waited:\n{text}"
    );
    Ok(())
}

/// Checks that the first crash is a hang that was found at its limit, `limit` milliseconds, or
/// later, and because of which these tasks could not run.
pub fn is_hang(crashes: &[Value], limit: u32, starved: &[&str]) -> Result<()> {
    let fault = crashes.first().map(|crash| &crash["fault"]);
    let fault = fault.and_then(Value::as_str).unwrap_or_default();
    let ms = fault
        .strip_prefix("Hang for ")
        .and_then(|rest| rest.split_once(" ms"))
        .and_then(|(ms, _)| ms.parse::<u32>().ok())
        .with_context(|| format!("the fault is {fault:?}"))?;
    ensure!(
        (limit..5_000).contains(&ms),
        "the hang is said to have lasted for {ms} ms, and its limit is {limit} ms"
    );
    let listed = fault.rsplit_once("task ").map_or("", |(_, list)| list);
    for name in starved {
        let index = match *name {
            "idle" => task::IDLE,
            _ => anyhow::bail!("no index is known of {name}"),
        };
        ensure!(
            listed.split(", ").any(|one| one == index.to_string()),
            "{name} could not run, but the fault is {fault:?}"
        );
    }
    Ok(())
}

/// What the tool says about the newest crash.
fn report(scene: &Scene<'_>) -> Result<String> {
    scene.rig.tool.text([
        OsStr::new("show"),
        OsStr::new("--archive"),
        scene.rig.image.archive.as_os_str(),
        scene.card.as_os_str(),
    ])
}

/// Checks that the newest crash was in this function, by its registers and stack.
fn is_at(scene: &Scene<'_>, function: &str) -> Result<()> {
    let text = report(scene)?;
    ensure!(
        text.contains(function) && text.contains("held the processor for"),
        "the report does not name {function}, or does not say that it is a hang:\n{text}"
    );
    ensure!(
        text.contains("idle could not run"),
        "the report does not say that idle could not run:\n{text}"
    );
    Ok(())
}
