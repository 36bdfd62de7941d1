//! What the emergency path found, did and saw, as plain data for the crash record.

use crate::state::CardState;
use drv_sdhci::polled::Observation;
use drv_sdhci::registers::{Blocks, ClockControl, PresentState};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// State of the controller when the emergency path took it over. The numbers are recorded and never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ControllerState {
    /// Nobody looked.
    Unknown = 0,
    /// Clocked, and doing nothing.
    Idle = 1,
    /// The card was not clocked: never initialised, or suspended.
    Off = 2,
    /// No card in the slot.
    NoCard = 3,
    /// A command without data was in flight.
    Command = 4,
    /// The data phase of a read was going on.
    Reading = 5,
    /// The data phase of a write was going on.
    Writing = 6,
    /// The card was busy, or the data circuit hung.
    Busy = 7,
    /// Doing nothing, with a status that nobody had cleared.
    StaleStatus = 8,
    /// In the middle of a reset.
    Resetting = 9,
}

impl ControllerState {
    /// What the registers tell.
    #[must_use]
    pub fn of(seen: &Observation) -> Self {
        let present = seen.present_state;
        let resets = ClockControl::RESET_ALL::SET
            + ClockControl::RESET_COMMAND::SET
            + ClockControl::RESET_DATA::SET;
        if seen.clock_control.any_matching_bits_set(resets) {
            Self::Resetting
        } else if !present.is_set(PresentState::CARD_INSERTED) {
            Self::NoCard
        } else if !seen.clock_control.is_set(ClockControl::SD_CLOCK_ENABLE) {
            Self::Off
        } else if present.is_set(PresentState::READ_ACTIVE) {
            Self::Reading
        } else if present.is_set(PresentState::WRITE_ACTIVE) {
            Self::Writing
        } else if present.is_set(PresentState::COMMAND_INHIBIT) {
            Self::Command
        } else if present.is_set(PresentState::DATA_INHIBIT) {
            Self::Busy
        } else if seen.interrupt_status.get() != 0 {
            Self::StaleStatus
        } else {
            Self::Idle
        }
    }
}

/// Steps that were needed beside the reset, as bits of [`Found::steps`].
pub mod step {
    /// The controller needed a second reset.
    pub const RESET_AGAIN: u16 = 1 << 0;
    /// CMD12 ended a transfer of the card.
    pub const STOPPED: u16 = 1 << 1;
    /// CMD7 selected the card.
    pub const SELECTED: u16 = 1 << 2;
    /// The card was busy, and was waited for.
    pub const WAITED: u16 = 1 << 3;
    /// A high-priority interrupt was sent.
    pub const INTERRUPTED: u16 = 1 << 4;
    /// The card was identified anew.
    pub const IDENTIFIED: u16 = 1 << 5;
    /// The card's power was switched off and on.
    pub const POWER_CYCLED: u16 = 1 << 6;
    /// The card is another one than before.
    pub const OTHER_CARD: u16 = 1 << 7;
    /// The command and data circuits were reset after an error.
    pub const LINES_RESET: u16 = 1 << 8;
    /// Data went through the buffer port because a transfer by DMA had failed.
    pub const DMA_GIVEN_UP: u16 = 1 << 9;
    /// Preparing has ended well.
    pub const PREPARED: u16 = 1 << 10;
    /// Completing has ended well.
    pub const COMPLETED: u16 = 1 << 11;
}

/// [`Found::card_state`] of a card that did not answer.
pub const NO_ANSWER: u8 = 0xFF;
/// [`Found::card_state`] when nobody asked, because the card had never been identified.
pub const NOT_ASKED: u8 = 0xFE;

/// What the emergency path found, did and saw.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Found {
    /// [`ControllerState`] before anything was touched.
    pub controller: u8,
    /// [`CardState`] at the first answer, or [`NO_ANSWER`], or [`NOT_ASKED`].
    pub card_state: u8,
    /// Bits of [`step`].
    pub steps: u16,
    /// Requests that were tried again.
    pub retries: u16,
    /// Blocks that were left of a transfer that was cut off.
    pub blocks_left: u16,
    /// [`crate::Error::code`] of the last error, whether or not it could be repaired; 0 is none.
    pub last_error: u32,
    /// Present State register before anything was touched.
    pub present_state: u32,
    /// Normal and Error Interrupt Status registers before anything was touched.
    pub interrupt_status: u32,
}

impl Found {
    pub(crate) fn of(seen: &Observation) -> Self {
        Self {
            controller: ControllerState::of(seen) as u8,
            card_state: NOT_ASKED,
            blocks_left: seen.blocks.read(Blocks::COUNT) as u16,
            present_state: seen.present_state.get(),
            interrupt_status: seen.interrupt_status.get(),
            ..Self::default()
        }
    }

    pub(crate) fn saw(&mut self, state: Option<CardState>) {
        self.card_state = state.map_or(NO_ANSWER, |state| state as u8);
    }
}
