//! A client fails, and commands of the emergency end with an error that is forced in the
//! controller.

use super::recorder::EMERGENCY;
use super::scene::{Scene, is_logging};
use super::{IDLE, Row};
use crate::evidence::Expected;
use crate::sabotage::{APP, Deed, Failing, Stop, Work};
use anyhow::{Context, Result, ensure};
use serde_json::json;

/// How the crash names the repair of a transfer that was repeated through the buffer port.
const WITHOUT_DMA: &str = "PIO instead of DMA";

/// Error interrupt status bits that are forced (SD Host Controller Simplified Specification 3.00,
/// section 2.2.18).
const FORCED: [(&str, &str, u16); 6] = [
    (
        "command-timeout",
        "a command time-out is forced on the Nth command of the emergency, for N from 1 to 10",
        0x0001,
    ),
    (
        "command-crc",
        "a CRC error of the response is forced on the Nth command of the emergency, for N from 1 to 10",
        0x0002,
    ),
    (
        "command-index",
        "an index error of the response is forced on the Nth command of the emergency, for N from 1 to 10",
        0x0008,
    ),
    (
        "data-timeout",
        "a data time-out is forced on the Nth command of the emergency, for N from 1 to 10",
        DATA_TIMEOUT,
    ),
    (
        "data-crc",
        "a CRC error of the data is forced on the Nth command of the emergency, for N from 1 to 10",
        0x0020,
    ),
    (
        "adma",
        "an ADMA error is forced on the Nth command of the emergency, for N from 1 to 10",
        0x0200,
    ),
];

/// The bit of a data time-out.
const DATA_TIMEOUT: u16 = 0x0010;

/// REQ: K3, M2, M5, X3: a command or transfer that fails is repeated; if all fail, the crash is
/// written late.
pub fn rows() -> Vec<Row> {
    let mut rows = vec![
        Row::logging(
            "errors-for-good",
            "a client",
            IDLE,
            "recorded late, with the reason",
            "K3 X3",
            forced_always,
        )
        .with("each command of the emergency ends with a CRC error"),
    ];
    for (id, broken, bits) in FORCED {
        rows.push(Row {
            id: format!("forced-{id}"),
            who: "a client".to_owned(),
            state: IDLE.to_owned(),
            broken,
            outcome: "recorded before the restart; a transfer that failed is repeated without DMA, and the crash says so",
            requirements: "K3 M2 M5",
            app: APP,
            run: Box::new(move |rig| forced(Scene::ready(rig)?, bits)),
        });
    }
    rows
}

fn fail(scene: &mut Scene<'_>, place: u32) -> Result<()> {
    let how = Failing(Failing::TEXT.0, [0x1_0001 + 4 * place, 0, 0]);
    scene
        .system
        .work(Work::Fail { fatal: true, how }, 0, Deed::Nothing)
}

fn force(scene: &mut Scene<'_>, bits: u16) -> Result<()> {
    let registers = scene.system.slot.registers;
    scene
        .system
        .debugger
        .set_memory(registers + 0x52, &bits.to_le_bytes())
}

/// Forces an error after the Nth command of the emergency.
fn forced(mut scene: Scene<'_>, bits: u16) -> Result<()> {
    let mut repaired = 0;
    for number in 1..=10 {
        fail(&mut scene, number)?;
        scene.go_into(EMERGENCY)?;
        scene.system.go_to_command(number)?;
        force(&mut scene, bits)?;
        let crashes = scene
            .recovers(&[Expected::panic("fatal")], 1)
            .with_context(|| format!("error forced on command {number}"))?;
        let repairs = crashes
            .first()
            .and_then(|crash| crash["emergency"]["repairs"].as_array());
        repaired +=
            usize::from(repairs.is_some_and(|repairs| repairs.contains(&json!(WITHOUT_DMA))));
    }
    // Commands before the log tail have no data, and those after the crash has been written are not
    // repeated. A data time-out that is reported together with the end of the transfer is no error
    // (SDHCI 2.2.18).
    ensure!(
        repaired > 0 || bits == DATA_TIMEOUT,
        "no transfer was repeated without DMA"
    );
    Ok(())
}

fn forced_always(mut scene: Scene<'_>) -> Result<()> {
    fail(&mut scene, 0)?;
    scene.go_into(EMERGENCY)?;
    scene.system.stop_at_commands(true)?;
    while scene.system.go()? == Stop::Register {
        force(&mut scene, 0x0002)?;
    }
    scene.system.stop_at_commands(false)?;
    scene.system.go_to(Stop::Ready)?;
    is_logging(&scene.system.seen()?)?;
    let crashes = scene.has(&[Expected::panic("fatal").late()], 1)?;
    ensure!(
        crashes
            .first()
            .is_some_and(|crash| crash["emergency"]["failure"] != "no failure"),
        "the crash does not say why it is late"
    );
    Ok(())
}
