//! The recorder itself fails: at work, at its start, and in the emergency.

use super::scene::{LOOP, NOWHERE, SOON, Scene, is_late, is_logging};
use super::{IDLE, RECORDED, Row};
use crate::evidence::Expected;
use crate::sabotage::{Deed, Failing, Stop, Work};
use anyhow::{Result, ensure};

/// The function in which the recorder answers a flush.
pub const SERVER: &[&str] = &["task_crashlog::server::Server", "defer"];
/// The emergency entry.
pub const EMERGENCY: &[&str] = &["task_crashlog::emergency::run"];

/// Where the recorder fails.
#[derive(Clone, Copy)]
enum Place {
    /// At the start of the function whose name has these parts.
    Function(&'static [&'static str]),
    /// After its Nth command to the card.
    Command(u32),
}

use Place::{Command, Function};

/// REQ: M1, M3, X1, X2, X3: the recorder fails in each of its parts, and once or twice in the
/// emergency.
pub fn rows() -> Vec<Row> {
    vec![
        Row::sound(
            "recorder-server",
            "the recorder, in its server code",
            IDLE,
            RECORDED,
            "X2 M3",
            |scene| at_work(scene, Function(SERVER)),
        ),
        Row::sound(
            "recorder-driver",
            "the recorder, in its driver",
            "command in flight",
            RECORDED,
            "X2 M1 M3",
            |scene| at_work(scene, Command(1)),
        ),
        Row::sound(
            "recorder-stack",
            "the recorder, by a stack overflow",
            IDLE,
            "recorded before the restart, as a stack overflow",
            "X2",
            stack,
        ),
        Row::sound(
            "recorder-loop",
            "a client, while the recorder is in an endless loop",
            IDLE,
            RECORDED,
            "X1 X2",
            endless,
        ),
        Row::sound(
            "recorder-recovery",
            "the recorder, in the recovery at its start",
            "never initialised",
            RECORDED,
            "X2 P8",
            |scene| at_start(scene, Function(&["LogRing", "recover"])),
        ),
        Row::sound(
            "recorder-identification",
            "the recorder, while it identifies the card",
            "identification",
            RECORDED,
            "X2 M3 P8",
            |scene| at_start(scene, Command(4)),
        ),
        Row::sound(
            "recorder-mount",
            "the recorder, while it locates the log",
            IDLE,
            RECORDED,
            "X2 P8",
            |scene| at_start(scene, Function(&["search", "find"])),
        ),
        Row::sound(
            "emergency-entry-once",
            "a client, then the recorder at its emergency entry",
            IDLE,
            "recorded before the restart, by the minimal second try, without DMA; the recorder's failure late",
            "X1 X2",
            |scene| in_emergency(scene, Function(EMERGENCY), 1),
        ),
        Row::sound(
            "emergency-transfer-once",
            "a client, then the recorder in the emergency write",
            "data phase, of the emergency write",
            "recorded before the restart, by the minimal second try, without DMA; the recorder's failure late",
            "X1 X2",
            |scene| in_emergency(scene, Command(7), 1),
        ),
        Row::sound(
            "emergency-entry-twice",
            "a client, then the recorder at its emergency entry, twice",
            IDLE,
            "recorded late, from retained RAM, with the reason; the recorder's failures too",
            "X1 X2 X3",
            |scene| in_emergency(scene, Function(EMERGENCY), 2),
        ),
        Row::sound(
            "emergency-transfer-twice",
            "a client, then the recorder in the emergency write, twice",
            "data phase, of the emergency write",
            "recorded late, from retained RAM, with the reason; the recorder's failures too",
            "X1 X2 X3",
            |scene| in_emergency(scene, Command(7), 2),
        ),
        Row::sound(
            "emergency-hangs-once",
            "a client, then the recorder hangs in the emergency",
            IDLE,
            "recorded before the restart, by the minimal second try",
            "X1",
            |scene| hangs(scene, true),
        ),
        Row::sound(
            "emergency-hangs-twice",
            "a client, then the recorder hangs in the emergency, twice",
            IDLE,
            "the system restarts within the budget; recorded late, from retained RAM, with the reason",
            "X1 X3",
            |scene| hangs(scene, false),
        ),
        Row::sound(
            "emergency-reset",
            "a client, then the machine is reset from outside in the emergency",
            "data phase, of the emergency write",
            "recorded late, from retained RAM, with the reason",
            "X3",
            |scene| reset(scene, 7),
        ),
        Row::sound(
            "emergency-reset-prepare",
            "a client, then the machine is reset from outside in the emergency",
            "command in flight, of the emergency's first phase",
            "recorded late, from retained RAM, with the reason",
            "X3",
            |scene| reset(scene, 1),
        ),
    ]
}

fn go_to(scene: &mut Scene<'_>, place: Place) -> Result<()> {
    match place {
        Function(parts) => scene.go_into(parts).map(drop),
        Command(number) => scene.system.go_to_command(number),
    }
}

fn begin(scene: &mut Scene<'_>) -> Result<()> {
    scene.boot()?;
    scene.has(&[], 0).map(drop)
}

fn flush(scene: &mut Scene<'_>, ticks: u32) -> Result<()> {
    scene
        .system
        .work(Work::Flush(5), ticks, Deed::Jump(NOWHERE))
}

fn panic(scene: &mut Scene<'_>) -> Result<()> {
    let how = Failing::STORE;
    scene
        .system
        .work(Work::Fail { fatal: true, how }, 0, Deed::Nothing)
}

fn at_work(mut scene: Scene<'_>, place: Place) -> Result<()> {
    begin(&mut scene)?;
    flush(&mut scene, 0)?;
    go_to(&mut scene, place)?;
    let seen = scene.system.seen()?;
    scene.derail()?;
    scene
        .recovers(&[Expected::panic("crashlog")], seen.accepted)
        .map(drop)
}

fn stack(mut scene: Scene<'_>) -> Result<()> {
    begin(&mut scene)?;
    flush(&mut scene, 0)?;
    scene.go_into(SERVER)?;
    let seen = scene.system.seen()?;
    // Below every stack of the system.
    scene.system.debugger.set_register(13, 0x40)?;
    let crashes = scene.recovers(&[Expected::panic("crashlog")], seen.accepted)?;
    let fault = crashes.first().map(|crash| crash["fault"].to_string());
    ensure!(
        fault
            .as_ref()
            .is_some_and(|fault| fault.contains("StackOverflow")),
        "the fault is {fault:?}"
    );
    Ok(())
}

fn endless(mut scene: Scene<'_>) -> Result<()> {
    begin(&mut scene)?;
    flush(&mut scene, SOON)?;
    let at = scene.go_into(SERVER)?;
    let code = scene.system.debugger.memory(at, 2)?;
    scene.system.debugger.set_memory(at, &LOOP)?;
    scene.system.go_to(Stop::Struck)?;
    let seen = scene.system.seen()?;
    // The emergency may call the same function.
    scene.system.debugger.set_memory(at, &code)?;
    scene
        .recovers(&[Expected::panic("saboteur")], seen.accepted)
        .map(drop)
}

fn at_start(mut scene: Scene<'_>, place: Place) -> Result<()> {
    scene.system.go_to(Stop::Start)?;
    go_to(&mut scene, place)?;
    scene.derail()?;
    scene.recovers(&[Expected::panic("crashlog")], 0).map(drop)
}

fn in_emergency(mut scene: Scene<'_>, place: Place, times: u64) -> Result<()> {
    begin(&mut scene)?;
    panic(&mut scene)?;
    for _ in 0..times {
        // Only the commands of the emergency count.
        if matches!(place, Command(_)) {
            scene.go_into(EMERGENCY)?;
        }
        go_to(&mut scene, place)?;
        scene.derail()?;
    }
    let failed = Expected::panic("fatal");
    let recorder = Expected::panic("crashlog").late().times(times);
    if times > 1 {
        let crashes = scene.recovers(&[failed.late(), recorder], 1)?;
        return is_late(&crashes, "emergency write failed");
    }
    writes_without_dma(&mut scene)?;
    scene.system.go_to(Stop::Ready)?;
    is_logging(&scene.system.seen()?)?;
    let crashes = scene.has(&[failed, recorder], 1)?;
    ensure!(
        crashes
            .first()
            .is_some_and(|crash| crash["emergency"]["minimal"] == true),
        "the crash was not written by the minimal try"
    );
    Ok(())
}

/// Checks that no command of the second try, up to the next start, uses DMA.
fn writes_without_dma(scene: &mut Scene<'_>) -> Result<()> {
    /// Transfer mode and command register, and their bits for DMA and for data (SD Host Controller
    /// Simplified Specification 3.00, sections 2.2.5 and 2.2.6).
    const COMMAND: u32 = 0x0c;
    const DMA: u32 = 1;
    const DATA: u32 = 1 << 21;
    scene.go_into(EMERGENCY)?;
    scene.system.stop_at_commands(true)?;
    let command = scene.system.slot.registers + COMMAND;
    let mut transfers = 0;
    while scene.system.go()? == Stop::Register {
        let sent = scene.system.debugger.word(command)?;
        transfers += u32::from(sent & DATA != 0);
        ensure!(
            sent & DATA == 0 || sent & DMA == 0,
            "the second try uses DMA: {sent:#x}"
        );
    }
    scene.system.stop_at_commands(false)?;
    ensure!(transfers > 0, "the second try transferred no data");
    Ok(())
}

fn hangs(mut scene: Scene<'_>, once: bool) -> Result<()> {
    begin(&mut scene)?;
    panic(&mut scene)?;
    let at = scene.go_into(EMERGENCY)?;
    let code = scene.system.debugger.memory(at, 2)?;
    scene.system.debugger.set_memory(at, &LOOP)?;
    // The second try starts here.
    scene.go_into(&["main"])?;
    if once {
        scene.system.debugger.set_memory(at, &code)?;
        let crashes = scene.recovers(&[Expected::panic("fatal")], 1)?;
        ensure!(
            crashes
                .first()
                .is_some_and(|crash| crash["emergency"]["minimal"] == true),
            "the crash was not written by the minimal try"
        );
        return Ok(());
    }
    // The reset loads the image again.
    let crashes = scene.recovers(&[Expected::panic("fatal").late()], 1)?;
    is_late(&crashes, "emergency write failed")?;
    let failure = crashes.first().map(|crash| &crash["emergency"]["failure"]);
    ensure!(
        failure.is_some_and(|failure| failure == "time was up"),
        "the failure is {failure:?}"
    );
    Ok(())
}

fn reset(mut scene: Scene<'_>, command: u32) -> Result<()> {
    begin(&mut scene)?;
    panic(&mut scene)?;
    scene.go_into(EMERGENCY)?;
    scene.system.go_to_command(command)?;
    scene
        .system
        .machine
        .qmp
        .execute("system_reset", serde_json::Value::Null)?;
    let crashes = scene.recovers(&[Expected::panic("fatal").late()], 1)?;
    is_late(&crashes, "emergency write interrupted")
}
