//! A client fails, and something else is broken: the card, what is on it, retained RAM, the transfers.

use super::recorder::EMERGENCY;
use super::scene::{self, NOWHERE, SOON, Scene, is_blank};
use super::{IDLE, Row};
use crate::evidence::{Crash, Evidence};
use crate::sabotage::{APP, Deed, Failing, Stop, Work};
use anyhow::{Context, Result, ensure};
use serde_json::json;
use std::fs::{self, File};

/// The retained region.
const RETAINED: u32 = 0x80c0_0000;
/// Its blocks that are damaged one by one: header, mailbox, location cache, log ring, and the first of what the ring's
/// pages are found by.
const RETAINED_BLOCKS: u32 = 24;
/// Length of a block.
const BLOCK: u64 = 512;
/// Blocks of a card of 64 MiB.
const BLOCKS: u64 = (64 << 20) / BLOCK;

/// What the record says of a transfer that was repeated through the buffer port.
const WITHOUT_DMA: &str = "PIO instead of DMA";

/// Error interrupt status bits that are forced (SD Host Controller, section 2.2.18).
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
        0x0010,
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

/// REQ: M8, P6, P8, X3, X6: what cannot be written stays in retained RAM and is written late; what is not ours is not
/// written; what is repairable is repaired.
pub fn rows() -> Vec<Row> {
    let row = |id: &str, broken, outcome, requirements, run: fn(Scene<'_>) -> Result<()>| {
        Row::logging(id, "a client", IDLE, outcome, requirements, run).with(broken)
    };
    let mut rows = vec![
        row(
            "card-gone",
            "the card is taken out in the moment of the crash, and comes back later",
            "kept in retained RAM; recorded late, without a restart, when the card is back",
            "P6 X3",
            gone,
        ),
        row(
            "card-replaced-blank",
            "the card is replaced by a blank one in the moment of the crash",
            "the blank card is not written; recorded late on the right one",
            "M8 P6 X3",
            replaced_by_blank,
        ),
        row(
            "card-replaced-ours",
            "the card is replaced by another one of ours in the moment of the crash",
            "recorded before the restart, on the other card",
            "P8 M8",
            replaced_by_ours,
        ),
        row(
            "card-replaced-older",
            "the card is replaced by a copy of itself from before the last crash and many log records",
            "recorded before the restart, on the copy, on which nothing else has changed",
            "P8 M8",
            replaced_by_older,
        ),
        row(
            "card-smaller",
            "the card is replaced by a copy that is cut in half, so that the log's place does not exist",
            "recorded late, on the whole one",
            "M7 X3",
            smaller,
        ),
        row(
            "retained-damaged",
            "one block of the retained region is overwritten in the moment of the crash; each of the first 24 in turn",
            "recorded, in time or late",
            "X3 P8",
            retained,
        ),
        row(
            "retained-header",
            "the header of the retained region is overwritten in the moment of the crash",
            "recorded before the restart; the boots go on, and the next crash is recorded too",
            "X3 P8",
            header,
        ),
        row(
            "write-protected",
            "every write protect group of the card is protected",
            "recorded late, after the restart, when the protection is gone",
            "X3 P6",
            protected,
        ),
        row(
            "slots-full",
            "every record slot is used",
            "the first four records are kept, and the newest",
            "X6 P10",
            full,
        ),
        row(
            "errors-for-good",
            "each command of the emergency ends with a CRC error",
            "recorded late, with the reason",
            "K3 X3",
            forced_always,
        ),
    ];
    rows.push(Row {
        id: "no-partition".to_owned(),
        who: "a client".to_owned(),
        state: IDLE.to_owned(),
        broken: "the card has no partition of ours, until it is replaced",
        outcome: "the card is not written; kept in retained RAM; recorded late, with the log lines, on the right card",
        requirements: "M8 P6 P7 X3",
        app: APP,
        run: Box::new(|rig| no_partition(Scene::set(rig)?)),
    });
    for (id, broken, bits) in FORCED {
        rows.push(Row {
            id: format!("forced-{id}"),
            who: "a client".to_owned(),
            state: IDLE.to_owned(),
            broken,
            outcome: "recorded before the restart; a transfer that failed is repeated without DMA, and the record says so",
            requirements: "K3 M2 M5",
            app: APP,
            run: Box::new(move |rig| forced(Scene::ready(rig)?, bits)),
        });
    }
    rows
}

fn gone(mut scene: Scene<'_>) -> Result<()> {
    let seen = scene.strike_idle()?;
    scene.eject()?;
    scene.system.boot()?;
    scene.is_ram_only()?;
    let card = scene.card.clone();
    scene.insert(&card)?;
    // It looks for a card every five seconds.
    scene.system.work(Work::Sleep(6_000), 0, Deed::Nothing)?;
    scene.system.go_to(Stop::Done)?;
    let records = scene.has(&[Crash::panic("saboteur").late()], seen.accepted)?;
    scene::is_late(&records, "emergency write failed")?;
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
    scene.with_the_right_card(Crash::panic("saboteur").late(), seen.accepted)
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
    scene.with_the_right_card(Crash::panic("saboteur").late(), seen.accepted)
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
        "the card that was taken out was written"
    );
    let now = Evidence::take(&scene.rig.tool, &other)?;
    let [record] = &*now.records else {
        anyhow::bail!("the other card has {} records", now.records.len());
    };
    ensure!(
        record["task"] == "saboteur" && record["late"].is_null(),
        "the record is not as it should be: {record}"
    );
    Ok(())
}

/// The copy passes for the card: it has the same identification, format and structures.
fn replaced_by_older(mut scene: Scene<'_>) -> Result<()> {
    let older = scene.rig.artefacts.path("older.img");
    fs::copy(&scene.card, &older)?;
    let before = Evidence::take(&scene.rig.tool, &older)?;
    let seen = scene.strike(Work::Sleep(1_000), SOON, Deed::Jump(NOWHERE + 4))?;
    scene.recovers(&[Crash::panic("saboteur")], seen.accepted)?;
    // More pages than are looked at behind what seems to be the end of the log.
    for _ in 0..3 {
        scene.system.work(Work::Flush(140), 0, Deed::Nothing)?;
        scene.system.go_to(Stop::Done)?;
        scene.system.go_to(Stop::Ready)?;
    }
    scene.strike_idle()?;
    scene.insert(&older)?;
    scene.boot()?;
    let now = Evidence::take(&scene.rig.tool, &older)?;
    ensure!(
        now.is_longer_than(&before),
        "what was on the copy is not there any more"
    );
    let record = now.records.last().context("there is no record")?;
    ensure!(
        now.records.len() == before.records.len() + 1
            && record["task"] == "saboteur"
            && record["late"].is_null(),
        "the records are {:#?}",
        now.records
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
    scene.with_the_right_card(Crash::panic("saboteur").late(), seen.accepted)
}

fn retained(mut scene: Scene<'_>) -> Result<()> {
    for block in 0..RETAINED_BLOCKS {
        scene.strike(Work::Sleep(10_000), SOON, Deed::Jump(NOWHERE + 4 * block))?;
        let noise: Vec<u8> = (0..128_u32)
            .flat_map(|word| (word.wrapping_mul(0x9e37_79b9) ^ block << 16).to_le_bytes())
            .collect();
        scene
            .system
            .debugger
            .set_memory(RETAINED + block * BLOCK as u32, &noise)?;
        // What was only in RAM may have been in that block.
        scene
            .recovers(&[Crash::panic("saboteur").whenever()], 0)
            .with_context(|| format!("block {block} of the retained region was overwritten"))?;
    }
    Ok(())
}

fn header(mut scene: Scene<'_>) -> Result<()> {
    let mut boots = Vec::new();
    for crash in 0..2 {
        let seen = scene.strike(Work::Sleep(10_000), SOON, Deed::Jump(NOWHERE + 4 * crash))?;
        scene
            .system
            .debugger
            .set_memory(RETAINED, &[0xa5; BLOCK as usize])?;
        let records = scene.recovers(&[Crash::panic("saboteur")], seen.accepted)?;
        boots.extend(records.iter().filter_map(|record| record["boot"].as_u64()));
    }
    let first = 1 + scene::BOOTS_BEFORE;
    ensure!(
        boots == [first, first + 1],
        "the crashes are of boots {boots:?}"
    );
    Ok(())
}

fn protected(mut scene: Scene<'_>) -> Result<()> {
    let seen = scene.strike_idle()?;
    // SET_WRITE_PROT, CMD28 with R1b, for each group of 2 MiB. A reset of the machine takes it back in QEMU's model.
    for group in 0..32_u32 {
        let registers = scene.system.slot.registers;
        let debugger = &mut scene.system.debugger;
        debugger.set_word(registers + 0x08, group * (2 << 20))?;
        debugger.set_word(registers + 0x0c, (28 << 8 | 0x1b) << 16)?;
    }
    scene
        .recovers(&[Crash::panic("saboteur").late()], seen.accepted)
        .map(drop)
}

fn full(mut scene: Scene<'_>) -> Result<()> {
    const CRASHES: u64 = 20;
    for crash in 0..CRASHES as u32 {
        let seen = scene.strike(Work::Sleep(1_000), SOON, Deed::Jump(NOWHERE + 4 * crash))?;
        scene.recovers(&[Crash::panic("saboteur")], seen.accepted)?;
    }
    let newest = CRASHES + scene::RECORDS_BEFORE;
    let sequences: Vec<_> = scene
        .evidence
        .records
        .iter()
        .filter_map(|record| record["sequence"].as_u64())
        .collect();
    ensure!(
        sequences.starts_with(&[1, 2, 3, 4]) && sequences.ends_with(&[newest - 1, newest]),
        "the records that are left are {sequences:?}"
    );
    Ok(())
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

/// Forces an error when the Nth command of the emergency was sent.
fn forced(mut scene: Scene<'_>, bits: u16) -> Result<()> {
    let mut repaired = 0;
    for number in 1..=10 {
        fail(&mut scene, number)?;
        scene.go_into(EMERGENCY)?;
        scene.system.go_to_command(number)?;
        force(&mut scene, bits)?;
        let records = scene
            .recovers(&[Crash::panic("fatal")], 1)
            .with_context(|| format!("error forced on command {number}"))?;
        let repairs = records
            .first()
            .and_then(|record| record["emergency"]["repairs"].as_array());
        repaired +=
            usize::from(repairs.is_some_and(|repairs| repairs.contains(&json!(WITHOUT_DMA))));
    }
    // Not the commands before the log tail, which have no data, nor those behind the record, which has been written.
    ensure!(repaired > 0, "no transfer was repeated without DMA");
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
    scene::is_logging(&scene.system.seen()?)?;
    let records = scene.has(&[Crash::panic("fatal").late()], 1)?;
    ensure!(
        records
            .first()
            .is_some_and(|record| record["emergency"]["failure"] != "no failure"),
        "the record does not say why it is late"
    );
    Ok(())
}
