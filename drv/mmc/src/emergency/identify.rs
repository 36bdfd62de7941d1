//! Identifying the card, over a slow bus of one line.

use super::EmergencyCard;
use crate::error::Error;
use crate::found::step;
use crate::identify::{Identification, IdentificationOptions};
use crate::location::CardLocation;
use crate::procedure::Procedure;
use drv_sdhci::emergency::Clock;
use drv_sdhci::{Platform, Registers};

/// Attempts at an identification.
const ATTEMPTS: u8 = 3;

impl<R: Registers, P: Platform, C: Clock> EmergencyCard<'_, R, P, C> {
    /// Identifies the card. If that fails, it is repeated after the card's power was off.
    pub(super) fn identify(&mut self) -> Result<(), Error> {
        let before = self.location;
        let mut attempt: u8 = 1;
        // A card that does not answer at first gets its power cut before it is waited for.
        let mut silence_ms = 0;
        while let Err(error) = self.identify_once(&before, silence_ms) {
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
            silence_ms = u16::try_from(self.phase_ms() / 8).unwrap_or(u16::MAX);
            self.report.steps |= step::POWER_CYCLED;
            self.controller.power_off();
            let discharge_ms = self.controller.platform().discharge_ms();
            self.controller.delay(discharge_ms);
            self.location = CardLocation::default();
            self.reset()?;
        }
        self.report.steps |= step::IDENTIFIED;
        if before.kind().is_some() && before.cid != self.location.cid {
            self.report.steps |= step::OTHER_CARD;
        }
        Ok(())
    }

    fn identify_once(&mut self, before: &CardLocation, silence_ms: u16) -> Result<(), Error> {
        let options = IdentificationOptions {
            first: before.kind().unwrap_or(self.settings.first),
            lines: 1,
            fast: false,
            cache: false,
            sleep: false,
            power_off_notification: false,
            has_3_volts: self.controller.has_3_volts(),
            ramp_ms: self.controller.platform().ramp_ms(),
            silence_ms,
        };
        let mut procedure = Procedure::Identify(Identification::new(options));
        self.run(&mut procedure, u32::MAX)?;
        if let Procedure::Identify(identification) = &procedure {
            self.location = *identification.location();
        }
        Ok(())
    }
}
