//! The recorder on SD cards: the SoC's SD host controller instead of the eMMC's, with the same
//! driver.
//!
//! QEMU's card is addressed by byte up to 2 GiB (standard capacity), and by block above (high
//! capacity).

use super::matrix::scene::{NOWHERE, SOON, Scene};
use super::{Cases, Rig, Session};
use crate::build::{SABOTEUR_IMX6UL, SD_APP};
use crate::controller::{self, Action, NONE, R1, R2, R3, SPARE_BLOCK, STATES};
use crate::evidence::{Evidence, Expected};
use crate::sabotage::{Deed, Failing, RecorderState, Stop, Work, task};
use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use std::sync::Arc;

use Action::{Command, Put, Write};

/// A card of standard capacity, and one of high capacity.
const SIZES: [(&str, &str); 2] = [("standard", "64M"), ("high-capacity", "4G")];

/// The argument of ACMD41: 2.7 to 3.6 V, block addresses if the card has them.
const OCR: u32 = 0x40ff_8000;
/// Leads to ready state: CMD8 and ACMD41.
const READY: [Action; 4] = [
    Command(0, 0, NONE),
    Command(8, 0x1aa, R1),
    Command(55, 0, R1),
    Command(41, OCR, R3),
];
/// Leads to identification state.
const IDENTIFIED: [Action; 5] = [READY[0], READY[1], READY[2], READY[3], Command(2, 0, R2)];
/// Leads to stand-by state, with another address than before.
const STANDBY: [Action; 6] = [
    READY[0],
    READY[1],
    READY[2],
    READY[3],
    Command(2, 0, R2),
    Command(3, 0, R1),
];

/// States to which other commands lead than on an eMMC, or that an eMMC does not have.
const OWN_STATES: [(&str, &[Action]); 6] = [
    ("card-ready", &READY),
    ("card-ident", &IDENTIFIED),
    ("card-standby", &STANDBY),
    ("application-command", &[Command(55, 0, R1)]),
    ("erase-begin", &[Command(32, SPARE_BLOCK, R1)]),
    (
        "erased",
        &[
            Command(32, SPARE_BLOCK, R1),
            Command(33, SPARE_BLOCK, R1),
            Command(38, 0, R1 | 1),
        ],
    ),
];

/// States of [`STATES`] that SD cards share with eMMC.
const SHARED_STATES: [&str; 15] = [
    "clock-off",
    "power-off",
    "card-idle",
    "card-deselected",
    "read-begin",
    "read-end",
    "read-many-middle",
    "read-done",
    "write-begin",
    "write-many-middle",
    "write-done",
    "block-length",
    "dead-dma",
    "status-set",
    "command-illegal",
];

/// REQ: M10: SD cards with byte and with sector addresses, on the target.
pub fn trials(session: &Arc<Session>) -> Vec<Trial> {
    let mut trials = trials_with(session, "sd", SD_APP);
    // The same on another board, and behind another controller.
    trials.extend(trials_with(session, "mcimx6ul-evk::sd", SABOTEUR_IMX6UL));
    trials.push(session.trial("sd::clock-and-reset", SD_APP, clocked));
    trials
}

/// The kernel has given both controllers their clock, and ended their reset: after a reset of the
/// chip neither is so.
fn clocked(rig: &Rig) -> Result<Cases> {
    /// Registers of the system control unit, and the bits that stop a clock or hold a reset.
    const STOPPED: [(u32, u32); 4] = [
        (0x1e6e_2080, 1 << 27),
        (0x1e6e_2040, 1 << 16),
        (0x1e6e_2090, 1 << 4),
        (0x1e6e_2050, 1 << 24),
    ];
    let mut scene = Scene::set(rig)?;
    for (register, bit) in STOPPED {
        let value = scene.system.debugger.word(register)?;
        ensure!(value & bit != 0, "at the start {register:#x} is {value:#x}");
    }
    scene.boot()?;
    for (register, bit) in STOPPED {
        let value = scene.system.debugger.word(register)?;
        ensure!(value & bit == 0, "{register:#x} is still {value:#x}");
    }
    Ok(Cases::one())
}

/// The tests with this application, and this beginning of their names.
fn trials_with(session: &Arc<Session>, subject: &str, app: &'static str) -> Vec<Trial> {
    let mut trials = Vec::new();
    for (name, size) in SIZES {
        trials.push(
            session.trial(format!("{subject}::{name}::log"), app, move |rig| {
                log(Scene::with_card_of(rig, size)?)
            }),
        );
        trials.push(
            session.trial(format!("{subject}::{name}::crash"), app, move |rig| {
                crash(Scene::with_card_of(rig, size)?)
            }),
        );
        trials.push(
            session.trial(format!("{subject}::{name}::states"), app, move |rig| {
                states(Scene::with_card_of(rig, size)?, size == "64M")
            }),
        );
    }
    trials.push(session.trial(format!("{subject}::card-gone"), app, gone));
    trials.push(session.trial(format!("{subject}::no-card"), app, no_card));
    trials
}

/// Append, flush, and read back: on the device, and from the card's image.
fn log(mut scene: Scene<'_>) -> Result<Cases> {
    scene.boot()?;
    for work in [Work::Append(12), Work::Flush(20), Work::Flush(1)] {
        scene.system.work(work, 0, Deed::Nothing)?;
        scene.system.go_to(Stop::Done)?;
        scene.system.go_to(Stop::Ready)?;
    }
    let seen = scene.system.seen()?;
    // The boot record, one that the client appends at its start, and its work.
    let all = 1 + 1 + 12 + 20 + 1;
    ensure!(
        seen.accepted == all && seen.durable == seen.accepted && seen.error == 0,
        "not all log records were accepted and made durable: {seen:?}"
    );
    scene.has(&[], seen.accepted)?;
    let sequences = scene.rig.tool.sequences(&scene.card, 1)?;
    ensure!(
        sequences == (1..=all.into()).collect::<Vec<u64>>(),
        "these log records are on the card: {sequences:?}"
    );
    Ok(Cases::one())
}

/// Crashes of a client and of the recorder during a flush, and an oops; the device reads the
/// crashes back.
fn crash(mut scene: Scene<'_>) -> Result<Cases> {
    scene.boot()?;
    let mut cases = Cases::default();
    for moment in 1..=6 {
        let deed = Deed::Jump(NOWHERE + 4 * moment);
        let seen = scene.strike(Work::Flush(12), 2_500 * moment, deed)?;
        scene.recovers(&[Expected::panic("saboteur")], seen.accepted)?;
        cases.passed += 1;
    }
    let deed = Deed::Fault(task::CRASHLOG);
    let seen = scene.strike(Work::Flush(12), 9_000, deed)?;
    scene.recovers(&[Expected::panic("crashlog")], seen.accepted)?;

    let how = Failing::STORE;
    let fail = Work::Fail { fatal: false, how };
    scene.system.work(fail, 0, Deed::Nothing)?;
    scene.system.go_to(Stop::Done)?;
    let seen = scene.system.seen()?;
    scene.has(&[Expected::oops("victim")], seen.accepted)?;

    scene.system.go_to(Stop::Ready)?;
    scene.system.work(Work::Read, 0, Deed::Nothing)?;
    scene.system.go_to(Stop::Done)?;
    let seen = scene.system.seen()?;
    ensure!(
        seen.error == 0 && seen.crashes as usize == scene.evidence.crashes.len(),
        "the device does not read back what is on its card: {seen:?}"
    );
    cases.passed += 2;
    Ok(cases)
}

/// A client fails in each state of controller and card.
fn states(mut scene: Scene<'_>, by_byte: bool) -> Result<Cases> {
    scene.boot()?;
    scene.evidence = Evidence::take(&scene.rig.tool, &scene.card)?;
    let shared = STATES
        .iter()
        .filter(|(id, ..)| SHARED_STATES.contains(id))
        .map(|(id, _, steps)| (*id, *steps));
    let states: Vec<_> = shared.chain(OWN_STATES).collect();
    ensure!(
        states.len() == SHARED_STATES.len() + OWN_STATES.len(),
        "a shared state does not exist"
    );
    let mut cases = Cases::default();
    for (number, (id, steps)) in (0..).zip(states) {
        // The spare block is a byte address; as a block address it would be in the recorder's
        // partition.
        let writes = |step: &Action| matches!(step, Write(..) | Put(_) | Command(32 | 33 | 38, ..));
        if !by_byte && steps.iter().any(writes) {
            continue;
        }
        let deed = Deed::Jump(NOWHERE + 4 * number);
        let seen = scene.strike(Work::Sleep(1_000), SOON, deed)?;
        controller::bring(&mut scene.system.debugger, scene.system.slot, steps)?;
        scene
            .recovers(&[Expected::panic("saboteur")], seen.accepted)
            .with_context(|| format!("state {id}"))?;
        cases.passed += 1;
    }
    Ok(cases)
}

fn says_no_card(scene: &mut Scene<'_>) -> Result<()> {
    let seen = scene.system.seen()?;
    ensure!(
        seen.state == RecorderState::RamOnly && seen.no_card,
        "the recorder does not say that there is no card: {seen:?}"
    );
    Ok(())
}

/// The card is inserted, and the crash before is written.
fn comes_back(scene: &mut Scene<'_>, accepted: u32) -> Result<()> {
    let card = scene.card.clone();
    scene.insert(&card)?;
    // The recorder looks for a card every five seconds.
    scene.system.work(Work::Sleep(6_000), 0, Deed::Nothing)?;
    scene.system.go_to(Stop::Done)?;
    scene.has(&[Expected::panic("saboteur").late()], accepted)?;
    scene.system.go_to(Stop::Ready)?;
    scene.system.work(Work::Flush(3), 0, Deed::Nothing)?;
    scene.system.go_to(Stop::Done)?;
    let seen = scene.system.seen()?;
    ensure!(
        seen.durable == seen.accepted && !seen.no_card,
        "logging does not go on: {seen:?}"
    );
    Ok(())
}

/// REQ: P6, X3: the card is removed at the moment of the crash.
fn gone(rig: &Rig) -> Result<Cases> {
    let mut scene = Scene::ready(rig)?;
    let seen = scene.strike_idle()?;
    scene.eject()?;
    scene.system.boot()?;
    says_no_card(&mut scene)?;
    comes_back(&mut scene, seen.accepted)?;
    Ok(Cases::one())
}

/// REQ: P6, P7, X3: the slot is empty from the start.
fn no_card(rig: &Rig) -> Result<Cases> {
    let mut scene = Scene::set(rig)?;
    scene.eject()?;
    scene.system.boot()?;
    says_no_card(&mut scene)?;
    let seen = scene.strike_idle()?;
    scene.system.boot()?;
    says_no_card(&mut scene)?;
    comes_back(&mut scene, seen.accepted)?;
    Ok(Cases::one())
}
