//! Suspending a card that is not needed for a while, and resuming it.
//!
//! A card is suspended as deeply as system and card allow:
//!
//! ```text
//! the platform may cut the power       flush; power-off notification (eMMC); clock off; power off
//! the card sleeps, and wakes here      flush; CMD7 deselects; CMD5 sleep; clock off
//! otherwise                            flush; clock off
//! ```
//!
//! Resuming undoes the same steps. A card without power has to be identified again, and so has one
//! that does not wake, or has lost its state. If another card is found then, it is not used.
//!
//! The emergency path may begin at any step of either. It asks the card for its state and does not
//! depend on what is noted here.

use super::{Host, NormalCard};
use crate::error::Error;
use crate::location::flag;
use crate::proto::{self, ext_csd, power_off};
use block_device::BlockDevice;

/// How a card is suspended. The numbers are reported and never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Suspended {
    /// The card's clock is off; it keeps its state.
    ClockOff = 1,
    /// The card sleeps (eMMC), and its clock is off.
    Asleep = 2,
    /// The card has no power.
    PowerOff = 3,
}

impl<H: Host> NormalCard<'_, H> {
    /// Suspends card and controller, after a flush. Any request resumes them. If they are suspended
    /// already, nothing is done.
    ///
    /// Dropped half way, the next request brings the card back to transfer state, and identifies it
    /// if it has lost its state or its power.
    ///
    /// # Errors
    /// Those of [`BlockDevice::flush`] and of the commands to the card. Then nothing is suspended,
    /// and the next request brings the card back to transfer state.
    pub async fn suspend(&mut self) -> Result<Suspended, Error> {
        if let Some(how) = self.suspended {
            return Ok(how);
        }
        self.flush().await?;
        match self.enter_suspend().await {
            Ok(how) => Ok(how),
            Err(error) => self.fail(error).map(|()| Suspended::ClockOff),
        }
    }

    /// How the card is suspended; `None` if it is not.
    pub fn suspended(&self) -> Option<Suspended> {
        self.suspended
    }

    async fn enter_suspend(&mut self) -> Result<Suspended, Error> {
        self.begin().await?;
        let how = if self.host.may_cut_power() {
            self.announce_power_off().await?;
            Suspended::PowerOff
        } else if self.location.has(flag::SLEEP) {
            self.put_to_sleep().await?;
            Suspended::Asleep
        } else {
            Suspended::ClockOff
        };
        self.in_flight = false;
        self.suspended = Some(how);
        if how == Suspended::PowerOff {
            self.host.power_off();
            // A card that gets power back before its supply is discharged may not have reset.
            self.host.delay(self.host.discharge_ms()).await;
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
        self.wait_ready(command.index).await
    }

    async fn put_to_sleep(&mut self) -> Result<(), Error> {
        self.host.command(&proto::deselect_cards()).await?;
        let sleep = proto::sleep_awake(self.location.rca, true);
        self.host.command(&sleep).await?;
        Ok(())
    }

    /// Undoes [`NormalCard::suspend`], as far as that is possible without a new identification.
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
