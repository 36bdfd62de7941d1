//! Golden cards: the host tool over cards that are in the tree.
//!
//! `test/golden` has cards that runs in QEMU have left, each with a transcript: what the tool
//! prints about it, in all its forms. A change of what a user sees is a change of a transcript.
//! When the format changes, the cards are made anew.
//!
//! The archives of the firmware are beside the cards, without what the tool does not read.

mod files;
mod gdb;
mod make;
mod strip;
mod transcript;

use super::session::{Cases, Rig, Session};
use crate::build::DEMO;
use crate::paths;
use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Name of a card, and how it is made.
type Card = (&'static str, fn(&make::Maker) -> Result<PathBuf>);

/// The cards.
const CARDS: [Card; 9] = [
    ("client-panic", make::client_panic),
    ("recorder-in-write", make::recorder_in_write),
    ("kernel-failure", make::kernel_failure),
    ("stack-overflow", make::stack_overflow),
    ("oops", make::oops),
    ("no-crash", make::no_crash),
    ("two-firmwares", make::two_firmwares),
    ("damaged-snapshot", make::damaged_snapshot),
    ("no-partition", make::no_partition),
];

/// The name of a card in its transcript, and that of the folder of archives.
const IMAGE: &str = "card.img";
const BUILDS: &str = "builds";

pub fn trials(session: &Arc<Session>) -> Vec<Trial> {
    let trial = |name: &'static str| {
        session.trial(format!("golden::{name}"), DEMO, move |rig| {
            compare(rig, name)
        })
    };
    let outputs = CARDS.iter().map(|(name, _)| trial(name));
    outputs.chain(gdb::trials(session)).collect()
}

/// The tool says of a card what its transcript has.
fn compare(rig: &Rig, name: &str) -> Result<Cases> {
    let folder = rig.artefacts.dir();
    let new = fresh_transcript(rig, name, folder)?;
    let path = transcript_path(name);
    let old = fs::read_to_string(&path).with_context(|| paths::shown(&path))?;
    if let Some((line, old, new_line)) = difference(&old, &new) {
        let made = rig.artefacts.write("new.txt", new.as_bytes())?;
        anyhow::bail!(
            "{}:{line}: it has `{old}`, but the tool prints `{new_line}`; compare it with {}; if that is right, \
             `./x xtask golden --only-outputs` writes it",
            paths::shown(&path),
            paths::shown(&made)
        );
    }
    let commands = new.lines().filter(|line| line.starts_with("$ ")).count();
    Ok(Cases {
        passed: commands,
        failed: Vec::new(),
    })
}

/// The number of the first line that differs, from 1 on, and both lines.
fn difference(old: &str, new: &str) -> Option<(usize, String, String)> {
    if old == new {
        return None;
    }
    let lines = old.lines().zip(new.lines());
    let same = lines.take_while(|(old, new)| old == new).count();
    let [old, new] =
        [old, new].map(|text| text.lines().nth(same).unwrap_or("(its end)").to_owned());
    Some((same + 1, old, new))
}

/// Unpacks a card of the tree and the archives into a folder, and runs the tool over it.
fn fresh_transcript(rig: &Rig, name: &str, folder: &Path) -> Result<String> {
    fs::write(folder.join(IMAGE), files::read(name)?)?;
    files::unpack_builds(&folder.join(BUILDS))?;
    transcript::of(&rig.tool, folder)
}

fn transcript_path(name: &str) -> PathBuf {
    files::folder().join(format!("{name}.txt"))
}

/// Writes the transcripts and, unless `only_outputs`, makes cards and archives anew.
pub fn run(only_outputs: bool) -> Result<bool> {
    let maker = make::Maker::new()?;
    if !only_outputs {
        maker.builds()?;
        for (name, make) in CARDS {
            let card = make(&maker).with_context(|| format!("making the card {name}"))?;
            files::write(name, &fs::read(card)?)?;
        }
    }
    for (name, _) in CARDS {
        let rig = maker.rig(DEMO, &format!("golden/{name}"))?;
        let text = fresh_transcript(&rig, name, rig.artefacts.dir())?;
        if !only_outputs && name != "no-partition" {
            let whole = maker.with_whole_archives(&rig, name)?;
            let difference = difference(&whole, &text);
            ensure!(
                difference.is_none(),
                "{name}: the archives of the tree say something else than the build's: {difference:?}"
            );
        }
        fs::write(transcript_path(name), text)?;
        rig.artefacts.discard();
    }
    Ok(true)
}
