//! A client fails, and the card is removed, replaced, or refuses writes.

use super::scene::{self, NOWHERE, SOON, Scene, is_blank};
use super::{IDLE, Row};
use crate::evidence::{Evidence, Expected};
use crate::sabotage::{APP, Deed, Stop, Work};
use anyhow::{Context, Result, ensure};
use std::fs::{self, File};

/// Length of a block.
const BLOCK: u64 = 512;
/// Blocks of a card of 64 MiB.
const BLOCKS: u64 = (64 << 20) / BLOCK;

/// REQ: M8, P6, P8, X3: what cannot be written stays in retained RAM and is written late; a card
/// without our partition is not written.
pub fn rows() -> Vec<Row> {
    let row = |id: &str, broken, outcome, requirements, run: fn(Scene<'_>) -> Result<()>| {
        Row::logging(id, "a client", IDLE, outcome, requirements, run).with(broken)
    };
    let mut rows = vec![
        row(
            "card-gone",
            "the card is removed at the moment of the crash, and inserted again later",
            "kept in retained RAM; recorded late, without a restart, when the card is inserted again",
            "P6 X3",
            gone,
        ),
        row(
            "card-replaced-blank",
            "the card is replaced by a blank one at the moment of the crash",
            "the blank card is not written; recorded late on the original one",
            "M8 P6 X3",
            replaced_by_blank,
        ),
        row(
            "card-replaced-ours",
            "the card is replaced by another formatted one at the moment of the crash",
            "recorded before the restart, on the other card",
            "P8 M8",
            replaced_by_ours,
        ),
        row(
            "card-replaced-older",
            "the card is replaced by a copy of itself, from before the last crash and many log records",
            "recorded before the restart, on the copy; nothing else on the copy has changed",
            "P8 M8",
            replaced_by_older,
        ),
        row(
            "card-smaller",
            "the card is replaced by a copy of half its size, on which the blocks of the log do not exist",
            "recorded late on the original card",
            "M7 X3",
            smaller,
        ),
        row(
            "write-protected",
            "all write protect groups of the card are protected",
            "recorded late, after the restart, which removes the protection",
            "X3 P6",
            protected,
        ),
    ];
    rows.push(Row {
        id: "no-partition".to_owned(),
        who: "a client".to_owned(),
        state: IDLE.to_owned(),
        broken: "the card has no partition for the recorder, until it is replaced",
        outcome: "the card is not written; kept in retained RAM; recorded late, with the log lines, on the other card",
        requirements: "M8 P6 P7 X3",
        app: APP,
        run: Box::new(|rig| no_partition(Scene::set(rig)?)),
    });
    rows
}

fn gone(mut scene: Scene<'_>) -> Result<()> {
    let seen = scene.strike_idle()?;
    scene.eject()?;
    scene.system.boot()?;
    scene.is_ram_only()?;
    let card = scene.card.clone();
    scene.insert(&card)?;
    // The recorder looks for a card every five seconds.
    scene.system.work(Work::Sleep(6_000), 0, Deed::Nothing)?;
    scene.system.go_to(Stop::Done)?;
    let crashes = scene.has(&[Expected::panic("saboteur").late()], seen.accepted)?;
    scene::is_late(&crashes, "emergency write failed")?;
    scene.system.go_to(Stop::Ready)?;
    scene.system.work(Work::Flush(3), 0, Deed::Nothing)?;
    scene.system.go_to(Stop::Done)?;
    let seen = scene.system.seen()?;
    ensure!(
        seen.durable == seen.accepted,
        "logging does not go on: {seen:?}"
    );
    Ok(())
}

fn replaced_by_blank(mut scene: Scene<'_>) -> Result<()> {
    let seen = scene.strike_idle()?;
    let blank = scene.blank()?;
    scene.insert(&blank)?;
    scene.system.boot()?;
    scene.is_ram_only()?;
    is_blank(&blank)?;
    scene.with_the_right_card(Expected::panic("saboteur").late(), seen.accepted)
}

fn no_partition(mut scene: Scene<'_>) -> Result<()> {
    let blank = scene.blank()?;
    scene.insert(&blank)?;
    scene.system.boot()?;
    scene.is_ram_only()?;
    let seen = scene.strike_idle()?;
    scene.system.boot()?;
    scene.is_ram_only()?;
    is_blank(&blank)?;
    scene.with_the_right_card(Expected::panic("saboteur").late(), seen.accepted)
}

fn replaced_by_ours(mut scene: Scene<'_>) -> Result<()> {
    scene.strike_idle()?;
    let other = scene.rig.artefacts.path("other.img");
    scene.rig.tool.format(&other)?;
    let before = fs::read(&scene.card)?;
    scene.insert(&other)?;
    scene.boot()?;
    ensure!(
        fs::read(&scene.card)? == before,
        "the card that was removed was written"
    );
    let now = Evidence::take(&scene.rig.tool, &other)?;
    let [crash] = &*now.crashes else {
        anyhow::bail!("the other card has {} crashes", now.crashes.len());
    };
    ensure!(
        crash["task"] == "saboteur" && crash["late"].is_null(),
        "the crash is not as it should be: {crash}"
    );
    Ok(())
}

/// The recorder cannot tell the copy from the card: it has the same identification, format and
/// structures.
fn replaced_by_older(mut scene: Scene<'_>) -> Result<()> {
    let older = scene.rig.artefacts.path("older.img");
    fs::copy(&scene.card, &older)?;
    let before = Evidence::take(&scene.rig.tool, &older)?;
    let seen = scene.strike(Work::Sleep(1_000), SOON, Deed::Jump(NOWHERE + 4))?;
    scene.recovers(&[Expected::panic("saboteur")], seen.accepted)?;
    // More pages than the recorder searches for the end of the log.
    for _ in 0..3 {
        scene.system.work(Work::Flush(140), 0, Deed::Nothing)?;
        scene.system.go_to(Stop::Done)?;
        scene.system.go_to(Stop::Ready)?;
    }
    scene.strike_idle()?;
    scene.insert(&older)?;
    scene.boot()?;
    // The crash tells of pages that the other card has.
    ensure!(
        scene.rig.tool.verify(&older).is_err(),
        "nobody misses the pages that the other card has"
    );
    let now = Evidence::read(&scene.rig.tool, &older)?;
    ensure!(
        now.is_longer_than(&before),
        "something that was on the copy is missing"
    );
    let crash = now.crashes.last().context("there is no crash")?;
    ensure!(
        now.crashes.len() == before.crashes.len() + 1
            && crash["task"] == "saboteur"
            && crash["late"].is_null(),
        "the crashes are {:#?}",
        now.crashes
    );
    Ok(())
}

fn smaller(mut scene: Scene<'_>) -> Result<()> {
    let seen = scene.strike_idle()?;
    let half = scene.rig.artefacts.path("half.img");
    fs::copy(&scene.card, &half)?;
    File::options()
        .write(true)
        .open(&half)?
        .set_len(BLOCKS * BLOCK / 2)?;
    scene.insert(&half)?;
    scene.system.boot()?;
    scene.is_ram_only()?;
    scene.with_the_right_card(Expected::panic("saboteur").late(), seen.accepted)
}

fn protected(mut scene: Scene<'_>) -> Result<()> {
    let seen = scene.strike_idle()?;
    // SET_WRITE_PROT, CMD28 with R1b, for each group of 2 MiB. In QEMU's model a reset removes the
    // protection.
    for group in 0..32_u32 {
        let registers = scene.system.slot.registers;
        let debugger = &mut scene.system.debugger;
        debugger.set_word(registers + 0x08, group * (2 << 20))?;
        debugger.set_word(registers + 0x0c, (28 << 8 | 0x1b) << 16)?;
    }
    scene
        .recovers(&[Expected::panic("saboteur").late()], seen.accepted)
        .map(drop)
}
