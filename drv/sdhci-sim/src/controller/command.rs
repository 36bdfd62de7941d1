//! The command circuit.

use super::data::DataPhase;
use super::{Answer, Controller, Pending};
use crate::card::State;
use crate::fault::Fault;
use drv_sdhci::registers::Interrupt;

impl Controller {
    pub(super) fn complete(&mut self, pending: Pending) {
        match pending.response {
            Some(Answer::Short(word)) => self.response[0] = word,
            Some(Answer::Long(words)) => self.response = words,
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
        let faults: Vec<Fault> = self
            .plans
            .iter_mut()
            .filter_map(|plan| plan.strike(index))
            .collect();
        let has = |fault| faults.contains(&fault);
        if has(Fault::Removed) {
            self.card = None;
        }
        for fault in &faults {
            if let (Fault::Swapped(serial), Some(card)) = (fault, &mut self.card) {
                *card = card.another(*serial);
            }
        }
        let dark = self
            .unpowered_since
            .is_some_and(|since| self.now - since > self.supply_holds_us);
        if has(Fault::Ignored) || self.card.is_none() || dark {
            return;
        }
        self.check_clock(index);
        self.hung_command |= has(Fault::HangsCommand);
        self.hung_data |= has(Fault::HangsData);
        let due = self.now + self.timing.response_us;
        let now = self.now;
        let mut pending = Pending {
            due,
            error: 0,
            response: None,
            busy: false,
            data: None,
        };
        let timeout = Interrupt::COMMAND_TIMEOUT::SET.value;
        let (lines, high_speed) = (self.lines(), self.high_speed());
        let Some(card) = &mut self.card else { return };
        if has(Fault::Forgets) {
            card.forget();
        }
        if has(Fault::NoResponse) {
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
                Fault::Refused(bits) => card.refuse_next(*bits),
                Fault::Busy(us) => card.busy_next(*us),
                Fault::NotProgrammed => card.fail_to_program_next(),
                _ => {}
            }
        }
        let answer = card.command(now, index, self.argument);
        let expected = value >> 16 & 3;
        pending.response = match (answer.response, expected) {
            (Some(Answer::Long(words)), 1) => Some(Answer::Long(words)),
            (Some(Answer::Short(word)), 2 | 3) => Some(Answer::Short(word)),
            (None, 0) => None,
            _ => {
                pending.error = timeout;
                None
            }
        };
        for fault in &faults {
            pending.error |= match fault {
                Fault::ResponseLost => timeout,
                Fault::ResponseCrc => Interrupt::COMMAND_CRC::SET.value,
                Fault::ResponseEndBit => Interrupt::COMMAND_END_BIT::SET.value,
                Fault::ResponseIndex => Interrupt::COMMAND_INDEX::SET.value,
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

    /// Whether the card's clock is one that it may be run at. CMD13 is what a driver asks a card with that it believes to
    /// be identified, and CMD5 what it wakes one with that does not answer; it cannot know better.
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
            State::Idle | State::Ready | State::Ident => 400_000,
            _ => card.highest_clock(),
        };
        if clock > limit {
            self.violation(format!("CMD{index} at {clock} Hz, limit {limit} Hz"));
        }
    }
}
