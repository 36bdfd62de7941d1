//! A task fails, in each way that a task of this machine can fail.

use super::scene::Scene;
use super::{IDLE, NOTHING, Row};
use crate::evidence::Expected;
use crate::sabotage::{APP, Deed, Failing, RESET_MS, Stop, Work, task};
use anyhow::{Result, ensure};
use serde_json::Value;

/// Name, description, what the task does, and the fault that the crash must state. This processor
/// has no fault for a division by zero or an invalid operation, and QEMU's machine no memory with
/// bus errors.
const WAYS: [(&str, &str, Failing, &str); 8] = [
    (
        "store",
        "by a forbidden store",
        Failing::STORE,
        "MemoryAccess",
    ),
    (
        "null",
        "by a load from address 0",
        Failing::NULL,
        "MemoryAccess",
    ),
    (
        "stack",
        "by a stack overflow",
        Failing::STACK,
        "StackOverflow",
    ),
    ("text", "by a jump into data", Failing::TEXT, "IllegalText"),
    (
        "instruction",
        "by an undefined instruction",
        Failing::UNDEFINED,
        "IllegalInstruction",
    ),
    ("panic", "by a panic", Failing::PANIC, "Panic"),
    (
        "system-call",
        "by a system call that does not exist",
        Failing::SYSTEM_CALL,
        "SyscallUsage",
    ),
    (
        "reply-fault",
        "by a reply fault of the recorder, for an unknown message",
        Failing::REPLY_FAULT,
        "FromServer",
    ),
];

/// REQ: C3, P2, P5: each kind of fault, of a task that is restarted alone and of one that restarts
/// the system.
pub fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for (name, text, how, fault) in WAYS {
        rows.push(Row {
            id: format!("client-{name}-reset"),
            who: format!("a client, {text}; the system restarts"),
            state: IDLE.to_owned(),
            broken: NOTHING,
            outcome: "recorded before the restart, with fault and registers",
            requirements: "C3 P2 X5",
            app: APP,
            run: Box::new(move |rig| panic(Scene::ready(rig)?, how, fault)),
        });
        rows.push(Row {
            id: format!("client-{name}-restart"),
            who: format!("a client, {text}; it is restarted"),
            state: IDLE.to_owned(),
            broken: NOTHING,
            outcome: "recorded as an oops; no restart of the system; the recorder goes on",
            requirements: "P2 P5 X5",
            app: APP,
            run: Box::new(move |rig| oops(Scene::ready(rig)?, how, fault)),
        });
    }
    for (fatal, id, who) in [
        (
            true,
            "client-injected-reset",
            "a client, faulted by another task; the system restarts",
        ),
        (
            false,
            "client-injected-restart",
            "a client, faulted by another task; it is restarted",
        ),
    ] {
        rows.push(Row {
            id: id.to_owned(),
            who: who.to_owned(),
            state: IDLE.to_owned(),
            broken: NOTHING,
            outcome: "the crash says which task injected the fault",
            requirements: "P2 X5",
            app: APP,
            run: Box::new(move |rig| injected(Scene::ready(rig)?, fatal)),
        });
    }
    rows
}

/// Milliseconds of guest time to the next start, 30 of which are the boot. If the recorder did not
/// report that it is done, the supervisor would wait for more than a second.
const SOON_MS: u64 = 30 + RESET_MS;

fn panic(mut scene: Scene<'_>, how: Failing, fault: &str) -> Result<()> {
    scene
        .system
        .work(Work::Fail { fatal: true, how }, 0, Deed::Nothing)?;
    let crashes = scene.recovers(&[Expected::panic("fatal")], 1)?;
    let took = scene.system.restart_ms;
    ensure!(
        took <= SOON_MS || !scene.system.board.resets_at_once,
        "with a healthy card the system took {took} ms to restart"
    );
    check(&crashes, fault)?;
    crashes.iter().try_for_each(found_idle)
}

/// Checks that controller and card were found idle, and needed no retry and no repair.
fn found_idle(crash: &Value) -> Result<()> {
    /// The codes of an idle controller and of transfer state (`crashlog_format::found`).
    const IDLE: (u64, u64) = (1, 4);
    let said = &crash["emergency"];
    let found = said["controller"].as_u64().zip(said["card"].as_u64());
    ensure!(
        found == Some(IDLE)
            && said["retries"] == 0
            && said["error"] == 0
            && said["repairs"].as_array().is_some_and(Vec::is_empty),
        "controller and card were idle, but the crash says: {said}"
    );
    Ok(())
}

fn oops(mut scene: Scene<'_>, how: Failing, fault: &str) -> Result<()> {
    scene
        .system
        .work(Work::Fail { fatal: false, how }, 0, Deed::Nothing)?;
    scene.system.go_to(Stop::Done)?;
    let crashes = scene.has(&[Expected::oops("victim")], 1)?;
    check(&crashes, fault)?;
    scene.goes_on()
}

fn injected(mut scene: Scene<'_>, fatal: bool) -> Result<()> {
    let target = if fatal { task::FATAL } else { task::VICTIM };
    let seen = scene.strike(Work::Sleep(100), super::scene::SOON, Deed::Fault(target))?;
    let crashes = if fatal {
        scene.recovers(&[Expected::panic("fatal")], seen.accepted)?
    } else {
        scene.system.go_to(Stop::Done)?;
        scene.has(&[Expected::oops("victim")], seen.accepted)?
    };
    check(&crashes, "Injected")?;
    if fatal { Ok(()) } else { scene.goes_on() }
}

/// Checks the fault, and that there are registers.
fn check(crashes: &[Value], fault: &str) -> Result<()> {
    for crash in crashes {
        let said = crash["fault"].as_str().unwrap_or_default();
        ensure!(
            said.starts_with(fault),
            "the fault is {said}, and not {fault}"
        );
        ensure!(
            crash["registers"]["pc"].as_u64().is_some(),
            "the crash has no registers"
        );
    }
    Ok(())
}
