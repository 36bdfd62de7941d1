//! A card in normal operation: a [`BlockDevice`] over any [`Host`].
//!
//! # Theory of operation
//!
//! [`Card::identify`] brings the card to transfer state; every request finds it there and leaves it there. A request:
//!
//! 1. Its bounds are checked against the card; nothing is sent if they do not fit.
//! 2. It is sent, and the card's answers before and after the data are looked at.
//! 3. After a write the card is asked for its status until it is back in transfer state, so that errors of programming
//!    are found and belong to the write that caused them.
//! 4. If something failed that may not fail again, the request is repeated: once after the card was brought back to
//!    transfer state, and once after a new identification, over a slow bus. More than that is not tried.
//!
//! # Cancellation
//!
//! Dropping the future of a request leaves it running in the hardware, and its blocks must not go away before the next
//! request on the card, which first brings the card back to transfer state, or the next reset of the controller. The
//! blocks may or may not have been transferred.
//!
//! # Another card
//!
//! Whoever uses a card has found its partition on it. If a new identification in the middle of a request, or on
//! resuming, finds another card, the request fails and so does every one after it, until [`Card::identify`] is called.

mod power;

pub use power::Suspended;

use crate::error::Error;
use crate::host::Host;
use crate::identify::{Identification, Options};
use crate::location::{CardLocation, Kind, flag};
use crate::procedure::{Action, Procedure};
use crate::proto::{self, ext_csd, status};
use crate::recover::Recovery;
use crate::request::{self, Request};
use crate::state::{CardState, Fault, is_ready};
use block_device::{Block, BlockDevice};
use drv_sdhci::adma2::MAX_BLOCKS;
use drv_sdhci::{AutoCommand, Bus, Data, Direction, ErrorKind};

/// How often a request is tried.
const ATTEMPTS: u8 = 3;

/// Milliseconds that a card may stay busy when the controller no longer watches: twice the longest time that the
/// specifications give a write.
const SETTLE_MS: u32 = 1_000;

/// What has gone wrong so far, for whoever watches the system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Requests that were tried again.
    pub retries: u32,
    /// Requests that failed for good.
    pub failures: u32,
    /// Identifications.
    pub identifications: u32,
    /// The last error, repaired or not.
    pub last_error: Option<Error>,
}

/// A card and the host it is in.
#[derive(Debug)]
pub struct Card<'a, H> {
    host: H,
    /// For registers of the card that are read as data.
    scratch: &'a Block,
    first: Kind,
    cache: bool,
    location: CardLocation,
    health: Health,
    /// A request was begun and has not ended: its future was dropped.
    in_flight: bool,
    /// The card has lost its state, or its power, and is to be identified before it is used.
    lost: bool,
    suspended: Option<Suspended>,
    /// Data are in the card's volatile cache.
    unflushed: bool,
}

impl<'a, H: Host> Card<'a, H> {
    /// The card in `host`; nothing is done with it before [`Card::identify`].
    ///
    /// `first` is the family that is expected, `cache` says whether to turn on the card's volatile cache. `scratch` is
    /// used during identification only; it must be as reachable for the controller as the blocks of data are.
    pub fn new(host: H, scratch: &'a Block, first: Kind, cache: bool) -> Self {
        Self {
            host,
            scratch,
            first,
            cache,
            location: CardLocation::default(),
            health: Health::default(),
            in_flight: false,
            lost: false,
            suspended: None,
            unflushed: false,
        }
    }

    /// Resets the controller and identifies the card, whatever state the two are in.
    ///
    /// # Errors
    /// Those of the controller's reset, [`Error::NoCard`], and every error of a step that cannot be left out.
    pub async fn identify(&mut self) -> Result<(), Error> {
        self.unflushed = false;
        let result = self.start_over(true).await;
        if let Err(error) = result {
            self.health.last_error = Some(error);
        }
        result
    }

    /// What was found out about the card; a location of no card before it is identified.
    pub fn location(&self) -> &CardLocation {
        &self.location
    }

    /// What has gone wrong so far.
    pub fn health(&self) -> Health {
        self.health
    }

    /// Identifies the card from power-on.
    async fn start_over(&mut self, fast: bool) -> Result<(), Error> {
        let result = self.identify_anew(fast).await;
        self.suspended = None;
        self.in_flight = false;
        self.lost = false;
        self.location = result.unwrap_or_default();
        result.map(|_| ())
    }

    async fn identify_anew(&mut self, fast: bool) -> Result<CardLocation, Error> {
        self.host.reset(Bus::IDENTIFICATION).await?;
        let options = Options {
            first: self.first,
            lines: self.host.data_lines(),
            fast,
            cache: self.cache,
            sleep: self.host.card_wakes(),
            power_off_notification: self.host.may_cut_power(),
        };
        let mut procedure = Procedure::Identify(Identification::new(options));
        self.run(&mut procedure).await?;
        self.health.identifications = self.health.identifications.saturating_add(1);
        match &procedure {
            Procedure::Identify(identification) => Ok(*identification.location()),
            Procedure::Recover(_) => Err(Error::Lost),
        }
    }

    /// Identifies the card that was used before; another one is not used.
    async fn identify_again(&mut self, fast: bool) -> Result<(), Error> {
        let before = self.location;
        if let Err(error) = self.start_over(fast).await {
            self.location = before;
            self.lost = true;
            return Err(error);
        }
        if self.location.cid != before.cid {
            self.location = CardLocation::default();
            return Err(Error::OtherCard);
        }
        // A later flush must not say that they are durable.
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

    /// Before a request: the bus runs, and the card is in transfer state. If a request before has not ended well, or its
    /// future was dropped, it is brought back there.
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
        let recovery = Recovery::new(&self.location, SETTLE_MS / 2);
        self.run(&mut Procedure::Recover(recovery)).await
    }

    /// Reads or writes `blocks`, beginning at block `first` of the card; what the methods of [`BlockDevice`] do, as one.
    /// `reliable` asks for a reliable write, where the card has it.
    ///
    /// # Errors
    /// [`Error::NotReady`] before the card is identified, [`Error::OutOfBounds`], and the error of the last attempt.
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
        let request = Request::new(card, direction, address, blocks.len(), reliable, auto_cmd23);
        if let Some(announce) = &request.announce {
            self.host.command(announce).await?;
        }
        let data = Data {
            direction,
            blocks,
            block_len: 512,
            multiple: request.multiple,
            auto: request.auto,
        };
        if let Err(error) = self.host.transfer(&request.command, &data).await {
            return Err(request::explain(error, self.host.response()));
        }
        if direction == Direction::Write {
            self.unflushed |= self.location.has(flag::CACHE);
            self.settle(request.command.index).await?;
        }
        self.in_flight = false;
        Ok(())
    }

    /// Asks until the card has finished what `command` made it do.
    async fn settle(&mut self, command: u8) -> Result<(), Error> {
        let ask = proto::send_status(self.location.rca);
        let mut waited: u32 = 0;
        loop {
            let card_status = self.host.command(&ask).await?;
            if let Some(fault) = Fault::decode(card_status, status::TRANSFER_ERRORS) {
                return Err(Error::Card { fault, command });
            }
            if is_ready(card_status) {
                return Ok(());
            }
            match CardState::of(card_status) {
                CardState::Transfer | CardState::Programming if waited < SETTLE_MS => {}
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
        self.settle(6).await?;
        self.in_flight = false;
        self.unflushed = false;
        Ok(())
    }
}

impl<H: Host> BlockDevice for Card<'_, H> {
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

    /// A write has ended only when its programming has; so this is for the card's cache, if that is on.
    async fn flush(&mut self) -> Result<(), Error> {
        if self.location.kind().is_none() {
            return Err(Error::NotReady);
        }
        if !self.unflushed {
            return Ok(());
        }
        let mut attempt: u8 = 1;
        while let Err(error) = self.flush_cache().await {
            // The next attempt brings the card back to transfer state. To identify it again, as for the last attempt at
            // a transfer, would lose the cache.
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
