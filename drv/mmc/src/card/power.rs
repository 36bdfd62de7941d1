//! Suspending a card that is not needed for a while, and resuming it.
//!
//! What is done is the most that the system allows and the card can:
//!
//! ```text
//! the platform may cut the power       flush; power-off notification (eMMC); clock off; power off
//! the card sleeps, and wakes here      flush; CMD7 deselects; CMD5 sleep; clock off
//! otherwise                            flush; clock off
//! ```
//!
//! Resuming goes the same way back. A card without power has to be identified again; so has one that does not wake, or
//! that lost its state meanwhile. If it is another card by then, it is not used.
//!
//! The emergency path may begin at any step of either. It finds the card by asking it, not by what is noted here.

use super::Card;
use crate::error::Error;
use crate::host::Host;
use crate::location::flag;
use crate::proto::{self, ext_csd, power_off};
use block_device::BlockDevice;

/// Milliseconds without power that make every card forget (SD 6.4.1.2: at least 1 ms below 0.5 V).
const POWER_OFF_MS: u32 = 5;

/// How a card is suspended. The numbers are reported and never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Suspended {
    /// Its clock is off; it keeps its state.
    ClockOff = 1,
    /// It sleeps (eMMC), and its clock is off.
    Asleep = 2,
    /// It has no power.
    PowerOff = 3,
}

impl<H: Host> Card<'_, H> {
    /// Puts card and controller to rest, after a flush. Any request resumes. A card that is suspended already stays so.
    ///
    /// # Errors
    /// Those of [`BlockDevice::flush`] and of the commands to the card; then nothing is suspended, and the next request
    /// repairs what is left to repair.
    pub async fn suspend(&mut self) -> Result<Suspended, Error> {
        if let Some(how) = self.suspended {
            return Ok(how);
        }
        self.flush().await?;
        match self.put_to_rest().await {
            Ok(how) => Ok(how),
            Err(error) => self.fail(error).map(|()| Suspended::ClockOff),
        }
    }

    /// How the card is suspended; `None` if it is not.
    pub fn suspended(&self) -> Option<Suspended> {
        self.suspended
    }

    async fn put_to_rest(&mut self) -> Result<Suspended, Error> {
        self.begin().await?;
        let how = if self.host.may_cut_power() {
            self.announce_power_off().await?;
            Suspended::PowerOff
        } else if self.location.has(flag::SLEEP) {
            self.fall_asleep().await?;
            Suspended::Asleep
        } else {
            Suspended::ClockOff
        };
        self.in_flight = false;
        self.suspended = Some(how);
        if how == Suspended::PowerOff {
            self.host.power_off();
            // Whoever resumes shall not find a card that has lost half of its voltage.
            self.host.delay(POWER_OFF_MS).await;
        } else {
            self.host.suspend();
        }
        Ok(how)
    }

    async fn announce_power_off(&mut self) -> Result<(), Error> {
        if !self.location.has(flag::POWER_OFF_NOTIFICATION) {
            return Ok(());
        }
        let index = ext_csd::POWER_OFF_NOTIFICATION;
        let command = proto::switch(index, power_off::POWER_OFF_SHORT);
        self.host.command(&command).await?;
        self.settle(command.index).await
    }

    async fn fall_asleep(&mut self) -> Result<(), Error> {
        self.host.command(&proto::deselect_cards()).await?;
        let sleep = proto::sleep_awake(self.location.rca, true);
        self.host.command(&sleep).await?;
        Ok(())
    }

    /// Ends what [`Card::suspend`] did, as far as it goes without a new identification.
    pub(super) async fn resume(&mut self, how: Suspended) -> Result<(), Error> {
        match how {
            Suspended::ClockOff => self.host.set_bus(self.location.bus()).await?,
            Suspended::Asleep => {
                self.host.set_bus(self.location.bus()).await?;
                self.lost = self.recover().await.is_err();
            }
            Suspended::PowerOff => self.lost = true,
        }
        self.suspended = None;
        Ok(())
    }
}
