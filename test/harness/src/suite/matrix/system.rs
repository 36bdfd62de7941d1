//! Two tasks fail at once, or the idle task, the supervisor or the kernel fails.

use super::recorder::EMERGENCY;
use super::scene::{NOWHERE, SOON, Scene, is_late};
use super::{IDLE, RECORDED, Row};
use crate::evidence::{Evidence, Expected};
use crate::sabotage::{Deed, Failing, Stop, Work, task};
use anyhow::Result;

/// The function of the supervisor that sets its timer before it waits.
pub const SUPERVISOR: &[&str] = &["task_jefe::Server", "arm_timer"];
/// The function of the kernel that handles kernel IPC.
pub const KERNEL_IPC: &[&str] = &["kern::kipc::handle"];

/// The function with which the supervisor restarts the system.
const RESTART: &[&str] = &["userlib::kipc::system_restart"];
/// The function of the kernel that handles interrupts.
const INTERRUPT: &str = "kern::arch::arm_a::entry::interrupt";
/// `udf #0` in Thumb, the instruction set of the kernel's Rust code.
const UNDEFINED: [u8; 2] = [0x00, 0xde];

/// REQ: P8, X2, X4, X5: each of several failures is recorded, and a failure before the recorder was
/// ready.
pub fn rows() -> Vec<Row> {
    vec![
        Row::sound(
            "two-restart-and-reset",
            "two at once: a client that is restarted and one that restarts the system",
            IDLE,
            "the panic recorded before the restart, the oops at once or late",
            "X5",
            |scene| {
                both(
                    scene,
                    task::VICTIM,
                    &[
                        Expected::panic("saboteur"),
                        Expected::oops("victim").whenever(),
                    ],
                )
            },
        ),
        Row::sound(
            "two-reset",
            "two at once, both of which restart the system",
            IDLE,
            "the first recorded before the restart, the second late",
            "X5",
            |scene| {
                both(
                    scene,
                    task::FATAL,
                    &[Expected::panic("fatal"), Expected::panic("saboteur").late()],
                )
            },
        ),
        Row::sound(
            "recorder-and-client",
            "the recorder and a client at once",
            IDLE,
            "the recorder's failure recorded before the restart, the other late",
            "X2 X5",
            |scene| {
                both(
                    scene,
                    task::CRASHLOG,
                    &[
                        Expected::panic("crashlog"),
                        Expected::panic("saboteur").late(),
                    ],
                )
            },
        ),
        Row::sound(
            "first-microseconds",
            "a client, before the recorder has run at all",
            "never initialised",
            RECORDED,
            "P8 M3",
            |mut scene| {
                scene.system.go_to(Stop::Start)?;
                scene.system.strike_after_start(300, Deed::Jump(NOWHERE))?;
                scene.system.go_to(Stop::Struck)?;
                scene.recovers(&[Expected::panic("saboteur")], 0).map(drop)
            },
        ),
        Row::sound(
            "idle-task",
            "the idle task, so that no task can run until it is restarted",
            IDLE,
            "restarted at once, and recorded as an oops; no restart of the system",
            "P5 X4",
            |mut scene| {
                scene.boot()?;
                // The instruction behind the one by which its loop waits. It runs when all other
                // tasks wait, also while the card's supply rises at the start.
                let idle = scene.system.symbols.like("idle", &["main"])? + 6;
                scene.system.stop_at(idle, true)?;
                scene.system.work(Work::Sleep(100), 0, Deed::Nothing)?;
                scene.system.go_to(Stop::At(idle))?;
                scene.system.stop_at(idle, false)?;
                scene.derail()?;
                let accepted = scene.system.seen()?.accepted;
                scene.system.go_to(Stop::Done)?;
                scene.has(&[Expected::oops("idle")], accepted).map(drop)
            },
        ),
        Row::sound(
            "supervisor",
            "the supervisor",
            IDLE,
            "recorded late, from the kernel's description in retained RAM",
            "X4",
            |scene| without_warning(scene, "jefe", SUPERVISOR),
        ),
        Row::sound(
            "kernel-system-call",
            "the kernel, in a system call",
            "any, the recorder at work",
            "recorded late, from the kernel's description in retained RAM",
            "X4",
            |scene| without_warning(scene, "kernel", KERNEL_IPC),
        ),
        Row::sound(
            "kernel-interrupt",
            "the kernel, in an interrupt",
            IDLE,
            "recorded late, from the kernel's description in retained RAM",
            "X4",
            |mut scene| {
                scene.boot()?;
                scene.system.work(Work::Sleep(1_000), 0, Deed::Nothing)?;
                let accepted = scene.system.seen()?.accepted;
                break_interrupts(&mut scene)?;
                scene.recovers(&[failure("kernel")], accepted).map(drop)
            },
        ),
        Row::sound(
            "kernel-tables",
            "the kernel, which finds that no task can run",
            IDLE,
            "recorded late, from the kernel's description in retained RAM",
            "X4",
            |mut scene| {
                scene.boot()?;
                let seen = scene.strike(Work::Sleep(1_000), SOON, Deed::Nothing)?;
                let sets = scene
                    .system
                    .symbols
                    .variable("kernel", "kern::table::SETS")?;
                for (address, size) in sets {
                    let nobody = vec![0; size as usize];
                    scene.system.debugger.set_memory(address, &nobody)?;
                }
                scene
                    .recovers(&[failure("kernel")], seen.accepted)
                    .map(drop)
            },
        ),
        Row::sound(
            "kernel-interrupt-emergency",
            "a client, then the kernel, in an interrupt in the emergency",
            IDLE,
            "both recorded late, from retained RAM",
            "X3 X4",
            |mut scene| {
                fails(&mut scene)?;
                break_interrupts(&mut scene)?;
                let expected = [Expected::panic("fatal").late(), failure("kernel")];
                let crashes = scene.recovers(&expected, 1)?;
                is_late(&crashes, "no emergency write")
            },
        ),
        Row::sound(
            "kernel-system-call-emergency",
            "a client, then the kernel, in the system call that restarts the system",
            "idle, after the emergency write",
            "the client's failure recorded before the restart, the kernel's late",
            "X4 X5",
            |scene| restarting(scene, "kernel", KERNEL_IPC),
        ),
        Row::sound(
            "supervisor-restarting",
            "a client, then the supervisor, when it is about to restart the system",
            "idle, after the emergency write",
            "the client's failure recorded before the restart, the supervisor's late",
            "X4 X5",
            |scene| restarting(scene, "jefe", RESTART),
        ),
        Row::sound(
            "supervisor-start",
            "the supervisor, at its start",
            "never initialised",
            "recorded late, from the kernel's description in retained RAM",
            "X4 P8",
            |mut scene| {
                scene.go_into_program("jefe", SUPERVISOR)?;
                scene.derail()?;
                scene.recovers(&[failure("jefe")], 0).map(drop)
            },
        ),
        Row::sound(
            "restart-due",
            "a client, while the restart of another is due",
            IDLE,
            "recorded before the restart, at ten moments around the time of the other's restart",
            "X1 X5",
            restart_due,
        ),
    ]
}

fn both(mut scene: Scene<'_>, task: u32, expected: &[Expected<'_>]) -> Result<()> {
    scene.boot()?;
    let seen = scene.strike(Work::Sleep(1_000), SOON, Deed::FaultBoth(task))?;
    scene.recovers(expected, seen.accepted).map(drop)
}

/// A failure of the kernel or of the supervisor, which is always written late.
pub fn failure(task: &str) -> Expected<'_> {
    Expected {
        reason: "kernel",
        ..Expected::panic(task).late()
    }
}

fn without_warning(mut scene: Scene<'_>, program: &str, place: &[&str]) -> Result<()> {
    scene.boot()?;
    let (fatal, how) = (false, Failing::STORE);
    scene
        .system
        .work(Work::Fail { fatal, how }, 0, Deed::Nothing)?;
    scene.go_into_program(program, place)?;
    let accepted = scene.system.seen()?.accepted;
    scene.derail()?;
    scene.boot()?;
    // The client's own fault may have been recorded before.
    let oops = Expected::oops("victim").whenever();
    let now = Evidence::take(&scene.rig.tool, &scene.card)?;
    let is_new = |crash| !scene.evidence.crashes.contains(crash);
    let has_oops = now
        .crashes
        .iter()
        .any(|crash| crash["task"] == "victim" && is_new(crash));
    let expected: Vec<_> = std::iter::once(failure(program))
        .chain(has_oops.then_some(oops))
        .collect();
    scene.has(&expected, accepted).map(drop)
}

/// A task that fails early is restarted 50 ms after its start; the emergency takes about 1.5 ms.
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
            &[Expected::panic("saboteur"), Expected::oops("victim")],
            seen.accepted,
        )?;
    }
    Ok(())
}

/// Makes a task fail whose failure restarts the system, and runs to the recorder's emergency entry.
fn fails(scene: &mut Scene<'_>) -> Result<()> {
    scene.boot()?;
    let (fatal, how) = (true, Failing::STORE);
    scene
        .system
        .work(Work::Fail { fatal, how }, 0, Deed::Nothing)?;
    scene.go_into(EMERGENCY).map(drop)
}

/// Makes the kernel fail at its next interrupt. (If instructions are counted, QEMU's breakpoints do
/// not work there.) The reset loads the image again.
fn break_interrupts(scene: &mut Scene<'_>) -> Result<()> {
    let at = scene.system.symbols.address("kernel", INTERRUPT)?;
    scene.system.debugger.set_memory(at & !1, &UNDEFINED)?;
    Ok(())
}

/// The crash is durable, and the supervisor or the kernel fails before the restart.
fn restarting(mut scene: Scene<'_>, program: &str, place: &[&str]) -> Result<()> {
    fails(&mut scene)?;
    scene.go_into_program(program, place)?;
    scene.derail()?;
    scene
        .recovers(&[Expected::panic("fatal"), failure(program)], 1)
        .map(drop)
}
