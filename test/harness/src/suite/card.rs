//! No card, cards without the recorder's partition, and cards of an unknown format.

use super::{Cases, Rig, Session};
use crate::build::DEMO;
use crate::machine::{Config, Machine};
use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);
/// Long enough for the worker to crash if it could.
const WATCHED: Duration = Duration::from_secs(5);
const SIZE: u64 = 64 << 20;

/// REQ: M8, P6: a system without a usable card runs, says that nothing is saved and why, and does
/// not write to the card.
pub fn trials(session: &Arc<Session>) -> Vec<Trial> {
    vec![
        session.trial("card::no-card", DEMO, |rig| {
            unsaved(rig, None, "there is no card")
        }),
        session.trial("card::blank", DEMO, |rig| {
            let card = rig.artefacts.path("card.img");
            File::create(&card)?.set_len(SIZE)?;
            unsaved(rig, Some(&card), "the card has no GPT partition table")
        }),
        session.trial("card::other-partition", DEMO, |rig| {
            let card = rig.artefacts.path("card.img");
            rig.tool.format(&card)?;
            rename_partition(&card)?;
            unsaved(
                rig,
                Some(&card),
                "the card has no partition named `crashlog`",
            )
        }),
        session.trial("card::not-formatted", DEMO, |rig| {
            let card = rig.artefacts.path("card.img");
            rig.tool.format(&card)?;
            for block in superblocks(rig, &card)? {
                File::options()
                    .write(true)
                    .open(&card)?
                    .write_all_at(&[0; 512], block * 512)?;
            }
            unsaved(
                rig,
                Some(&card),
                "has no superblock: never formatted, or lost",
            )
        }),
        session.trial("card::unknown-version", DEMO, |rig| {
            let card = rig.artefacts.path("card.img");
            rig.tool.format(&card)?;
            for block in superblocks(rig, &card)? {
                File::options()
                    .write(true)
                    .open(&card)?
                    .write_all_at(&[9], block * 512 + 8)?;
            }
            unsaved(rig, Some(&card), "the partition has format version 9")
        }),
    ]
}

/// Boots with that card; the system must say why nothing is saved, and leave the card unchanged.
fn unsaved(rig: &Rig, card: Option<&Path>, why: &str) -> Result<Cases> {
    let before = card
        .map(fs::read)
        .transpose()
        .context("cannot read the card")?;
    let mut machine = Machine::start(&rig.qemu, &Config::new(&rig.image, card), &rig.artefacts)?;
    machine.run()?;
    machine.uart5.watch(
        &format!("\"{why}\""),
        LIMIT,
        |_| {},
        |line| line.contains("nothing is being saved") && line.contains(why),
    )?;
    let sending = machine
        .uart1
        .send(b"a line that is kept in RAM\n".repeat(2_000), Some(20_000))?;
    std::thread::sleep(WATCHED);
    ensure!(sending.sent() > 0, "the console task read nothing");
    let said = machine.uart5.next_line(Duration::ZERO);
    ensure!(
        said.as_ref().is_none_or(|line| !line.contains("boot 2")),
        "the system restarted: {said:?}"
    );
    ensure!(
        !machine.qmp.events().contains(&"RESET".to_owned()),
        "the system restarted"
    );
    drop(sending);
    machine.quit()?;
    if let (Some(card), Some(before)) = (card, before) {
        ensure!(fs::read(card)? == before, "the card was written");
    }
    Ok(Cases::one())
}

/// First and last block of the recorder's partition.
fn superblocks(rig: &Rig, card: &Path) -> Result<[u64; 2]> {
    let list = rig
        .tool
        .json(["list".as_ref(), "--json".as_ref(), card.as_os_str()])?;
    let number = |name: &str| {
        list["card"][name]
            .as_u64()
            .with_context(|| format!("`list --json` has no {name}"))
    };
    let (first, blocks) = (number("first_block")?, number("blocks")?);
    Ok([first, first + blocks - 1])
}

/// Gives the recorder's partition another name in both tables, with correct checksums.
fn rename_partition(card: &Path) -> Result<()> {
    let file = File::options().read(true).write(true).open(card)?;
    let last = SIZE / 512 - 1;
    for header_block in [1, last] {
        let mut header = [0; 512];
        file.read_exact_at(&mut header, header_block * 512)?;
        let word = |at: usize| {
            u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
        };
        let (table, entries, length) = (u64::from(word(72)), word(80), word(84));
        let mut bytes = vec![0; entries as usize * length as usize];
        file.read_exact_at(&mut bytes, table * 512)?;
        bytes[56] = b'x';
        file.write_all_at(&bytes, table * 512)?;
        header[88..92].copy_from_slice(&crc32(&bytes).to_le_bytes());
        header[16..20].fill(0);
        let crc = crc32(&header[..92]);
        header[16..20].copy_from_slice(&crc.to_le_bytes());
        file.write_all_at(&header, header_block * 512)?;
    }
    Ok(())
}

/// CRC-32 as the GPT uses it (UEFI Specification, section 5.3.2), computed bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            if crc & 1 == 0 {
                crc >> 1
            } else {
                crc >> 1 ^ 0xedb8_8320
            }
        })
    })
}
