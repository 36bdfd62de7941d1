//! An SD card on SPI as the medium of an emergency: an example for media without SDHCI.
//!
//! The card is simulated byte by byte (SD Physical Layer Simplified Specification, chapter 7). The
//! driver is as a port would have it: polled, every wait bounded, and it works on a card in any
//! state. Through [`Polled`] it serves normal operation, too.

use super::recorder::*;
use crate::emergency::{
    EmergencyMedium, EmergencyRequest, KnownMedium, prepare, write_and_complete,
};
use crate::*;
use block_device::{BLOCK_LEN, Block, PolledDevice, Window};
use crashlog_format::ledger::Ledger;
use crashlog_format::{EmergencyFailure, EmergencyStep, Outcome};
use crashlog_retained::Region;
use std::collections::VecDeque;

/// What the card does with the next byte.
#[derive(Clone, Debug, PartialEq)]
enum Phase {
    /// Collects a command.
    Command(Vec<u8>),
    /// Waits for the start token of a block for this address.
    Token(usize),
    /// Collects a block and its checksum.
    Data(usize, Vec<u8>),
}

/// A high-capacity card in SPI mode.
struct SpiCard {
    memory: Vec<u8>,
    phase: Phase,
    out: VecDeque<u8>,
    /// CMD0 has been received, and ACMD41 has ended.
    ready: bool,
    /// How often ACMD41 is answered with "not yet".
    starting: u32,
    application: bool,
    /// Bytes for which it is still busy.
    busy: u32,
    /// Bytes for which it is busy after a block.
    program: u32,
    removed: bool,
}

impl SpiCard {
    fn new(blocks: usize) -> Self {
        Self {
            memory: vec![0; blocks * BLOCK_LEN],
            phase: Phase::Command(Vec::new()),
            out: VecDeque::new(),
            ready: false,
            starting: 3,
            application: false,
            busy: 0,
            program: 40,
            removed: false,
        }
    }

    /// One byte in each direction, with the card selected.
    fn exchange(&mut self, byte: u8) -> u8 {
        if self.removed {
            return 0xFF;
        }
        let answer = match self.out.pop_front() {
            Some(answer) => answer,
            None if self.busy > 0 => {
                self.busy -= 1;
                return 0;
            }
            None => 0xFF,
        };
        match std::mem::replace(&mut self.phase, Phase::Command(Vec::new())) {
            Phase::Command(mut bytes) => {
                if !bytes.is_empty() || byte & 0xC0 == 0x40 {
                    bytes.push(byte);
                }
                if bytes.len() == 6 {
                    self.command(
                        bytes[0] & 0x3F,
                        u32::from_be_bytes(bytes[1..5].try_into().unwrap()),
                    );
                } else {
                    self.phase = Phase::Command(bytes);
                }
            }
            Phase::Token(at) if byte == 0xFE => self.phase = Phase::Data(at, Vec::new()),
            Phase::Token(at) => self.phase = Phase::Token(at),
            Phase::Data(at, mut bytes) => {
                bytes.push(byte);
                if bytes.len() == BLOCK_LEN + 2 {
                    self.memory[at..at + BLOCK_LEN].copy_from_slice(&bytes[..BLOCK_LEN]);
                    self.out.push_back(0x05);
                    self.busy = self.program;
                } else {
                    self.phase = Phase::Data(at, bytes);
                }
            }
        }
        answer
    }

    fn command(&mut self, index: u8, argument: u32) {
        let application = std::mem::take(&mut self.application);
        let at = argument as usize * BLOCK_LEN;
        let idle = u8::from(!self.ready);
        self.out.clear();
        self.out.push_back(0xFF);
        match (index, application) {
            (0, _) => {
                self.ready = false;
                self.out.push_back(1);
            }
            (8, _) => self.out.extend([idle, 0, 0, 1, 0xAA]),
            (55, _) => {
                self.application = true;
                self.out.push_back(idle);
            }
            (41, true) => {
                self.ready = self.starting == 0;
                self.starting = self.starting.saturating_sub(1);
                self.out.push_back(u8::from(!self.ready));
            }
            (17, _) if self.ready && at < self.memory.len() => {
                self.out.extend([0, 0xFF, 0xFE]);
                let block = self.memory[at..at + BLOCK_LEN].to_vec();
                self.out.extend(block);
                self.out.extend([0, 0]);
            }
            (24, _) if self.ready && at < self.memory.len() => {
                self.out.push_back(0);
                self.phase = Phase::Token(at);
            }
            _ => self.out.push_back(4 | idle),
        }
    }
}

/// Why the driver has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SpiError {
    NoCard,
    Refused,
    TimeIsUp,
}

/// The driver. Its time is counted in bytes: on SPI each takes as long as the other.
struct SpiMedium<'c> {
    card: &'c mut SpiCard,
    left: u32,
    retries: u16,
    last: Option<SpiError>,
}

impl<'c> SpiMedium<'c> {
    fn new(card: &'c mut SpiCard, time: u32) -> Self {
        Self {
            card,
            left: time,
            retries: 0,
            last: None,
        }
    }

    fn exchange(&mut self, byte: u8) -> Result<u8, SpiError> {
        self.left = self.left.checked_sub(1).ok_or(SpiError::TimeIsUp)?;
        Ok(self.card.exchange(byte))
    }

    /// Waits for as long as there is time, until `wanted` says so.
    fn wait(&mut self, wanted: impl Fn(u8) -> bool) -> Result<u8, SpiError> {
        loop {
            let byte = self.exchange(0xFF)?;
            if wanted(byte) {
                return Ok(byte);
            }
        }
    }

    fn command(&mut self, index: u8, argument: u32) -> Result<u8, SpiError> {
        self.wait(|byte| byte == 0xFF)?;
        self.exchange(0x40 | index)?;
        for byte in argument.to_be_bytes() {
            self.exchange(byte)?;
        }
        // The checksum, which only CMD0 and CMD8 need.
        self.exchange(if index == 0 { 0x95 } else { 0x87 })?;
        for _ in 0..8 {
            let answer = self.exchange(0xFF)?;
            if answer & 0x80 == 0 {
                return Ok(answer);
            }
        }
        Err(SpiError::NoCard)
    }

    fn identify(&mut self) -> Result<(), SpiError> {
        if self.command(0, 0)? != 1 {
            return Err(SpiError::NoCard);
        }
        self.command(8, 0x1AA)?;
        for _ in 0..4 {
            self.exchange(0xFF)?;
        }
        loop {
            self.command(55, 0)?;
            if self.command(41, 0x4000_0000)? == 0 {
                return Ok(());
            }
        }
    }

    fn read_one(&mut self, at: u32, block: &Block) -> Result<(), SpiError> {
        if self.command(17, at)? != 0 {
            return Err(SpiError::Refused);
        }
        self.wait(|byte| byte == 0xFE)?;
        let mut bytes = [0; BLOCK_LEN];
        for byte in &mut bytes {
            *byte = self.exchange(0xFF)?;
        }
        block.copy_from(0, &bytes);
        self.exchange(0xFF)?;
        self.exchange(0xFF).map(|_| ())
    }

    fn write_one(&mut self, at: u32, block: &Block) -> Result<(), SpiError> {
        if self.command(24, at)? != 0 {
            return Err(SpiError::Refused);
        }
        self.exchange(0xFE)?;
        let mut bytes = [0; BLOCK_LEN];
        block.copy_to(0, &mut bytes);
        for byte in bytes.into_iter().chain([0, 0]) {
            self.exchange(byte)?;
        }
        let accepted = self.wait(|byte| byte & 0x11 == 1)?;
        // The card is busy until it has programmed.
        self.wait(|byte| byte == 0xFF)?;
        if accepted & 0x1F == 5 {
            Ok(())
        } else {
            Err(SpiError::Refused)
        }
    }

    fn each(
        &mut self,
        first: u64,
        blocks: &[Block],
        one: impl Fn(&mut Self, u32, &Block) -> Result<(), SpiError>,
    ) -> Result<(), SpiError> {
        for (block, at) in blocks.iter().zip(u32::try_from(first).unwrap()..) {
            while let Err(error) = one(self, at, block) {
                self.last = Some(error);
                if error == SpiError::TimeIsUp {
                    return Err(error);
                }
                self.retries += 1;
                self.identify()?;
            }
        }
        Ok(())
    }
}

impl PolledDevice for SpiMedium<'_> {
    type Error = SpiError;

    fn block_count(&self) -> u64 {
        (self.card.memory.len() / BLOCK_LEN) as u64
    }

    fn read(&mut self, first: u64, blocks: &[Block]) -> Result<(), SpiError> {
        self.each(first, blocks, Self::read_one)
    }

    fn write(&mut self, first: u64, blocks: &[Block]) -> Result<(), SpiError> {
        self.each(first, blocks, Self::write_one)
    }

    fn write_reliable(&mut self, block: u64, data: &Block) -> Result<(), SpiError> {
        self.write(block, core::slice::from_ref(data))
    }

    /// A block is programmed when its write ends.
    fn flush(&mut self) -> Result<(), SpiError> {
        Ok(())
    }
}

impl EmergencyMedium for SpiMedium<'_> {
    fn prepare(&mut self, _known: &KnownMedium) -> Result<(), SpiError> {
        // A block that the crash has interrupted is brought to its end, of bytes that no ledger
        // names: the card takes no command before. The last byte of all ones is the next command's.
        for _ in 0..BLOCK_LEN + 3 {
            self.exchange(0xFF)?;
        }
        self.identify()
    }

    fn known(&self, known: &mut KnownMedium) {
        known.fill(0x5D);
    }

    fn complete(&mut self) -> Result<(), SpiError> {
        self.wait(|byte| byte == 0xFF).map(|_| ())
    }

    fn write_again(&mut self, try_ms: u32) {
        self.left = try_ms * 50;
    }

    fn note(&self, outcome: &mut Outcome) {
        outcome.finish(EmergencyStep::ControllerReset);
        outcome.finish(EmergencyStep::CardReady);
        outcome.retries = self.retries.into();
        outcome.error = self.last.map_or(0, |error| error as u32 + 1).into();
    }

    fn not_ready(error: SpiError) -> EmergencyFailure {
        match error {
            SpiError::NoCard => EmergencyFailure::NoCard,
            SpiError::Refused => EmergencyFailure::Card,
            SpiError::TimeIsUp => EmergencyFailure::Timeout,
        }
    }

    fn not_written(error: SpiError) -> EmergencyFailure {
        match error {
            SpiError::TimeIsUp => EmergencyFailure::Timeout,
            _ => EmergencyFailure::Device,
        }
    }
}

/// A boot that ends with a crash: what the recorder does, over the traits alone.
fn crash(
    card: &mut SpiCard,
    region: &Region<'_>,
    place: u32,
    time: u32,
) -> (Result<(), EmergencyFailure>, Outcome) {
    arm_panic(region, place.into(), place);
    let mut medium = SpiMedium::new(card, time);
    let mut outcome = Outcome::default();
    let mut known = [0; size_of::<KnownMedium>()];
    let location = region.location().load();
    if let Err(failure) = prepare(
        &mut medium,
        region,
        location.as_ref(),
        &mut known,
        &mut outcome,
    ) {
        return (Err(failure), outcome);
    }
    let crash = region.mailbox().crash();
    let request = EmergencyRequest {
        region,
        crash: crash.as_ref(),
        location: location.as_ref(),
        partition: "crashlog",
        keep_first: KEEP_FIRST,
        card: &known,
        extra: &[],
        scratch: region.scratch(),
    };
    let mut ledger = Ledger::ZERO.clone();
    let result = write_and_complete(&mut medium, &request, &mut ledger, &mut outcome);
    (result, outcome)
}

/// REQ: M9 (in part: the emergency path) It works with another medium than a card behind SDHCI,
/// from states that a crash may leave it in, and ends when its time does.
#[test]
fn an_sd_card_on_spi_serves_both_paths() {
    let mut card = SpiCard::new(4096);
    let mut medium = SpiMedium::new(&mut card, u32::MAX);
    medium.identify().unwrap();
    format_medium(&mut medium);
    let states: [fn(&mut SpiCard); 5] = [
        |_| {},
        |card| card.busy = 3_000,
        // The crash has come in the middle of a block that is not in use yet, and in the middle of
        // a command.
        |card| card.phase = Phase::Data(4_000 * BLOCK_LEN, vec![7; 100]),
        |card| card.phase = Phase::Command(vec![0x51, 0, 0]),
        // The card has lost its power.
        |card| (card.ready, card.starting) = (false, 50),
    ];
    for (state, number) in states.into_iter().zip(1_u32..) {
        let memory = retained_memory();
        let (region, ring) = cold_boot(&memory);
        ring.append(&line(1), b"the last words").unwrap();
        state(&mut card);
        let (result, outcome) = crash(&mut card, &region, number, 200_000);
        assert_eq!((result, outcome.sequence.get()), (Ok(()), number));
        assert!(outcome.finished(EmergencyStep::LogTail));

        let mut medium = SpiMedium::new(&mut card, u32::MAX);
        let mut device = Polled(&mut medium);
        let scratch = blocks(16);
        let found = now(find_partition(&mut device, "crashlog", &scratch)).unwrap();
        let window = Window::new(device, found.place.first, found.place.blocks).unwrap();
        let mut store = now(Store::mount(window, &found, OPTIONS, &scratch)).unwrap();
        assert_eq!(store.crash_count(), number);
        for sequence in 1..=number {
            let crash = now(store.open_crash(sequence)).unwrap();
            assert_eq!(crash.header.log_record.get(), 1);
        }
    }
    // Without a card, and without time, it ends with the reason.
    let memory = retained_memory();
    let (region, _) = cold_boot(&memory);
    assert_eq!(
        crash(&mut card, &region, 9, 5_000).0,
        Err(EmergencyFailure::Timeout)
    );
    card.removed = true;
    assert_eq!(
        crash(&mut card, &region, 9, 5_000).0,
        Err(EmergencyFailure::NoCard)
    );
}
