//! A card as the normal path uses it: a [`BlockDevice`] over any [`Host`].
//!
//! # Theory of operation
//!
//! [`NormalCard::identify`] brings the card to transfer state; every request finds it there and
//! leaves it there. A request:
//!
//! 1. The bounds are checked against the card. If they do not fit, nothing is sent.
//! 2. The request is sent, and the card's responses before and after the data are checked.
//! 3. After a write the card is polled for its status until it is back in transfer state, so that
//!    errors of programming are found and reported for the write that caused them.
//! 4. If something failed that may succeed in another attempt, the request is repeated at most
//!    twice: once after the card was brought back to transfer state, and once after a new
//!    identification, over a slow bus.
//!
//! # Cancellation
//!
//! Dropping the future of a request leaves it running in the hardware. Its blocks must stay valid
//! until the next request on the card, which first brings the card back to transfer state, or until
//! the next reset of the controller. The blocks may or may not have been transferred.
//!
//! # Another card
//!
//! The caller has found its partition on one particular card. If a new identification in the middle
//! of a request, or after a suspend, finds another card, the request fails, and so does every one
//! after it until [`NormalCard::identify`] is called.

mod host;
mod suspend;

pub use host::Host;
pub use suspend::Suspended;

use crate::action::Action;
use crate::error::Error;
use crate::identify::{Identification, IdentificationOptions};
use crate::location::{CardKind, CardLocation, flag};
use crate::procedure::Procedure;
use crate::proto::{self, ext_csd, status};
use crate::recover::CardRecovery;
use crate::state::{CardState, StatusError, is_ready};
use crate::transfer_commands::{TransferCommands, explain};
use block_device::{Block, BlockDevice};
use drv_sdhci::adma2::MAX_BLOCKS;
use drv_sdhci::{AutoCommand, BlockLen, Bus, Data, Direction, ErrorKind};

/// Attempts at a request.
const ATTEMPTS: u8 = 3;

/// How long a card may stay busy after the controller has reported the end of busy, or during
/// recovery, milliseconds: more than an eMMC takes that reclaims blocks in the background.
const BUSY_LIMIT_MS: u32 = 10_000;

/// How often a card may answer nothing at all during identification: for a second.
const MOST_SILENCES: u8 = 100;

/// Errors and retries so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CardHealth {
    /// Attempts at requests after the first.
    pub retries: u32,
    /// Requests that failed after the last attempt.
    pub failures: u32,
    /// Identifications that succeeded.
    pub identifications: u32,
    /// The last error, whether or not a later attempt succeeded.
    pub last_error: Option<Error>,
}

/// A card and the host that it is in.
#[derive(Debug)]
pub struct NormalCard<'a, H> {
    host: H,
    /// For registers of the card that are read as data.
    scratch: &'a Block,
    first: CardKind,
    cache: bool,
    location: CardLocation,
    health: CardHealth,
    /// A request was begun and has not ended well: it is running now, has failed, or its future was
    /// dropped. The next request has to bring the card back to transfer state.
    in_flight: bool,
    /// The card has lost its state, or its power, and has to be identified before it is used.
    lost: bool,
    suspended: Option<Suspended>,
    /// Data are in the card's volatile cache.
    unflushed: bool,
}

impl<'a, H: Host> NormalCard<'a, H> {
    /// The card in `host`; nothing is sent to it before [`NormalCard::identify`].
    ///
    /// `first` is the family that is tried first; `cache` says whether to turn on the card's
    /// volatile cache. `scratch` is used during identification only; DMA has to reach it as it
    /// reaches the blocks of data.
    pub fn new(host: H, scratch: &'a Block, first: CardKind, cache: bool) -> Self {
        Self {
            host,
            scratch,
            first,
            cache,
            location: CardLocation::default(),
            health: CardHealth::default(),
            in_flight: false,
            lost: false,
            suspended: None,
            unflushed: false,
        }
    }

    /// Resets the controller and identifies the card, in whatever state the two are.
    ///
    /// Dropped half way, the card is in an unknown state: call it again before any request.
    ///
    /// # Errors
    /// Those of the controller's reset, [`Error::NoCard`], and the error of any step that cannot be
    /// left out.
    pub async fn identify(&mut self) -> Result<(), Error> {
        self.unflushed = false;
        let result = self.identify_from_reset(true).await;
        if let Err(error) = result {
            self.health.last_error = Some(error);
        }
        result
    }

    /// The location of the card; before it is identified, the location of no card.
    pub fn location(&self) -> &CardLocation {
        &self.location
    }

    /// Errors and retries so far.
    pub fn health(&self) -> CardHealth {
        self.health
    }

    /// Resets the controller, identifies the card, and takes over its location.
    async fn identify_from_reset(&mut self, fast: bool) -> Result<(), Error> {
        let result = self.run_identification(fast).await;
        self.suspended = None;
        self.in_flight = false;
        self.lost = false;
        self.location = result.unwrap_or_default();
        result.map(|_| ())
    }

    async fn run_identification(&mut self, fast: bool) -> Result<CardLocation, Error> {
        self.host.reset(Bus::IDENTIFICATION).await?;
        let options = IdentificationOptions {
            first: self.first,
            lines: self.host.data_lines(),
            fast,
            cache: self.cache,
            sleep: self.host.card_wakes(),
            power_off_notification: self.host.may_cut_power(),
            has_3_volts: self.host.has_3_volts(),
            write_protected: self.host.is_write_protected(),
            dual_rate: self.host.has_dual_rate(),
            ramp_ms: self.host.ramp_ms(),
            most_silences: MOST_SILENCES,
        };
        let mut procedure = Procedure::Identify(Identification::new(options));
        self.run(&mut procedure).await?;
        self.health.identifications = self.health.identifications.saturating_add(1);
        match &procedure {
            Procedure::Identify(identification) => Ok(*identification.location()),
            Procedure::Recover(_) => Err(Error::Lost),
        }
    }

    /// Identifies the card that was used before. It is an error if it is another one.
    async fn identify_again(&mut self, fast: bool) -> Result<(), Error> {
        let before = self.location;
        if let Err(error) = self.identify_from_reset(fast).await {
            self.location = before;
            self.lost = true;
            return Err(error);
        }
        if self.location.cid != before.cid {
            self.location = CardLocation::default();
            return Err(Error::OtherCard);
        }
        // They may be lost, so a later flush must not report them durable.
        if core::mem::take(&mut self.unflushed) {
            return Err(Error::CacheLost);
        }
        Ok(())
    }

    async fn run(&mut self, procedure: &mut Procedure) -> Result<(), Error> {
        let mut reply = Ok([0; 4]);
        loop {
            let result = match procedure.next(reply, self.scratch)? {
                Action::Command(command) => self.host.command(&command).await.map(|_| ()),
                Action::Read(command, block_len) => {
                    let data = Data {
                        direction: Direction::Read,
                        blocks: core::slice::from_ref(self.scratch),
                        block_len,
                        multiple: false,
                        auto: AutoCommand::None,
                    };
                    self.host.transfer(&command, &data).await.map(|_| ())
                }
                Action::Bus(bus) => self.host.set_bus(bus).await,
                Action::Delay(ms) => {
                    self.host.delay(ms).await;
                    Ok(())
                }
                Action::Done => return Ok(()),
            };
            if result.is_err() {
                self.host.reset_lines().await?;
            }
            reply = result.map(|()| self.host.response());
        }
    }

    /// Prepares a request: starts the bus, and brings the card to transfer state, if the card was
    /// suspended, or the request before has not ended well, or its future was dropped.
    async fn begin(&mut self) -> Result<(), Error> {
        if let Some(how) = self.suspended {
            self.resume(how).await?;
        }
        if self.lost {
            self.identify_again(true).await?;
        }
        if core::mem::replace(&mut self.in_flight, true) {
            self.host.reset_lines().await?;
            self.recover().await?;
        }
        Ok(())
    }

    /// Brings the card back to transfer state.
    async fn recover(&mut self) -> Result<(), Error> {
        let recovery = CardRecovery::new(&self.location, BUSY_LIMIT_MS);
        self.run(&mut Procedure::Recover(recovery)).await
    }

    /// Reads or writes `blocks`, beginning at block `first` of the card: what the methods of
    /// [`BlockDevice`] do, as one. `reliable` asks for a reliable write, where the card has it.
    ///
    /// Dropped half way, the transfer goes on in the hardware; see the module's documentation.
    ///
    /// # Errors
    /// [`Error::NotReady`] before the card is identified, [`Error::OutOfBounds`],
    /// [`Error::ReadOnly`], and the error of the last attempt.
    pub async fn transfer(
        &mut self,
        direction: Direction,
        first: u64,
        blocks: &[Block],
        reliable: bool,
    ) -> Result<(), Error> {
        if self.location.kind().is_none() {
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
            while let Err(error) = self
                .attempt(attempt, direction, first, part, reliable)
                .await
            {
                if !error.is_transient() || attempt >= ATTEMPTS {
                    return self.fail(error);
                }
                self.health.last_error = Some(error);
                self.health.retries = self.health.retries.saturating_add(1);
                if matches!(error, Error::Host(error) if error.kind == ErrorKind::Adma) {
                    self.host.give_up_dma();
                }
                attempt = attempt.saturating_add(1);
            }
            first = first.saturating_add(part.len() as u64);
        }
        Ok(())
    }

    fn fail(&mut self, error: Error) -> Result<(), Error> {
        self.health.failures = self.health.failures.saturating_add(1);
        self.health.last_error = Some(error);
        Err(error)
    }

    async fn attempt(
        &mut self,
        attempt: u8,
        direction: Direction,
        first: u64,
        blocks: &[Block],
        reliable: bool,
    ) -> Result<(), Error> {
        if attempt == ATTEMPTS {
            self.identify_again(false).await?;
        }
        self.begin().await?;
        let card = &self.location;
        let address = card
            .address(first, blocks.len())
            .ok_or(Error::OutOfBounds)?;
        let auto_cmd23 = self.host.has_auto_cmd23();
        let commands =
            TransferCommands::new(card, direction, address, blocks.len(), reliable, auto_cmd23);
        if let Some(announce) = &commands.announce {
            self.host.command(announce).await?;
        }
        let data = Data {
            direction,
            blocks,
            block_len: BlockLen::FULL,
            multiple: commands.multiple,
            auto: commands.auto,
        };
        if let Err(error) = self.host.transfer(&commands.command, &data).await {
            return Err(explain(error, self.host.response()));
        }
        if direction == Direction::Write {
            self.unflushed |= self.location.has(flag::CACHE);
            self.wait_ready(commands.command.index).await?;
        }
        self.in_flight = false;
        Ok(())
    }

    /// Polls the card's status until it is in transfer state and ready for data, so that it has
    /// finished what `command` started.
    async fn wait_ready(&mut self, command: u8) -> Result<(), Error> {
        let ask = proto::send_status(self.location.rca);
        let mut waited: u32 = 0;
        loop {
            let card_status = self.host.command(&ask).await?;
            if let Some(error) = StatusError::decode(card_status, status::errors_of(command)) {
                return Err(Error::Card { error, command });
            }
            if is_ready(card_status) {
                return Ok(());
            }
            match CardState::of(card_status) {
                CardState::Transfer | CardState::Programming if waited < BUSY_LIMIT_MS => {}
                CardState::Transfer | CardState::Programming => return Err(Error::Busy),
                _ => return Err(Error::Lost),
            }
            self.host.delay(1).await;
            waited = waited.saturating_add(1);
        }
    }

    async fn flush_cache(&mut self) -> Result<(), Error> {
        self.begin().await?;
        self.host
            .command(&proto::switch(ext_csd::FLUSH_CACHE, 1))
            .await?;
        self.wait_ready(6).await?;
        self.in_flight = false;
        self.unflushed = false;
        Ok(())
    }
}

impl<H: Host> BlockDevice for NormalCard<'_, H> {
    type Error = Error;

    fn block_count(&self) -> u64 {
        self.location.blocks.into()
    }

    async fn read(&mut self, first: u64, blocks: &[Block]) -> Result<(), Error> {
        self.transfer(Direction::Read, first, blocks, false).await
    }

    async fn write(&mut self, first: u64, blocks: &[Block]) -> Result<(), Error> {
        self.transfer(Direction::Write, first, blocks, false).await
    }

    async fn write_reliable(&mut self, block: u64, data: &Block) -> Result<(), Error> {
        self.transfer(Direction::Write, block, core::slice::from_ref(data), true)
            .await
    }

    /// Flushes the card's volatile cache, if that is on and not empty. Without it a write is
    /// durable when it ends, because it ends after programming.
    async fn flush(&mut self) -> Result<(), Error> {
        if self.location.kind().is_none() {
            return Err(Error::NotReady);
        }
        if !self.unflushed {
            return Ok(());
        }
        let mut attempt: u8 = 1;
        while let Err(error) = self.flush_cache().await {
            // The next attempt brings the card back to transfer state. It must not be identified
            // again, as for the last attempt at a transfer, because that loses the cache.
            attempt = attempt.saturating_add(1);
            if !error.is_transient() || attempt >= ATTEMPTS {
                return self.fail(error);
            }
            self.health.last_error = Some(error);
            self.health.retries = self.health.retries.saturating_add(1);
        }
        Ok(())
    }
}
