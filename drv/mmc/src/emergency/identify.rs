//! Identifying the card, over a slow bus of one line.

use super::EmergencyCard;
use crate::error::Error;
use crate::found::step;
use crate::identify::{Identification, IdentificationOptions};
use crate::location::CardLocation;
use crate::procedure::Procedure;
use crate::proto::POWER_OFF_MS;
use drv_sdhci::emergency::Clock;
use drv_sdhci::{Platform, Registers};

/// Attempts at an identification.
const ATTEMPTS: u8 = 3;

impl<R: Registers, P: Platform, C: Clock> EmergencyCard<'_, R, P, C> {
    /// Identifies the card. If that fails, it is repeated after the card's power was off.
    pub(super) fn identify(&mut self) -> Result<(), Error> {
        let before = self.location;
        let mut attempt: u8 = 1;
        while let Err(error) = self.identify_once(&before) {
            match error {
                Error::NoCard | Error::PowerUp => {
                    self.note(error);
                }
                error => self.continue_after(error)?,
            }
            if attempt >= ATTEMPTS {
                return Err(error);
            }
            attempt = attempt.saturating_add(1);
            self.report.steps |= step::POWER_CYCLED;
            self.controller.power_off();
            self.controller.delay(POWER_OFF_MS);
            self.location = CardLocation::default();
            self.reset()?;
        }
        self.report.steps |= step::IDENTIFIED;
        if before.kind().is_some() && before.cid != self.location.cid {
            self.report.steps |= step::OTHER_CARD;
        }
        Ok(())
    }

    fn identify_once(&mut self, before: &CardLocation) -> Result<(), Error> {
        let options = IdentificationOptions {
            first: before.kind().unwrap_or(self.settings.first),
            lines: 1,
            fast: false,
            cache: false,
            sleep: false,
            power_off_notification: false,
        };
        let mut procedure = Procedure::Identify(Identification::new(options));
        self.run(&mut procedure, u32::MAX)?;
        if let Procedure::Identify(identification) = &procedure {
            self.location = *identification.location();
        }
        Ok(())
    }
}
