//! The clock: when it may change, and how fast it may be.

use crate::card::SimCardState;
use crate::controller::SimController;
use drv_sdhci::registers::ClockControl;

/// Shortest time-out of the data lines that lets every card write, microseconds (SD 4.6.2.2: 500 ms
/// for SDXC).
const SHORTEST_TIMEOUT_US: u64 = 500_000;

/// The bits of Clock Control that choose the frequency.
const DIVISOR: u32 = 0xFFC0;

impl SimController {
    /// The frequency of the card's clock, Hz, while it runs.
    pub(crate) fn clock_hz(&self) -> u64 {
        let base = u64::from(self.capabilities >> 8 & 0xFF) * 1_000_000;
        let divisor =
            u64::from(self.clock_control >> 8 & 0xFF | (self.clock_control >> 6 & 3) << 8);
        if divisor == 0 {
            base
        } else {
            base / (2 * divisor)
        }
    }

    /// Time-out of the data lines, microseconds: 2^(13 + n) cycles of the time-out clock (SDHCI
    /// 2.2.15 and 2.2.26).
    pub(crate) fn busy_timeout_us(&self) -> u64 {
        let field = self.clock_control >> 16 & 0xF;
        let megahertz = match (self.capabilities & 0x3F, self.capabilities & 1 << 7) {
            (0, _) | (_, 0) => 50,
            (megahertz, _) => u64::from(megahertz),
        };
        (1 << (13 + field)) / megahertz
    }

    /// A write to Clock Control, Timeout Control and Software Reset, before it has any effect.
    pub(crate) fn check_clock_control(&mut self, value: u32) {
        let enable = ClockControl::SD_CLOCK_ENABLE::SET.value;
        let internal = ClockControl::INTERNAL_CLOCK_ENABLE::SET.value;
        let all = ClockControl::RESET_ALL::SET.value;
        let before = self.clock_control;
        if value & all != 0 {
            return;
        }
        let was_on = before & enable != 0;
        // The clock is stopped before its frequency changes (SDHCI 2.2.14 and 3.2.3).
        if was_on && (before ^ value) & (DIVISOR | internal) != 0 {
            self.violation("the frequency changes while the card is clocked".into());
        }
        // The card is clocked once the controller's own clock is stable (SDHCI 3.2.1).
        if !was_on && value & enable != 0 && !self.clock_is_stable() {
            self.violation("the card is clocked before the clock is stable".into());
        }
        // The clock is not stopped during a command or a transfer (SDHCI 3.2.2).
        if was_on && value & enable == 0 && self.is_transferring() {
            self.violation("the clock is stopped during a transfer".into());
        }
    }

    /// A command with data or busy: the time-out has to be one (SDHCI 2.2.15: 15 is reserved), and
    /// not shorter than what a card may take.
    pub(crate) fn check_timeout(&mut self, index: u8) {
        let field = self.clock_control >> 16 & 0xF;
        let us = self.busy_timeout_us();
        if field == 0xF || us < SHORTEST_TIMEOUT_US {
            self.violation(format!(
                "CMD{index} with a data time-out of {us} us ({field})"
            ));
        }
    }

    /// The clock must not be above what the card allows in its state (SD 4.2.1 and 6.4.1.1, eMMC
    /// 10.5; the timings that an eMMC has are in DEVICE_TYPE, eMMC 7.4.57). A driver that could not
    /// notice that the card has lost its state is not to blame, nor one that asks by CMD13, or
    /// wakes the card by CMD5.
    pub(crate) fn check_frequency(&mut self, index: u8) {
        let clock = self.clock_hz();
        // Above 25 MHz the host drives its lines with high-speed timing (SDHCI 2.2.10); the legacy
        // timing of an eMMC goes up to 26 MHz.
        if clock > 26_000_000 && !self.high_speed() {
            self.violation(format!(
                "CMD{index} at {clock} Hz without high-speed timing"
            ));
        }
        let Some(card) = &self.card else { return };
        if card.has_forgotten() || matches!(index, 5 | 13) {
            return;
        }
        let limit = match card.state() {
            SimCardState::Idle | SimCardState::Ready | SimCardState::Ident => 400_000,
            _ => card.highest_clock(),
        };
        if clock > limit {
            self.violation(format!("CMD{index} at {clock} Hz, limit {limit} Hz"));
        }
    }
}
