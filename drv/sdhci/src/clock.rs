//! Values of the clock and bus control registers (sections 2.2.10, 2.2.14, 3.2 and 3.4).

use crate::platform::{Bus, Platform};
use crate::registers::{
    CAPABILITIES, Capabilities, ClockControl, HostControl, HostControl2, Registers, VERSION,
    Version,
};
use tock_registers::LocalRegisterCopy;
use tock_registers::fields::FieldValue;

/// The capabilities that the controller reports, as far as the platform believes them.
#[derive(Clone, Copy)]
pub(crate) struct Abilities {
    pub(crate) capabilities: LocalRegisterCopy<u32, Capabilities::Register>,
    pub(crate) version: LocalRegisterCopy<u32, Version::Register>,
}

/// Longest time-out of the data lines that all versions have: 2^27 cycles of the time-out clock. It
/// must not be shorter than what a card may take; waits are bounded by the drivers' own limits.
const DATA_TIMEOUT: u32 = 0xE;

impl Abilities {
    /// Reads them.
    pub(crate) fn read<R: Registers, P: Platform>(registers: &R, platform: &P) -> Self {
        let reported = registers.read(CAPABILITIES).get();
        Self {
            capabilities: LocalRegisterCopy::new(platform.capabilities(reported)),
            version: registers.read(VERSION),
        }
    }

    /// Version 3.00 or later: 10-bit divisors and Auto CMD23.
    pub(crate) fn is_version_3(&self) -> bool {
        self.version.read(Version::SPECIFICATION) >= 2
    }

    /// ADMA2 with 32-bit addresses.
    pub(crate) fn has_adma2(&self) -> bool {
        self.capabilities.is_set(Capabilities::ADMA2)
    }

    /// The highest voltage of the controller is 3.0 or 3.3 V.
    pub(crate) fn has_3_volts(&self) -> bool {
        self.capabilities
            .any_matching_bits_set(Capabilities::V33::SET + Capabilities::V30::SET)
    }

    /// Eight data lines (2.2.26).
    pub(crate) fn has_8_lines(&self) -> bool {
        self.capabilities.is_set(Capabilities::EIGHT_LINES)
    }

    /// Host Control 2 for a bus: its mode.
    pub(crate) fn host_control_2(bus: Bus) -> FieldValue<u32, HostControl2::Register> {
        if bus.dual_rate {
            HostControl2::UHS_MODE::Ddr50
        } else {
            HostControl2::UHS_MODE.val(0)
        }
    }

    /// Clock Control and Timeout Control for a bus, with all clocks off.
    pub(crate) fn clock_control<P: Platform>(
        &self,
        bus: Bus,
        platform: &P,
    ) -> FieldValue<u32, ClockControl::Register> {
        let ten_bits = self.is_version_3();
        let base_hz = match platform.base_clock_hz() {
            0 => {
                let megahertz = self.capabilities.read(Capabilities::BASE_CLOCK);
                let megahertz = if ten_bits {
                    megahertz
                } else {
                    megahertz & 0x3F
                };
                megahertz.wrapping_mul(1_000_000)
            }
            hertz => hertz,
        };
        let divisor = divisor(base_hz, bus.clock_hz.min(platform.max_clock_hz()), ten_bits);
        ClockControl::DIVISOR.val(divisor)
            + ClockControl::UPPER_DIVISOR.val(divisor >> 8)
            + ClockControl::DATA_TIMEOUT.val(DATA_TIMEOUT)
    }

    /// Host Control and Power Control for a bus: powered, with the highest voltage that the
    /// controller has.
    pub(crate) fn host_control(&self, bus: Bus) -> FieldValue<u32, HostControl::Register> {
        let voltage = if self.capabilities.is_set(Capabilities::V33) {
            HostControl::BUS_VOLTAGE::V33
        } else if self.capabilities.is_set(Capabilities::V30) {
            HostControl::BUS_VOLTAGE::V30
        } else {
            HostControl::BUS_VOLTAGE::V18
        };
        let mut control = HostControl::BUS_POWER::SET + voltage + HostControl::DMA_SELECT::Adma2;
        match bus.lines {
            8 => control += HostControl::EIGHT_LINES::SET,
            4 => control += HostControl::FOUR_LINES::SET,
            _ => {}
        }
        if bus.high_speed {
            control += HostControl::HIGH_SPEED::SET;
        }
        control
    }
}

/// The divisor field for the highest clock that is at most `target_hz`, or for the lowest clock if
/// none is.
///
/// Since version 3.00 the clock is base / 2n with n of 10 bits, before that n is a power of two up
/// to 128; n = 0 is the base clock itself. For a base clock of 0 (unknown) it is the lowest clock.
#[must_use]
pub fn divisor(base_hz: u32, target_hz: u32, ten_bits: bool) -> u32 {
    let limit = if ten_bits { 0x3FF } else { 0x80 };
    if base_hz == 0 || target_hz == 0 {
        return limit;
    }
    if base_hz <= target_hz {
        return 0;
    }
    // Both divisions round up. Not `div_ceil`: it has an overflow check, which could panic on the
    // emergency path.
    let divisor = (base_hz.wrapping_sub(1) / target_hz).wrapping_add(1);
    let n = (divisor >> 1).wrapping_add(divisor & 1);
    let n = if ten_bits {
        n
    } else {
        n.checked_next_power_of_two().unwrap_or(limit)
    };
    n.min(limit)
}

#[cfg(test)]
mod tests {
    use super::divisor;

    #[test]
    fn divisors_never_exceed_the_target() {
        for base in [50_000_000, 100_000_000, 200_000_000] {
            for target in [
                400_000,
                25_000_000,
                26_000_000,
                50_000_000,
                52_000_000,
                400_000_000,
            ] {
                let n = divisor(base, target, true);
                let clock = if n == 0 { base } else { base / (2 * n) };
                assert!(clock <= target, "{base} {target} {n}");
                assert!(
                    n <= 1 || base.div_ceil(2 * (n - 1)) > target,
                    "{base} {target} {n}"
                );
            }
        }
    }

    #[test]
    fn old_controllers_divide_by_powers_of_two() {
        assert_eq!(divisor(200_000_000, 400_000, false), 0x80);
        assert_eq!(divisor(100_000_000, 25_000_000, false), 2);
        assert_eq!(divisor(100_000_000, 20_000_000, false), 4);
        assert_eq!(divisor(50_000_000, 50_000_000, false), 0);
    }

    #[test]
    fn unknown_base_clock_gives_the_lowest_clock() {
        assert_eq!(divisor(0, 400_000, true), 0x3FF);
        assert_eq!(divisor(0, 50_000_000, false), 0x80);
    }
}
