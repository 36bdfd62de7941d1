//! Bringing controller and card, in whatever state they are, to where requests work.

use super::Card;
use crate::error::Error;
use crate::found::{ControllerState, step};
use crate::identify::{Identification, Options};
use crate::location::CardLocation;
use crate::procedure::{Action, Procedure};
use crate::recover::Recovery;
use drv_sdhci::polled::Clock;
use drv_sdhci::{AutoCommand, Data, Direction, Platform, Registers};

/// How often identification is tried.
const IDENTIFICATIONS: u8 = 3;

/// Milliseconds without power that make every card forget.
const POWER_OFF_MS: u32 = 5;

impl<R: Registers, P: Platform, C: Clock> Card<'_, R, P, C> {
    pub(super) fn take_over(&mut self) -> Result<(), Error> {
        let known = self.location.kind().is_some();
        if self.found.controller == ControllerState::PowerOff as u8 {
            // It may have been switched off just now: give the card no half voltage.
            self.controller.delay(POWER_OFF_MS);
        }
        self.reset()?;
        if known {
            match self.recover(true) {
                Ok(()) => return Ok(()),
                Err(error) => self.survive(error)?,
            }
        }
        // Identification turns the cache off. What it held was never reported durable.
        self.unflushed = false;
        self.identify()
    }

    /// Resets the controller, twice if need be.
    pub(super) fn reset(&mut self) -> Result<(), Error> {
        let bus = self.location.bus();
        if let Err(error) = self.controller.reset(bus) {
            self.survive(error.into())?;
            self.found.steps |= step::RESET_AGAIN;
            self.controller.reset(bus)?;
        }
        Ok(())
    }

    /// Takes note of an error and goes on, unless nothing that could follow would help.
    pub(super) fn survive(&mut self, error: Error) -> Result<(), Error> {
        // What used up the time says more than that it is used up.
        if error != Error::Deadline {
            self.note(error);
        }
        if self.controller.is_late() {
            Err(Error::Deadline)
        } else if error.is_transient() {
            Ok(())
        } else {
            Err(error)
        }
    }

    /// Brings the card back to transfer state without losing what it knows.
    pub(super) fn recover(&mut self, first: bool) -> Result<(), Error> {
        // Half of the time that is left, at most: the rest is for what comes if the card stays busy. The number of waits
        // is for a clock that is dead.
        let spent = self.controller.spent().ms;
        let end = spent.saturating_add(self.phase_ms().saturating_sub(spent) / 2);
        let most_waits = self.phase_ms() / 4;
        let mut procedure = Procedure::Recover(Recovery::new(&self.location, most_waits));
        let result = self.run(&mut procedure, end);
        if let Procedure::Recover(recovery) = &procedure {
            self.found.steps |= recovery.steps;
            if first {
                self.found.saw(recovery.first_state);
            }
        }
        result
    }

    /// Identifies the card anew; if it does not answer, or wrongly, again after its power was off.
    pub(super) fn identify(&mut self) -> Result<(), Error> {
        let before = self.location;
        let mut attempt: u8 = 1;
        while let Err(error) = self.identify_once(&before) {
            match error {
                Error::NoCard | Error::PowerUp => {
                    self.note(error);
                }
                error => self.survive(error)?,
            }
            if attempt >= IDENTIFICATIONS {
                return Err(error);
            }
            attempt = attempt.saturating_add(1);
            self.found.steps |= step::POWER_CYCLED;
            self.controller.power_off();
            self.controller.delay(POWER_OFF_MS);
            self.location = CardLocation::default();
            self.reset()?;
        }
        self.found.steps |= step::IDENTIFIED;
        if before.kind().is_some() && before.cid != self.location.cid {
            self.found.steps |= step::OTHER_CARD;
        }
        Ok(())
    }

    fn identify_once(&mut self, before: &CardLocation) -> Result<(), Error> {
        let options = Options {
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

    /// Carries out a procedure; the card is busy if it still lets time pass at `end`, milliseconds of the phase.
    fn run(&mut self, procedure: &mut Procedure, end: u32) -> Result<(), Error> {
        let mut reply = Ok([0; 4]);
        loop {
            let result = match procedure.next(reply, self.scratch)? {
                Action::Command(command) => self.controller.command(&command).map(|_| ()),
                Action::Read(command, block_len) => {
                    let data = Data {
                        direction: Direction::Read,
                        blocks: core::slice::from_ref(self.scratch),
                        block_len,
                        multiple: false,
                        auto: AutoCommand::None,
                    };
                    let result = self.controller.transfer(&command, &data);
                    if result.is_err() {
                        self.give_up_dma();
                    }
                    result.map(|_| ())
                }
                Action::Bus(bus) => self.controller.set_bus(bus),
                Action::Delay(ms) => {
                    if self.controller.spent().ms >= end {
                        return Err(Error::Busy);
                    }
                    self.controller.delay(ms);
                    Ok(())
                }
                Action::Done => return Ok(()),
            };
            if result.is_err() {
                self.reset_lines()?;
            }
            if self.controller.is_late() {
                if let Err(error) = result {
                    self.note(error.into());
                }
                return Err(Error::Deadline);
            }
            reply = result.map(|()| self.controller.response());
        }
    }

    pub(super) fn reset_lines(&mut self) -> Result<(), Error> {
        self.found.steps |= step::LINES_RESET;
        Ok(self.controller.reset_lines()?)
    }
}
