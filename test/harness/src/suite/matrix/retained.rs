//! A client fails, and a part of retained RAM is overwritten at that moment.

use super::scene::{NOWHERE, SOON, Scene};
use super::used_card::BOOTS_BEFORE;
use super::{IDLE, Row};
use crate::evidence::Expected;
use crate::sabotage::{Deed, Work};
use anyhow::{Context, Result, ensure};

/// Address of the retained region.
const RETAINED: u32 = 0x80c0_0000;
/// How many of its first blocks are damaged, one in each crash: header, mailbox, location cache,
/// log ring, and the start of the index of the ring's pages.
const RETAINED_BLOCKS: u32 = 24;
/// Length of a block.
const BLOCK: u32 = 512;

/// REQ: X3, P8: damage in retained RAM costs no more than what was in the damaged block.
pub fn rows() -> Vec<Row> {
    let row = |id: &str, broken, outcome, requirements, run: fn(Scene<'_>) -> Result<()>| {
        Row::logging(id, "a client", IDLE, outcome, requirements, run).with(broken)
    };
    vec![
        row(
            "retained-damaged",
            "one block of the retained region is overwritten at the moment of the crash; each of the first 24 in turn",
            "recorded, before the restart or late",
            "X3 P8",
            retained,
        ),
        row(
            "retained-header",
            "the header of the retained region is overwritten at the moment of the crash",
            "recorded before the restart; the number of the boot is not lost, and the next crash is recorded too",
            "X3 P8",
            header,
        ),
    ]
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
            .set_memory(RETAINED + block * BLOCK, &noise)?;
        // Log records that were only in RAM may have been in that block.
        scene
            .recovers(&[Expected::panic("saboteur").whenever()], 0)
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
        let crashes = scene.recovers(&[Expected::panic("saboteur")], seen.accepted)?;
        boots.extend(crashes.iter().filter_map(|crash| crash["boot"].as_u64()));
    }
    let first = 1 + BOOTS_BEFORE;
    ensure!(
        boots == [first, first + 1],
        "the crashes are of boots {boots:?}"
    );
    Ok(())
}
