//! Two of the i.MX 6UltraLite's watchdogs: a one-shot deadline for the crash path, and one that is
//! fed.
//!
//! The supervisor arms WDOG1 once, with the time for a whole emergency, and never feeds it:
//! whatever happens to the supervisor, the recorder or the kernel afterwards, the system is reset
//! when that time is over. WDOG3 runs in normal operation, and the supervisor feeds it. (WDOG2
//! serves TrustZone, and resets nothing.) No function here waits, and none can fail.
//!
//! A watchdog that is enabled stays enabled until the reset: WDE can be set once. Its control
//! register is therefore written once in a boot, with everything in it, and a write that would
//! change nothing is not made.
//!
//! The counter has 8 bits and counts half seconds. A time is rounded up, and half a second is added
//! because the first count may come at once: the reset is never earlier than asked for, and at most
//! one second later.
//!
//! Registers are those of the *i.MX 6UltraLite Applications Processor Reference Manual* (IMX6ULRM),
//! chapter 59, WDOG; they take 16-bit accesses only. `unsafe` is used to turn the fixed address of
//! the block into a reference, and to allow the value to be sent to another context.

#![cfg_attr(target_os = "none", no_std)]

mod reset_status;

pub use reset_status::{ResetStatus, SRC_ADDRESS, SRSR_OFFSET};

use tock_registers::interfaces::{Readable, Writeable};
use tock_registers::registers::{ReadOnly, ReadWrite, WriteOnly};
use tock_registers::{register_bitfields, register_structs};

/// Address of WDOG1 (i.MX 6UltraLite memory map); the page is granted by `uses = ["wdt"]`.
pub const WDOG1_ADDRESS: usize = 0x020b_c000;

/// Address of WDOG3 (i.MX 6UltraLite memory map); the page is granted by `uses = ["wdog3"]`.
pub const WDOG3_ADDRESS: usize = 0x021e_4000;

/// Milliseconds in one count.
const MS_PER_COUNT: u32 = 500;

/// The two values that, written to the service register one after the other, reload the counter.
const SERVICE: [u16; 2] = [0x5555, 0xaaaa];

register_bitfields![u16,
    Control [
        /// The watchdog runs.
        ENABLE OFFSET(2) NUMBITS(1) [],
        /// 0 resets the system at once.
        NO_SOFTWARE_RESET OFFSET(4) NUMBITS(1) [],
        /// 0 asserts the pin WDOG_B.
        NO_PIN OFFSET(5) NUMBITS(1) [],
        /// Half seconds until the reset, less one.
        TIME OFFSET(8) NUMBITS(8) [],
    ],
];

register_structs! {
    /// One watchdog.
    Registers {
        (0x00 => control: ReadWrite<u16, Control::Register>),
        (0x02 => service: WriteOnly<u16>),
        (0x04 => reset_status: ReadOnly<u16>),
        (0x06 => interrupt_control: ReadWrite<u16>),
        (0x08 => power_down: ReadWrite<u16>),
        (0x0a => @END),
    }
}

/// A watchdog. Holding one proves that no other code uses its registers.
pub struct Watchdog {
    registers: &'static Registers,
}

// SAFETY: the reference is the only one (the caller of `wdog1` or `wdog3` guarantees that), and the
// registers do not depend on the context that accesses them.
unsafe impl Send for Watchdog {}

impl Watchdog {
    /// Takes WDOG1, and switches its power-down counter off.
    ///
    /// # Safety
    ///
    /// The page at [`WDOG1_ADDRESS`] must be mapped for the caller as device memory, and no other
    /// code may use WDOG1 while the value exists.
    #[must_use]
    pub unsafe fn wdog1() -> Self {
        // SAFETY: the caller's promise.
        unsafe { Self::at(WDOG1_ADDRESS) }
    }

    /// Takes WDOG3, and switches its power-down counter off.
    ///
    /// # Safety
    ///
    /// As for [`wdog1`](Self::wdog1), for WDOG3 and [`WDOG3_ADDRESS`].
    #[must_use]
    pub unsafe fn wdog3() -> Self {
        // SAFETY: the caller's promise.
        unsafe { Self::at(WDOG3_ADDRESS) }
    }

    /// # Safety
    ///
    /// `address` is that of a watchdog's registers, which are mapped as device memory and used by
    /// nobody else while the value exists.
    unsafe fn at(address: usize) -> Self {
        // SAFETY: the caller guarantees that the registers are mapped and that only this value uses
        // them. The address is 2-aligned, not null, and memory-mapped registers exist as long as
        // the program runs.
        let registers = unsafe { &*(address as *const Registers) };
        // The power-down counter, which runs after a reset, would assert WDOG_B after 16 seconds
        // (IMX6ULRM, WDOGx_WMCR).
        registers.power_down.set(0);
        Self { registers }
    }

    /// Starts the countdown: the system is reset `budget_ms` milliseconds from now, or up to a
    /// second later. The longest budget is 127 s; a longer one is cut to it.
    ///
    /// If the watchdog runs already, the countdown begins anew, with the time that was set first.
    pub fn arm(&mut self, budget_ms: u32) {
        if !self.is_armed() {
            self.registers.control.write(
                Control::ENABLE::SET
                    + Control::NO_SOFTWARE_RESET::SET
                    + Control::NO_PIN::SET
                    + Control::TIME.val(counts(budget_ms)),
            );
        }
        self.service();
    }

    /// Starts the countdown anew, or for the first time: the system is reset `milliseconds` from
    /// now, if this is not called again. The time of the first call holds.
    pub fn feed(&mut self, milliseconds: u32) {
        self.arm(milliseconds);
    }

    /// Starts the countdown anew, if there is one.
    pub fn service(&mut self) {
        for word in SERVICE {
            self.registers.service.set(word);
        }
    }

    /// Is there a countdown?
    #[must_use]
    pub fn is_armed(&self) -> bool {
        self.registers.control.is_set(Control::ENABLE)
    }

    /// What WRSR says of the last reset that was this watchdog's, for [`ResetStatus`].
    #[must_use]
    pub fn reset_status(&self) -> u16 {
        self.registers.reset_status.get()
    }

    /// Resets the system.
    ///
    /// The write takes effect within some cycles of the 32 kHz clock, in which the caller goes on
    /// to run.
    pub fn reset_now(&mut self) {
        // Three times: across the two clocks a single write may be lost (NXP's ERR004346).
        for _ in 0..3 {
            self.registers.control.write(Control::NO_PIN::SET);
        }
    }

    /// Asserts the pin WDOG_B as well, for a board whose reset it is.
    pub fn reset_by_pin(&mut self) {
        self.registers.control.set(0);
    }
}

/// The time field for a number of milliseconds.
const fn counts(milliseconds: u32) -> u16 {
    let counts = milliseconds.div_ceil(MS_PER_COUNT);
    if counts == 0 {
        1
    } else if counts > 0xff {
        0xff
    } else {
        counts as u16
    }
}

#[cfg(test)]
mod tests {
    use super::Watchdog;
    use tock_registers::interfaces::{Readable, Writeable};

    /// A register block in plain memory: reads give back the last write.
    fn memory() -> Watchdog {
        let words: &'static mut [u16; 5] = Box::leak(Box::new([0, 0, 0, 0, 1]));
        let address = core::ptr::from_mut(words).expose_provenance();
        // SAFETY: five 2-aligned halfwords are exactly the 0x0a bytes of the block, any bit pattern
        // is valid for it, and the leaked box is never freed and has no other reference.
        unsafe { Watchdog::at(address) }
    }

    /// The halfword that was written to the service register last.
    fn serviced(watchdog: &Watchdog) -> u16 {
        // SAFETY: the block has five halfwords.
        unsafe {
            core::ptr::from_ref(watchdog.registers)
                .cast::<u16>()
                .add(1)
                .read_volatile()
        }
    }

    #[test]
    fn a_time_is_never_shorter_than_asked_for() {
        for (milliseconds, control) in [
            (0, 0x0134),
            (1, 0x0134),
            (1_000, 0x0234),
            (1_001, 0x0334),
            (2_000, 0x0434),
            (127_500, 0xff34),
            (u32::MAX, 0xff34),
        ] {
            let mut watchdog = memory();
            assert!(!watchdog.is_armed());
            watchdog.arm(milliseconds);
            let written = watchdog.registers.control.get();
            assert_eq!(written, control, "{milliseconds} ms");
            assert!(watchdog.is_armed());
        }
    }

    #[test]
    fn the_control_register_is_written_once() {
        let mut watchdog = memory();
        watchdog.feed(3_000);
        assert_eq!(watchdog.registers.control.get(), 0x0634);
        watchdog.registers.service.set(0);
        watchdog.feed(8_000);
        assert_eq!(watchdog.registers.control.get(), 0x0634);
        assert_eq!(serviced(&watchdog), 0xaaaa);
    }

    #[test]
    fn taking_one_stops_the_power_down_counter() {
        assert_eq!(memory().registers.power_down.get(), 0);
    }

    #[test]
    fn a_reset_leaves_the_pin_alone_at_first() {
        let mut watchdog = memory();
        watchdog.reset_now();
        assert_eq!(watchdog.registers.control.get(), 0x20);
        watchdog.reset_by_pin();
        assert_eq!(watchdog.registers.control.get(), 0);
    }
}
