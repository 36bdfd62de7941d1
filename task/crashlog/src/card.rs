//! The hardware: which controller, on which board, and the memory that it shares with us.

use block_device::Block;
use crashlog_retained::Region;
use drv_mmc::emergency::{EmergencyCard, Settings};
use drv_mmc::normal::NormalCard;
use drv_sdhci::emergency::Clock;
use drv_sdhci::normal::NormalController;
use drv_sdhci::{Mmio, Platform};
use userlib::sys_get_timer;

use crate::config;
use crate::events::Events;

/// The card in normal operation.
pub type Normal<'a> = NormalCard<'a, NormalController<'a, Mmio, Board, &'a Events>>;

/// The card in an emergency.
pub type Emergency<'a> = EmergencyCard<'a, Mmio, Board, Ticks>;

/// Polls of the status register before normal operation sleeps until the interrupt: enough for a command without data,
/// which is over sooner than a task switch.
const SPIN: u32 = 16;

/// Milliseconds for the three phases of an emergency write. Together they are below the supervisor's time for the first
/// try, 5/8 of two seconds.
const PREPARE_MS: u32 = 400;
const WRITE_MS: u32 = 600;
const COMPLETE_MS: u32 = 200;

/// Polls of a phase during which the clock does not move, after which it counts as dead. At 50 ns or more for each poll
/// this is at least half a second.
const POLLS_WITHOUT_TIME: u32 = 10_000_000;

/// The blocks of the retained region that are for data on the way.
pub struct Memory<'a> {
    /// Descriptors for the controller.
    pub table: &'a Block,
    /// Registers of the card.
    pub card: &'a Block,
    /// What clients read.
    pub client: &'a Block,
    /// Everything else.
    pub store: &'a [Block],
}

impl<'a> Memory<'a> {
    /// Divides the region's scratch blocks.
    pub fn of(region: &Region<'a>) -> Option<Self> {
        let [table, card, client, store @ ..] = region.scratch() else {
            return None;
        };
        Some(Self {
            table,
            card,
            client,
            store,
        })
    }
}

/// What the board and the system-on-chip decide, from the configuration.
#[derive(Clone, Copy)]
pub struct Board;

impl Platform for Board {
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

/// The kernel's clock.
#[derive(Clone, Copy)]
pub struct Ticks;

impl Clock for Ticks {
    fn now(&self) -> Option<u64> {
        Some(sys_get_timer().now)
    }
}

/// The card for normal operation. To be called once in a life of the task; nobody may have that of [`emergency`] then.
pub fn normal<'a>(memory: &Memory<'a>, events: &'a Events) -> Normal<'a> {
    let controller = NormalController::new(registers(), Board, events, Some(memory.table), SPIN);
    NormalCard::new(controller, memory.card, config::CARD, config::CARD_CACHE)
}

/// The card for an emergency, or for trying one. Nobody may have another then, of [`normal`] or of this function.
pub fn emergency<'a>(memory: &Memory<'a>, minimal: bool) -> Emergency<'a> {
    let settings = Settings {
        first: config::CARD,
        prepare_ms: PREPARE_MS,
        write_ms: WRITE_MS,
        complete_ms: COMPLETE_MS,
        polls_without_time: POLLS_WITHOUT_TIME,
    };
    // The minimal try does without DMA: the first one may have failed because of it.
    let table = (!minimal).then_some(memory.table);
    EmergencyCard::new(registers(), Board, Ticks, (table, memory.card), settings)
}

fn registers() -> Mmio {
    // SAFETY: app.toml gives the controller's page to this task alone, as device memory, readable and writable;
    // `CONTROLLER` is the address of its slot's registers, aligned to 4 bytes (the build script checked that). A life
    // of the task has one `Mmio` at a time: in an emergency, `emergency` is called once; otherwise the self-test calls it,
    // and uses no result of it any more when the next is made, nor when `normal` is called, once.
    unsafe { Mmio::new(config::CONTROLLER) }
}
