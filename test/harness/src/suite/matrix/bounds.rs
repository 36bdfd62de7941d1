//! Everything ends: the watchdog is armed once, clocks that stand still and controllers that say nothing are noticed.

use super::recorder::EMERGENCY;
use super::scene::{Scene, is_logging};
use super::{IDLE, RECORDED, Row};
use crate::evidence::Crash;
use crate::sabotage::{Deed, Failing, Stop, Work};
use anyhow::{Context, Result, ensure};

/// The watchdog's registers, and how many bytes they are (drv/ast2600-wdt).
const WATCHDOG: (u32, u32) = (0x1e78_5000, 0x40);
/// The supervisor stops it, sets its time, loads that into its counter, and starts it.
const ARMED: [&str; 4] = ["jefe"; 4];
/// Interrupt status, the error's included (SD Host Controller, section 2.2.17).
const STATUS: u32 = 0x30;

/// REQ: X1, K1, M5: the watchdog is armed once, first, and never fed; no wait is endless, also without a clock.
pub fn rows() -> Vec<Row> {
    let row =
        |id: &str, who: &str, broken, outcome, requirements, run: fn(Scene<'_>) -> Result<()>| {
            Row::logging(id, who, IDLE, outcome, requirements, run).with(broken)
        };
    vec![
        row(
            "watchdog-once",
            "a client",
            super::NOTHING,
            "the supervisor arms the watchdog before it calls the recorder; nobody touches it until the reset",
            "X1",
            |scene| watchdog(scene, 0),
        ),
        row(
            "watchdog-once-twice-entered",
            "a client, then the recorder at its emergency entry, twice",
            super::NOTHING,
            "the supervisor arms the watchdog before it calls the recorder; nobody touches it until the reset",
            "X1",
            |scene| watchdog(scene, 2),
        ),
        row(
            "clock-dead",
            "a client",
            "the recorder's time source stands still",
            RECORDED,
            "X1 K1",
            |mut scene| {
                let seen = scene.strike_idle()?;
                stop_clock(&mut scene)?;
                scene
                    .recovers(&[Crash::panic("saboteur")], seen.accepted)
                    .map(drop)
            },
        ),
        row(
            "clock-dead-card-gone",
            "a client",
            "the recorder's time source stands still, and the card is taken out",
            "the system restarts within the budget; recorded late, when the card is back",
            "X1 P6 X3",
            |mut scene| {
                let seen = scene.strike_idle()?;
                stop_clock(&mut scene)?;
                scene.eject()?;
                scene.system.boot()?;
                scene.is_ram_only()?;
                scene.with_the_right_card(Crash::panic("saboteur").late(), seen.accepted)
            },
        ),
        row(
            "silent",
            "a client",
            "the controller does not say that the Nth command of the emergency has ended, for N from 1 to 10",
            "recorded before the restart, by the first try",
            "X1 K1 K3 M2",
            |mut scene| (1..=10).try_for_each(|number| silent(&mut scene, number, true)),
        ),
        row(
            "clock-dead-silent",
            "a client",
            "the recorder's time source stands still, and the controller does not say that the first, or the sixth, \
             command of the emergency has ended",
            RECORDED,
            "X1 K1 K3",
            |mut scene| {
                [1, 6]
                    .into_iter()
                    .try_for_each(|number| silent(&mut scene, number, false))
            },
        ),
    ]
}

fn fail(scene: &mut Scene<'_>, place: u32) -> Result<()> {
    let (fatal, how) = (true, Failing(Failing::TEXT.0, [0x1_0001 + 4 * place, 0, 0]));
    scene
        .system
        .work(Work::Fail { fatal, how }, 0, Deed::Nothing)
}

/// Looks who writes to the watchdog, from the crash to the next start. The recorder fails at its entry so often.
fn watchdog(mut scene: Scene<'_>, failures: usize) -> Result<()> {
    /// Stands for the emergency entry among the names of programs.
    const ENTRY: &str = "the emergency entry";
    fail(&mut scene, 0)?;
    let entry = scene.system.symbols.like("crashlog", EMERGENCY)?;
    scene.system.stop_at(entry, true)?;
    let (address, length) = WATCHDOG;
    scene.system.stop_at_writes(address, length, true)?;
    let mut came: Vec<String> = Vec::new();
    let mut failed = 0;
    loop {
        match scene.system.go()? {
            Stop::Register => {
                let [.., pc] = scene.system.debugger.registers()?;
                let (program, _) = scene.system.symbols.at(pc);
                came.push(program.to_owned());
            }
            Stop::At(_) => {
                came.push(ENTRY.to_owned());
                if failed < failures {
                    failed += 1;
                    scene.derail()?;
                }
            }
            Stop::Start => break,
            stop => anyhow::bail!("came to {stop:?}"),
        }
    }
    scene.system.stop_at_writes(address, length, false)?;
    scene.system.stop_at(entry, false)?;
    let entries = vec![ENTRY; failures.max(1)];
    let expected: Vec<_> = ARMED.into_iter().chain(entries).collect();
    let (way, reset) = came.split_at(expected.len().min(came.len()));
    ensure!(
        way == expected && reset.iter().all(|program| program == "kernel"),
        "the watchdog was written by {came:?}"
    );
    scene.system.go_to(Stop::Ready)?;
    is_logging(&scene.system.seen()?)?;
    let crash = Crash::panic("fatal");
    if failures == 0 {
        return scene.has(&[crash], 1).map(drop);
    }
    let recorder = Crash::panic("crashlog").late().times(failures as u64);
    scene.has(&[crash.late(), recorder], 1).map(drop)
}

/// Makes GET_TIMER, as the recorder calls it, answer zero; the reset loads the image anew.
fn stop_clock(scene: &mut Scene<'_>) -> Result<()> {
    /// `movs r4, #0; movs r5, #0; movs r6, #0`: what the system call would have returned.
    const ZERO: [u8; 6] = [0, 0x24, 0, 0x25, 0, 0x26];
    /// `svc #0`
    const CALL: [u8; 2] = [0, 0xdf];
    let stub = scene
        .system
        .symbols
        .address("crashlog", "userlib::sys_get_timer_stub")?;
    let code = scene.system.debugger.memory(stub, 10)?;
    ensure!(
        code.get(8..) == Some(&CALL),
        "the stub of GET_TIMER is not what it was: {code:x?}"
    );
    scene.system.debugger.set_memory(stub + 4, &ZERO)
}

/// What the controller has said when the Nth command was sent is taken away: the recorder waits for it in vain.
fn silent(scene: &mut Scene<'_>, number: u32, has_clock: bool) -> Result<()> {
    fail(scene, number)?;
    scene.go_into(EMERGENCY)?;
    if !has_clock {
        stop_clock(scene)?;
    }
    scene.system.go_to_command(number)?;
    let status = scene.system.slot.registers + STATUS;
    scene.system.debugger.set_word(status, u32::MAX)?;
    let records = scene
        .recovers(&[Crash::panic("fatal")], 1)
        .with_context(|| format!("nothing was said of command {number}"))?;
    let minimal = records
        .first()
        .map(|record| &record["emergency"]["minimal"]);
    ensure!(
        !has_clock || minimal.is_some_and(|minimal| minimal == false),
        "it took a second try when nothing was said of command {number}"
    );
    Ok(())
}
