//! Ending a transfer in flight, and making controller and card ready for requests.

use super::EmergencyCard;
use crate::error::Error;
use crate::found::{ControllerState, step};
use crate::procedure::Procedure;
use crate::recover::CardRecovery;
use drv_sdhci::emergency::Clock;
use drv_sdhci::{Platform, Registers};

impl<R: Registers, P: Platform, C: Clock> EmergencyCard<'_, R, P, C> {
    /// Ends whatever controller and card are doing, and leaves both ready for requests.
    ///
    /// The reset of the lines ends it on the controller's side. On the card's side recovery does:
    /// CMD13 asks for the state, CMD12 ends a transfer, and programming is waited for or ended by
    /// HPI. Only if that does not help everything is reset: a reset of the whole controller takes
    /// the supply away from the card (SDHCI 2.2.16), and with it the content of its cache. A card
    /// that was never identified, or does not come back, is identified: CMD0 aborts everything.
    pub(super) fn end_transfer(&mut self) -> Result<(), Error> {
        let known = self.location.kind().is_some();
        if known && self.report.is_bus_on() {
            match self.take_over() {
                Ok(()) => return Ok(()),
                Err(error) => self.continue_after(error)?,
            }
        }
        if self.report.controller == ControllerState::PowerOff as u8 {
            // The power may have been cut just now. A card that gets power back before its supply
            // is discharged may not have reset.
            let discharge_ms = self.controller.platform().discharge_ms();
            self.controller.delay(discharge_ms);
        }
        self.reset(0)?;
        if known {
            match self.recover(true) {
                Ok(()) => return Ok(()),
                Err(error) => self.continue_after(error)?,
            }
        }
        // Identification turns the cache off. What was in it has never been reported durable.
        if self.unflushed {
            self.report.steps |= step::CACHE_LOST;
        }
        self.unflushed = false;
        self.identify()
    }

    /// Makes a controller that runs the bus ready without a reset of all of it, and asks the card.
    fn take_over(&mut self) -> Result<(), Error> {
        self.controller.take_over(self.location.bus())?;
        self.recover(true)
    }

    /// Resets the controller; if that fails, once more. The card is without its supply for
    /// `off_ms` milliseconds, if the reset takes it away.
    pub(super) fn reset(&mut self, off_ms: u32) -> Result<(), Error> {
        let bus = self.location.bus();
        if let Err(error) = self.controller.reset(bus, off_ms) {
            self.continue_after(error.into())?;
            self.report.steps |= step::RESET_AGAIN;
            self.controller.reset(bus, off_ms)?;
        }
        Ok(())
    }

    /// Brings the card back to transfer state without a new identification, which would lose its
    /// cache. `first` says that the state in which the card is found belongs into the report.
    pub(super) fn recover(&mut self, first: bool) -> Result<(), Error> {
        // The reserve is for identification, should the card stay busy. The number of delays bounds
        // it if the clock is dead.
        let patience_ms = self.controller.patience_ms();
        let end = self.controller.spent().ms.saturating_add(patience_ms);
        let mut procedure = Procedure::Recover(CardRecovery::new(&self.location, patience_ms));
        let result = self.run(&mut procedure, end);
        if let Procedure::Recover(recovery) = &procedure {
            self.report.steps |= recovery.steps;
            if first {
                self.report.note_card_state(recovery.first_state);
            }
        }
        result
    }
}
