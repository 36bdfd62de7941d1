//! The hardware: controller, and configuration of the board.
//!
//! Both paths make their drivers here, from the same registers. At most one of these drivers is in
//! use at any time; see [`registers`].

use drv_mmc::emergency::{EmergencyCard, Settings};
use drv_mmc::normal::NormalCard;
use drv_sdhci::emergency::Clock;
use drv_sdhci::normal::NormalController;
use drv_sdhci::{Mmio, Platform};
use userlib::sys_get_timer;

use crate::config::{self, ControllerRegisters};
use crate::events::Events;
use crate::mmc_medium::MmcMedium;
use crate::transfer_blocks::TransferBlocks;

/// The card, as the normal path drives it.
pub type NormalDevice<'a> =
    NormalCard<'a, NormalController<'a, ControllerRegisters, ConfiguredPlatform, &'a Events>>;

/// The card, as the emergency path drives it.
pub type EmergencyDevice<'a> = MmcMedium<'a, ControllerRegisters, ConfiguredPlatform, KernelClock>;

/// Polls of the status register before the normal path waits for the interrupt. It is enough for a
/// command without data, which completes sooner than a task switch.
const SPIN: u32 = 16;

/// Polls during which the kernel's time may stay the same before the clock counts as stopped. At 50
/// ns or more for each poll this is at least half a second.
const POLLS_WITHOUT_TIME: u32 = 10_000_000;

/// The properties of board and chip, from the task's configuration.
#[derive(Clone, Copy)]
pub struct ConfiguredPlatform;

impl Platform for ConfiguredPlatform {
    fn base_clock_hz(&self) -> u32 {
        const { config::BASE_CLOCK_KHZ.saturating_mul(1000) }
    }

    fn max_clock_hz(&self) -> u32 {
        const { config::MAX_CLOCK_KHZ.saturating_mul(1000) }
    }

    fn data_lines(&self) -> u8 {
        config::DATA_LINES
    }

    fn has_card_detect(&self) -> bool {
        config::CARD_DETECT
    }

    fn may_cut_power(&self) -> bool {
        config::CUT_POWER
    }

    fn card_wakes(&self) -> bool {
        config::CARD_WAKES
    }
}

/// The kernel's time.
#[derive(Clone, Copy)]
pub struct KernelClock;

impl Clock for KernelClock {
    fn now(&self) -> Option<u64> {
        Some(sys_get_timer().now)
    }
}

/// Makes the driver of the normal path. It is called once between two starts of the task, and no
/// driver of [`emergency_device`] may be in use then.
pub fn normal_device<'a>(memory: &TransferBlocks<'a>, events: &'a Events) -> NormalDevice<'a> {
    let controller = NormalController::new(
        registers(),
        ConfiguredPlatform,
        events,
        Some(memory.table),
        SPIN,
    );
    NormalCard::new(controller, memory.card, config::CARD, config::CARD_CACHE)
}

/// Makes the driver of the emergency path, for an emergency or for the self-test. No other driver
/// may be in use then. It has `try_ms` milliseconds. A `minimal` attempt does without DMA.
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
    // The attempt before a minimal one may have failed because of DMA.
    let table = (!minimal).then_some(memory.table);
    MmcMedium(EmergencyCard::new(
        registers(),
        ConfiguredPlatform,
        KernelClock,
        (table, memory.card),
        settings,
    ))
}

/// The controller's registers.
fn registers() -> ControllerRegisters {
    // SAFETY: app.toml gives the controller's page to this task alone, as device memory, readable
    // and writable. `CONTROLLER` is the address of the slot's registers, aligned to 4 bytes
    // (checked by the build script). At most one `Mmio` is in use at a time: an emergency calls
    // `emergency_device` once. Otherwise the self-test calls it twice, and uses the first result no
    // longer when it makes the second, nor the second when the normal path begins, which calls
    // `normal_device` once.
    let memory = unsafe { Mmio::new(config::CONTROLLER) };
    config::CONTROLLER_REGISTERS(memory)
}
