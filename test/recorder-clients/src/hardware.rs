//! The hardware: a simulated controller and card, those of this thread.

use block_device::Block;
use drv_mmc::emergency::{EmergencyCard, Settings};
use drv_mmc::normal::NormalCard;
use drv_sdhci::emergency::Clock;
use drv_sdhci::normal::NormalController;
use drv_sdhci::{Platform, Registers};
use drv_sdhci_sim::{SimBoard, Simulator};
use userlib::sys_get_timer;

use crate::events::Events;
use crate::mmc_medium::MmcMedium;
use crate::transfer_blocks::TransferBlocks;
use crate::{config, kernel};

/// The card, as the normal path drives it.
pub type NormalDevice<'a> = NormalCard<'a, NormalController<'a, Simulator, SimBoard, &'a Events>>;

/// The card, as the emergency path drives it. It is in a static, so the simulator is not in it.
pub type EmergencyDevice<'a> = MmcMedium<'a, SlotRegisters, SlotPlatform, KernelClock>;

/// Polls of the status register before the normal path waits for the interrupt. None: it waits
/// wherever it can, so that clients act there.
const SPIN: u32 = 0;

/// Polls of the emergency path during which the time may stay the same. Here it never does.
const POLLS_WITHOUT_TIME: u32 = 1_000_000;

/// Lines between controller and card.
const DATA_LINES: u8 = 4;

/// The registers of the slot.
#[derive(Clone, Copy, Debug)]
pub struct SlotRegisters;

impl Registers for SlotRegisters {
    fn load(&self, offset: u8) -> u32 {
        kernel::simulator().load(offset)
    }

    fn store(&self, offset: u8, value: u32) {
        kernel::simulator().store(offset, value);
    }

    fn barrier(&self) {
        kernel::simulator().barrier();
    }
}

/// The properties of the board.
#[derive(Clone, Copy, Debug)]
pub struct SlotPlatform;

impl Platform for SlotPlatform {
    fn data_lines(&self) -> u8 {
        DATA_LINES
    }

    fn has_card_detect(&self) -> bool {
        true
    }

    fn bus_address(&self, block: &Block) -> Option<u32> {
        kernel::simulator().board(DATA_LINES).bus_address(block)
    }

    fn ramp_ms(&self) -> u16 {
        kernel::simulator().board(DATA_LINES).ramp_ms()
    }

    fn discharge_ms(&self) -> u32 {
        kernel::simulator().board(DATA_LINES).discharge_ms()
    }

    fn power(&self, on: bool) {
        kernel::simulator().board(DATA_LINES).power(on);
    }
}

/// The kernel's time.
#[derive(Clone, Copy, Debug)]
pub struct KernelClock;

impl Clock for KernelClock {
    fn now(&self) -> Option<u64> {
        Some(sys_get_timer().now)
    }
}

/// Makes the driver of the normal path.
pub fn normal_device<'a>(memory: &TransferBlocks<'a>, events: &'a Events) -> NormalDevice<'a> {
    let sim = kernel::simulator();
    let board = sim.board(DATA_LINES);
    let controller = NormalController::new(sim, board, events, Some(memory.table), SPIN);
    NormalCard::new(controller, memory.card, config::CARD, false)
}

/// Makes the driver of the emergency path.
pub fn emergency_device<'a>(
    memory: &TransferBlocks<'a>,
    minimal: bool,
    try_ms: u32,
) -> EmergencyDevice<'a> {
    let settings = Settings {
        first: config::CARD,
        try_ms,
        polls_without_time: POLLS_WITHOUT_TIME,
    };
    let table = (!minimal).then_some(memory.table);
    MmcMedium(EmergencyCard::new(
        SlotRegisters,
        SlotPlatform,
        KernelClock,
        (table, memory.card),
        settings,
    ))
}
