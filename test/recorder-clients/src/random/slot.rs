//! The slot, and the card with the log wherever it is.

use drv_sdhci_sim::{SimCard, Simulator};
use fault_matrix::image::{Content, Image};
use fault_matrix::setup::Setup;

/// Serial number of the card without a log.
const OTHER: u32 = 7;

/// The slot, and the card with the log while it is not in the slot.
pub struct Slot {
    sim: Simulator,
    taken_out: Option<SimCard>,
}

impl Slot {
    /// A slot with a formatted card.
    pub fn new(sim: Simulator) -> Self {
        Self {
            sim,
            taken_out: None,
        }
    }

    /// Takes the card out, if there is one.
    pub fn take_out(&mut self) {
        if let Some(mut card) = self.sim.eject() {
            card.power_off();
            if card.serial() != OTHER {
                self.taken_out = Some(card);
            }
        }
    }

    /// Puts the card with the log in, instead of what is there.
    pub fn put_in(&mut self) {
        if let Some(mut card) = self.taken_out.take() {
            card.power_on();
            self.sim.insert(card);
        }
    }

    /// Puts another card into the slot if it is empty.
    pub fn put_in_other(&self) {
        if !self.sim.controller().has_card() {
            self.sim.insert(Setup::BASE.card().with_serial(OTHER));
        }
    }

    /// The blocks of the card with the log.
    pub fn image(&self) -> Image {
        let content = match &self.taken_out {
            Some(card) => card.contents(),
            None => self.sim.card().contents(),
        };
        Image {
            blocks: Setup::BASE.blocks().into(),
            content,
        }
    }

    /// What is on the card with the log.
    pub fn content(&self) -> Content {
        self.image().read_all()
    }
}
