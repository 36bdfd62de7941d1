//! A card in the emergency: a [`PolledDevice`], with a request path of its own.
//!
//! # Theory of operation
//!
//! Something has crashed, perhaps in the middle of a transfer, perhaps in the driver. Nothing is known of controller
//! and card but the [`CardLocation`] that normal operation left behind, and that may be wrong. Three phases follow, each
//! with a deadline of its own:
//!
//! 1. [`Card::prepare`]. What the registers say is recorded; then the controller is reset, and the card is asked for its
//!    state and brought back to transfer state by its own protocol ([`crate::recover`]). If it does not answer, or does
//!    not come back, it is identified from power-on ([`crate::identify`]), over a slow and narrow bus.
//! 2. Writing (and reading, where the caller has to find its place first). Each request is one command with its data by
//!    ADMA2, then CMD13 until the card is back in transfer state. A request that fails is tried again through the buffer
//!    port, after recovery; then twice more, each after a new identification; then not again.
//! 3. [`Card::complete`]. The cache is flushed if there is one, and the card says for the last time that it is idle.
//!
//! [`Card::found`] tells at any time what was found and done.
//!
//! No interrupt, no lock, no heap, no recursion, no panic; every wait is bounded (see [`drv_sdhci::polled`]). From the
//! driver of normal operation it shares the pure parts: constants, procedures, the planning of requests.

mod phase;
mod take_over;

pub use phase::{Failure, Phase, Settings};

use crate::error::Error;
use crate::found::{Found, step};
use crate::location::{CardLocation, flag};
use crate::proto::{self, ext_csd, status};
use crate::request::{self, Request};
use crate::state::{CardState, Fault, is_ready};
use block_device::{Block, PolledDevice};
use drv_sdhci::adma2::MAX_BLOCKS;
use drv_sdhci::polled::{Clock, Controller, Patience};
use drv_sdhci::{Data, Direction, Platform, Registers};

/// How often a request is tried: as it is, after recovery, and twice after a new identification. A card that had not
/// been identified to the end when normal operation crashed needs one of them to work at all.
const ATTEMPTS: u8 = 4;

/// Milliseconds that a card may be busy after a write.
const SETTLE_MS: u32 = 500;

/// A card in the hands of the emergency path.
#[derive(Debug)]
pub struct Card<'a, R, P, C> {
    controller: Controller<'a, R, P, C>,
    /// For registers of the card that are read as data.
    scratch: &'a Block,
    settings: Settings,
    location: CardLocation,
    found: Found,
    phase: Phase,
    /// Data are in the card's volatile cache.
    unflushed: bool,
}

impl<'a, R: Registers, P: Platform, C: Clock> Card<'a, R, P, C> {
    /// Takes over the slot; touches nothing yet.
    ///
    /// `memory` is a table for descriptors, without which all data go through the buffer port, and a scratch block.
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
            controller: Controller::new(registers, platform, clock, table, polls),
            scratch,
            settings,
            location: CardLocation::default(),
            found: Found::default(),
            phase: Phase::Prepare,
            unflushed: false,
        }
    }

    /// First phase: brings controller and card, in whatever state they are, to where requests work.
    ///
    /// `location` is what is believed about the card. Whether the card is still the same one is told by
    /// [`step::OTHER_CARD`]: then what is believed about its content is wrong too.
    ///
    /// # Errors
    /// [`Phase::Prepare`], and the error of the last thing that was tried.
    pub fn prepare(&mut self, location: &CardLocation) -> Result<Found, Failure> {
        let seen = self.controller.observe();
        let has_card_detect = self.controller.platform().has_card_detect();
        self.found = Found::of(&seen, has_card_detect);
        self.location = *location;
        self.unflushed = location.has(flag::CACHE);
        self.begin(Phase::Prepare);
        let result = self.take_over().map_err(|error| self.fail(error));
        if result.is_ok() {
            self.found.steps |= step::PREPARED;
        }
        self.found.drained();
        result?;
        self.begin(Phase::Write);
        Ok(self.found())
    }

    /// Last phase: makes everything durable and leaves the card idle.
    ///
    /// # Errors
    /// [`Phase::Complete`], and the error.
    pub fn complete(&mut self) -> Result<Found, Failure> {
        self.begin(Phase::Complete);
        self.flush_all().map_err(|error| self.fail(error))?;
        self.take_leave().map_err(|error| self.fail(error))?;
        self.found.steps |= step::COMPLETED;
        Ok(self.found())
    }

    /// What was found, done and seen up to now.
    pub fn found(&self) -> Found {
        let mut found = self.found;
        found.spend(self.phase, self.controller.spent());
        found
    }

    /// The card, as identified by this path if it was.
    pub fn location(&self) -> &CardLocation {
        &self.location
    }

    fn begin(&mut self, phase: Phase) {
        let before = core::mem::replace(&mut self.phase, phase);
        let spent = self.controller.begin(self.phase_ms());
        self.found.spend(before, spent);
    }

    fn phase_ms(&self) -> u32 {
        match self.phase {
            Phase::Prepare => self.settings.prepare_ms,
            Phase::Write => self.settings.write_ms,
            Phase::Complete => self.settings.complete_ms,
        }
    }

    fn note(&mut self, error: Error) -> Error {
        self.found.last_error = error.code();
        error
    }

    fn fail(&mut self, error: Error) -> Failure {
        // What used up the time says more than that it is used up.
        if error != Error::Deadline || self.found.last_error == 0 {
            self.note(error);
        }
        Failure {
            phase: self.phase,
            error,
        }
    }

    /// Prepares another attempt at a request that failed.
    fn repair(&mut self, attempt: u8) -> Result<(), Error> {
        self.found.retries = self.found.retries.saturating_add(1);
        self.give_up_dma();
        if attempt == 1 {
            let result = match self.reset_lines() {
                Ok(()) => self.recover(false),
                Err(error) => Err(error),
            };
            match result {
                Ok(()) => return Ok(()),
                Err(error) => self.survive(error)?,
            }
        }
        let before = self.location.cid;
        self.location.lines = 1;
        self.reset()?;
        self.identify()?;
        // What is being written belongs on the card that was there when this path began.
        if self.location.cid != before {
            self.found.steps &= !step::PREPARED;
            return Err(Error::OtherCard);
        }
        // What was in the cache may be gone: success of a later flush must not say otherwise.
        if self.unflushed {
            Err(Error::CacheLost)
        } else {
            Ok(())
        }
    }

    /// Moves data through the buffer port from now on: DMA may be what has failed.
    fn give_up_dma(&mut self) {
        if self.controller.uses_dma() {
            self.found.steps |= step::DMA_GIVEN_UP;
            self.controller.give_up_dma();
        }
    }

    /// After a request that failed for good: the next one may still succeed.
    fn leave(&mut self) {
        if self.reset_lines().is_ok()
            && let Err(error) = self.recover(false)
        {
            self.note(error);
        }
    }

    fn transfer(
        &mut self,
        direction: Direction,
        first: u64,
        blocks: &[Block],
        reliable: bool,
    ) -> Result<(), Error> {
        if self.found.steps & step::PREPARED == 0 {
            return Err(Error::NotReady);
        }
        if self.location.address(first, blocks.len()).is_none() {
            return Err(Error::OutOfBounds);
        }
        let mut first = first;
        for part in blocks.chunks(MAX_BLOCKS) {
            let mut attempt = 1;
            while let Err(error) = self.transfer_part(direction, first, part, reliable) {
                let survived = self.survive(error);
                if survived.is_err() || attempt >= ATTEMPTS {
                    self.leave();
                    return survived.and(Err(error));
                }
                self.repair(attempt)?;
                attempt = attempt.saturating_add(1);
            }
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
        let request = Request::new(card, direction, address, blocks.len(), reliable, false);
        if let Some(announce) = &request.announce {
            self.controller.command(announce)?;
        }
        let data = Data {
            direction,
            blocks,
            block_len: 512,
            multiple: request.multiple,
            auto: request.auto,
        };
        if let Err(error) = self.controller.transfer(&request.command, &data) {
            return Err(request::explain(error, self.controller.response()));
        }
        if direction == Direction::Write {
            self.unflushed |= self.location.has(flag::CACHE);
            self.settle(request.command.index)?;
        }
        Ok(())
    }

    /// Asks until the card has finished what `command` made it do.
    fn settle(&mut self, command: u8) -> Result<(), Error> {
        let ask = proto::send_status(self.location.rca);
        let mut patience = Patience::new(SETTLE_MS);
        loop {
            let card_status = self.controller.command(&ask)?;
            if let Some(fault) = Fault::decode(card_status, status::TRANSFER_ERRORS) {
                return Err(Error::Card { fault, command });
            }
            if is_ready(card_status) {
                return Ok(());
            }
            match CardState::of(card_status) {
                CardState::Transfer | CardState::Programming => {}
                _ => return Err(Error::Lost),
            }
            if self.controller.is_over(&mut patience) {
                return Err(Error::Busy);
            }
        }
    }

    fn flush_all(&mut self) -> Result<(), Error> {
        if self.found.steps & step::PREPARED == 0 {
            return Err(Error::NotReady);
        }
        if !self.unflushed {
            return Ok(());
        }
        let mut attempt: u8 = 1;
        while let Err(error) = self.flush_once() {
            self.survive(error)?;
            if attempt >= ATTEMPTS {
                return Err(error);
            }
            attempt = attempt.saturating_add(1);
            self.found.retries = self.found.retries.saturating_add(1);
            // A card that has to be identified again has lost its cache: not that.
            self.reset_lines()?;
            self.recover(false)?;
        }
        self.unflushed = false;
        Ok(())
    }

    fn flush_once(&mut self) -> Result<(), Error> {
        self.controller
            .command(&proto::switch(ext_csd::FLUSH_CACHE, 1))?;
        self.settle(6)
    }

    /// The card's last word: in transfer state, without an error.
    fn take_leave(&mut self) -> Result<(), Error> {
        if let Err(error) = self.settle(13) {
            self.survive(error)?;
            self.reset_lines()?;
            self.recover(false)?;
        }
        Ok(())
    }
}

impl<R: Registers, P: Platform, C: Clock> PolledDevice for Card<'_, R, P, C> {
    type Error = Failure;

    fn block_count(&self) -> u64 {
        self.location.blocks.into()
    }

    fn read(&mut self, first: u64, blocks: &[Block]) -> Result<(), Failure> {
        self.transfer(Direction::Read, first, blocks, false)
            .map_err(|error| self.fail(error))
    }

    fn write(&mut self, first: u64, blocks: &[Block]) -> Result<(), Failure> {
        self.transfer(Direction::Write, first, blocks, false)
            .map_err(|error| self.fail(error))
    }

    fn write_reliable(&mut self, block: u64, data: &Block) -> Result<(), Failure> {
        self.transfer(Direction::Write, block, core::slice::from_ref(data), true)
            .map_err(|error| self.fail(error))
    }

    /// A write has ended only when its programming has; so this is for the card's cache, if that is on.
    fn flush(&mut self) -> Result<(), Failure> {
        self.flush_all().map_err(|error| self.fail(error))
    }
}
