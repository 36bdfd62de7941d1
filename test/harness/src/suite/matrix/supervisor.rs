//! The supervisor hangs or fails while it describes a crash, of which a part is in retained RAM
//! then.

use super::scene::{LOOP, NOWHERE, Scene, is_late};
use super::{IDLE, Row};
use crate::evidence::{Expected, NOT_DESCRIBED};
use crate::sabotage::{Deed, Failing, Work};
use anyhow::{Result, ensure};
use serde_json::Value;

/// Functions where the supervisor has stored task and time, and asks the kernel for the fault.
const WHICH_FAULT: &[&[&str]] = &[&["ContextWriter", "note"], &["kipc::read_task_status"]];
/// The function that copies the stack.
const STACK: &[&[&str]] = &[&["capture::excerpt"]];
/// Functions where the description is complete, and the mailbox is not armed.
const COMPLETE: &[&[&str]] = &[&["ContextWriter", "finish"], &["Supervisor", "carry_out"]];

/// REQ: X1, X3, X4: a crash that the supervisor does not hand over to the recorder is written by
/// the next boot.
pub fn rows() -> Vec<Row> {
    let row = |id: &str, who: &str, outcome, requirements, run: fn(Scene<'_>) -> Result<()>| {
        Row::logging(id, who, IDLE, outcome, requirements, run)
    };
    vec![
        row(
            "supervisor-hangs-first",
            "a client, then the supervisor hangs when it starts to describe the crash",
            "the watchdog restarts the system; recorded late, with the reason, task and time",
            "X1 X3",
            |scene| {
                hangs(scene, WHICH_FAULT, |crash| {
                    ensure!(
                        crash["fault"].is_null(),
                        "there is a fault, but it was never read"
                    );
                    has_no_stack(crash)
                })
            },
        ),
        row(
            "supervisor-hangs-middle",
            "a client, then the supervisor hangs while it copies the stack",
            "the watchdog restarts the system; recorded late, with the reason, task, fault and time",
            "X1 X3",
            |scene| {
                hangs(scene, STACK, |crash| {
                    is_store(crash)?;
                    has_no_stack(crash)
                })
            },
        ),
        row(
            "supervisor-hangs-last",
            "a client, then the supervisor hangs before it calls the recorder",
            "the watchdog restarts the system; recorded late, complete, with the reason",
            "X1 X3",
            |scene| {
                hangs(scene, COMPLETE, |crash| {
                    is_store(crash)?;
                    ensure!(
                        crash["registers"]["pc"].as_u64() > Some(0)
                            && !crash["segments"].as_array().is_none_or(Vec::is_empty),
                        "registers or stack are missing: {crash:#}"
                    );
                    Ok(())
                })
            },
        ),
        row(
            "supervisor-fails-describing",
            "a client, then the supervisor fails while it copies the stack",
            "both recorded late",
            "X3 X4",
            fails,
        ),
    ]
}

fn crash(scene: &mut Scene<'_>, places: &[&[&str]]) -> Result<u32> {
    let how = Failing::STORE;
    scene
        .system
        .work(Work::Fail { fatal: true, how }, 0, Deed::Nothing)?;
    let mut at = 0;
    for place in places {
        at = scene.go_into_program("jefe", place)?;
    }
    Ok(at)
}

fn hangs(mut scene: Scene<'_>, places: &[&[&str]], check: fn(&Value) -> Result<()>) -> Result<()> {
    let at = crash(&mut scene, places)?;
    // The reset loads the image again.
    scene.system.debugger.set_memory(at, &LOOP)?;
    let crashes = scene.recovers(&[Expected::panic("fatal").late()], 1)?;
    let [crash] = &*crashes else {
        anyhow::bail!("one crash, but {} crashes", crashes.len());
    };
    is_late(&crashes, NOT_DESCRIBED)?;
    ensure!(crash["time_ms"].as_u64() > Some(0), "no time: {crash:#}");
    check(crash)
}

fn fails(mut scene: Scene<'_>) -> Result<()> {
    crash(&mut scene, STACK)?;
    scene.system.debugger.set_register(15, NOWHERE)?;
    let supervisor = Expected {
        reason: "kernel",
        ..Expected::panic("jefe").late()
    };
    let crashes = scene.recovers(&[Expected::panic("fatal").late(), supervisor], 1)?;
    is_late(&crashes, NOT_DESCRIBED)
}

fn is_store(crash: &Value) -> Result<()> {
    ensure!(
        crash["fault"] == "MemoryAccess at 0xdeadbee0 (User)",
        "the fault is {}",
        crash["fault"]
    );
    Ok(())
}

fn has_no_stack(crash: &Value) -> Result<()> {
    ensure!(
        crash["segments"].as_array().is_some_and(Vec::is_empty),
        "an incomplete segment was taken for complete: {}",
        crash["segments"]
    );
    Ok(())
}
