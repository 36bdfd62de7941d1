//! One run of the demo's image: log, crash, restart, log again; and a check of the card.
//!
//! The bytes that are sent to the console task's serial port are known, so what must be on the card
//! is known as well:
//!
//! * of the first boot, a prefix: everything that the recorder had accepted when the worker
//!   faulted. The crash states the number of the last log record accepted before it; in the log
//!   that number is the last, and none before it is missing;
//! * of the second boot, a later part, up to the end. Between the two only what the reset loses is
//!   missing: the UART's FIFO and the line that the console task had not finished.

use crate::artefacts::Artefacts;
use crate::build::Image;
use crate::machine::{Config, Machine};
use crate::qemu::Qemu;
use crate::tool::Tool;
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Real time for anything that takes the guest a few seconds; a host that runs tests is slow and
/// busy.
const LIMIT: Duration = Duration::from_secs(120);
/// Bytes per second of a fast serial line: 115 200 baud.
const LINE_RATE: u32 = 11_520;
/// Seconds that sending takes at most: the worker faults after about three.
const SENDING_SECONDS: u32 = 7;
/// Bytes of the console that a reset may lose: two FIFOs, and one unfinished log record.
const RESET_LOSS: usize = 2 * 32 + 256;

/// What a run needs.
pub struct DemoRun<'a> {
    /// The emulator.
    pub qemu: &'a Qemu,
    /// The demo's image.
    pub image: &'a Image,
    /// The host tool.
    pub tool: &'a Tool,
    /// The folder for everything that the run makes.
    pub artefacts: &'a Artefacts,
}

/// What a run that passed has left.
pub struct DemoResult {
    /// The card.
    pub card: PathBuf,
    /// The crash, as `show --json` has it.
    pub crash: Value,
    /// Bytes of the console on the card from the first and the second boot.
    pub console: [usize; 2],
    /// Log records of the first boot.
    pub log_records: usize,
}

impl DemoRun<'_> {
    /// Runs with `text` on the console. `tell` gets each line of the machine's first serial port,
    /// and what the run does meanwhile.
    ///
    /// # Errors
    /// What is not on the card, or should not be there.
    pub fn run(&self, text: &[u8], mut tell: impl FnMut(Message<'_>)) -> Result<DemoResult> {
        let card = self.artefacts.path("card.img");
        self.artefacts.write("console.txt", text)?;
        tell(Message::Tool(self.tool.format(&card)?.trim()));

        let mut machine = Machine::start(
            self.qemu,
            &Config::new(self.image, Some(&card)),
            self.artefacts,
        )?;
        machine.run()?;
        tell(Message::Note("The machine is on; waiting for the recorder"));
        machine.uart5.watch(
            "that the recorder is ready",
            LIMIT,
            |line| tell(Message::Serial(line)),
            |line| line.contains("crashlog: ready; boot 1"),
        )?;
        let rate = LINE_RATE.max(u32::try_from(text.len()).unwrap_or(u32::MAX) / SENDING_SECONDS);
        tell(Message::Note(&format!(
            "Sending {} bytes to the console, {rate} a second",
            text.len()
        )));
        let sending = machine.uart1.send(text.to_vec(), Some(rate))?;
        machine.uart5.watch(
            "that the second boot has begun",
            LIMIT,
            |line| tell(Message::Serial(line)),
            |line| line.contains("crashlog: ready; boot 2"),
        )?;
        tell(Message::Note(&format!(
            "The system has restarted; {} bytes have been sent",
            sending.sent()
        )));
        let found = |line: &str| line.contains("newest is 1: panic of task `worker`");
        machine.uart5.watch(
            "that the second boot has found the crash",
            LIMIT,
            |line| tell(Message::Serial(line)),
            found,
        )?;
        ensure!(
            sending.finish(LIMIT),
            "the console task did not read everything that was sent within {LIMIT:?}"
        );
        self.wait_for_end(&card, text)?;
        tell(Message::Note(
            "Everything is sent and on the card; switching the machine off",
        ));
        machine.quit()?;
        self.check(card, text)
    }

    /// Waits until the end of what was sent is on the card: the recorder writes a page when it is
    /// full or old.
    fn wait_for_end(&self, card: &Path, text: &[u8]) -> Result<()> {
        let deadline = Instant::now() + LIMIT;
        let wanted = text.get(text.len().saturating_sub(64)..).unwrap_or(text);
        loop {
            let (first, second) = (self.tool.console(card, 1)?, self.tool.console(card, 2)?);
            // If all was sent before the crash there is nothing for the second boot.
            if second.ends_with(wanted)
                || first.len() == text.len()
                || (second.is_empty() && first.len() + RESET_LOSS > text.len())
            {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!(
                    "the end of the console did not reach the card within {LIMIT:?}: {} bytes of boot 1 and {} of boot 2 \
                     are there, {} were sent",
                    first.len(),
                    second.len(),
                    text.len()
                );
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Compares what is on the card with what must be there.
    fn check(&self, card: PathBuf, text: &[u8]) -> Result<DemoResult> {
        self.tool.verify(&card)?;
        let crashes = self.tool.crashes(&card)?;
        ensure!(
            crashes.len() == 1,
            "one crash, but {} crashes",
            crashes.len()
        );
        let crash = self.tool.crash(&card, 1)?;
        ensure!(
            crash["task"] == "worker" && crash["reason"] == "panic",
            "the crash is not the worker's: {crash:#}"
        );
        ensure!(
            crash["late"].is_null(),
            "the crash was written late: {}",
            crash["late"]
        );
        ensure!(crash["boot"] == 1, "the crash is of boot {}", crash["boot"]);

        let accepted = crash["log_records"]
            .as_u64()
            .context("the crash does not say how many log records there were")?;
        let sequences = self.tool.sequences(&card, 1)?;
        if let Some((at, wrong)) = (1..)
            .zip(&sequences)
            .find(|(at, sequence)| *at != **sequence)
        {
            bail!("log of boot 1: there is record {wrong} where {at} must be");
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
            "{lost} bytes of the console are in neither boot; a reset loses {RESET_LOSS} at most"
        );
        Ok(DemoResult {
            card,
            crash,
            console: [first.len(), second.len()],
            log_records: sequences.len(),
        })
    }
}

/// Something that happens during a run.
pub enum Message<'a> {
    /// A line of the machine's first serial port.
    Serial(&'a str),
    /// Output of the host tool.
    Tool(&'a str),
    /// What the run does.
    Note(&'a str),
}

/// Says where two texts differ.
fn first_difference(what: &str, wanted: &[u8], found: &[u8]) -> String {
    let at = wanted.iter().zip(found).take_while(|(a, b)| a == b).count();
    let around = |bytes: &[u8]| {
        let part = bytes
            .get(at.saturating_sub(16)..bytes.len().min(at + 16))
            .unwrap_or(&[]);
        part.escape_ascii().to_string()
    };
    format!(
        "the console of {what} differs from what was sent at byte {at}: \"{}\" was sent, \"{}\" is on the card",
        around(wanted),
        around(found)
    )
}
