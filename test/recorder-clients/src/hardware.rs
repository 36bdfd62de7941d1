//! The hardware: a simulated controller with a card.

use drv_mmc::normal::NormalCard;
use drv_sdhci::normal::NormalController;
use drv_sdhci_sim::{SimBoard, Simulator};

use crate::events::Events;
use crate::transfer_blocks::TransferBlocks;
use crate::{config, kernel};

/// The card, as the normal path drives it.
pub type NormalDevice<'a> = NormalCard<'a, NormalController<'a, Simulator, SimBoard, &'a Events>>;

/// Polls of the status register before the normal path waits for the interrupt. None: it waits
/// wherever it can, so that clients act there.
const SPIN: u32 = 0;

/// Makes the driver of the normal path.
pub fn normal_device<'a>(memory: &TransferBlocks<'a>, events: &'a Events) -> NormalDevice<'a> {
    let sim = kernel::simulator();
    let board = sim.board(4);
    let controller = NormalController::new(sim, board, events, Some(memory.table), SPIN);
    NormalCard::new(controller, memory.card, config::CARD, false)
}
