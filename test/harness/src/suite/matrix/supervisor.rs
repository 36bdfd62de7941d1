//! The supervisor hangs, or fails, while it describes a crash: a note of it is in retained RAM by then.

use super::scene::{NOWHERE, Scene, is_late};
use super::{IDLE, Row};
use crate::evidence::Crash;
use crate::sabotage::{Deed, Failing, Work};
use anyhow::{Result, ensure};
use serde_json::Value;

/// Where the supervisor has made its first note, and asks the kernel which fault it was.
const WHICH_FAULT: &[&[&str]] = &[&["ContextWriter", "note"], &["kipc::read_task_status"]];
/// Where it begins to copy the stack.
const STACK: &[&[&str]] = &[&["capture::excerpt"]];
/// Where the description is complete, and the mailbox not armed.
const COMPLETE: &[&[&str]] = &[&["ContextWriter", "finish"], &["Supervisor", "carry_out"]];
/// A branch to itself, in Thumb.
const LOOP: [u8; 2] = [0xfe, 0xe7];
/// How such a record is late.
const LATE: &str = "supervisor did not call the recorder";

/// REQ: X1, X3, X4: a crash that the supervisor does not come to handing over is recorded by the next boot.
pub fn rows() -> Vec<Row> {
    let row = |id: &str, who: &str, outcome, requirements, run: fn(Scene<'_>) -> Result<()>| {
        Row::logging(id, who, IDLE, outcome, requirements, run)
    };
    vec![
        row(
            "supervisor-hangs-first",
            "a client, then the supervisor hangs as it begins to describe that",
            "the watchdog restarts the system; recorded late, with the reason: task and time",
            "X1 X3",
            |scene| {
                hangs(scene, WHICH_FAULT, |record| {
                    ensure!(record["fault"].is_null(), "nobody has asked for the fault");
                    has_no_stack(record)
                })
            },
        ),
        row(
            "supervisor-hangs-middle",
            "a client, then the supervisor hangs as it copies the stack",
            "the watchdog restarts the system; recorded late, with the reason: task, fault and time",
            "X1 X3",
            |scene| {
                hangs(scene, STACK, |record| {
                    is_store(record)?;
                    has_no_stack(record)
                })
            },
        ),
        row(
            "supervisor-hangs-last",
            "a client, then the supervisor hangs before it calls the recorder",
            "the watchdog restarts the system; recorded late, with the reason and everything else",
            "X1 X3",
            |scene| {
                hangs(scene, COMPLETE, |record| {
                    is_store(record)?;
                    ensure!(
                        record["registers"]["pc"].as_u64() > Some(0)
                            && !record["segments"].as_array().is_none_or(Vec::is_empty),
                        "registers or stack are missing: {record:#}"
                    );
                    Ok(())
                })
            },
        ),
        row(
            "supervisor-fails-describing",
            "a client, then the supervisor fails as it copies the stack",
            "both are recorded late",
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
    // The reset loads the image anew.
    scene.system.debugger.set_memory(at, &LOOP)?;
    let records = scene.recovers(&[Crash::panic("fatal").late()], 1)?;
    let [record] = &*records else {
        anyhow::bail!("one crash, but {} records", records.len());
    };
    is_late(&records, LATE)?;
    ensure!(record["time_ms"].as_u64() > Some(0), "no time: {record:#}");
    check(record)
}

fn fails(mut scene: Scene<'_>) -> Result<()> {
    crash(&mut scene, STACK)?;
    scene.system.debugger.set_register(15, NOWHERE)?;
    let supervisor = Crash {
        reason: "kernel",
        ..Crash::panic("jefe").late()
    };
    let records = scene.recovers(&[Crash::panic("fatal").late(), supervisor], 1)?;
    is_late(&records, LATE)
}

fn is_store(record: &Value) -> Result<()> {
    ensure!(
        record["fault"] == "MemoryAccess at 0xdeadbee0 (User)",
        "the fault is {}",
        record["fault"]
    );
    Ok(())
}

fn has_no_stack(record: &Value) -> Result<()> {
    ensure!(
        record["segments"].as_array().is_some_and(Vec::is_empty),
        "what was half written was taken for whole: {}",
        record["segments"]
    );
    Ok(())
}
