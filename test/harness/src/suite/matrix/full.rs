//! A client fails when all slots for crashes are used, or the log has wrapped.

use super::scene::{NOWHERE, SOON, Scene, is_logging};
use super::used_card::CRASHES_BEFORE;
use super::{IDLE, Row};
use crate::evidence::{Evidence, Expected};
use crate::sabotage::{APP, Deed, Stop, Work};
use anyhow::{Context, Result, ensure};

/// REQ: X6, P10, P11, X5: the oldest log records and, behind those that are always kept, the oldest
/// crashes make room.
pub fn rows() -> Vec<Row> {
    vec![
        Row::logging(
            "slots-full",
            "a client",
            IDLE,
            "the first four crashes are kept, and the newest",
            "X6 P10",
            slots,
        )
        .with("all slots for crashes are used"),
        Row {
            id: "log-full".to_owned(),
            who: "a client".to_owned(),
            state: IDLE.to_owned(),
            broken: "the log has wrapped",
            outcome: "the newest log records are on the card, without a gap, and all crashes",
            requirements: "P11 X5",
            app: APP,
            run: Box::new(|rig| log(Scene::with_card_of(rig, "4M")?)),
        },
    ]
}

fn slots(mut scene: Scene<'_>) -> Result<()> {
    const CRASHES: u64 = 20;
    for crash in 0..CRASHES as u32 {
        let seen = scene.strike(Work::Sleep(1_000), SOON, Deed::Jump(NOWHERE + 4 * crash))?;
        scene.recovers(&[Expected::panic("saboteur")], seen.accepted)?;
    }
    let newest = CRASHES + CRASHES_BEFORE;
    let sequences: Vec<_> = scene
        .evidence
        .crashes
        .iter()
        .filter_map(|crash| crash["sequence"].as_u64())
        .collect();
    ensure!(
        sequences.starts_with(&[1, 2, 3, 4]) && sequences.ends_with(&[newest - 1, newest]),
        "these crashes are left: {sequences:?}"
    );
    Ok(())
}

/// The smallest log that the tool makes is written until it has wrapped.
fn log(mut scene: Scene<'_>) -> Result<()> {
    /// Log records at a time: less than a client's quota.
    const RECORDS: u32 = 140;
    scene.boot()?;
    let first = scene.strike_idle()?;
    scene.recovers(&[Expected::panic("saboteur")], first.accepted)?;
    let boot = 2;
    let last = loop {
        scene.system.work(Work::Flush(RECORDS), 0, Deed::Nothing)?;
        scene.system.go_to(Stop::Done)?;
        scene.system.go_to(Stop::Ready)?;
        let seen = scene.system.seen()?;
        ensure!(
            seen.error == 0 && seen.durable == seen.accepted,
            "logging does not go on: {seen:?}"
        );
        // A page has seven of these log records.
        if u64::from(seen.accepted) > 8 * scene.evidence.pages() {
            break seen.accepted;
        }
    };
    let deed = Deed::Jump(NOWHERE + 4);
    let seen = scene.strike(Work::Sleep(1_000), SOON, deed)?;
    ensure!(seen.accepted == last, "more was accepted: {seen:?}");
    scene.boot()?;
    let sequences = scene.rig.tool.sequences(&scene.card, boot)?;
    let oldest = sequences.first().copied().unwrap_or(0);
    ensure!(
        oldest > 1 && (oldest..).zip(&sequences).all(|(at, found)| at == *found),
        "the log of boot {boot}, which begins with record {oldest}, has a gap, or has not wrapped"
    );
    ensure!(
        sequences.last() == Some(&last.into()),
        "the newest log record is {:?}, and {last} were accepted",
        sequences.last()
    );
    let now = Evidence::take(&scene.rig.tool, &scene.card)?;
    let crash = now.crashes.last().context("there is no crash")?;
    ensure!(
        now.crashes.len() == 2 && crash["task"] == "saboteur" && crash["boot"] == boot,
        "the crashes are {:#?}",
        now.crashes
    );
    let crash = scene.rig.tool.crash(&scene.card, 2)?;
    ensure!(
        crash["late"].is_null() && crash["log_records"] == last,
        "the crash is {crash:#}"
    );
    scene.evidence = now;
    scene.system.work(Work::Sleep(1), 0, Deed::Nothing)?;
    scene.system.go_to(Stop::Done)?;
    scene.system.go_to(Stop::Ready)?;
    is_logging(&scene.system.seen()?)
}
