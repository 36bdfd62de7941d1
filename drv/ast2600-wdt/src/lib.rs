//! Two of the AST2600's watchdogs: a one-shot deadline for the crash path, and one that is fed.
//!
//! The supervisor arms WDT0 once, with the time for a whole emergency, and never feeds it: whatever
//! happens to the supervisor, the recorder or the kernel afterwards, the system is reset when that
//! time is over. WDT1 runs in normal operation, and the supervisor feeds it. No function here
//! waits, and none can fail.
//!
//! The order of the writes of [`Watchdog::arm`] matters. The timer is stopped first, so that an
//! earlier setting cannot expire in between. The restart word then loads the reload value into the
//! counter. Enabling comes last.
//!
//! The block decodes 32-bit accesses only; any other ends in an external abort, so all fields below
//! are `u32`. Its clock is 1 MHz, so one count is one microsecond.
//!
//! `unsafe` is used to turn the fixed address of the block into a reference, and to allow the value
//! to be sent to another context.

#![cfg_attr(target_os = "none", no_std)]

mod reset_log;

pub use reset_log::{RESET_LOG_OFFSETS, ResetLog};

use tock_registers::interfaces::{Readable, Writeable};
use tock_registers::registers::{ReadOnly, ReadWrite, WriteOnly};
use tock_registers::{register_bitfields, register_structs};

/// Address of the first of the four watchdogs, WDT0.
///
/// AST2600 memory map; the page is granted by `uses = ["wdt"]`.
pub const WDT0_ADDRESS: usize = 0x1e78_5000;

/// Address of the second watchdog, WDT1, in the same page.
pub const WDT1_ADDRESS: usize = WDT0_ADDRESS + 0x40;

/// Counts of the watchdog's clock in a millisecond (1 MHz).
const COUNTS_PER_MS: u32 = 1_000;

/// The one value of the restart register that reloads the counter.
const RESTART_WORD: u32 = 0x4755;

/// The one value of the software reset register that resets the system.
const RESET_WORD: u32 = 0xaeed_f123;

register_bitfields![u32,
    Control [
        /// The counter runs.
        ENABLE OFFSET(0) NUMBITS(1) [],
        /// Expiry resets the system, not only the interrupt status.
        RESET_SYSTEM OFFSET(1) NUMBITS(1) [],
        /// Count the 1 MHz clock; fixed to one on the AST2600.
        CLOCK_1MHZ OFFSET(4) NUMBITS(1) [],
    ],
];

register_structs! {
    /// One watchdog: the registers up to the software reset.
    Registers {
        (0x00 => counter: ReadOnly<u32>),
        (0x04 => reload: ReadWrite<u32>),
        (0x08 => restart: WriteOnly<u32>),
        (0x0c => control: ReadWrite<u32, Control::Register>),
        (0x10 => _timeout_status),
        (0x24 => software_reset: WriteOnly<u32>),
        (0x28 => @END),
    }
}

/// The watchdog. Holding one proves that no other code uses its registers.
pub struct Watchdog {
    registers: &'static Registers,
}

// SAFETY: the reference is the only one (the caller of `wdt0` guarantees that), and the registers
// do not depend on the context that accesses them.
unsafe impl Send for Watchdog {}

impl Watchdog {
    /// Takes WDT0.
    ///
    /// # Safety
    ///
    /// The page at [`WDT0_ADDRESS`] must be mapped for the caller as device memory, and no other
    /// code may use WDT0 while the value exists.
    #[must_use]
    pub unsafe fn wdt0() -> Self {
        // SAFETY: the caller's promise.
        unsafe { Self::at(WDT0_ADDRESS) }
    }

    /// Takes WDT1.
    ///
    /// # Safety
    ///
    /// As for [`wdt0`](Self::wdt0), for WDT1.
    #[must_use]
    pub unsafe fn wdt1() -> Self {
        // SAFETY: the caller's promise.
        unsafe { Self::at(WDT1_ADDRESS) }
    }

    /// # Safety
    ///
    /// `address` is that of a watchdog's registers, which are mapped as device memory and used by
    /// nobody else while the value exists.
    unsafe fn at(address: usize) -> Self {
        // SAFETY: the caller guarantees that the registers are mapped and that only this value uses
        // them. The address is 4-aligned, not null, and memory-mapped registers exist as long as
        // the program runs.
        let registers = unsafe { &*(address as *const Registers) };
        Self { registers }
    }

    /// Starts the countdown: unless [`disarm`](Self::disarm)ed, the system is reset `budget_ms`
    /// milliseconds from now.
    ///
    /// The counter has 32 bits, so the longest budget is 4 294 967 ms; a longer one is cut to it.
    pub fn arm(&mut self, budget_ms: u32) {
        let counts = budget_ms.saturating_mul(COUNTS_PER_MS);
        self.registers.control.set(0);
        self.registers.reload.set(counts);
        self.registers.restart.set(RESTART_WORD);
        self.registers
            .control
            .write(Control::ENABLE::SET + Control::RESET_SYSTEM::SET + Control::CLOCK_1MHZ::SET);
    }

    /// Starts the countdown anew, or for the first time: the system is reset `milliseconds` from
    /// now, if this is not called again. If it runs already with this time, it never stops.
    pub fn feed(&mut self, milliseconds: u32) {
        let counts = milliseconds.saturating_mul(COUNTS_PER_MS);
        if self.registers.control.is_set(Control::ENABLE) && self.registers.reload.get() == counts {
            self.registers.restart.set(RESTART_WORD);
        } else {
            self.arm(milliseconds);
        }
    }

    /// Stops the countdown.
    pub fn disarm(&mut self) {
        self.registers.control.set(0);
    }

    /// Milliseconds until the reset, or `None` if the watchdog is not armed.
    #[must_use]
    pub fn remaining_ms(&self) -> Option<u32> {
        if self.registers.control.is_set(Control::ENABLE) {
            Some(self.registers.counter.get() / COUNTS_PER_MS)
        } else {
            None
        }
    }

    /// Resets the system at once.
    ///
    /// The write takes effect within a few bus cycles, in which the caller goes on to run.
    pub fn reset_now(&mut self) {
        self.registers.software_reset.set(RESET_WORD);
    }
}

#[cfg(test)]
mod tests {
    use super::{Registers, Watchdog};
    use tock_registers::interfaces::Writeable;

    /// A register block in plain memory: reads give back the last write.
    fn memory() -> Watchdog {
        let words: &'static mut [u32; 10] = Box::leak(Box::new([0; 10]));
        // SAFETY: ten 4-aligned words are exactly the 0x28 bytes of the block, any bit pattern is
        // valid for it, and the leaked box is never freed and has no other reference.
        let registers = unsafe { &*core::ptr::from_mut(words).cast::<Registers>() };
        Watchdog { registers }
    }

    /// Word `index` of the register block.
    fn word(watchdog: &Watchdog, index: usize) -> u32 {
        assert!(index < 10);
        // SAFETY: the block has ten words and `index` is below ten.
        unsafe {
            core::ptr::from_ref(watchdog.registers)
                .cast::<u32>()
                .add(index)
                .read_volatile()
        }
    }

    #[test]
    fn arming_loads_microseconds_and_enables_the_reset() {
        let mut watchdog = memory();
        watchdog.arm(2_000);
        assert_eq!(word(&watchdog, 1), 2_000_000);
        assert_eq!(word(&watchdog, 2), 0x4755);
        assert_eq!(word(&watchdog, 3), 0x13);
        assert!(watchdog.remaining_ms().is_some());
        watchdog.disarm();
        assert_eq!(watchdog.remaining_ms(), None);
    }

    #[test]
    fn feeding_arms_once_and_then_reloads() {
        let mut watchdog = memory();
        watchdog.feed(3_000);
        assert_eq!((word(&watchdog, 1), word(&watchdog, 3)), (3_000_000, 0x13));
        watchdog.registers.restart.set(0);
        watchdog.registers.control.set(0x33);
        watchdog.feed(3_000);
        assert_eq!((word(&watchdog, 2), word(&watchdog, 3)), (0x4755, 0x33));
        watchdog.feed(4_000);
        assert_eq!((word(&watchdog, 1), word(&watchdog, 3)), (4_000_000, 0x13));
    }

    #[test]
    fn a_budget_beyond_the_counter_is_cut() {
        let mut watchdog = memory();
        watchdog.arm(u32::MAX);
        assert_eq!(word(&watchdog, 1), u32::MAX);
    }

    #[test]
    fn an_immediate_reset_writes_the_reset_word() {
        let mut watchdog = memory();
        watchdog.reset_now();
        assert_eq!(word(&watchdog, 9), 0xaeed_f123);
    }
}
