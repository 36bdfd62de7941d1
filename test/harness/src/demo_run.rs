//! One flight of the demo's image: log, crash, restart, log on.
//!
//! What is played into the console task's serial port is known byte for byte, so what must be on the card is too:
//!
//! * of the first boot, a prefix: everything that the recorder had accepted when the worker faulted. That it is
//!   everything is seen from the record, which states the number of the last log record accepted before the crash, and
//!   from the log, in which that number is the last and none before it is missing;
//! * of the second boot, a later part, up to the end. Between the two only what the reset took is missing: the UART's
//!   FIFO and the line that the console task had not finished.

use crate::artefacts::Artefacts;
use crate::build::Image;
use crate::machine::{Config, Machine};
use crate::qemu::Qemu;
use crate::tool::Tool;
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Real time for anything that takes the guest a few seconds; machines that run tests are slow and busy.
const LIMIT: Duration = Duration::from_secs(120);
/// A fast serial line, bytes per second: 115 200 baud.
const LINE_RATE: u32 = 11_520;
/// Playing takes at most so long: the worker faults in the middle of it.
const PLAYING_SECONDS: u32 = 7;
/// What a reset may take of the console: two FIFOs, and one record under construction.
const RESET_LOSS: usize = 2 * 16 + 256;

/// What a flight needs.
pub struct DemoRun<'a> {
    /// The emulator.
    pub qemu: &'a Qemu,
    /// The image to fly.
    pub image: &'a Image,
    /// The host tool.
    pub tool: &'a Tool,
    /// Where everything goes.
    pub artefacts: &'a Artefacts,
}

/// What came of it.
pub struct DemoResult {
    /// The card.
    pub card: PathBuf,
    /// The crash record, as `show --json` has it.
    pub record: Value,
    /// Bytes of the console on the card from the first and the second boot.
    pub console: [usize; 2],
    /// Log records of the first boot.
    pub records: usize,
}

impl DemoRun<'_> {
    /// Flies with `text` on the console. `tell` gets each line that the machine's first serial port says, and what we
    /// do meanwhile.
    pub fn fly(&self, text: &[u8], mut tell: impl FnMut(Message<'_>)) -> Result<DemoResult> {
        let card = self.artefacts.path("card.img");
        self.artefacts.write("console.txt", text)?;
        tell(Message::Tool(self.tool.format(&card)?.trim()));

        let mut machine = Machine::start(
            self.qemu,
            &Config::new(&self.image.elf, Some(&card)),
            self.artefacts,
        )?;
        machine.run()?;
        tell(Message::Note("the machine is on; waiting for the recorder"));
        machine.uart5.watch(
            "the recorder being ready",
            LIMIT,
            |line| tell(Message::Serial(line)),
            |line| line.contains("crashlog: ready; boot 1"),
        )?;
        let rate = LINE_RATE.max(u32::try_from(text.len()).unwrap_or(u32::MAX) / PLAYING_SECONDS);
        tell(Message::Note(&format!(
            "playing {} bytes into the console, {rate} a second",
            text.len()
        )));
        let player = machine.uart1.play(text.to_vec(), Some(rate))?;
        machine.uart5.watch(
            "the second boot",
            LIMIT,
            |line| tell(Message::Serial(line)),
            |line| line.contains("crashlog: ready; boot 2"),
        )?;
        tell(Message::Note(&format!(
            "the system has restarted; so far {} bytes were played",
            player.sent()
        )));
        let found = |line: &str| line.contains("newest is 1: panic of task `worker`");
        machine.uart5.watch(
            "the second boot finding the record",
            LIMIT,
            |line| tell(Message::Serial(line)),
            found,
        )?;
        ensure!(
            player.finish(LIMIT),
            "the console task did not take everything that was played within {LIMIT:?}"
        );
        self.settle(&card, text)?;
        tell(Message::Note(
            "everything is played and logged; switching the machine off",
        ));
        machine.quit()?;
        self.inspect(card, text)
    }

    /// Waits until the end of what was played is on the card: the recorder writes a page when it is full or old.
    fn settle(&self, card: &std::path::Path, text: &[u8]) -> Result<()> {
        let deadline = Instant::now() + LIMIT;
        let wanted = text.get(text.len().saturating_sub(64)..).unwrap_or(text);
        loop {
            let (first, second) = (self.tool.console(card, 1)?, self.tool.console(card, 2)?);
            // A text that was all played before the crash leaves nothing for the second boot.
            if second.ends_with(wanted)
                || first.len() == text.len()
                || (second.is_empty() && first.len() + RESET_LOSS > text.len())
            {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!(
                    "the end of the console did not reach the card within {LIMIT:?}: {} bytes of boot 1 and {} of boot 2 \
                     are there, {} were played",
                    first.len(),
                    second.len(),
                    text.len()
                );
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Holds what is on the card against what must be there.
    fn inspect(&self, card: PathBuf, text: &[u8]) -> Result<DemoResult> {
        self.tool.verify(&card)?;
        let records = self.tool.records(&card)?;
        ensure!(
            records.len() == 1,
            "one crash, but {} records",
            records.len()
        );
        let record = self.tool.record(&card, 1)?;
        ensure!(
            record["task"] == "worker" && record["reason"] == "panic",
            "the record is not the worker's: {record:#}"
        );
        ensure!(
            record["late"].is_null(),
            "the record was written late: {}",
            record["late"]
        );
        ensure!(
            record["boot"] == 1,
            "the record is of boot {}",
            record["boot"]
        );

        let accepted = record["log_records"]
            .as_u64()
            .context("the record does not say how many log records there were")?;
        let sequences = self.tool.sequences(&card, 1)?;
        if let Some((at, wrong)) = (1..)
            .zip(&sequences)
            .find(|(at, sequence)| *at != **sequence)
        {
            bail!("log of boot 1: record {wrong} stands where record {at} should");
        }
        ensure!(
            sequences.len() as u64 == accepted,
            "{accepted} log records were accepted before the crash, {} are on the card",
            sequences.len()
        );

        let (first, second) = (self.tool.console(&card, 1)?, self.tool.console(&card, 2)?);
        ensure!(
            text.starts_with(&first),
            "{}",
            first_difference("boot 1", text, &first)
        );
        let rest = text.get(first.len()..).unwrap_or(&[]);
        ensure!(
            rest.ends_with(&second),
            "{}",
            first_difference(
                "boot 2",
                rest.get(rest.len().saturating_sub(second.len())..)
                    .unwrap_or(rest),
                &second
            )
        );
        let lost = rest.len() - second.len();
        ensure!(
            lost <= RESET_LOSS,
            "{lost} bytes of the console are in neither boot; a reset takes {RESET_LOSS} at most"
        );
        Ok(DemoResult {
            card,
            record,
            console: [first.len(), second.len()],
            records: sequences.len(),
        })
    }
}

/// Something that happens during a flight.
pub enum Message<'a> {
    /// A line of the machine's first serial port.
    Serial(&'a str),
    /// What the host tool said.
    Tool(&'a str),
    /// What we do.
    Note(&'a str),
}

/// Where two texts part.
fn first_difference(what: &str, wanted: &[u8], found: &[u8]) -> String {
    let at = wanted.iter().zip(found).take_while(|(a, b)| a == b).count();
    let around = |bytes: &[u8]| {
        let part = bytes
            .get(at.saturating_sub(16)..bytes.len().min(at + 16))
            .unwrap_or(&[]);
        part.escape_ascii().to_string()
    };
    format!(
        "the console of {what} differs from what was played at byte {at}: \"{}\" was played, \"{}\" is on the card",
        around(wanted),
        around(found)
    )
}
