//! What distinguishes one simulated system from another.

use drv_mmc::normal::Suspended;
use drv_sdhci_sim::{Model, SimBoard, SimCard, Simulator};

/// What distinguishes one system from another.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// The model of the card.
    pub model: Model,
    /// Normal and emergency path move data by ADMA2.
    pub dma: bool,
    /// The deepest suspend that the board allows.
    pub suspend: Suspended,
    /// The card has a volatile cache, and it is used.
    pub cache: bool,
    /// The slot has a card detect signal.
    pub card_detect: bool,
    /// The card (eMMC) has high-priority interrupt, by CMD12 (`true`) or by CMD13 (`false`).
    pub interrupt: Option<bool>,
}

impl Setup {
    /// An eMMC that is addressed by sector, without cache and high-priority interrupt, on a board
    /// that allows no more than to stop the clock; data move by ADMA2.
    pub const BASE: Self = Self {
        model: Model::EmmcSector,
        dma: true,
        suspend: Suspended::ClockOff,
        cache: false,
        card_detect: true,
        interrupt: None,
    };
    /// Data move through the buffer port.
    pub const PIO: Self = Self {
        dma: false,
        ..Self::BASE
    };
    /// A card whose cache is used.
    pub const CACHE: Self = Self {
        cache: true,
        ..Self::BASE
    };
    /// An SD card that is addressed by byte.
    pub const SD: Self = Self {
        model: Model::SdStandard,
        ..Self::BASE
    };
    /// A board on which a suspended card sleeps.
    pub const SLEEP: Self = Self {
        suspend: Suspended::Asleep,
        ..Self::BASE
    };
    /// A board on which a suspended card has no power.
    pub const POWER_CUT: Self = Self {
        suspend: Suspended::PowerOff,
        ..Self::BASE
    };

    /// Capacity, blocks.
    #[must_use]
    pub const fn blocks(&self) -> u32 {
        match self.model {
            Model::EmmcByte | Model::SdStandard => 128 * 1024,
            // As many blocks as a byte address of 32 bits can reach.
            Model::EmmcSector => 8 * 1024 * 1024,
            Model::SdVersion1 => 64 * 1024,
            Model::SdHighCapacity => 16 * 1024 * 1024,
        }
    }

    /// A new card. An eMMC has a sleep state.
    #[must_use]
    pub fn card(&self) -> SimCard {
        let card = SimCard::new(self.model, self.blocks()).with_sleep();
        let card = match self.interrupt {
            Some(by_cmd12) => card.with_interrupt(by_cmd12),
            None => card,
        };
        if self.cache {
            card.with_cache(64)
        } else {
            card
        }
    }

    /// The board.
    #[must_use]
    pub fn board(&self, sim: &Simulator) -> SimBoard {
        let board = sim.board(8);
        let board = match self.suspend {
            Suspended::ClockOff => board,
            Suspended::Asleep => board.with_sleep(),
            Suspended::PowerOff => board.with_power_cut(),
        };
        if self.card_detect {
            board
        } else {
            board.without_card_detect()
        }
    }
}
