//! Identifying the card, over a slow bus of one line.

use super::EmergencyCard;
use crate::error::Error;
use crate::found::step;
use crate::identify::{Identification, IdentificationOptions, SILENCE_MS};
use crate::location::CardLocation;
use crate::procedure::Procedure;
use drv_sdhci::emergency::Clock;
use drv_sdhci::{Platform, Registers};

/// Attempts at an identification of a card of which nothing is known, and may not be there at all.
const ATTEMPTS: u8 = 3;

/// Attempts at an identification of a card that was there; the time is up before.
const ATTEMPTS_AT_KNOWN: u8 = 250;

/// The pause of a power cycle grows with the number of attempts, up to this multiple.
const MOST_PAUSES: u8 = 8;

impl<R: Registers, P: Platform, C: Clock> EmergencyCard<'_, R, P, C> {
    /// Identifies the card. If that fails, it is repeated after the card's power was off. If all
    /// attempts fail, the location remains that of the card before.
    pub(super) fn identify(&mut self) -> Result<(), Error> {
        let before = self.location;
        if let Err(error) = self.try_to_identify(&before) {
            self.location = before;
            return Err(error);
        }
        self.report.steps |= step::IDENTIFIED;
        if before.kind().is_some() && before.cid != self.location.cid {
            self.report.steps |= step::OTHER_CARD;
        }
        Ok(())
    }

    fn try_to_identify(&mut self, before: &CardLocation) -> Result<(), Error> {
        let mut attempt: u8 = 1;
        // A card that does not answer at first gets its power cut before it is waited for.
        let mut most_silences = 0;
        let most = if before.kind().is_some() {
            ATTEMPTS_AT_KNOWN
        } else {
            ATTEMPTS
        };
        while let Err(error) = self.identify_once(before, most_silences) {
            match error {
                Error::NoCard | Error::PowerUp if !self.controller.phase_expired() => {
                    self.note(error);
                }
                error => self.continue_after(error)?,
            }
            if attempt >= most {
                return Err(error);
            }
            attempt = attempt.saturating_add(1);
            most_silences =
                u8::try_from(self.controller.patience_ms() / 8 / SILENCE_MS).unwrap_or(u8::MAX);
            self.location = CardLocation::default();
            self.cycle_power(attempt)?;
        }
        Ok(())
    }

    /// Takes the power from the card and gives it back, if the platform allows that; resets the
    /// controller in any case, which may do the same. It pauses for the longer, the more attempts
    /// there were.
    // Not inlined: its registers would be in the frame of the identification.
    #[inline(never)]
    pub(super) fn cycle_power(&mut self, attempt: u8) -> Result<(), Error> {
        if self.controller.platform().may_cut_power() {
            self.report.steps |= step::POWER_CYCLED;
            // A transfer that is still in the controller ends before its clock does.
            let _ = self.reset_lines();
            self.controller.power_off();
        }
        let pauses = u32::from(attempt.min(MOST_PAUSES));
        let discharge_ms = self.controller.platform().discharge_ms();
        self.reset(discharge_ms.saturating_mul(pauses))
    }

    fn identify_once(&mut self, before: &CardLocation, most_silences: u8) -> Result<(), Error> {
        let options = IdentificationOptions {
            first: before.kind().unwrap_or(self.settings.first),
            lines: 1,
            fast: false,
            cache: false,
            sleep: false,
            power_off_notification: false,
            has_3_volts: self.controller.has_3_volts(),
            write_protected: self.controller.is_write_protected(),
            dual_rate: false,
            ramp_ms: self.controller.platform().ramp_ms(),
            most_silences,
        };
        let mut procedure = Procedure::Identify(Identification::new(options));
        self.run(&mut procedure, u32::MAX)?;
        if let Procedure::Identify(identification) = &procedure {
            self.location = *identification.location();
        }
        Ok(())
    }
}
