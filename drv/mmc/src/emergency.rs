//! A card as the emergency path uses it: a [`PolledDevice`] with a request path of its own.
//!
//! # Theory of operation
//!
//! The system has crashed, perhaps in the middle of a transfer, perhaps in the driver. Nothing is
//! known of controller and card but the [`CardLocation`] that the normal path left behind, and that
//! may be wrong. The path has three phases, each with a deadline of its own:
//!
//! 1. [`EmergencyCard::prepare`] records what the registers say. Then it resets the controller's
//!    command and data circuits, which ends DMA as well, asks the card for its state and brings it
//!    back to transfer state by the card's own protocol: a transfer in flight is ended by CMD12
//!    ([`crate::recover`]). If the card does not answer, or does not come back, the whole
//!    controller is reset and the card asked once more; then it is identified from power-on
//!    ([`crate::identify`]), over a slow and narrow bus.
//! 2. Writing, and reading where the caller has to find its place first. A request is one command
//!    with its data by ADMA2, then CMD13 until the card is back in transfer state. A request that
//!    fails is repeated through the buffer port, after recovery; then after a new identification,
//!    over one line; then after a power cycle and with a slower clock, until the time is up.
//! 3. [`EmergencyCard::complete`] flushes the cache, if there is one, and asks the card a last time
//!    whether it is in transfer state.
//!
//! All of the time is used: a card that is busy is waited for until only a reserve for the steps
//! after it is left. The limits that the specifications give, or EXT_CSD (GENERIC_CMD6_TIME,
//! PARTITION_SWITCH_TIME), are therefore not looked at.
//!
//! [`EmergencyCard::report`] tells at any time what was found and done.
//!
//! No interrupt, no lock, no heap, no recursion, no panic; every wait is bounded (see
//! [`drv_sdhci::emergency`]). With the normal path it shares only what does no I/O: constants,
//! procedures, the choice of commands for a transfer.

mod end_transfer;
mod identify;
mod run;

pub use crate::phase::{Phase, PhaseFailure, Settings};

use crate::error::Error;
use crate::found::{EmergencyReport, step};
use crate::location::{CardLocation, flag};
use crate::proto::{self, ext_csd, status};
use crate::state::{CardState, StatusError, is_ready};
use crate::transfer_commands::{TransferCommands, explain};
use block_device::{Block, PolledDevice};
use drv_sdhci::adma2::MAX_BLOCKS;
use drv_sdhci::emergency::{Clock, EmergencyController, WaitLimit};
use drv_sdhci::registers::HostControl;
use drv_sdhci::{BlockLen, Data, Direction, Platform, Registers};

/// Attempts at a request at most; the time is up before. The first, one after recovery, one after a
/// new identification, and the others each after a power cycle.
const ATTEMPTS: u8 = 250;

/// The clock after a power cycle, Hz: a tenth of the highest that every card has.
const SLOW_CLOCK_HZ: u32 = 2_500_000;

/// How long a card may be busy after a write before the phase's reserve is looked at, milliseconds.
const BUSY_LIMIT_MS: u32 = 500;

/// A card, used by the emergency path.
#[derive(Debug)]
pub struct EmergencyCard<'a, R, P, C> {
    controller: EmergencyController<'a, R, P, C>,
    /// For registers of the card that are read as data.
    scratch: &'a Block,
    settings: Settings,
    location: CardLocation,
    report: EmergencyReport,
    phase: Phase,
    /// Data are in the card's volatile cache.
    unflushed: bool,
}

impl<'a, R: Registers, P: Platform, C: Clock> EmergencyCard<'a, R, P, C> {
    /// Takes over the slot; accesses no register yet.
    ///
    /// `memory` is a table for descriptors, without which all data go through the buffer port, and
    /// a scratch block.
    pub fn new(
        registers: R,
        platform: P,
        clock: C,
        memory: (Option<&'a Block>, &'a Block),
        settings: Settings,
    ) -> Self {
        let (table, scratch) = memory;
        let polls = settings.polls_without_time;
        Self {
            controller: EmergencyController::new(registers, platform, clock, table, polls),
            scratch,
            settings,
            location: CardLocation::default(),
            report: EmergencyReport::default(),
            phase: Phase::Prepare,
            unflushed: false,
        }
    }

    /// First phase: ends whatever is in flight, and brings controller and card to where requests
    /// work.
    ///
    /// `location` is what the caller knows about the card. If another card is found, the report has
    /// [`step::OTHER_CARD`]: what the caller knows about its content is then wrong.
    ///
    /// # Errors
    /// [`Phase::Prepare`], and the error of the last step that was tried.
    pub fn prepare(&mut self, location: &CardLocation) -> Result<EmergencyReport, PhaseFailure> {
        let seen = self.controller.observe();
        let has_card_detect = self.controller.platform().has_card_detect();
        self.report = EmergencyReport::of(&seen, has_card_detect);
        self.location = *location;
        // The crash came in the middle of an identification, and the card has not been told to use
        // the faster timing.
        let host = seen.host_control;
        if host.is_set(HostControl::BUS_POWER) && !host.is_set(HostControl::HIGH_SPEED) {
            self.location.set(flag::HIGH_SPEED | flag::DUAL_RATE, false);
        }
        self.unflushed = location.has(flag::CACHE);
        self.controller.begin_try(self.settings.try_ms);
        self.begin_phase(Phase::Prepare);
        let result = self.end_transfer().map_err(|error| self.fail(error));
        if result.is_ok() {
            self.report.steps |= step::PREPARED;
        }
        self.report.note_drain();
        result?;
        self.begin_phase(Phase::Write);
        Ok(self.report())
    }

    /// Last phase: makes everything durable and leaves the card in transfer state.
    ///
    /// # Errors
    /// [`Phase::Complete`], and the error.
    pub fn complete(&mut self) -> Result<EmergencyReport, PhaseFailure> {
        self.begin_phase(Phase::Complete);
        self.flush_all().map_err(|error| self.fail(error))?;
        self.check_final_state().map_err(|error| self.fail(error))?;
        self.report.steps |= step::COMPLETED;
        Ok(self.report())
    }

    /// Begins the second phase once more after the last one, for what is written when the caller's
    /// most important data are durable. `try_ms` is the time for it and for [`Self::complete`],
    /// which ends it, too.
    pub fn write_again(&mut self, try_ms: u32) {
        let spent = self.controller.begin_phase(Phase::Complete.later());
        self.report.note_phase(self.phase, spent);
        self.controller.begin_try(try_ms);
        self.phase = Phase::Write;
        self.controller.begin_phase(Phase::Write.later());
    }

    /// What was found and done up to now.
    pub fn report(&self) -> EmergencyReport {
        let mut report = self.report;
        report.note_phase(self.phase, self.controller.spent());
        report
    }

    /// The location of the card: the one that was given, or that of the last identification.
    pub fn location(&self) -> &CardLocation {
        &self.location
    }

    fn begin_phase(&mut self, phase: Phase) {
        let before = core::mem::replace(&mut self.phase, phase);
        let spent = self.controller.begin_phase(phase.later());
        self.report.note_phase(before, spent);
    }

    fn note(&mut self, error: Error) -> Error {
        self.report.last_error = error.code();
        error
    }

    fn fail(&mut self, error: Error) -> PhaseFailure {
        // The error that used up the time is of more use than that the time is used up.
        if error != Error::Deadline || self.report.last_error == 0 {
            self.note(error);
        }
        PhaseFailure {
            phase: self.phase,
            error,
        }
    }

    /// Prepares attempt number `attempt + 1` at a request that failed, each time by other means.
    fn repair(&mut self, attempt: u8) -> Result<(), Error> {
        self.report.retries = self.report.retries.saturating_add(1);
        self.give_up_dma();
        if attempt == 1 {
            let result = match self.reset_lines() {
                Ok(()) => self.recover(false),
                Err(error) => Err(error),
            };
            match result {
                Ok(()) => return Ok(()),
                Err(error) => self.continue_after(error)?,
            }
        }
        let before = self.location.cid;
        self.location.lines = 1;
        if attempt > 2 {
            self.report.steps |= step::SLOW_CLOCK;
            self.controller.limit_clock(SLOW_CLOCK_HZ);
            self.cycle_power(attempt)?;
        } else {
            self.reset(0)?;
        }
        self.identify()?;
        // The data belong on the card that was there when this path began.
        if self.location.cid != before {
            self.report.steps &= !step::PREPARED;
            return Err(Error::OtherCard);
        }
        // What was in the cache may be lost, so a later flush must not report it durable.
        if self.unflushed {
            self.report.steps |= step::CACHE_LOST;
            Err(Error::CacheLost)
        } else {
            Ok(())
        }
    }

    /// Moves data through the buffer port from now on: DMA may be what has failed.
    fn give_up_dma(&mut self) {
        if self.controller.uses_dma() {
            self.report.steps |= step::DMA_GIVEN_UP;
            self.controller.give_up_dma();
        }
    }

    /// Recovers the card after the last attempt at a request: the next request may still succeed.
    fn recover_after_failure(&mut self) {
        if self.reset_lines().is_ok()
            && let Err(error) = self.recover(false)
        {
            let _ = self.continue_after(error);
        }
    }

    fn transfer(
        &mut self,
        direction: Direction,
        first: u64,
        blocks: &[Block],
        reliable: bool,
    ) -> Result<(), Error> {
        if self.report.steps & step::PREPARED == 0 {
            return Err(Error::NotReady);
        }
        if self.location.address(first, blocks.len()).is_none() {
            return Err(Error::OutOfBounds);
        }
        if direction == Direction::Write && self.location.has(flag::READ_ONLY) {
            return Err(Error::ReadOnly);
        }
        let mut first = first;
        for part in blocks.chunks(MAX_BLOCKS) {
            let mut attempt = 1;
            while let Err(error) = self.transfer_part(direction, first, part, reliable) {
                let mut result = self.continue_after(error);
                if result.is_err() || attempt >= ATTEMPTS {
                    self.recover_after_failure();
                    return result.and(Err(error));
                }
                // A repair that fails is one of the attempts.
                loop {
                    result = self.repair(attempt);
                    attempt = attempt.saturating_add(1);
                    let Err(error) = result else { break };
                    self.continue_after(error)?;
                    if attempt >= ATTEMPTS {
                        return Err(error);
                    }
                }
                self.controller.set_failures(attempt.saturating_sub(1));
            }
            self.controller.set_failures(0);
            first = first.saturating_add(part.len() as u64);
        }
        Ok(())
    }

    fn transfer_part(
        &mut self,
        direction: Direction,
        first: u64,
        blocks: &[Block],
        reliable: bool,
    ) -> Result<(), Error> {
        let card = &self.location;
        let address = card
            .address(first, blocks.len())
            .ok_or(Error::OutOfBounds)?;
        let commands =
            TransferCommands::new(card, direction, address, blocks.len(), reliable, false);
        if let Some(announce) = &commands.announce {
            self.controller.command(announce)?;
        }
        let data = Data {
            direction,
            blocks,
            block_len: BlockLen::FULL,
            multiple: commands.multiple,
            auto: commands.auto,
        };
        if let Err(error) = self.controller.transfer(&commands.command, &data) {
            return Err(explain(error, self.controller.response()));
        }
        if direction == Direction::Write {
            self.unflushed |= self.location.has(flag::CACHE);
            self.wait_ready(commands.command.index)?;
        }
        Ok(())
    }

    /// Polls the card's status until it is in transfer state and ready for data, so that it has
    /// finished what `command` started.
    fn wait_ready(&mut self, command: u8) -> Result<(), Error> {
        let ask = proto::send_status(self.location.rca);
        let mut limit = WaitLimit::new(BUSY_LIMIT_MS);
        loop {
            let card_status = self.controller.command(&ask)?;
            if let Some(error) = StatusError::decode(card_status, status::errors_of(command)) {
                return Err(Error::Card { error, command });
            }
            if is_ready(card_status) {
                return Ok(());
            }
            match CardState::of(card_status) {
                CardState::Transfer | CardState::Programming => {}
                _ => return Err(Error::Lost),
            }
            if self.controller.busy_expired(&mut limit) {
                return Err(Error::Busy);
            }
        }
    }

    fn flush_all(&mut self) -> Result<(), Error> {
        if self.report.steps & step::PREPARED == 0 {
            return Err(Error::NotReady);
        }
        if !self.unflushed {
            return Ok(());
        }
        let mut attempt: u8 = 1;
        while let Err(error) = self.flush_once() {
            self.continue_after(error)?;
            if attempt >= ATTEMPTS {
                return Err(error);
            }
            attempt = attempt.saturating_add(1);
            self.report.retries = self.report.retries.saturating_add(1);
            // Recovery only: a new identification loses the cache.
            self.reset_lines()?;
            self.recover(false)?;
        }
        self.unflushed = false;
        Ok(())
    }

    fn flush_once(&mut self) -> Result<(), Error> {
        self.controller
            .command(&proto::switch(ext_csd::FLUSH_CACHE, 1))?;
        self.wait_ready(6)
    }

    /// Asks the card a last time whether it is in transfer state and has no error.
    fn check_final_state(&mut self) -> Result<(), Error> {
        if let Err(error) = self.wait_ready(13) {
            self.continue_after(error)?;
            self.reset_lines()?;
            self.recover(false)?;
        }
        Ok(())
    }
}

impl<R: Registers, P: Platform, C: Clock> PolledDevice for EmergencyCard<'_, R, P, C> {
    type Error = PhaseFailure;

    fn block_count(&self) -> u64 {
        self.location.blocks.into()
    }

    fn read(&mut self, first: u64, blocks: &[Block]) -> Result<(), PhaseFailure> {
        self.transfer(Direction::Read, first, blocks, false)
            .map_err(|error| self.fail(error))
    }

    fn write(&mut self, first: u64, blocks: &[Block]) -> Result<(), PhaseFailure> {
        self.transfer(Direction::Write, first, blocks, false)
            .map_err(|error| self.fail(error))
    }

    fn write_reliable(&mut self, block: u64, data: &Block) -> Result<(), PhaseFailure> {
        self.transfer(Direction::Write, block, core::slice::from_ref(data), true)
            .map_err(|error| self.fail(error))
    }

    /// Flushes the card's volatile cache, if that is on and not empty. Without it a write is
    /// durable when it ends, because it ends after programming.
    fn flush(&mut self) -> Result<(), PhaseFailure> {
        self.flush_all().map_err(|error| self.fail(error))
    }
}
