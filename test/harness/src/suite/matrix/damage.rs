//! A client fails, and a part of the card was overwritten with zeros while the system ran.

use super::scene::{NOWHERE, SOON, Scene, is_logging};
use super::{IDLE, RECORDED, Row};
use crate::evidence::{Evidence, Expected};
use crate::sabotage::{Deed, Stop, Work};
use anyhow::{Context, Result, ensure};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;

/// Length of a block.
const BLOCK: usize = 512;
/// Blocks of a partition table, its header included.
const TABLE: usize = 34;
/// The first bytes of a superblock and of a ledger (doc/format.md).
const SUPERBLOCK: &[u8] = b"CLSB";
const LEDGER: &[u8] = b"CLLG";

/// What is overwritten.
#[derive(Clone, Copy)]
enum Part {
    /// Both partition tables.
    Tables,
    /// The first of the blocks that begin with these bytes.
    First(&'static [u8]),
    /// The last of them.
    Last(&'static [u8]),
    /// All of them.
    All(&'static [u8]),
}

use Part::{All, First, Last, Tables};

/// REQ: P8, X3, X6: what can be repaired is repaired; a card that cannot be used is not written,
/// and the crash is kept until it can.
pub fn rows() -> Vec<Row> {
    let by_cache = "recorded before the restart, by the location cache";
    let rows = [
        (
            "no-table",
            "the partition table is lost after the start",
            by_cache,
            Tables,
        ),
        (
            "superblock-first",
            "the first copy of the superblock is damaged",
            RECORDED,
            First(SUPERBLOCK),
        ),
        (
            "superblock-second",
            "the second copy of the superblock is damaged",
            RECORDED,
            Last(SUPERBLOCK),
        ),
        (
            "superblock-both",
            "both copies of the superblock are damaged",
            by_cache,
            All(SUPERBLOCK),
        ),
    ];
    let mut rows: Vec<_> = rows
        .into_iter()
        .map(|(id, broken, outcome, part)| {
            Row::sound(id, "a client", IDLE, outcome, "P8", move |scene| {
                damaged(scene, part, Expected::panic("saboteur"))
            })
            .with(broken)
        })
        .collect();
    for (id, broken, part) in [
        (
            "ledger-even",
            "the ledger of even generations is damaged",
            First(LEDGER),
        ),
        (
            "ledger-odd",
            "the ledger of odd generations is damaged",
            Last(LEDGER),
        ),
    ] {
        rows.push(
            Row::sound(
                id,
                "a client",
                IDLE,
                "recorded, with the other copy of the ledger; only what that copy does not have is lost",
                "P8",
                move |scene| one_ledger(scene, part),
            )
            .with(broken),
        );
    }
    rows.push(
        Row::sound(
            "ledger-both",
            "a client",
            IDLE,
            "recorded before the restart; the next crash is recorded too, and makes both copies sound again",
            "P8 X5",
            no_ledger,
        )
        .with("both copies of the ledger are damaged"),
    );
    rows.push(
        Row::sound(
            "superblock-both-start",
            "a client",
            IDLE,
            "recorded before the restart, by the location cache; then the card is not written until it is repaired",
            "P6 P8",
            superblocks,
        )
        .with("both copies of the superblock are damaged, also in the next boot"),
    );
    rows
}

/// The crash slots of a card of 64 MiB: 16 of 512 blocks, 16 blocks behind the partition's first.
const SLOTS: std::ops::Range<usize> = 2_064..2_064 + 16 * 512;

/// The two blocks of the card that begin with these bytes, outside the crash slots: what is saved
/// there may begin like anything.
fn find(scene: &Scene<'_>, magic: &[u8]) -> Result<Vec<usize>> {
    let bytes = fs::read(&scene.card).context("cannot read the card")?;
    let found: Vec<_> = bytes
        .chunks(BLOCK)
        .enumerate()
        .filter(|(number, block)| !SLOTS.contains(number) && block.starts_with(magic))
        .map(|(number, _)| number)
        .collect();
    ensure!(
        found.len() == 2,
        "two blocks should begin with {magic:?}, but these do: {found:?}"
    );
    Ok(found)
}

/// Overwrites a part with zeros. Returns what was there: offset and bytes.
fn zero(scene: &Scene<'_>, part: Part) -> Result<Vec<(u64, Vec<u8>)>> {
    let last = fs::metadata(&scene.card)?.len() as usize / BLOCK;
    let one = |blocks: Vec<usize>, at: usize| blocks.get(at).map(|block| (*block, 1));
    let places: Vec<(usize, usize)> = match part {
        Tables => vec![(0, TABLE), (last + 1 - TABLE, TABLE - 1)],
        First(magic) => one(find(scene, magic)?, 0).into_iter().collect(),
        Last(magic) => one(find(scene, magic)?, 1).into_iter().collect(),
        All(magic) => find(scene, magic)?
            .into_iter()
            .map(|block| (block, 1))
            .collect(),
    };
    let card = File::options().read(true).write(true).open(&scene.card)?;
    let mut saved = Vec::new();
    for (block, count) in places {
        let (at, mut bytes) = ((block * BLOCK) as u64, vec![0; count * BLOCK]);
        card.read_exact_at(&mut bytes, at)?;
        card.write_all_at(&vec![0; bytes.len()], at)?;
        saved.push((at, bytes));
    }
    Ok(saved)
}

fn restore(scene: &Scene<'_>, saved: &[(u64, Vec<u8>)]) -> Result<()> {
    let card = File::options().write(true).open(&scene.card)?;
    for (at, bytes) in saved {
        card.write_all_at(bytes, *at)?;
    }
    Ok(())
}

/// The part is damaged while the system is up, and restored at the next start.
fn damaged(mut scene: Scene<'_>, part: Part, expected: Expected<'_>) -> Result<()> {
    scene.boot()?;
    scene.has(&[], 1)?;
    let seen = scene.strike_idle()?;
    let saved = zero(&scene, part)?;
    scene.system.go_to(Stop::Start)?;
    restore(&scene, &saved)?;
    scene.system.go_to(Stop::Ready)?;
    is_logging(&scene.system.seen()?)?;
    scene.has(&[expected], seen.accepted).map(drop)
}

/// Crashes until both copies of the ledger are in use, and once more with one of them damaged.
fn one_ledger(mut scene: Scene<'_>, part: Part) -> Result<()> {
    scene.boot()?;
    for crash in 1..=3 {
        let deed = Deed::Jump(NOWHERE + 4 * crash);
        let seen = scene.strike(Work::Sleep(1_000), SOON, deed)?;
        scene.recovers(&[Expected::panic("saboteur")], seen.accepted)?;
    }
    let before: Vec<u64> = sequences(&scene);
    scene.strike_idle()?;
    zero(&scene, part)?;
    scene.boot()?;
    let now = Evidence::take(&scene.rig.tool, &scene.card)?;
    scene.evidence = now;
    let after = sequences(&scene);
    // The older copy lacks the newest crash, whose number is then used again.
    let older = before.get(..before.len() - 1).unwrap_or(&[]);
    ensure!(
        after.starts_with(older) && after.len() > older.len(),
        "crashes {before:?} became {after:?}"
    );
    ensure!(
        scene
            .evidence
            .crashes
            .last()
            .is_some_and(|crash| crash["task"] == "saboteur"),
        "the crash was not recorded"
    );
    scene.system.work(Work::Sleep(1), 0, Deed::Nothing)?;
    scene.system.go_to(Stop::Done)?;
    scene.goes_on()
}

fn sequences(scene: &Scene<'_>) -> Vec<u64> {
    scene
        .evidence
        .crashes
        .iter()
        .filter_map(|crash| crash["sequence"].as_u64())
        .collect()
}

/// Crashes with both copies of the ledger, with both of them damaged, and once more: then both are
/// written again.
fn no_ledger(mut scene: Scene<'_>) -> Result<()> {
    scene.boot()?;
    scene.has(&[], 1)?;
    let first = scene.strike_idle()?;
    scene.recovers(&[Expected::panic("saboteur")], first.accepted)?;
    for crash in 1..=2 {
        let deed = Deed::Jump(NOWHERE + 4 * crash);
        scene.strike(Work::Sleep(1_000), SOON, deed)?;
        if crash == 1 {
            zero(&scene, All(LEDGER))?;
        }
        scene.boot()?;
    }
    scene
        .has(
            &[Expected::panic("saboteur"), Expected::panic("saboteur")],
            1,
        )
        .map(drop)
}

/// The crash is written by the location cache; in the next boot the card cannot be used until it is
/// restored.
fn superblocks(mut scene: Scene<'_>) -> Result<()> {
    scene.boot()?;
    scene.has(&[], 1)?;
    let seen = scene.strike_idle()?;
    let saved = zero(&scene, All(SUPERBLOCK))?;
    scene.system.go_to(Stop::Start)?;
    let before = fs::read(&scene.card)?;
    scene.system.go_to(Stop::Ready)?;
    scene.is_ram_only()?;
    ensure!(
        fs::read(&scene.card)? == before,
        "a card that cannot be used was written"
    );
    restore(&scene, &saved)?;
    scene.with_the_right_card(Expected::panic("saboteur"), seen.accepted)
}
