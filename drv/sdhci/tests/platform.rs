//! What a platform can override, and when it is asked.

use block_device::Block;
use drv_sdhci::emergency::EmergencyController;
use drv_sdhci::normal::NormalController;
use drv_sdhci::{Bus, Platform, Registers};
use drv_sdhci_sim::{Buffer, Model, SimCard, Simulator};
use std::cell::Cell;

const BUS: Bus = Bus {
    clock_hz: 25_000_000,
    lines: 1,
    high_speed: false,
    dual_rate: false,
};
const ADMA2: u32 = 1 << 19;
const VOLTAGES: u32 = 7 << 24;
const V33: u32 = 1 << 24;
const BASE_CLOCK: u32 = 0xFF << 8;

/// A board that has something to say.
struct Board<'a> {
    sim: &'a Simulator,
    base_clock_hz: u32,
    /// Taken out of the capabilities.
    missing: u32,
    resets: Cell<u32>,
}

impl<'a> Board<'a> {
    fn new(sim: &'a Simulator, base_clock_hz: u32, missing: u32) -> Self {
        Self {
            sim,
            base_clock_hz,
            missing,
            resets: Cell::new(0),
        }
    }
}

impl Platform for Board<'_> {
    fn base_clock_hz(&self) -> u32 {
        self.base_clock_hz
    }

    fn capabilities(&self, reported: u32) -> u32 {
        reported & !self.missing
    }

    fn after_reset(&self) {
        let [clock, power] = [self.sim.load(0x2C), self.sim.load(0x28) & 1 << 8];
        assert_eq!((clock, power), (0, 0), "neither clock nor power are on");
        self.resets.set(self.resets.get() + 1);
    }

    fn bus_address(&self, block: &Block) -> Option<u32> {
        self.sim.board(1).bus_address(block)
    }
}

fn slot(capabilities: impl FnOnce(u32) -> u32) -> (Simulator, Buffer) {
    let sim = Simulator::new(SimCard::new(Model::EmmcSector, 8 * 1024 * 1024));
    let reported = capabilities(sim.controller().capabilities);
    sim.controller().capabilities = reported;
    let table = sim.buffer(1);
    (sim, table)
}

/// Resets the controller by both drivers. Returns the lower half of Clock Control and Host Control
/// after each.
fn reset(sim: &Simulator, table: &Block, board: &Board<'_>) -> [(u32, u32); 2] {
    let state = || (sim.load(0x2C) & 0xFFFF, sim.load(0x28));
    let mut normal = NormalController::new(sim.clone(), board, sim.time(), Some(table), 2);
    sim.block_on(normal.reset(BUS)).expect("reset");
    let first = state();
    let mut emergency =
        EmergencyController::new(sim.clone(), board, sim.time(), Some(table), 1 << 20);
    emergency.begin_try(10_000);
    emergency.begin_phase(0);
    emergency.reset(BUS, 0).expect("reset");
    let dma = (sim.controller().capabilities & !board.missing) & ADMA2 != 0;
    assert_eq!(emergency.uses_dma(), dma);
    [first, state()]
}

/// The lower half of Clock Control for a division by `2 * n`, with all clocks on.
const fn divided(n: u32) -> u32 {
    (n & 0xFF) << 8 | (n >> 8) << 6 | 0b111
}

/// The clock that the capabilities are silent or wrong about.
#[test]
fn the_platform_knows_the_base_clock_better() {
    for (reported, known, n) in [
        (100, 0, 2),
        (0, 100_000_000, 2),
        (50, 200_000_000, 4),
        (200, 50_000_000, 1),
        (0, 0, 0x3FF),
    ] {
        let (sim, table) = slot(|old| old & !BASE_CLOCK | reported << 8);
        sim.controller().version = 2;
        let board = Board::new(&sim, known, 0);
        for (clock, _) in reset(&sim, &table[0], &board) {
            assert_eq!(clock, divided(n), "{reported} MHz, {known} Hz");
        }
        assert_eq!(board.resets.get(), 2);
    }
}

#[test]
fn the_platform_corrects_capabilities() {
    let (sim, table) = slot(|old| old | VOLTAGES);
    let board = Board::new(&sim, 100_000_000, ADMA2 | V33);
    for (_, control) in reset(&sim, &table[0], &board) {
        assert_eq!(control >> 9 & 7, 6, "3.0 V");
    }
}
