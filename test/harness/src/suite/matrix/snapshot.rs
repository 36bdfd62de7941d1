//! The snapshot of the system's memory dies in some way, when the crash is durable.
//!
//! After each, the crash stands as it was, and the tool says what is missing of the snapshot and
//! why. What is still in retained RAM is written by the next boot.

use super::recorder::EMERGENCY;
use super::scene::{LOOP, SOON, Scene, is_logging};
use super::{NOTHING, Row};
use crate::evidence::Expected;
use crate::sabotage::{APP, Deed, Failing, HOLE, Stop, Work, task};
use crate::suite::Rig;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::ffi::OsStr;
use std::fs;

/// The recorder's function that writes the snapshot.
const WRITE: &[&str] = &["task_crashlog::emergency::write_snapshot"];
/// The supervisor's functions that make the image: the first one, that which saves some pieces, and
/// the last one.
const MAKE: &[&str] = &["Supervisor", "save_crashed_system"];
const PIECES: &[&str] = &["kernel::Kernel>::save_rows"];
const FINISH: &[&str] = &["writer::Tables", "finish"];
/// The supervisor's function that resets the system.
const RESTART: &[&str] = &["userlib::kipc::system_restart"];
/// State of controller and card.
const WRITING: &str = "the crash is durable, the snapshot is being written";
const MAKING: &str = "the crash is durable, the image for the snapshot is being made";
/// The least number of commands for a snapshot: header, data, flush, ledger, flush.
const COMMANDS: u32 = 5;
/// Longest wait of the next boot for the snapshot, in milliseconds.
const LATE_MS: u32 = 500;
/// How the tool says that there is none.
const NONE: &str = "the memory was not saved, or not written to the card before the power was lost";

/// REQ: X1, X4, X5: a snapshot that dies takes nothing of its crash with it.
pub fn rows() -> Vec<Row> {
    let row = |id: &str,
               who: &str,
               state,
               broken,
               outcome,
               requirements,
               run: fn(Scene<'_>) -> Result<()>| {
        Row::logging(id, who, state, outcome, requirements, run).with(broken)
    };
    let late = "the crash recorded before the restart; its snapshot late, whole";
    let whole = "the crash recorded before the restart; its snapshot whole, late unless its ledger was written before";
    let mut rows = vec![
        row(
            "snapshot-card-silent",
            "a client",
            WRITING,
            "from the Nth command of the snapshot on, each one ends with an error; for each N",
            whole,
            "X5 K3",
            |scene| at_each_command(scene, silent),
        ),
        row(
            "snapshot-card-gone",
            "a client",
            WRITING,
            "the card is removed, and inserted again later",
            late,
            "X5 P6",
            gone,
        ),
        row(
            "snapshot-recorder-fails",
            "a client, then the recorder after the Nth command of the snapshot, for each N",
            WRITING,
            NOTHING,
            "the crash recorded before the restart; its snapshot whole, late unless its ledger was written before; the \
             recorder's failure late",
            "X2 X5",
            |scene| at_each_command(scene, recorder_fails),
        ),
        row(
            "snapshot-recorder-hangs",
            "a client, then the recorder hangs while it writes the snapshot",
            WRITING,
            NOTHING,
            late,
            "X1 X5",
            |mut scene| {
                fail(&mut scene, 0)?;
                let at = scene.go_into(WRITE)?;
                scene.system.debugger.set_memory(at, &LOOP)?;
                is_late(&mut scene)
            },
        ),
        row(
            "snapshot-both-hang",
            "a client, then the recorder hangs while it writes the snapshot, and the supervisor before it resets the system",
            WRITING,
            NOTHING,
            "the watchdog restarts the system; the crash recorded before that; its snapshot late, whole",
            "X1 X5",
            |mut scene| {
                fail(&mut scene, 0)?;
                let at = scene.go_into(WRITE)?;
                scene.system.debugger.set_memory(at, &LOOP)?;
                let at = scene.go_into_program("jefe", RESTART)?;
                scene.system.debugger.set_memory(at, &LOOP)?;
                is_late(&mut scene)
            },
        ),
        row(
            "snapshot-reset",
            "a client",
            WRITING,
            "the system is reset after the Nth command of the snapshot, for each N",
            whole,
            "X5",
            |scene| at_each_command(scene, reset),
        ),
    ];
    for (id, who, place) in [
        (
            "snapshot-supervisor-fails-finishing",
            "a client, then the supervisor when the image is complete but for its header",
            FINISH,
        ),
        (
            "snapshot-supervisor-fails",
            "a client, then the supervisor while it makes the image",
            PIECES,
        ),
    ] {
        rows.push(Row::logging(
            id,
            who,
            MAKING,
            "the client's failure recorded before the restart, without a snapshot; the supervisor's late, with the \
             snapshot that the kernel has made",
            "X4 X5",
            move |scene| supervisor_fails(scene, place),
        ));
    }
    for (id, who, place) in [
        (
            "snapshot-supervisor-hangs",
            "a client, then the supervisor hangs when it begins to make the image",
            MAKE,
        ),
        (
            "snapshot-supervisor-hangs-middle",
            "a client, then the supervisor hangs while it makes the image",
            PIECES,
        ),
        (
            "snapshot-supervisor-hangs-last",
            "a client, then the supervisor hangs when the image is complete but for its header",
            FINISH,
        ),
    ] {
        rows.push(Row::logging(
            id,
            who,
            MAKING,
            "the watchdog restarts the system; the crash recorded before that, without a snapshot, and the tool says so",
            "X1 X5",
            move |scene| supervisor_hangs(scene, place),
        ));
    }
    rows.push(
        Row::logging(
            "snapshot-device-hole",
            "a client; another has registered the registers of a peripheral",
            MAKING,
            "recorded before the restart, with a snapshot in which nothing but these registers is missing, with the \
             reason",
            "X5",
            hole,
        )
        .with("the peripheral answers each access with a bus fault")
        .on(HOLE),
    );
    for (id, broken, outcome, run) in [
        (
            "snapshot-slot-small",
            "the slots of the card have room for a part of the snapshot",
            "recorded before the restart; its snapshot has what is most important, and says what is missing and why",
            small as fn(&Rig) -> Result<()>,
        ),
        (
            "snapshot-power",
            "the power is cut after the Nth command of the snapshot, for each N",
            "the crash recorded; what is there of its snapshot can be read, and the tool says what is missing and why; \
             the next crash too, with its snapshot",
            power,
        ),
    ] {
        rows.push(Row {
            id: id.to_owned(),
            who: "a client".to_owned(),
            state: WRITING.to_owned(),
            broken,
            outcome,
            requirements: "X5",
            app: APP,
            run: Box::new(run),
        });
    }
    rows
}

/// Makes a client fail, each time at another place, and runs to the emergency entry.
fn fail(scene: &mut Scene<'_>, place: u32) -> Result<()> {
    let how = Failing(Failing::TEXT.0, [0x1_0001 + 4 * place, 0, 0]);
    let work = Work::Fail { fatal: true, how };
    scene.system.work(work, 0, Deed::Nothing)?;
    scene.go_into(EMERGENCY).map(drop)
}

/// Runs to the point after the Nth command of the snapshot. Returns whether there are so many
/// before the restart; if not, the system has restarted.
fn go_to_command(scene: &mut Scene<'_>, number: u32) -> Result<bool> {
    scene.go_into(WRITE)?;
    scene.system.stop_at_commands(true)?;
    for _ in 0..number {
        match scene.system.go()? {
            Stop::Register => {}
            Stop::Start => {
                scene.system.stop_at_commands(false)?;
                ensure!(
                    number > COMMANDS,
                    "the snapshot took only {} commands",
                    number - 1
                );
                return Ok(false);
            }
            stop => anyhow::bail!("the machine stopped at {stop:?}"),
        }
    }
    scene.system.stop_at_commands(false)?;
    Ok(true)
}

/// Does something after the Nth command of a snapshot, for each N. The snapshot is late if its
/// ledger was not written before, and whole always.
fn at_each_command(
    mut scene: Scene<'_>,
    act: fn(&mut Scene<'_>) -> Result<Vec<Value>>,
) -> Result<()> {
    let mut was_late = true;
    for number in 1.. {
        let what = || format!("after command {number} of the snapshot");
        fail(&mut scene, number)?;
        if !go_to_command(&mut scene, number).with_context(what)? {
            break;
        }
        let crashes = act(&mut scene).with_context(what)?;
        let is_late = snapshot(&crashes, 0)?["late"] == true;
        is_whole(&crashes, 0, is_late).with_context(what)?;
        ensure!(
            if number < COMMANDS - 1 {
                is_late
            } else {
                was_late || !is_late
            },
            "{}: whether the snapshot is late is wrong",
            what()
        );
        was_late = is_late;
    }
    scene.system.go_to(Stop::Ready)?;
    let crashes = scene.has(&[Expected::panic("fatal")], 1)?;
    is_whole(&crashes, 0, false)
}

fn silent(scene: &mut Scene<'_>) -> Result<Vec<Value>> {
    /// Force event register for error interrupts, and its bit for a CRC error of a response (SD
    /// Host Controller Simplified Specification 3.00, section 2.2.19).
    const FORCE: u32 = 0x52;
    const CRC: u16 = 2;
    let force = scene.system.slot.registers + FORCE;
    scene.system.stop_at_commands(true)?;
    loop {
        let debugger = &mut scene.system.debugger;
        debugger.set_memory(force, &CRC.to_le_bytes())?;
        match scene.system.go()? {
            Stop::Register => {}
            Stop::Start => break,
            stop => anyhow::bail!("the machine stopped at {stop:?}"),
        }
    }
    scene.system.stop_at_commands(false)?;
    scene.system.go_to(Stop::Ready)?;
    after_restart(scene, &[])
}

fn recorder_fails(scene: &mut Scene<'_>) -> Result<Vec<Value>> {
    scene.derail()?;
    scene.boot()?;
    after_restart(scene, &[Expected::panic("crashlog").late()])
}

fn reset(scene: &mut Scene<'_>) -> Result<Vec<Value>> {
    let qmp = &mut scene.system.machine.qmp;
    qmp.execute("system_reset", Value::Null)?;
    scene.boot()?;
    after_restart(scene, &[])
}

/// Checks that the system restarts, that the crash was recorded before that, and its snapshot
/// later.
fn is_late(scene: &mut Scene<'_>) -> Result<()> {
    scene.boot()?;
    is_whole(&after_restart(scene, &[])?, 0, true)
}

/// Checks that the system has restarted, and that the crash was recorded before that; and the
/// `others`. Returns the crashes when the recorder has had time to write what waits.
fn after_restart(scene: &mut Scene<'_>, others: &[Expected<'_>]) -> Result<Vec<Value>> {
    is_logging(&scene.system.seen()?)?;
    rest(scene, LATE_MS)?;
    let first = [Expected::panic("fatal")];
    let expected: Vec<_> = first.into_iter().chain(others.iter().copied()).collect();
    let crashes = scene.has(&expected, 1)?;
    scene.system.go_to(Stop::Ready)?;
    Ok(crashes)
}

/// Leaves the recorder to itself at [`Stop::Ready`].
fn rest(scene: &mut Scene<'_>, milliseconds: u32) -> Result<()> {
    let work = Work::Sleep(milliseconds);
    scene.system.work(work, 0, Deed::Nothing)?;
    scene.system.go_to(Stop::Done)
}

fn snapshot(crashes: &[Value], index: usize) -> Result<&Value> {
    let crash = crashes.get(index).context("there is no such crash")?;
    Ok(&crash["snapshot"])
}

/// Checks that a crash has a snapshot of which nothing is missing.
fn is_whole(crashes: &[Value], index: usize, is_late: bool) -> Result<()> {
    let it = snapshot(crashes, index)?;
    ensure!(
        it["whole"] == true
            && it["damaged"] == false
            && it["late"] == is_late
            && it["saved"]
                .as_array()
                .is_some_and(|saved| !saved.is_empty())
            && it["missing"].as_array().is_some_and(Vec::is_empty),
        "the snapshot is not whole, or not {}: {it:#}",
        if is_late { "late" } else { "in time" }
    );
    Ok(())
}

/// Checks that a crash has no snapshot, for this reason.
fn is_none(crashes: &[Value], index: usize, why: &str) -> Result<()> {
    let it = snapshot(crashes, index)?;
    ensure!(
        it["none"] == why && it["damaged"] == false,
        "there should be no snapshot because `{why}`: {it:#}"
    );
    Ok(())
}

fn gone(mut scene: Scene<'_>) -> Result<()> {
    fail(&mut scene, 0)?;
    ensure!(go_to_command(&mut scene, 2)?, "no second command");
    scene.eject()?;
    scene.system.boot()?;
    scene.is_ram_only()?;
    let card = scene.card.clone();
    let crashes = scene.has(&[Expected::panic("fatal")], 1)?;
    says_why(&crashes, 0)?;
    scene.insert(&card)?;
    // The recorder looks for a card every five seconds.
    rest(&mut scene, 6_000)?;
    let crash = crashes.first().context("no crash")?;
    let sequence = crash["sequence"].as_u64().context("no sequence")?;
    is_whole(&[scene.rig.tool.crash(&scene.card, sequence)?], 0, true)
}

/// Checks that a crash whose snapshot is not whole has none, or a part of it, and says why.
fn says_why(crashes: &[Value], index: usize) -> Result<()> {
    let it = snapshot(crashes, index)?;
    let is_text = |value: &Value| value.as_str().is_some_and(|why| !why.is_empty());
    let missing = it["missing"].as_array();
    let is_cut = missing.is_some_and(|missing| missing.iter().all(|piece| is_text(&piece["why"])));
    ensure!(
        it["damaged"] == false && (is_text(&it["none"]) || it["whole"] == false && is_cut),
        "the snapshot should be cut short, and say why: {it:#}"
    );
    Ok(())
}

fn supervisor_hangs(mut scene: Scene<'_>, place: &[&str]) -> Result<()> {
    fail(&mut scene, 0)?;
    let at = scene.go_into_program("jefe", place)?;
    scene.system.debugger.set_memory(at, &LOOP)?;
    scene.boot()?;
    rest(&mut scene, LATE_MS)?;
    let crashes = scene.has(&[Expected::panic("fatal")], 1)?;
    is_none(&crashes, 0, NONE)
}

fn supervisor_fails(mut scene: Scene<'_>, place: &[&str]) -> Result<()> {
    fail(&mut scene, 0)?;
    scene.go_into_program("jefe", place)?;
    scene.derail()?;
    scene.boot()?;
    rest(&mut scene, LATE_MS)?;
    let supervisor = Expected {
        reason: "kernel",
        ..Expected::panic("jefe").late()
    };
    let crashes = scene.has(&[Expected::panic("fatal"), supervisor], 1)?;
    is_none(&crashes, 0, NONE)?;
    is_whole(&crashes, 1, true)
}

fn hole(mut scene: Scene<'_>) -> Result<()> {
    /// The registers of the chip's peripheral `hole` (test/apps/kernel/chip/chip.toml).
    const ADDRESS: u32 = 0x4800_0000;
    scene.strike(Work::Sleep(100), SOON, Deed::Register(ADDRESS))?;
    scene.system.go_to(Stop::Done)?;
    scene.system.go_to(Stop::Ready)?;
    fail(&mut scene, 0)?;
    let crashes = scene.recovers(&[Expected::panic("fatal")], 1)?;
    let it = snapshot(&crashes, 0)?;
    let [missing] = &**it["missing"].as_array().context("nothing is missing")? else {
        anyhow::bail!("one piece should be missing: {it:#}");
    };
    ensure!(
        it["whole"] == true
            && it["late"] == false
            && missing["address"] == ADDRESS
            && missing["why"] == "bus fault",
        "the hole is not as it should be: {it:#}"
    );
    Ok(())
}

fn small(rig: &Rig) -> Result<()> {
    for size in ["8K", "4K"] {
        with_slots_of(rig, size).with_context(|| format!("with slots of {size}"))?;
    }
    Ok(())
}

fn with_slots_of(rig: &Rig, size: &str) -> Result<()> {
    let card = rig.artefacts.path(&format!("card-{size}.img"));
    let arguments = ["format", "--size", "64M", "--slot-size", size].map(OsStr::new);
    let arguments = arguments.into_iter().chain([card.as_os_str()]);
    rig.tool.bytes(arguments)?;
    let mut scene = Scene::with(rig, card)?;
    scene.begin()?;
    fail(&mut scene, 0)?;
    let crashes = scene.recovers(&[Expected::panic("fatal")], 1)?;
    let it = snapshot(&crashes, 0)?;
    let missing = it["missing"].as_array().context("nothing is missing")?;
    let failed = format!("task {}", task::FATAL);
    ensure!(
        it["whole"] == true
            && it["late"] == false
            && it["saved"]
                .as_array()
                .is_some_and(|saved| !saved.is_empty())
            && !missing.is_empty()
            && missing.iter().all(|piece| {
                piece["why"] == "writing the snapshot was cut short before it"
                    && piece["owner"] != *failed
            }),
        "the snapshot is not as it should be: {it:#}"
    );
    Ok(())
}

/// Cuts the power after each command of a snapshot; then the memory is lost, too.
fn power(rig: &Rig) -> Result<()> {
    let mut number = 0;
    loop {
        number += 1;
        let what = || format!("after command {number} of the snapshot");
        let mut scene = Scene::ready(rig)?;
        fail(&mut scene, 0)?;
        if !go_to_command(&mut scene, number).with_context(what)? {
            return Ok(());
        }
        scene.system.machine.stop()?;
        let copy = rig.artefacts.path("cut.img");
        fs::copy(&scene.card, &copy).context("cannot copy the card")?;
        let before = scene.evidence.clone();
        drop(scene);
        let mut scene = Scene::with(rig, copy)?;
        scene.evidence = before;
        let crashes = scene
            .recovers(&[Expected::panic("fatal")], 1)
            .with_context(what)?;
        says_why(&crashes, 0)
            .or_else(|cause| is_whole(&crashes, 0, false).map_err(|_| cause))
            .with_context(what)?;
        fail(&mut scene, 1)?;
        let crashes = scene
            .recovers(&[Expected::panic("fatal")], 1)
            .with_context(what)?;
        is_whole(&crashes, 0, false).with_context(what)?;
    }
}
