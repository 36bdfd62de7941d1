//! Carrying out procedures, and going on after errors.

use super::EmergencyCard;
use crate::action::Action;
use crate::error::Error;
use crate::found::step;
use crate::procedure::Procedure;
use drv_sdhci::emergency::Clock;
use drv_sdhci::{AutoCommand, Data, Direction, Platform, Registers};

impl<R: Registers, P: Platform, C: Clock> EmergencyCard<'_, R, P, C> {
    /// Carries out a procedure. [`Error::Busy`] if it asks for a delay when `end_ms` milliseconds
    /// of the phase have passed.
    pub(super) fn run(&mut self, procedure: &mut Procedure, end_ms: u32) -> Result<(), Error> {
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
                    if self.controller.spent().ms >= end_ms {
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
            if self.controller.phase_expired() {
                if let Err(error) = result {
                    self.note(error.into());
                }
                return Err(Error::Deadline);
            }
            reply = result.map(|()| self.controller.response());
        }
    }

    /// Notes an error. `Ok` if another step may succeed after it; an error if the phase is over, or
    /// the error is not one that may pass.
    pub(super) fn continue_after(&mut self, error: Error) -> Result<(), Error> {
        // The error that used up the time is of more use than that the time is used up.
        if error != Error::Deadline {
            self.note(error);
        }
        if self.controller.phase_expired() {
            Err(Error::Deadline)
        } else if error.is_transient() {
            Ok(())
        } else {
            Err(error)
        }
    }

    /// Resets the command and data circuits, after an error.
    pub(super) fn reset_lines(&mut self) -> Result<(), Error> {
        self.report.steps |= step::LINES_RESET;
        Ok(self.controller.reset_lines()?)
    }
}
