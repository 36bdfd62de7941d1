//! Register accesses.

use super::{ERRORS, SimController};
use drv_sdhci::registers::{ClockControl, Interrupt, PresentState};

impl SimController {
    pub(crate) fn load(&mut self, offset: u8) -> u32 {
        match offset {
            0x00 => self.argument_2,
            0x04 => self.blocks_register(),
            0x08 => self.argument,
            0x0C => self.transfer,
            0x10 => self.response[0],
            0x14 => self.response[1],
            0x18 => self.response[2],
            0x1C => self.response[3],
            0x20 => self.read_buffer(),
            0x24 => self.present_state(),
            0x28 => self.host_control,
            0x2C => self.clock_register(),
            0x30 => self.status_register(),
            0x34 => self.status_enable,
            0x38 => self.signal_enable,
            0x3C => self.host_control_2,
            0x40 => self.capabilities,
            0x44 => self.capabilities_2,
            0x54 => self.adma_error,
            0x58 => self.adma_address,
            0xFC => u32::from(self.version) << 16,
            _ => 0,
        }
    }

    pub(crate) fn store(&mut self, offset: u8, value: u32) {
        self.check_store(offset, value);
        match offset {
            0x00 => self.argument_2 = value,
            0x04 => self.blocks = value,
            0x08 => self.argument = value,
            0x0C => self.start_command(value),
            0x20 => self.write_buffer(value),
            0x28 => self.write_host_control(value),
            0x2C => self.write_clock_control(value),
            0x30 => self.status &= !value,
            0x34 => self.status_enable = value,
            0x38 => self.signal_enable = value,
            0x3C => self.host_control_2 = value,
            0x50 => self.raise(value & ERRORS),
            0x58 => self.adma_address = value,
            _ => {}
        }
    }

    fn status_register(&self) -> u32 {
        let error = self.status & ERRORS != 0;
        self.status & !(1 << 15) | u32::from(error) << 15
    }

    fn present_state(&self) -> u32 {
        let mut value = 0;
        let mut set = |condition: bool, bit: u32| {
            if condition {
                value |= bit;
            }
        };
        let command = self.pending.is_some() || self.hung_command || self.command_inhibit;
        let (reading, writing) = match &self.data {
            Some(data) => (data.is_read(), !data.is_read()),
            None => (false, false),
        };
        let busy = self.busy || self.hung_data || self.data_inhibit;
        let buffer = self
            .data
            .as_ref()
            .is_some_and(|data| data.is_buffer_ready());
        set(command, PresentState::COMMAND_INHIBIT::SET.value);
        set(
            reading || writing || busy,
            PresentState::DATA_INHIBIT::SET.value,
        );
        set(
            reading || writing || busy,
            PresentState::DATA_LINE_ACTIVE::SET.value,
        );
        set(reading, PresentState::READ_ACTIVE::SET.value);
        set(writing, PresentState::WRITE_ACTIVE::SET.value);
        set(
            buffer && reading,
            PresentState::BUFFER_READ_ENABLE::SET.value,
        );
        set(
            buffer && writing,
            PresentState::BUFFER_WRITE_ENABLE::SET.value,
        );
        // Until the signal is stable no card is shown (SDHCI 2.2.9).
        let stable = self.is_detect_stable();
        set(
            self.card.is_some() && stable,
            PresentState::CARD_INSERTED::SET.value,
        );
        set(stable, PresentState::CARD_STATE_STABLE::SET.value);
        set(self.write_enabled, PresentState::WRITE_ENABLED::SET.value);
        let card_busy = self.card.as_ref().is_some_and(|card| card.is_busy());
        set(
            true,
            PresentState::DATA_LEVEL
                .val(if card_busy { 0xE } else { 0xF })
                .value,
        );
        value
    }

    fn clock_register(&self) -> u32 {
        let resets = ClockControl::RESET_ALL::SET
            + ClockControl::RESET_COMMAND::SET
            + ClockControl::RESET_DATA::SET;
        let mut value = self.clock_control;
        if self.now >= self.reset_done_at {
            value &= !resets.value;
        }
        if self.clock_is_stable() {
            value |= ClockControl::INTERNAL_CLOCK_STABLE::SET.value;
        }
        value
    }

    fn write_host_control(&mut self, value: u32) {
        self.host_control = self.checked_power(value);
        self.update_power();
    }

    fn write_clock_control(&mut self, value: u32) {
        self.check_clock_control(value);
        let enable = ClockControl::INTERNAL_CLOCK_ENABLE::SET.value;
        let divisor = 0xFFC0 | enable;
        if value & enable != 0 && (self.clock_control ^ value) & divisor != 0 {
            self.clock_stable_at = self.now + self.timing.clock_us;
        }
        self.clock_control = value & !ClockControl::INTERNAL_CLOCK_STABLE::SET.value;
        self.note_clock();
        let has = |bit: u32| value & bit != 0;
        let all = has(ClockControl::RESET_ALL::SET.value);
        let command = has(ClockControl::RESET_COMMAND::SET.value);
        let data = has(ClockControl::RESET_DATA::SET.value);
        if !(all || command || data) {
            return;
        }
        if self.stuck_resets > 0 {
            self.stuck_resets -= 1;
            self.reset_done_at = u64::MAX;
            return;
        }
        self.reset_done_at = self.now + self.timing.reset_us;
        if all || data {
            self.memory.settle();
        }
        if all || command {
            self.pending = None;
            self.hung_command = false;
            self.status &= !Interrupt::COMMAND_COMPLETE::SET.value;
        }
        if all || data {
            self.data = None;
            self.busy = false;
            self.hung_data = false;
            self.status &= !(Interrupt::TRANSFER_COMPLETE::SET.value
                | Interrupt::DMA::SET.value
                | Interrupt::BUFFER_READ_READY::SET.value
                | Interrupt::BUFFER_WRITE_READY::SET.value);
        }
        if all {
            self.reset_registers();
        }
    }

    fn reset_registers(&mut self) {
        self.argument_2 = 0;
        self.host_control_2 = 0;
        self.blocks = 0;
        self.argument = 0;
        self.transfer = 0;
        self.response = [0; 4];
        self.clock_control &= ClockControl::RESET_ALL::SET.value;
        self.status = 0;
        self.status_enable = 0;
        self.signal_enable = 0;
        self.adma_error = 0;
        self.adma_address = 0;
        self.write_host_control(0);
        self.note_clock();
    }
}
