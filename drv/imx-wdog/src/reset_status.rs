//! What the i.MX 6UltraLite says of its last reset: SRC_SRSR, and WDOGx_WRSR (IMX6ULRM, chapters 52
//! and 59).
//!
//! The bits of SRSR stay until a 1 is written to them, so what is read at the start of a boot has
//! to be written back. A boot loader may have done so already: then the register is 0. Bit 0 is set
//! at power-on and by the pin POR_B alike, which it does not tell from each other, and the other
//! bits say nothing then.
//!
//! SRSR has no bit of its own for a reset by software: that is the watchdog that was told to. Its
//! WRSR knows.

/// Address of the system reset controller (i.MX 6UltraLite memory map).
pub const SRC_ADDRESS: usize = 0x020d_8000;
/// Offset of SRSR in it.
pub const SRSR_OFFSET: usize = 8;

/// Power-on, or the pin POR_B.
const POWER_ON: u32 = 1 << 0;
/// The pin for a reset by the user.
const PIN: u32 = 1 << 3;
/// WDOG1 (or WDOG2).
const WDOG1: u32 = 1 << 4;
const WDOG3: u32 = 1 << 7;
/// In WRSR: software has asked for it.
const SOFTWARE: u16 = 1 << 0;

/// The registers' values at the start of a boot.
#[derive(Clone, Copy, Debug)]
pub struct ResetStatus {
    /// SRC_SRSR.
    pub srsr: u32,
    /// WRSR of WDOG1 and of WDOG3 (`Watchdog::reset_status`).
    pub wrsr: [u16; 2],
}

impl ResetStatus {
    /// Has a watchdog reset the chip, as nobody has fed it in time?
    #[must_use]
    pub const fn is_watchdog(self) -> bool {
        let [first, third] = self.wrsr;
        let by_first = self.srsr & WDOG1 != 0 && first & SOFTWARE == 0;
        let by_third = self.srsr & WDOG3 != 0 && third & SOFTWARE == 0;
        self.srsr & POWER_ON == 0 && (by_first || by_third)
    }

    /// Was the pin for a reset by the user asserted?
    #[must_use]
    pub const fn is_pin(self) -> bool {
        self.srsr & (POWER_ON | PIN) == PIN
    }
}

#[cfg(test)]
mod tests {
    use super::ResetStatus;

    /// Watchdog, pin.
    fn causes(srsr: u32, wrsr: [u16; 2]) -> (bool, bool) {
        let status = ResetStatus { srsr, wrsr };
        (status.is_watchdog(), status.is_pin())
    }

    #[test]
    fn a_watchdog_that_times_out_is_told_from_a_reset_by_software() {
        assert_eq!(causes(0x10, [2, 0]), (true, false));
        assert_eq!(causes(0x80, [0, 2]), (true, false));
        assert_eq!(causes(0x10, [1, 0]), (false, false));
        assert_eq!(causes(0x80, [0, 1]), (false, false));
        // Each is asked about its own.
        assert_eq!(causes(0x10, [2, 1]), (true, false));
        assert_eq!(causes(0x80, [1, 2]), (true, false));
    }

    /// Also what QEMU's model says after every reset.
    #[test]
    fn power_on_hides_what_else_is_set() {
        assert_eq!(causes(0x01, [0, 0]), (false, false));
        assert_eq!(causes(0x99, [2, 2]), (false, false));
    }

    #[test]
    fn the_pin_and_other_resets_are_no_watchdog() {
        assert_eq!(causes(0x08, [0, 0]), (false, true));
        for other in [0x00, 0x04, 0x20, 0x40, 0x100, 0x1_0000] {
            assert_eq!(causes(other, [0, 0]), (false, false), "{other:#x}");
        }
    }
}
