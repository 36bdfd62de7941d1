//! The command circuit.

use super::data::DataPhase;
use super::{PendingCommand, SimController};
use crate::card::{CardResponse, SimCardState};
use crate::fault::InjectedFault;
use drv_sdhci::registers::Interrupt;

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
        self.busy |= pending.busy;
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
        if !self.card_is_clocked() {
            return;
        }
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
                *card = card.another(*serial);
            }
        }
        let dark = self
            .unpowered_since
            .is_some_and(|since| self.now - since > self.supply_holds_us);
        if has(InjectedFault::Ignored) || self.card.is_none() || dark {
            return;
        }
        self.check_clock(index);
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
        let (lines, high_speed) = (self.lines(), self.high_speed());
        let Some(card) = &mut self.card else { return };
        if has(InjectedFault::Forgets) {
            card.forget();
        }
        if has(InjectedFault::NoResponse) {
            pending.error = timeout;
            self.pending = Some(pending);
            return;
        }
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
        for fault in &faults {
            pending.error |= match fault {
                InjectedFault::ResponseLost => timeout,
                InjectedFault::ResponseCrc => Interrupt::COMMAND_CRC::SET.value,
                InjectedFault::ResponseEndBit => Interrupt::COMMAND_END_BIT::SET.value,
                InjectedFault::ResponseIndex => Interrupt::COMMAND_INDEX::SET.value,
                _ => 0,
            };
        }
        pending.busy = busy_response;
        if has_data {
            let fast = card.is_bus_equal(lines, high_speed);
            let phase = DataPhase::new(value, self.blocks, self.adma_address, due, faults, fast);
            pending.data = Some(if answer.data { phase } else { phase.never() });
        }
        self.pending = Some(pending);
    }

    /// Records a violation if the clock is above what the card allows in its state. CMD13 and CMD5
    /// are exempt: a driver sends them to a card that it believes to be identified, or asleep, and
    /// cannot know that the card has lost its state.
    fn check_clock(&mut self, index: u8) {
        if matches!(index, 5 | 13) {
            return;
        }
        let base = u64::from(self.capabilities >> 8 & 0xFF) * 1_000_000;
        let divisor =
            u64::from(self.clock_control >> 8 & 0xFF | (self.clock_control >> 6 & 3) << 8);
        let clock = if divisor == 0 {
            base
        } else {
            base / (2 * divisor)
        };
        let Some(card) = &self.card else { return };
        let limit = match card.state() {
            SimCardState::Idle | SimCardState::Ready | SimCardState::Ident => 400_000,
            _ => card.highest_clock(),
        };
        if clock > limit {
            self.violation(format!("CMD{index} at {clock} Hz, limit {limit} Hz"));
        }
    }
}
