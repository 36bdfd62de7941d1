//! A card that was used before, so that each row can check that nothing older changes.

use super::scene::{SOON, Scene};
use crate::evidence::Expected;
use crate::sabotage::{Deed, Failing, Stop, Work};
use crate::suite::Rig;
use anyhow::{Context, Result};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// Boots on it.
pub const BOOTS_BEFORE: u64 = 2;
/// Crashes on it.
pub const CRASHES_BEFORE: u64 = 2;

/// Addresses at which the tasks failed. No row uses them: it would be a repetition.
const PANICKED: u32 = 0xf000;
const FAILED: [u32; 3] = [0x808f_0001, 0, 0];

/// Bytes of a piece; pieces of zeros are not kept.
const PIECE: usize = 4_096;

/// A card in memory.
struct Content {
    length: u64,
    /// Offset and content of each piece that is not all zeros.
    pieces: Vec<(u64, Vec<u8>)>,
}

/// Made when it is first needed.
static CONTENT: Mutex<Option<Content>> = Mutex::new(None);

impl<'r> Scene<'r> {
    /// A machine before its first instruction, with a card that has crashes and a log of earlier
    /// boots.
    pub fn set(rig: &'r Rig) -> Result<Self> {
        let card = rig.artefacts.path("card.img");
        put(rig, &card)?;
        Self::with(rig, card)
    }

    /// The same, with a system that is up and logging.
    pub fn ready(rig: &'r Rig) -> Result<Self> {
        let mut scene = Self::set(rig)?;
        scene.begin()?;
        Ok(scene)
    }
}

/// Writes such a card into a file.
fn put(rig: &Rig, card: &Path) -> Result<()> {
    let mut content = CONTENT.lock().unwrap_or_else(PoisonError::into_inner);
    let content = match &mut *content {
        Some(content) => content,
        none => none.insert(make(rig)?),
    };
    let file = File::create(card).context("cannot make a card")?;
    file.set_len(content.length)?;
    for (at, bytes) in &content.pieces {
        file.write_all_at(bytes, *at)?;
    }
    Ok(())
}

/// Makes the card: a boot with the fault of a task that is restarted and a crash of the system, and
/// a boot that was switched off.
fn make(rig: &Rig) -> Result<Content> {
    let mut scene = Scene::with_card_of(rig, "64M")?;
    scene.begin()?;
    let how = Failing(Failing::TEXT.0, FAILED);
    scene
        .system
        .work(Work::Fail { fatal: false, how }, 0, Deed::Nothing)?;
    scene.system.go_to(Stop::Done)?;
    scene.has(&[Expected::oops("victim")], 1)?;
    scene.system.go_to(Stop::Ready)?;
    let seen = scene.strike(Work::Sleep(100), SOON, Deed::Jump(PANICKED))?;
    scene
        .recovers(&[Expected::panic("saboteur")], seen.accepted)
        .context("on a card that is to be used by others")?;
    scene.system.machine.kill()?;
    let bytes = fs::read(&scene.card).context("cannot read the card")?;
    let pieces = bytes
        .chunks(PIECE)
        .enumerate()
        .filter(|(_, piece)| piece.iter().any(|byte| *byte != 0))
        .map(|(number, piece)| ((number * PIECE) as u64, piece.to_owned()))
        .collect();
    Ok(Content {
        length: bytes.len() as u64,
        pieces,
    })
}
