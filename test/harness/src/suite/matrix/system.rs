//! Several fail at once, or something fails that is not a client.

use super::scene::{NOWHERE, SOON, Scene};
use super::{IDLE, NOTHING, RECORDED, Row};
use crate::evidence::{Crash, Evidence};
use crate::sabotage::{Deed, Failing, Stop, Work, task};
use anyhow::Result;

/// Where the supervisor prepares to wait again.
const SUPERVISOR: &[&str] = &["task_jefe::Server", "arm_timer"];
/// Where the kernel answers calls of its own.
const KERNEL_IPC: &[&str] = &["kern::kipc::handle"];

/// REQ: P8, X2, X4, X5: several failures are all recorded, and so is one before the recorder was ever ready.
pub fn rows() -> Vec<Row> {
    let row = |id: &str,
               who: &str,
               state: &str,
               outcome,
               requirements,
               run: fn(Scene<'_>) -> Result<()>| Row {
        id: id.to_owned(),
        who: who.to_owned(),
        state: state.to_owned(),
        broken: NOTHING,
        outcome,
        requirements,
        run: Box::new(move |rig| run(Scene::set(rig)?)),
    };
    vec![
        row(
            "two-restart-and-reset",
            "two at once: a client that is restarted and one that takes the system down",
            IDLE,
            "the panic recorded before the restart, the oops then or late",
            "X5",
            |scene| {
                both(
                    scene,
                    task::VICTIM,
                    &[Crash::panic("saboteur"), Crash::oops("victim").whenever()],
                )
            },
        ),
        row(
            "two-reset",
            "two at once, both of which take the system down",
            IDLE,
            "the first recorded before the restart, the second late",
            "X5",
            |scene| {
                both(
                    scene,
                    task::FATAL,
                    &[Crash::panic("fatal"), Crash::panic("saboteur").late()],
                )
            },
        ),
        row(
            "recorder-and-client",
            "the recorder and a client at once",
            IDLE,
            "the recorder's failure recorded before the restart, the other late",
            "X2 X5",
            |scene| {
                both(
                    scene,
                    task::CRASHLOG,
                    &[Crash::panic("crashlog"), Crash::panic("saboteur").late()],
                )
            },
        ),
        row(
            "first-microseconds",
            "a client, before the recorder has run at all",
            "never initialised",
            RECORDED,
            "P8 M3",
            |mut scene| {
                scene.system.go_to(Stop::Start)?;
                scene.system.strike_after_start(300, Deed::Jump(NOWHERE))?;
                scene.system.go_to(Stop::Struck)?;
                scene.recovers(&[Crash::panic("saboteur")], 0).map(drop)
            },
        ),
        row(
            "idle-task",
            "the idle task, so that no task can run until it is restarted",
            IDLE,
            "restarted at once, and recorded as an oops; the system was not restarted",
            "P5 X4",
            |mut scene| {
                scene.system.go_to(Stop::Start)?;
                let idle = scene.system.symbols.like("idle", &["_start"])?;
                scene.system.stop_at(idle, true)?;
                // It runs when nobody else has anything to do.
                scene.system.go_to(Stop::Ready)?;
                scene.system.work(Work::Sleep(100), 0, Deed::Nothing)?;
                scene.system.go_to(Stop::At(idle))?;
                scene.system.stop_at(idle, false)?;
                scene.system.debugger.set_register(15, NOWHERE)?;
                let accepted = scene.system.seen()?.accepted;
                scene.system.go_to(Stop::Done)?;
                scene.has(&[Crash::oops("idle")], accepted).map(drop)
            },
        ),
        row(
            "supervisor",
            "the supervisor",
            IDLE,
            "recorded late, from what the kernel left in retained RAM",
            "X4",
            |scene| without_warning(scene, "jefe", SUPERVISOR),
        ),
        row(
            "kernel-system-call",
            "the kernel, in a system call",
            "any, the recorder at work",
            "recorded late, from what the kernel left in retained RAM",
            "X4",
            |scene| without_warning(scene, "kernel", KERNEL_IPC),
        ),
        row(
            "supervisor-start",
            "the supervisor, at its start",
            "never initialised",
            "recorded late, from what the kernel left in retained RAM",
            "X4 P8",
            |mut scene| {
                scene.go_into_program("jefe", SUPERVISOR)?;
                derail(&mut scene)?;
                scene.recovers(&[failure("jefe")], 0).map(drop)
            },
        ),
        row(
            "restart-due",
            "a client, while the restart of another is due",
            IDLE,
            "recorded before the restart, at ten moments around the time of the other's restart",
            "X1 X5",
            restart_due,
        ),
    ]
}

fn both(mut scene: Scene<'_>, task: u32, crashes: &[Crash<'_>]) -> Result<()> {
    scene.boot()?;
    let seen = scene.strike(Work::Sleep(1_000), SOON, Deed::FaultBoth(task))?;
    scene.recovers(crashes, seen.accepted).map(drop)
}

/// The kernel's or the supervisor's failure leaves no time to write anything.
fn failure(task: &str) -> Crash<'_> {
    Crash {
        reason: "kernel",
        ..Crash::panic(task).late()
    }
}

fn derail(scene: &mut Scene<'_>) -> Result<()> {
    scene.system.debugger.set_register(15, 0x10)
}

fn without_warning(mut scene: Scene<'_>, program: &str, place: &[&str]) -> Result<()> {
    scene.boot()?;
    let (fatal, how) = (false, Failing::STORE);
    scene
        .system
        .work(Work::Fail { fatal, how }, 0, Deed::Nothing)?;
    scene.go_into_program(program, place)?;
    let accepted = scene.system.seen()?.accepted;
    derail(&mut scene)?;
    scene.boot()?;
    // The client's own fault may or may not have come before.
    let oops = Crash::oops("victim").whenever();
    let now = Evidence::take(&scene.rig.tool, &scene.card)?;
    let has_oops = now.records.iter().any(|record| record["task"] == "victim");
    let crashes: Vec<_> = std::iter::once(failure(program))
        .chain(has_oops.then_some(oops))
        .collect();
    scene.has(&crashes, accepted).map(drop)
}

/// A task that fails early is restarted 50 ms after its start; an emergency takes about 1.5 ms.
fn restart_due(mut scene: Scene<'_>) -> Result<()> {
    scene.boot()?;
    let (fatal, how) = (false, Failing::AFTER);
    for moment in 0..10 {
        scene
            .system
            .work(Work::Fail { fatal, how }, 0, Deed::Nothing)?;
        scene.system.go_to(Stop::Done)?;
        scene.system.go_to(Stop::Ready)?;
        let ticks = 3_800_000 + 50_000 * moment;
        let seen = scene.strike(Work::Sleep(1_000), ticks, Deed::Jump(NOWHERE + 4 * moment))?;
        scene.recovers(
            &[Crash::panic("saboteur"), Crash::oops("victim")],
            seen.accepted,
        )?;
    }
    Ok(())
}
