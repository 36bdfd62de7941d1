//! A simulated slot, both drivers for it, and data to move.
#![allow(dead_code, reason = "each test binary uses its own part")]

use block_device::PolledDevice;
use drv_mmc::emergency::{EmergencyCard, PhaseFailure, Settings};
use drv_mmc::normal::{NormalCard, Suspended};
use drv_mmc::{CardKind, CardLocation, EmergencyReport, Error};
use drv_sdhci::ErrorKind;
use drv_sdhci::normal::NormalController;
use drv_sdhci_sim::{Buffer, Model, SimBoard, SimCard, SimCardState, SimTime, Simulator};

/// Every kind of card, with a capacity for it.
pub const MODELS: [(Model, u32); 5] = [
    (Model::EmmcByte, 128 * 1024),
    (Model::EmmcSector, 8 * 1024 * 1024),
    (Model::SdVersion1, 64 * 1024),
    (Model::SdStandard, 128 * 1024),
    (Model::SdHighCapacity, 16 * 1024 * 1024),
];

pub const SETTINGS: Settings = Settings {
    first: CardKind::Emmc,
    try_ms: 1_900,
    polls_without_time: 1 << 19,
};

/// A card as the normal path uses it, in a simulated slot.
pub type SimNormalCard<'a> = NormalCard<'a, NormalController<'a, Simulator, SimBoard, SimTime>>;
/// A card as the emergency path uses it, in a simulated slot.
pub type SimEmergencyCard<'a> = EmergencyCard<'a, Simulator, SimBoard, SimTime>;

/// A slot, and buffers that its DMA can reach.
pub struct Bench {
    pub sim: Simulator,
    pub table: Buffer,
    pub scratch: Buffer,
    pub data: Buffer,
    pub back: Buffer,
    pub lines: u8,
    /// The deepest suspend that the board allows.
    pub suspend: Suspended,
}

impl Bench {
    pub fn new(card: SimCard) -> Self {
        let sim = Simulator::new(card);
        let [table, scratch] = [sim.buffer(1), sim.buffer(1)];
        let [data, back] = [sim.buffer(200), sim.buffer(200)];
        Self {
            sim,
            table,
            scratch,
            data,
            back,
            lines: 8,
            suspend: Suspended::ClockOff,
        }
    }

    pub fn of(model: Model, blocks: u32) -> Self {
        Self::new(SimCard::new(model, blocks))
    }

    pub fn emmc() -> Self {
        Self::of(Model::EmmcSector, 8 * 1024 * 1024)
    }

    pub fn board(&self) -> SimBoard {
        let board = self.sim.board(self.lines);
        match self.suspend {
            Suspended::ClockOff => board,
            Suspended::Asleep => board.with_sleep(),
            Suspended::PowerOff => board.with_power_cut(),
        }
    }

    /// The driver of the normal path.
    pub fn card(&self, dma: bool) -> SimNormalCard<'_> {
        self.card_with_cache(dma, false)
    }

    pub fn card_with_cache(&self, dma: bool, cache: bool) -> SimNormalCard<'_> {
        let table = dma.then_some(&self.table[0]);
        let board = self.board();
        let host = NormalController::new(self.sim.clone(), board, self.sim.time(), table, 4);
        NormalCard::new(host, &self.scratch[0], CardKind::Emmc, cache)
    }

    /// The driver of the emergency path.
    pub fn emergency(&self, dma: bool) -> SimEmergencyCard<'_> {
        self.emergency_with(dma, SETTINGS)
    }

    pub fn emergency_with(&self, dma: bool, settings: Settings) -> SimEmergencyCard<'_> {
        let memory = (dma.then_some(&self.table[0]), &self.scratch[0]);
        let board = self.board();
        EmergencyCard::new(self.sim.clone(), board, self.sim.time(), memory, settings)
    }

    /// Identifies the card by the normal path, and returns its location.
    pub fn identified(&self) -> CardLocation {
        let mut card = self.card(true);
        self.sim
            .block_on(card.identify())
            .expect("the card is identified");
        *card.location()
    }

    /// Fills the first `blocks` blocks of the data with a pattern that depends on `seed`.
    pub fn fill(&self, seed: u32, blocks: usize) {
        for (number, block) in self.data[..blocks].iter().enumerate() {
            for word in 0..128 {
                block.set_word(word, pattern(seed, number, word));
            }
        }
    }

    /// Whether the card holds the data at `first`.
    pub fn holds(&self, first: u32, blocks: usize) -> bool {
        let card = self.sim.card();
        self.data[..blocks]
            .iter()
            .zip(first..)
            .all(|(block, number)| {
                let stored = card.block(number);
                (0..128).all(|word| block.word(word) == stored[word])
            })
    }

    /// Whether the first blocks of `back` are the data.
    pub fn same(&self, blocks: usize) -> bool {
        let pairs = self.data[..blocks].iter().zip(&self.back[..blocks]);
        pairs
            .into_iter()
            .all(|(a, b)| (0..128).all(|word| a.word(word) == b.word(word)))
    }

    pub fn wipe(&self) {
        self.back.iter().for_each(|block| block.fill(0xDEAD_DEAD));
    }

    /// Checks that the driver has not misused the hardware.
    pub fn assert_clean(&self) {
        assert_eq!(self.sim.violations(), Vec::<String>::new());
    }
}

fn pattern(seed: u32, number: usize, word: usize) -> u32 {
    let number = u32::try_from(number).expect("few blocks");
    let word = u32::try_from(word).expect("few words");
    seed.wrapping_mul(0x9E37_79B9) ^ number << 16 ^ word
}

/// An error of the controller.
pub fn host(kind: ErrorKind, command: u8) -> Error {
    Error::Host(drv_sdhci::Error { kind, command })
}

/// Writes a crash as the recorder does: log tail, header and body, commit.
pub fn write_crash(
    card: &mut SimEmergencyCard<'_>,
    bench: &Bench,
) -> Result<EmergencyReport, PhaseFailure> {
    card.write(400, &bench.data[..9])?;
    card.flush()?;
    card.write(500, &bench.data[9..11])?;
    card.flush()?;
    card.write_reliable(600, &bench.data[11])?;
    card.complete()
}

pub fn crash_is_there(bench: &Bench) -> bool {
    let card = bench.sim.card();
    let places = (400..409).chain(500..502).chain([600]);
    card.volatile_blocks() == 0
        && bench.data.iter().zip(places).all(|(block, place)| {
            let stored = card.block(place);
            (0..128).all(|word| block.word(word) == stored[word])
        })
}

/// Runs the emergency path: prepares and writes a crash. Both must succeed, within the time that
/// the settings allow.
pub fn rescue(bench: &Bench, location: &CardLocation, dma: bool, what: &str) -> EmergencyReport {
    bench.fill(0xC0FFEE, 12);
    let start = bench.sim.now_us();
    let mut card = bench.emergency(dma);
    let prepared = card.prepare(location);
    assert!(prepared.is_ok(), "{what}: {prepared:?} {:?}", card.report());
    let written = write_crash(&mut card, bench);
    assert!(written.is_ok(), "{what}: {written:?} {:?}", card.report());
    assert!(crash_is_there(bench), "{what}: {:?}", card.report());
    assert_eq!(bench.sim.card().state(), SimCardState::Transfer, "{what}");
    assert!(
        !bench.sim.controller().signals_enabled(),
        "{what}: an interrupt signal is enabled"
    );
    let took_ms = (bench.sim.now_us() - start) / 1000;
    assert!(
        took_ms < u64::from(SETTINGS.try_ms),
        "{what}: took {took_ms} ms"
    );
    card.report()
}
