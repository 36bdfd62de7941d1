//! A client or the recorder fails while controller and card are suspended, or are being suspended
//! or resumed.

use super::scene::{NOWHERE, SOON, Scene, is_blank};
use super::{RECORDED, Row};
use crate::evidence::Expected;
use crate::sabotage::{CLOCK_OFF, Deed, Failing, POWER_OFF, RecorderState, Stop, Work, task};
use anyhow::{Result, ensure};
use serde_json::Value;

/// States in which the controller was found, as the crash has them: clock off, power off
/// (`crashlog_format::found`).
const NO_CLOCK: u64 = 2;
const NO_POWER: u64 = 10;
/// Milliseconds of sleep after which the card is suspended; the applications have 10.
const REST: u32 = 30;
/// More ticks than pass: [`Scene::strike_here`] says when the saboteur strikes.
const LATER: u32 = 1 << 24;
/// How many of the first writes to the controller are interrupted when it is resumed.
const RESUMING: u32 = 8;

/// REQ: M4, K4: a crash while controller and card are suspended, and in the middle of suspend and
/// resume.
pub fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for (name, text, app, code) in [
        ("clock-off", "suspended: clock off", CLOCK_OFF, NO_CLOCK),
        (
            "power-off",
            "suspended: clock and bus power off",
            POWER_OFF,
            NO_POWER,
        ),
    ] {
        let row = |what: &str,
                   who: &str,
                   outcome,
                   requirements,
                   run: fn(Scene<'_>, u64) -> Result<()>| {
            Row::sound(
                format!("suspended-{name}-{what}"),
                who,
                text,
                outcome,
                requirements,
                move |scene| run(scene, code),
            )
            .on(app)
        };
        let says = "recorded before the restart; the crash has the controller's state";
        rows.extend([
            row("client", "a client", says, "M4 X5", |scene, code| {
                fails(scene, Deed::Jump(NOWHERE), "saboteur", code)
            }),
            row("recorder", "the recorder", says, "M4 X2", |scene, code| {
                fails(scene, Deed::Fault(task::CRASHLOG), "crashlog", code)
            }),
            row(
                "minimal",
                "a client, then the recorder at its emergency entry",
                "recorded before the restart, by the minimal second try; the recorder's failure late",
                "M4 X1 X2",
                minimal,
            ),
            row(
                "oops",
                "a client that is restarted",
                "the card is resumed, and the oops is recorded",
                "K4 P5",
                oops,
            ),
            row(
                "resuming",
                "the recorder, while it resumes: at each of its first eight writes to the controller",
                RECORDED,
                "K4 M4 X2",
                resuming,
            ),
            row(
                "blank",
                "a client",
                "the blank card is not written; recorded late on the original one",
                "M4 M8 X3",
                blank,
            )
            .with("the card is replaced by a blank one while it is suspended"),
        ]);
    }
    for (id, who, run) in [
        (
            "client",
            "a client",
            half_way_client as fn(Scene<'_>) -> Result<()>,
        ),
        ("recorder", "the recorder", half_way_recorder),
    ] {
        rows.push(
            Row::sound(
                format!("suspending-{id}"),
                who,
                "in the middle of suspend: clock off, bus power still on",
                "recorded before the restart; the crash has the controller's state",
                "K4 M4",
                run,
            )
            .on(POWER_OFF),
        );
    }
    rows
}

/// Boots, and leaves the recorder idle until the card is suspended.
fn rest(scene: &mut Scene<'_>) -> Result<()> {
    scene.boot()?;
    come_to_rest(scene)
}

fn come_to_rest(scene: &mut Scene<'_>) -> Result<()> {
    scene.system.work(Work::Sleep(REST), 0, Deed::Nothing)?;
    scene.system.go_to(Stop::Done)?;
    scene.system.go_to(Stop::Ready)?;
    let state = scene.system.seen()?.state;
    ensure!(
        state == RecorderState::Suspended,
        "the card should be suspended, but the recorder says {state:?}"
    );
    scene.has(&[], 0).map(drop)
}

/// Checks the state in which the controller was found, as the crash has it.
fn found(crashes: &[Value], code: u64) -> Result<()> {
    let said = crashes
        .first()
        .map(|crash| &crash["emergency"]["controller"]);
    ensure!(
        said.and_then(Value::as_u64) == Some(code),
        "the crash says that the controller was in state {said:?}, and not {code}"
    );
    Ok(())
}

fn fails(mut scene: Scene<'_>, deed: Deed, task: &str, code: u64) -> Result<()> {
    rest(&mut scene)?;
    let seen = scene.strike(Work::Sleep(100), SOON, deed)?;
    let crashes = scene.recovers(&[Expected::panic(task)], seen.accepted)?;
    found(&crashes, code)
}

fn minimal(mut scene: Scene<'_>, _: u64) -> Result<()> {
    rest(&mut scene)?;
    let (fatal, how) = (true, Failing::STORE);
    scene
        .system
        .work(Work::Fail { fatal, how }, 0, Deed::Nothing)?;
    scene.go_into(super::recorder::EMERGENCY)?;
    scene.derail()?;
    let expected = [Expected::panic("fatal"), Expected::panic("crashlog").late()];
    let crashes = scene.recovers(&expected, 1)?;
    ensure!(
        crashes
            .first()
            .is_some_and(|crash| crash["emergency"]["minimal"] == true),
        "the crash was not written by the minimal try"
    );
    Ok(())
}

fn oops(mut scene: Scene<'_>, _: u64) -> Result<()> {
    rest(&mut scene)?;
    let (fatal, how) = (false, Failing::STORE);
    scene
        .system
        .work(Work::Fail { fatal, how }, 0, Deed::Nothing)?;
    scene.system.go_to(Stop::Done)?;
    scene.has(&[Expected::oops("victim")], 1)?;
    scene.goes_on()
}

fn resuming(mut scene: Scene<'_>, _: u64) -> Result<()> {
    scene.boot()?;
    for number in 1..=RESUMING {
        come_to_rest(&mut scene)?;
        scene.system.work(Work::Flush(3), 0, Deed::Nothing)?;
        scene.system.stop_at_registers(true)?;
        for _ in 0..number {
            scene.system.go_to(Stop::Register)?;
        }
        scene.system.stop_at_registers(false)?;
        let accepted = scene.system.seen()?.accepted;
        scene.derail()?;
        scene.recovers(&[Expected::panic("crashlog")], accepted)?;
    }
    Ok(())
}

fn blank(mut scene: Scene<'_>, _: u64) -> Result<()> {
    rest(&mut scene)?;
    let seen = scene.strike(Work::Sleep(100), SOON, Deed::Jump(NOWHERE))?;
    let blank = scene.blank()?;
    scene.insert(&blank)?;
    scene.system.boot()?;
    scene.is_ram_only()?;
    is_blank(&blank)?;
    scene.with_the_right_card(Expected::panic("saboteur").late(), seen.accepted)
}

/// Stops behind the first write with which the recorder suspends the controller.
fn half_way(scene: &mut Scene<'_>) -> Result<u32> {
    scene.boot()?;
    scene.has(&[], 1)?;
    let deed = Deed::Jump(NOWHERE);
    scene.system.work(Work::Sleep(100), LATER, deed)?;
    scene.system.stop_at_registers(true)?;
    scene.system.go_to(Stop::Register)?;
    scene.system.stop_at_registers(false)?;
    Ok(scene.system.seen()?.accepted)
}

fn half_way_client(mut scene: Scene<'_>) -> Result<()> {
    half_way(&mut scene)?;
    let seen = scene.strike_here()?;
    let crashes = scene.recovers(&[Expected::panic("saboteur")], seen.accepted)?;
    found(&crashes, NO_CLOCK)
}

fn half_way_recorder(mut scene: Scene<'_>) -> Result<()> {
    let accepted = half_way(&mut scene)?;
    scene.derail()?;
    let crashes = scene.recovers(&[Expected::panic("crashlog")], accepted)?;
    found(&crashes, NO_CLOCK)
}
