//! The command circuit.

use super::data::DataPhase;
use super::{PendingCommand, SimController};
use crate::card::CardResponse;
use crate::fault::InjectedFault;
use drv_sdhci::registers::{ClockControl, Interrupt};

impl SimController {
    pub(super) fn complete(&mut self, pending: PendingCommand) {
        match pending.response {
            Some(CardResponse::Short(word)) => self.response[0] = word,
            Some(CardResponse::Long(words)) => self.response = words,
            None => {}
        }
        if pending.error != 0 {
            self.raise(pending.error);
            return;
        }
        self.raise(Interrupt::COMMAND_COMPLETE::SET.value);
        self.data = pending.data;
        if pending.busy {
            self.await_busy();
        }
    }

    /// A write to the command register.
    pub(super) fn start_command(&mut self, value: u32) {
        self.transfer = value;
        let index = (value >> 24 & 0x3F) as u8;
        let has_data = value & (1 << 21) != 0;
        let abort = value >> 22 & 3 == 3;
        if self.pending.is_some() || self.hung_command {
            return self.violation(format!("CMD{index} while the command line is in use"));
        }
        let data_in_use = self.data.is_some() || self.busy || self.hung_data;
        let busy_response = value >> 16 & 3 == 3;
        if data_in_use && (has_data || busy_response) && !abort {
            return self.violation(format!("CMD{index} while the data lines are in use"));
        }
        let enable = ClockControl::SD_CLOCK_ENABLE::SET.value;
        if self.clock_control & enable == 0 || self.host_control & 1 << 8 == 0 {
            return self.violation(format!("CMD{index} without clock or power"));
        }
        if !self.card_is_clocked() {
            return;
        }
        self.check_command(value);
        let is_condition = index == 1 || index == 41;
        let faults: Vec<InjectedFault> = self
            .plans
            .iter_mut()
            .filter_map(|plan| plan.strike(index))
            .collect();
        let has = |fault| faults.contains(&fault);
        if has(InjectedFault::Removed) {
            self.card = None;
        }
        for fault in &faults {
            if let (InjectedFault::Swapped(serial), Some(card)) = (fault, &mut self.card) {
                *card = card.another(*serial).unknown();
            }
        }
        if has(InjectedFault::Ignored) {
            return;
        }
        let hears = !self.is_dark() && !self.is_mute() && self.listens(index);
        if hears {
            self.check_frequency(index);
        }
        let wrong_checks = self.wrong_checks(value, index, is_condition);
        let supplied = self.supplied_voltage();
        self.hung_command |= has(InjectedFault::HangsCommand);
        self.hung_data |= has(InjectedFault::HangsData);
        let due = self.now + self.timing.response_us;
        let now = self.now;
        let mut pending = PendingCommand {
            due,
            error: 0,
            response: None,
            busy: false,
            data: None,
        };
        let timeout = Interrupt::COMMAND_TIMEOUT::SET.value;
        let bus = (self.lines(), self.high_speed(), self.dual_rate());
        let no_answer = if value >> 16 & 3 == 0 { 0 } else { timeout };
        // Nobody answers: the command line stays high, and the controller notices (SDHCI 2.2.18).
        let Some(card) = &mut self.card else {
            pending.error = no_answer;
            self.pending = Some(pending);
            return;
        };
        if has(InjectedFault::Forgets) {
            card.forget();
        }
        if has(InjectedFault::NoResponse) || !hears {
            pending.error = no_answer;
            self.pending = Some(pending);
            return;
        }
        card.supply(supplied);
        if value >> 2 & 3 == 2 && has_data {
            self.log.push((23, self.argument_2));
            card.command(now, 23, self.argument_2);
        }
        self.log.push((index, self.argument));
        for fault in &faults {
            match fault {
                InjectedFault::Refused(bits) => card.refuse_next(*bits),
                InjectedFault::Busy(us) => card.busy_next(*us),
                InjectedFault::NotProgrammed => card.fail_to_program_next(),
                _ => {}
            }
        }
        let answer = card.command(now, index, self.argument);
        let expected = value >> 16 & 3;
        pending.response = match (answer.response, expected) {
            (Some(CardResponse::Long(words)), 1) => Some(CardResponse::Long(words)),
            (Some(CardResponse::Short(word)), 2 | 3) => Some(CardResponse::Short(word)),
            (None, 0) => None,
            _ => {
                pending.error = timeout;
                None
            }
        };
        if answer.response.is_some() && pending.error == 0 {
            pending.error = wrong_checks;
        }
        for fault in &faults {
            let bits = match fault {
                InjectedFault::ResponseLost => timeout,
                InjectedFault::ResponseCrc => Interrupt::COMMAND_CRC::SET.value,
                InjectedFault::ResponseEndBit => Interrupt::COMMAND_END_BIT::SET.value,
                InjectedFault::ResponseIndex => Interrupt::COMMAND_INDEX::SET.value,
                _ => 0,
            };
            pending.error |= Self::noticed(value, bits);
            if *fault == InjectedFault::ResponseCrc
                && let Some(CardResponse::Short(word)) = &mut pending.response
            {
                *word ^= 3 << 10;
            }
        }
        self.prefixed = index == 55 && pending.error == 0;
        pending.busy = busy_response;
        if has_data {
            let fast = card.is_bus_equal(bus);
            let phase = DataPhase::new(value, self.blocks, self.adma_address, due, faults, fast);
            pending.data = Some(if answer.data { phase } else { phase.never() });
        }
        self.pending = Some(pending);
    }
}
