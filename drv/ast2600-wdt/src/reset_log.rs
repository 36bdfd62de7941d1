//! What the AST2600 says of its resets: two registers of the system control unit.
//!
//! A bit is set by each reset of its kind and stays until a 1 is written to it, so what is read at
//! the start of a boot has to be written back. A boot loader may have done so already: then the
//! registers are 0. Power-on sets bit 0 of the first, and the other bits say nothing then.
//!
//! Each watchdog has four bits: those for a time-out that resets the system on chip, the whole chip
//! or the processor, and one for a reset by software (`Watchdog::reset_now`).

/// Offsets of the two registers in the system control unit: the event log with power-on, pin and
/// the first four watchdogs, and that of the other four.
pub const RESET_LOG_OFFSETS: [u32; 2] = [0x64, 0x6c];

/// Power was applied.
const POWER_ON: u32 = 1 << 0;
/// The pin EXTRST# was asserted.
const PIN: u32 = 1 << 1;
/// In the four bits of a watchdog: a time-out.
const TIMED_OUT: u32 = 0b0111;
/// The time-outs of the watchdogs in each register.
const FIRST_TIME_OUTS: u32 = TIMED_OUT << 16 | TIMED_OUT << 20 | TIMED_OUT << 24 | TIMED_OUT << 28;
const OTHER_TIME_OUTS: u32 = TIMED_OUT | TIMED_OUT << 4 | TIMED_OUT << 8 | TIMED_OUT << 12;

/// The registers' values at the start of a boot, in the order of [`RESET_LOG_OFFSETS`].
#[derive(Clone, Copy, Debug)]
pub struct ResetLog(pub [u32; 2]);

impl ResetLog {
    /// Was power applied?
    #[must_use]
    pub const fn is_power_on(self) -> bool {
        let Self([first, _]) = self;
        first & POWER_ON != 0
    }

    /// Has a watchdog reset the chip, as nobody has fed it in time? Only if power was not applied.
    #[must_use]
    pub const fn is_watchdog(self) -> bool {
        let Self([first, other]) = self;
        !self.is_power_on() && (first & FIRST_TIME_OUTS != 0 || other & OTHER_TIME_OUTS != 0)
    }

    /// Was the reset pin asserted? Only if power was not applied.
    #[must_use]
    pub const fn is_pin(self) -> bool {
        let Self([first, _]) = self;
        !self.is_power_on() && first & PIN != 0
    }
}

#[cfg(test)]
mod tests {
    use super::ResetLog;

    /// Power-on, watchdog, pin.
    fn causes(first: u32, other: u32) -> [bool; 3] {
        let log = ResetLog([first, other]);
        [log.is_power_on(), log.is_watchdog(), log.is_pin()]
    }

    #[test]
    fn power_on_hides_what_else_is_set() {
        assert_eq!(causes(1, 0), [true, false, false]);
        assert_eq!(causes(0xffff_ffff, 0xffff), [true, false, false]);
    }

    #[test]
    fn each_watchdog_that_times_out_is_told_from_a_reset_by_software() {
        for watchdog in 0..4 {
            for kind in 0..4 {
                let bit = 1 << (watchdog * 4 + kind);
                let timed_out = [false, kind != 3, false];
                assert_eq!(causes(bit << 16, 0), timed_out, "{watchdog} {kind}");
                assert_eq!(causes(0, bit), timed_out, "{} {kind}", watchdog + 4);
            }
        }
    }

    #[test]
    fn the_pin_and_other_resets_are_no_watchdog() {
        assert_eq!(causes(2, 0), [false, false, true]);
        for other in [0, 4, 8, 0x10, 0x20, 0x40] {
            assert_eq!(causes(other, 0), [false; 3]);
        }
        assert_eq!(causes(0, 0xffff_0000), [false; 3]);
    }
}
