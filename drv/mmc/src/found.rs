//! What the emergency path found and did, as plain data that is stored with the crash.

use crate::phase::Phase;
use crate::state::CardState;
use drv_sdhci::emergency::{Observation, Spent};
use drv_sdhci::registers::{
    Blocks, ClockControl, HostControl, Interrupt, PresentState, TransferMode,
};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// State of the controller when the emergency path took it over. The numbers are stored with a
/// crash and never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ControllerState {
    /// Not determined.
    Unknown = 0,
    /// The card has a clock, and nothing is in flight.
    Idle = 1,
    /// The card has power but no clock: suspended, or the bus was being changed.
    ClockOff = 2,
    /// No card in the slot.
    NoCard = 3,
    /// A command was in flight; its data phase, if it has one, had not begun.
    Command = 4,
    /// The data phase of a read was in progress; [`EmergencyReport::mode`] and
    /// [`EmergencyReport::blocks_left`] describe it.
    Reading = 5,
    /// The data phase of a write was in progress; [`EmergencyReport::mode`] and
    /// [`EmergencyReport::blocks_left`] describe it.
    Writing = 6,
    /// The card was busy, or the data circuit hung.
    Busy = 7,
    /// Nothing in flight, and an error in the status that had not been cleared.
    StaleStatus = 8,
    /// A reset was in progress.
    Resetting = 9,
    /// The card has no power: suspended.
    PowerOff = 10,
    /// No driver has set it up since its last reset.
    NeverInitialised = 11,
    /// Nothing in flight, between two commands of an identification.
    Identifying = 12,
}

impl ControllerState {
    /// The state that the registers show. Without `has_card_detect` an empty slot cannot be told
    /// from one with a card.
    #[must_use]
    pub fn of(seen: &Observation, has_card_detect: bool) -> Self {
        let present = seen.present_state;
        let resets = ClockControl::RESET_ALL::SET
            + ClockControl::RESET_COMMAND::SET
            + ClockControl::RESET_DATA::SET;
        if seen.clock_control.any_matching_bits_set(resets) {
            Self::Resetting
        } else if has_card_detect
            && present.is_set(PresentState::CARD_STATE_STABLE)
            && !present.is_set(PresentState::CARD_INSERTED)
        {
            Self::NoCard
        } else if !seen.host_control.is_set(HostControl::BUS_POWER) {
            if seen.status_enable.get() == 0 {
                Self::NeverInitialised
            } else {
                Self::PowerOff
            }
        } else if !seen.clock_control.is_set(ClockControl::SD_CLOCK_ENABLE) {
            Self::ClockOff
        } else if present.is_set(PresentState::READ_ACTIVE) {
            Self::Reading
        } else if present.is_set(PresentState::WRITE_ACTIVE) {
            Self::Writing
        } else if present.is_set(PresentState::COMMAND_INHIBIT) {
            Self::Command
        } else if present.is_set(PresentState::DATA_INHIBIT) {
            Self::Busy
        } else if seen.interrupt_status.is_set(Interrupt::ERROR) {
            Self::StaleStatus
        } else if is_identification(seen) {
            Self::Identifying
        } else {
            Self::Idle
        }
    }
}

/// Whether the last command was one that is sent only during identification.
fn is_identification(seen: &Observation) -> bool {
    // CMD0 to CMD3, CMD8 and CMD9, ACMD41, CMD55; after a reset the register is 0.
    const COMMANDS: u64 = 1 << 55 | 1 << 41 | 3 << 8 | 0xF;
    COMMANDS.wrapping_shr(seen.request.read(TransferMode::INDEX)) & 1 != 0
}

/// Steps that were needed after the first reset, as bits of [`EmergencyReport::steps`].
pub mod step {
    /// The controller needed a second reset.
    pub const RESET_AGAIN: u16 = 1 << 0;
    /// CMD12 ended a transfer of the card.
    pub const STOPPED: u16 = 1 << 1;
    /// CMD7 selected the card.
    pub const SELECTED: u16 = 1 << 2;
    /// The card was busy, and the path waited for it.
    pub const WAITED: u16 = 1 << 3;
    /// A high-priority interrupt was sent.
    pub const INTERRUPTED: u16 = 1 << 4;
    /// The card was identified again, from CMD0 on.
    pub const IDENTIFIED: u16 = 1 << 5;
    /// The card's power was switched off and on.
    pub const POWER_CYCLED: u16 = 1 << 6;
    /// The card is not the one that the path expected.
    pub const OTHER_CARD: u16 = 1 << 7;
    /// The command and data circuits were reset after an error.
    pub const LINES_RESET: u16 = 1 << 8;
    /// Data went through the buffer port because a transfer with DMA had failed.
    pub const DMA_GIVEN_UP: u16 = 1 << 9;
    /// The first phase has succeeded.
    pub const PREPARED: u16 = 1 << 10;
    /// The last phase has succeeded.
    pub const COMPLETED: u16 = 1 << 11;
    /// CMD5 was sent, to wake the card.
    pub const AWOKEN: u16 = 1 << 12;
    /// The clock was made slower, because requests had failed.
    pub const SLOW_CLOCK: u16 = 1 << 13;
    /// What was in the card's cache is lost: the card had to be identified again. Nothing of it was
    /// ever reported durable.
    pub const CACHE_LOST: u16 = 1 << 14;
}

/// Bits of [`EmergencyReport::mode`]: those of the Transfer Mode register.
pub mod mode {
    /// Data moved by ADMA2; if 0, through the buffer port.
    pub const DMA: u8 = 1 << 0;
    /// From the card to the host; if 0, from the host to the card.
    pub const READ: u8 = 1 << 4;
    /// Several blocks.
    pub const MULTIPLE: u8 = 1 << 5;
}

/// How the operation that the card was busy with was ended (K2). The numbers are stored with a
/// crash and never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Drain {
    /// No operation was in progress.
    NotNeeded = 0,
    /// It finished by itself, and the path waited for that.
    Waited = 1,
    /// CMD12 ended a transfer.
    Stopped = 2,
    /// A high-priority interrupt ended it.
    Interrupted = 3,
    /// It did not finish, or the card did not answer: the card was identified again, which aborts
    /// it.
    Abandoned = 4,
    /// It could not be ended: the card is in an unknown state.
    Failed = 5,
}

/// [`EmergencyReport::card_state`] of a card that did not answer.
pub const NO_ANSWER: u8 = 0xFF;
/// [`EmergencyReport::card_state`] of a card that was not asked, because it had never been
/// identified.
pub const NOT_ASKED: u8 = 0xFE;

/// What the emergency path found and did.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct EmergencyReport {
    /// [`ControllerState`] before the first write to a register.
    pub controller: u8,
    /// [`CardState`] at the first answer, or [`NO_ANSWER`], or [`NOT_ASKED`].
    pub card_state: u8,
    /// The last command that the controller was given, 0 to 63; 0 also if none.
    pub command: u8,
    /// How the data of that command moved, if it had any: bits of [`mode`].
    pub mode: u8,
    /// Bits of [`step`].
    pub steps: u16,
    /// Attempts at requests after the first.
    pub retries: u16,
    /// Blocks that remained of a transfer that was interrupted.
    pub blocks_left: u16,
    /// Duration of the three phases by the clock, milliseconds; 65535 means that or more.
    pub phase_ms: [u16; 3],
    /// Polls of the three phases that found nothing yet, in units of 256; 65535 means that or more.
    pub phase_polls: [u16; 3],
    /// [`Drain`], at the end of the first phase.
    pub drain: u8,
    /// Not used; 0.
    pub reserved: u8,
    /// [`crate::Error::code`] of the last error, whether or not a later attempt succeeded; 0 is
    /// none.
    pub last_error: u32,
    /// Present State register before the first write to a register.
    pub present_state: u32,
    /// Normal and Error Interrupt Status registers before the first write to a register.
    pub interrupt_status: u32,
}

impl EmergencyReport {
    pub(crate) fn of(seen: &Observation, has_card_detect: bool) -> Self {
        Self {
            controller: ControllerState::of(seen, has_card_detect) as u8,
            card_state: NOT_ASKED,
            command: seen.request.read(TransferMode::INDEX) as u8,
            mode: seen.request.get() as u8,
            blocks_left: seen.blocks.read(Blocks::COUNT) as u16,
            present_state: seen.present_state.get(),
            interrupt_status: seen.interrupt_status.get(),
            ..Self::default()
        }
    }

    /// Whether the card had supply and clock from a controller that was not in reset: only then can
    /// the card be asked without a reset of the controller.
    pub(crate) const fn is_bus_on(&self) -> bool {
        const OFF: u32 = 1 << ControllerState::Unknown as u8
            | 1 << ControllerState::ClockOff as u8
            | 1 << ControllerState::NoCard as u8
            | 1 << ControllerState::Resetting as u8
            | 1 << ControllerState::PowerOff as u8
            | 1 << ControllerState::NeverInitialised as u8;
        OFF.wrapping_shr(self.controller as u32) & 1 == 0
    }

    pub(crate) fn note_card_state(&mut self, state: Option<CardState>) {
        self.card_state = state.map_or(NO_ANSWER, |state| state as u8);
    }

    pub(crate) fn note_phase(&mut self, phase: Phase, spent: Spent) {
        let index = (phase as usize).wrapping_sub(1);
        let limited = |value: u32| u16::try_from(value).unwrap_or(u16::MAX);
        if let (Some(ms), Some(polls)) = (
            self.phase_ms.get_mut(index),
            self.phase_polls.get_mut(index),
        ) {
            *ms = limited(spent.ms);
            *polls = limited(spent.polls / 256);
        }
    }

    /// Sets [`EmergencyReport::drain`] from the steps that were needed. To be called at the end of
    /// the first phase.
    pub(crate) fn note_drain(&mut self) {
        let did = |step: u16| self.steps & step != 0;
        let drain = if !did(step::PREPARED) {
            Drain::Failed
        } else if self.card_state == NOT_ASKED {
            Drain::NotNeeded
        } else if did(step::IDENTIFIED) {
            Drain::Abandoned
        } else if did(step::INTERRUPTED) {
            Drain::Interrupted
        } else if did(step::STOPPED) {
            Drain::Stopped
        } else if did(step::WAITED) {
            Drain::Waited
        } else {
            Drain::NotNeeded
        };
        self.drain = drain as u8;
    }
}
