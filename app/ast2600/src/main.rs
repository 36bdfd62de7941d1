//! The kernel on an ASPEED AST2600: what the chip's addresses are, and how it is reset.
//!
//! There is no other code here. The chip has no register that tells why it was reset, so nothing is read at start; a
//! warm start is recognised by what is found in retained memory.

#![no_std]
#![no_main]

use kern::Platform;

/// Count of the generic timer in a millisecond. The count advances once per nanosecond, whatever CNTFRQ says.
const COUNTS_PER_TICK: u32 = 1_000_000;

/// Watchdog timer 0.
const WATCHDOG: u32 = 0x1e78_5000;
/// Offset of its register for a software reset, and the value that triggers it.
const WATCHDOG_SOFTWARE_RESET: (u32, u32) = (0x24, 0xaeed_f123);

static PLATFORM: Platform = Platform {
    gic_distributor: 0x4046_1000,
    gic_cpu_interface: 0x4046_2000,
    timer_interrupt: 29,
    devices: &[
        (0x4046_1000, 0x1000),
        (0x4046_2000, 0x2000),
        (WATCHDOG, 0x1000),
    ],
    reset,
    on_failure: |_epitaph| {},
};

/// Resets the whole chip at once, memory excepted.
fn reset() {
    let (offset, trigger) = WATCHDOG_SOFTWARE_RESET;
    let register = (WATCHDOG + offset) as *mut u32;
    // SAFETY: a device register that the kernel maps for itself (`PLATFORM.devices`).
    unsafe { register.write_volatile(trigger) };
}

/// Called by the kernel's reset code.
#[unsafe(no_mangle)]
extern "C" fn kernel_main() -> ! {
    // SAFETY: this is the one call, and the platform is the chip this is built for.
    unsafe { kern::startup::start_kernel(COUNTS_PER_TICK, &PLATFORM) }
}
