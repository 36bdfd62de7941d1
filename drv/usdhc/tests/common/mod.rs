//! A simulated uSDHC: the registers of the simulated SDHCI controller, in the layout of the manual.
//!
//! It is as strict as the manual where a driver can do something wrong that only a real one would
//! resent: reserved bits, divisors that change while the card is clocked, a command before its
//! MIX_CTRL, an access that is not to one of its registers.

use block_device::Block;
use drv_sdhci::{Platform, Registers};
use drv_sdhci_sim::{SimBoard, SimCard, Simulator};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// The registers that the model keeps itself.
#[derive(Default)]
struct State {
    protocol: Cell<u32>,
    system: Cell<u32>,
    vendor: Cell<u32>,
    mix: Cell<u32>,
    /// MIX_CTRL has been written since the last command.
    mix_is_set: Cell<bool>,
    watermark: Cell<u32>,
    violations: RefCell<Vec<String>>,
}

/// A uSDHC with a card.
#[derive(Clone)]
pub struct Model {
    pub sim: Simulator,
    state: Rc<State>,
}

const FORCE_CLOCK: u32 = 1 << 8;
const TRANSFER_COMPLETE: u32 = 1 << 1;

impl Model {
    pub fn new(card: SimCard) -> Self {
        let sim = Simulator::new(card);
        // Divisors are powers of two; the base clock is not in the capabilities.
        sim.controller().version = 1;
        let state = State::default();
        state.vendor.set(0x2000_7809);
        state.system.set(0x8080_800F);
        Self {
            sim,
            state: Rc::new(state),
        }
    }

    /// What the driver did that it must not do, to the uSDHC or to what is behind it.
    pub fn violations(&self) -> Vec<String> {
        let own = self.state.violations.borrow().clone();
        own.into_iter().chain(self.sim.violations()).collect()
    }

    /// Words at which the buffer port reports that it is ready.
    pub fn watermark(&self) -> u32 {
        self.state.watermark.get()
    }

    fn check(&self, holds: bool, what: &str) {
        if !holds {
            self.state.violations.borrow_mut().push(what.to_owned());
        }
    }

    /// Was the last command one with busy and without data?
    fn is_busy_command(&self) -> bool {
        self.sim.load(0x0C) & (1 << 21 | 3 << 16) == 3 << 16
    }

    /// Clock Control of the simulated controller.
    fn clock(&self, system: u32) -> u32 {
        let clocked = self.state.vendor.get() & FORCE_CLOCK != 0;
        system & 0x000F_FF00 | 1 | if clocked { 4 } else { 0 }
    }

    fn write_system(&self, value: u32) {
        self.check(value & 0xF == 0xF, "SYS_CTRL: bits 3:0 are not ones");
        self.check(value & 1 << 23 != 0, "SYS_CTRL: the card is held in reset");
        self.check(
            value & 0xF870_0000 == 0,
            "SYS_CTRL: reserved bits, or INITA",
        );
        let resets = value & 0x0700_0000;
        let divisors = 0xFFF0;
        if resets & 1 << 24 != 0 {
            self.sim.store(0x2C, 1 << 24);
            self.state.system.set(0x8080_800F);
            self.state.vendor.set(0x2000_7809);
            return;
        }
        if self.state.vendor.get() & FORCE_CLOCK != 0 {
            let same = (value ^ self.state.system.get()) & divisors == 0;
            self.check(same, "SYS_CTRL: divisors change while the card is clocked");
        }
        self.check(
            value >> 4 & 0xF == 1,
            "SYS_CTRL: DVS does not divide by two",
        );
        self.state.system.set(value & !resets);
        self.sim.store(0x2C, self.clock(value) | resets);
    }

    fn write_protocol(&self, value: u32) {
        self.check(value & 0x30 == 0x20, "PROT_CTRL: not little-endian");
        self.check(value & !0x0880_0326 == 0, "PROT_CTRL: reserved bits");
        self.state.protocol.set(value);
        let lines = if value & 1 << 1 != 0 {
            1 << 1
        } else {
            (value & 1 << 2) << 3
        };
        self.sim
            .store(0x28, 0xF << 8 | value >> 8 << 3 & 0x18 | lines);
    }

    fn start(&self, value: u32) {
        self.check(value & 0xFFFF == 0, "CMD_XFR_TYP: reserved bits");
        self.check(self.state.mix_is_set.take(), "CMD_XFR_TYP before MIX_CTRL");
        let mix = self.state.mix.get();
        if value & 1 << 21 != 0 && mix & 1 == 0 {
            let block = (self.sim.load(0x04) & 0x1FFF) / 4;
            let marks = self.watermark();
            let is_block = marks & 0xFF == block && marks >> 16 & 0xFF == block;
            self.check(
                is_block,
                "WTMK_LVL: the buffer port does not wait for a block",
            );
        }
        self.sim.store(0x0C, value | mix & 0x37);
    }
}

impl Registers for Model {
    fn barrier(&self) {
        self.sim.barrier();
    }

    fn load(&self, offset: u8) -> u32 {
        match offset {
            0x0C => self.sim.load(offset) & 0xFFFF_0000,
            0x24 => {
                let present = self.sim.load(offset);
                let stable = self.sim.load(0x2C) >> 1 & 1;
                let off = u32::from(self.state.vendor.get() & FORCE_CLOCK == 0);
                // CDPL is the pin's level, also while CINST is being debounced.
                let bounces = present & 1 << 17 == 0;
                let pin = u32::from(bounces || present & 1 << 16 != 0);
                present & 0x0009_0F07
                    | pin << 18
                    | stable << 3
                    | off << 7
                    | (present >> 24 & 1) << 23
                    | (present >> 20 & 0xF) << 24
            }
            0x28 => self.state.protocol.get(),
            0x2C => self.state.system.get() | self.sim.load(offset) & 0x0700_0000,
            0x30 => {
                let status = self.sim.load(offset);
                let hidden = if self.is_busy_command() {
                    TRANSFER_COMPLETE
                } else {
                    0
                };
                status & 0x017F_01FF & !hidden | (status & 1 << 25) << 3
            }
            0x34 | 0x38 => {
                let enabled = self.sim.load(offset);
                enabled & 0x017F_01FF | (enabled & 1 << 25) << 3
            }
            // ADMA2, high speed, 3.3 V; no base clock, and bits that SDHCI has for other things.
            0x40 => 0x0130_B407,
            0x44 => self.watermark(),
            0x48 => self.state.mix.get(),
            0xC0 => self.state.vendor.get(),
            0x00..=0x23 | 0x3C | 0x54 | 0x58 => self.sim.load(offset),
            _ => {
                self.check(false, &format!("a load at {offset:#x}"));
                0
            }
        }
    }

    fn store(&self, offset: u8, value: u32) {
        match offset {
            0x0C => self.start(value),
            0x28 => self.write_protocol(value),
            0x2C => self.write_system(value),
            0x30 | 0x34 | 0x38 => {
                self.check(value & !0x117F_01FF == 0, "INT_STATUS: reserved bits");
                let mut raw = value & 0x017F_01FF | (value & 1 << 28) >> 3;
                if offset == 0x38 && self.is_busy_command() {
                    raw &= !TRANSFER_COMPLETE;
                }
                self.sim.store(offset, raw);
            }
            0x44 => self.state.watermark.set(value),
            0x48 => {
                self.check(value & 1 << 31 != 0, "MIX_CTRL: bit 31 is not a one");
                self.check(value & 0x7FFF_FF48 == 0, "MIX_CTRL: reserved bits, or DDR");
                self.state.mix.set(value);
                self.state.mix_is_set.set(true);
            }
            0xC0 => {
                self.check(
                    value & !FORCE_CLOCK == 0x2000_7809,
                    "VEND_SPEC: reserved bits, or 1.8 V",
                );
                self.state.vendor.set(value);
                let system = self.state.system.get();
                self.sim.store(0x2C, self.clock(system));
            }
            0x00 | 0x04 | 0x08 | 0x20 | 0x50 | 0x58 => self.sim.store(offset, value),
            _ => self.check(false, &format!("a store at {offset:#x}")),
        }
    }
}

/// The board: that of the simulated slot, which knows the clock.
#[derive(Clone)]
pub struct Board(pub SimBoard);

impl Platform for Board {
    fn base_clock_hz(&self) -> u32 {
        99_000_000
    }
    fn data_lines(&self) -> u8 {
        self.0.data_lines()
    }
    fn bus_address(&self, block: &Block) -> Option<u32> {
        self.0.bus_address(block)
    }
    fn power(&self, on: bool) {
        self.0.power(on);
    }
}
