//! The time of an emergency is bounded: the watchdog is armed once, and each wait ends, also with a
//! stopped clock or a controller that does not answer.

use super::recorder::EMERGENCY;
use super::scene::{Scene, is_logging};
use super::{IDLE, RECORDED, Row};
use crate::evidence::Expected;
use crate::sabotage::{Deed, Failing, Stop, Work};
use anyhow::{Context, Result, ensure};

/// Address and length of the watchdog's registers (drv/ast2600-wdt).
const WATCHDOG: (u32, u32) = (0x1e78_5000, 0x40);
/// The writes that arm the watchdog: the supervisor stops it, sets its time, loads its counter,
/// starts it.
const ARMED: [&str; 4] = ["jefe"; 4];
/// Normal and error interrupt status (SD Host Controller Simplified Specification 3.00, section
/// 2.2.17).
const STATUS: u32 = 0x30;

/// REQ: X1, K1, M5: the watchdog is armed once and first, and never reloaded; each wait ends, also
/// without a clock.
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
            "the supervisor arms the watchdog before it calls the recorder; then no task writes to it until the reset",
            "X1",
            |scene| watchdog(scene, 0),
        ),
        row(
            "watchdog-once-twice-entered",
            "a client, then the recorder at its emergency entry, twice",
            super::NOTHING,
            "the supervisor arms the watchdog before it calls the recorder; then no task writes to it until the reset",
            "X1",
            |scene| watchdog(scene, 2),
        ),
        row(
            "clock-dead",
            "a client",
            "the recorder's time source is stopped",
            RECORDED,
            "X1 K1",
            |mut scene| {
                let seen = scene.strike_idle()?;
                stop_clock(&mut scene)?;
                scene
                    .recovers(&[Expected::panic("saboteur")], seen.accepted)
                    .map(drop)
            },
        ),
        row(
            "clock-dead-card-gone",
            "a client",
            "the recorder's time source is stopped, and the card is removed",
            "the system restarts within the budget; recorded late, when the card is inserted again",
            "X1 P6 X3",
            |mut scene| {
                let seen = scene.strike_idle()?;
                stop_clock(&mut scene)?;
                scene.eject()?;
                scene.system.boot()?;
                scene.is_ram_only()?;
                scene.with_the_right_card(Expected::panic("saboteur").late(), seen.accepted)
            },
        ),
        row(
            "silent",
            "a client",
            "the controller does not report the end of the Nth command of the emergency, for N from 1 to 10",
            "recorded before the restart, by the first try",
            "X1 K1 K3 M2",
            |mut scene| (1..=10).try_for_each(|number| silent(&mut scene, number, true)),
        ),
        row(
            "clock-dead-silent",
            "a client",
            "the recorder's time source is stopped, and the controller does not report the end of the first, or the \
             sixth, command of the emergency",
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

/// Checks which programs write to the watchdog, from the crash to the next start. The recorder
/// fails `failures` times at its emergency entry.
fn watchdog(mut scene: Scene<'_>, failures: usize) -> Result<()> {
    /// The emergency entry, among the names of programs.
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
            stop => anyhow::bail!("the machine stopped at {stop:?}"),
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
    let expected = Expected::panic("fatal");
    if failures == 0 {
        return scene.has(&[expected], 1).map(drop);
    }
    let recorder = Expected::panic("crashlog").late().times(failures as u64);
    scene.has(&[expected.late(), recorder], 1).map(drop)
}

/// Makes the recorder's stub of GET_TIMER return zero. The reset loads the image again.
fn stop_clock(scene: &mut Scene<'_>) -> Result<()> {
    /// `movs r4, #0; movs r5, #0; movs r6, #0`: the registers in which the system call returns.
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
        "the stub of GET_TIMER has no SVC at offset 8: {code:x?}"
    );
    scene.system.debugger.set_memory(stub + 4, &ZERO)
}

/// Clears the interrupt status after the Nth command, so that the recorder does not see that it has
/// ended.
fn silent(scene: &mut Scene<'_>, number: u32, has_clock: bool) -> Result<()> {
    fail(scene, number)?;
    scene.go_into(EMERGENCY)?;
    if !has_clock {
        stop_clock(scene)?;
    }
    scene.system.go_to_command(number)?;
    let status = scene.system.slot.registers + STATUS;
    scene.system.debugger.set_word(status, u32::MAX)?;
    let crashes = scene
        .recovers(&[Expected::panic("fatal")], 1)
        .with_context(|| format!("the end of command {number} was not reported"))?;
    let minimal = crashes.first().map(|crash| &crash["emergency"]["minimal"]);
    ensure!(
        !has_clock || minimal.is_some_and(|minimal| minimal == false),
        "there was a second try when the end of command {number} was not reported"
    );
    Ok(())
}
