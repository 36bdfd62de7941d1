//! What both drivers do with a slot in the same way.

use crate::platform::Platform;
use crate::registers::{CLOCK_CONTROL, ClockControl, PRESENT_STATE, PresentState, Registers};

/// Stops the card's clock and leaves all else as it is: it has to be stopped before its frequency
/// or timing changes (2.2.10, 2.2.14).
#[inline(always)]
pub(crate) fn stop_clock<R: Registers>(registers: &R) {
    let clock = registers.read(CLOCK_CONTROL).get();
    let stopped = ClockControl::SD_CLOCK_ENABLE::CLEAR.modify(clock);
    registers.set(CLOCK_CONTROL, stopped);
}

/// Whether the write-protect switch of the slot is on.
#[inline(always)]
pub(crate) fn is_write_protected<R: Registers, P: Platform>(registers: &R, platform: &P) -> bool {
    platform.has_write_protect()
        && !registers
            .read(PRESENT_STATE)
            .is_set(PresentState::WRITE_ENABLED)
}
