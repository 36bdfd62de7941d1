//! A client or the recorder fails at a certain moment of the recorder's work: in a flush, while it
//! writes another task's crash, when it is notified of an interrupt.

use super::scene::{NOWHERE, Scene};
use super::{NOTHING, RECORDED, Row};
use crate::evidence::Expected;
use crate::sabotage::{APP, Deed, Failing, Stop, Work, task};
use anyhow::{Context, Result, ensure};

/// More ticks than pass: [`Scene::strike_here`] says when the saboteur strikes.
const LATER: u32 = 1 << 24;
/// The least number of commands of a flush, and of writing an oops.
const FLUSH: u32 = 2;
const OOPS: u32 = 4;

/// REQ: M3, M10, X2, X5: a failure in a flush, while another task's crash is written, in the
/// handling of an interrupt.
pub fn rows() -> Vec<Row> {
    let oops = "recorded before the restart; the oops too, at once or late";
    vec![
        Row::sound(
            "flush-client",
            "a client, while another waits for a flush",
            "after each command of the flush",
            RECORDED,
            "M3 X5",
            |scene| in_work(scene, Work::Flush(5), FLUSH, false),
        ),
        Row::sound(
            "flush-recorder",
            "the recorder, in a flush",
            "after each command of the flush",
            RECORDED,
            "M3 X2 X5",
            |scene| in_work(scene, Work::Flush(5), FLUSH, true),
        ),
        Row::sound(
            "oops-client",
            "a client, while the oops of another one is written",
            "after each command",
            oops,
            "M3 X5",
            |scene| in_work(scene, FAIL, OOPS, false),
        ),
        Row::sound(
            "oops-recorder",
            "the recorder, while it writes the oops of a client",
            "after each command",
            oops,
            "M3 X2 X5",
            |scene| in_work(scene, FAIL, OOPS, true),
        ),
        Row::sound(
            "recorder-interrupt",
            "the recorder, when it is notified of the controller's interrupt",
            "a command in flight, which ends late and with an error",
            RECORDED,
            "M3 X2 X5",
            notified,
        ),
        Row {
            id: "card-4-gib".to_owned(),
            who: "a client, ten times, then the recorder".to_owned(),
            state:
                "a card of 4 GiB, addressed by blocks; at ten moments of a flush, and in its driver"
                    .to_owned(),
            broken: NOTHING,
            outcome: RECORDED,
            requirements: "M10 M3",
            app: APP,
            run: Box::new(|rig| large(Scene::with_card_of(rig, "4G")?)),
        },
    ]
}

/// A client that is restarted.
const FAIL: Work = Work::Fail {
    fatal: false,
    how: Failing::TEXT,
};

/// Makes the recorder or another task fail after the Nth command of some work, for each N up to the
/// work's last command.
fn in_work(mut scene: Scene<'_>, plan: Work, least: u32, recorder: bool) -> Result<()> {
    scene.boot()?;
    for number in 1.. {
        let deed = Deed::Jump(NOWHERE + 4 * number);
        // A different address each time: otherwise it would count as a repetition.
        let work = match plan {
            FAIL => Work::Fail {
                fatal: false,
                how: Failing(Failing::TEXT.0, [0x8080_0001 + 4 * number, 0, 0]),
            },
            work => work,
        };
        scene.system.work(work, LATER, deed)?;
        scene.system.stop_at_commands(true)?;
        for _ in 0..number {
            if scene.system.go()? != Stop::Register {
                ensure!(number > least, "the work has only {} commands", number - 1);
                return Ok(());
            }
        }
        scene.system.stop_at_commands(false)?;
        let (failed, accepted) = if recorder {
            scene.derail()?;
            (Expected::panic("crashlog"), scene.system.seen()?.accepted)
        } else {
            (Expected::panic("saboteur"), scene.strike_here()?.accepted)
        };
        let expected = [failed, Expected::oops("victim").whenever()];
        let count = if matches!(work, Work::Fail { .. }) {
            2
        } else {
            1
        };
        scene
            .recovers(expected.get(..count).unwrap_or(&[]), accepted)
            .with_context(|| format!("after command {number}"))?;
    }
    Ok(())
}

/// QEMU's card answers at once, so the recorder never waits for an interrupt. It does if the
/// interrupt status is cleared before it reads it; then an error is forced, which interrupts.
fn notified(mut scene: Scene<'_>) -> Result<()> {
    /// Normal and error interrupt status; force event for error interrupts, and its bit for a
    /// command time-out (SD Host Controller Simplified Specification 3.00, section 2.2).
    const STATUS: u32 = 0x30;
    const FORCE: u32 = 0x52;
    const TIMEOUT: [u8; 2] = [1, 0];
    /// `svc #0`.
    const CALL: [u8; 2] = [0, 0xdf];
    scene.boot()?;
    scene.system.work(Work::Flush(5), 0, Deed::Nothing)?;
    scene.system.go_to_command(1)?;
    let slot = scene.system.slot.registers;
    scene.system.debugger.set_word(slot + STATUS, u32::MAX)?;
    // The recorder waits for the interrupt now.
    let symbols = &scene.system.symbols;
    let control = symbols.address("crashlog", "userlib::sys_irq_control_stub")?;
    let receive = symbols.address("crashlog", "userlib::sys_recv_stub")? & !1;
    let code = scene.system.debugger.memory(receive, 24)?;
    let call = code.chunks(2).position(|half| half == CALL);
    let Some(call) = call else {
        anyhow::bail!("the stub of RECV has no SVC: {code:x?}");
    };
    scene.system.stop_at(control & !1, true)?;
    scene.system.go_to(Stop::At(control & !1))?;
    scene.system.stop_at(control & !1, false)?;
    let behind = receive + 2 * call as u32 + 2;
    scene.system.stop_at(behind, true)?;
    scene.system.debugger.set_memory(slot + FORCE, &TIMEOUT)?;
    scene.system.go_to(Stop::At(behind))?;
    scene.system.stop_at(behind, false)?;
    // RECV returns the sender in r5, and the operation in r6: here the notifications, the first of
    // which is the controller's.
    let registers = scene.system.debugger.registers()?;
    ensure!(
        registers[5] == 0xffff && registers[6] & 1 == 1,
        "the recorder was not notified of the interrupt: {registers:x?}"
    );
    let accepted = scene.system.seen()?.accepted;
    scene.derail()?;
    scene
        .recovers(&[Expected::panic("crashlog")], accepted)
        .map(drop)
}

fn large(mut scene: Scene<'_>) -> Result<()> {
    scene.boot()?;
    for moment in 1..=10 {
        let deed = Deed::Jump(NOWHERE + 4 * moment);
        let seen = scene.strike(Work::Flush(12), 2_000 * moment, deed)?;
        scene.recovers(&[Expected::panic("saboteur")], seen.accepted)?;
    }
    let deed = Deed::Fault(task::CRASHLOG);
    let seen = scene.strike(Work::Flush(12), 9_000, deed)?;
    scene
        .recovers(&[Expected::panic("crashlog")], seen.accepted)
        .map(drop)
}
