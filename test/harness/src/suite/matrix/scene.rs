//! A system under test with its card: what most rows have in common.

use crate::evidence::{Evidence, Expected};
use crate::sabotage::{Deed, RecorderState, Seen, Stop, System, Work};
use crate::suite::Rig;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

/// Ticks from the start of some work to the strike, where the time does not matter.
pub const SOON: u32 = 100_000;
/// A branch to itself, in Thumb.
pub const LOOP: [u8; 2] = [0xfe, 0xe7];
/// An unmapped address to which a task jumps to fail.
pub const NOWHERE: u32 = 0x100;

/// A system, and what was on its card when it was last checked.
pub struct Scene<'r> {
    pub rig: &'r Rig,
    pub card: PathBuf,
    pub system: System,
    pub evidence: Evidence,
}

impl<'r> Scene<'r> {
    /// A machine before its first instruction, with a new card of this size. A card of more than 2
    /// GiB is addressed by blocks.
    pub fn with_card_of(rig: &'r Rig, size: &str) -> Result<Self> {
        let card = rig.artefacts.path("card.img");
        let arguments = ["format", "--size", size].map(OsStr::new);
        rig.tool
            .bytes(arguments.into_iter().chain([card.as_os_str()]))?;
        Self::with(rig, card)
    }

    /// A machine before its first instruction, with this card.
    pub fn with(rig: &'r Rig, card: PathBuf) -> Result<Self> {
        let system = System::start(&rig.qemu, &rig.image, Some(&card), &rig.artefacts)?;
        let evidence = Evidence::take(&rig.tool, &card)?;
        Ok(Self {
            rig,
            card,
            system,
            evidence,
        })
    }

    /// Boots, checks that the system logs, and reads the card.
    pub fn begin(&mut self) -> Result<()> {
        self.boot()?;
        self.evidence = Evidence::take(&self.rig.tool, &self.card)?;
        Ok(())
    }

    /// Boots, and checks that the system logs.
    pub fn boot(&mut self) -> Result<()> {
        let seen = self.system.boot()?;
        is_logging(&seen)
    }

    /// Leaves the recorder idle until the saboteur is about to fail.
    pub fn strike_idle(&mut self) -> Result<Seen> {
        self.strike(Work::Sleep(1_000), SOON, Deed::Jump(NOWHERE))
    }

    /// Lets the client work until the saboteur is about to strike.
    pub fn strike(&mut self, work: Work, ticks: u32, deed: Deed) -> Result<Seen> {
        self.system.work(work, ticks, deed)?;
        self.system.go_to(Stop::Struck)?;
        self.system.seen()
    }

    /// Checks that the system restarts, logs, and has everything on the card. Returns the crashes.
    pub fn recovers(&mut self, expected: &[Expected<'_>], accepted: u32) -> Result<Vec<Value>> {
        self.boot()?;
        self.has(expected, accepted)
    }

    /// Checks that everything is on the card; see [`Evidence::after`]. Returns the crashes.
    pub fn has(&mut self, expected: &[Expected<'_>], accepted: u32) -> Result<Vec<Value>> {
        let (now, crashes) = self
            .evidence
            .after(&self.rig.tool, &self.card, expected, accepted)?;
        self.evidence = now;
        Ok(crashes)
    }

    /// Runs until a function of the recorder is called, the first one whose name has all these
    /// parts. Returns its address.
    pub fn go_into(&mut self, parts: &[&str]) -> Result<u32> {
        self.go_into_program("crashlog", parts)
    }

    /// [`Scene::go_into`], for a function of any program.
    pub fn go_into_program(&mut self, program: &str, parts: &[&str]) -> Result<u32> {
        let address = self.system.symbols.like(program, parts)?;
        self.system.stop_at(address, true)?;
        self.system
            .go_to(Stop::At(address))
            .with_context(|| format!("on the way to {parts:?}"))?;
        self.system.stop_at(address, false)?;
        Ok(address)
    }

    /// Makes the program that is running jump to an unmapped address.
    pub fn derail(&mut self) -> Result<()> {
        self.system.debugger.set_register(15, NOWHERE)
    }

    /// Lets the saboteur, which must be armed, interrupt the program that is running now.
    pub fn strike_here(&mut self) -> Result<Seen> {
        self.system.strike_in(1)?;
        self.system.go_to(Stop::Struck)?;
        self.system.seen()
    }

    /// Checks that the recorder goes on after the work is done, without a restart.
    pub fn goes_on(&mut self) -> Result<()> {
        self.system.go_to(Stop::Ready)?;
        self.system.work(Work::Flush(3), 0, Deed::Nothing)?;
        self.system.go_to(Stop::Done)?;
        let seen = self.system.seen()?;
        ensure!(
            seen.error == 0 && seen.durable == seen.accepted,
            "the recorder does not go on: {seen:?}"
        );
        self.has(&[], 0).map(drop)
    }

    /// Checks that the recorder keeps everything in RAM.
    pub fn is_ram_only(&mut self) -> Result<()> {
        let seen = self.system.seen()?;
        ensure!(
            seen.state == RecorderState::RamOnly,
            "the recorder should keep everything in RAM, but says {:?}",
            seen.state
        );
        Ok(())
    }

    /// Boots with the original card in the slot: the crash that was kept in RAM must be written.
    pub fn with_the_right_card(&mut self, expected: Expected<'_>, accepted: u32) -> Result<()> {
        let card = self.card.clone();
        self.insert(&card)?;
        self.system.reset()?;
        self.system.go_to(Stop::Ready)?;
        is_logging(&self.system.seen()?)?;
        self.has(&[expected], accepted).map(drop)
    }

    /// Removes the card from its slot.
    pub fn eject(&mut self) -> Result<()> {
        self.monitor(&format!("eject -f sd{}", self.system.slot.index))
    }

    /// Inserts a card into the slot.
    pub fn insert(&mut self, card: &Path) -> Result<()> {
        self.monitor(&format!(
            "change sd{} {} raw",
            self.system.slot.index,
            card.display()
        ))
    }

    fn monitor(&mut self, command: &str) -> Result<()> {
        let said = self.system.machine.qmp.human(command)?;
        ensure!(said.trim().is_empty(), "QEMU said to `{command}`: {said}");
        Ok(())
    }

    /// Makes another card, which is not formatted.
    pub fn blank(&self) -> Result<PathBuf> {
        let path = self.rig.artefacts.path("blank.img");
        fs::File::create(&path)?.set_len(64 << 20)?;
        Ok(path)
    }
}

/// Checks that the recorder writes to its card.
pub fn is_logging(seen: &Seen) -> Result<()> {
    ensure!(
        seen.state == RecorderState::Ready && seen.durable >= 1 && seen.error == 0,
        "logging does not go on: {seen:?}"
    );
    Ok(())
}

/// Checks that the first of the crashes was written late, for this reason.
pub fn is_late(crashes: &[Value], why: &str) -> Result<()> {
    let said = crashes.first().map(|crash| &crash["late"]);
    ensure!(
        said.is_some_and(|said| said == why),
        "the crash should be late because of `{why}`, but says {said:?}"
    );
    Ok(())
}

/// Checks that a blank card was not written.
pub fn is_blank(card: &Path) -> Result<()> {
    let bytes = fs::read(card).context("cannot read the blank card")?;
    ensure!(
        bytes.iter().all(|byte| *byte == 0),
        "a card without our partition was written"
    );
    Ok(())
}
