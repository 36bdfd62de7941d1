//! The kernel on an ASPEED AST2600: what the chip's addresses are, and how it is reset.
//!
//! The chip has no register that tells why it was reset, so nothing is read at start; a
//! warm start is recognised by what is found in retained memory.

#![no_std]
#![no_main]

mod failure;

use core::sync::atomic::{AtomicBool, Ordering};
use kern::Platform;
use kern::fail::Failure;

/// Count of the generic timer in a millisecond. The count advances once per nanosecond, whatever CNTFRQ says.
const COUNTS_PER_TICK: u32 = 1_000_000;

/// Watchdog timer 0.
const WATCHDOG: u32 = 0x1e78_5000;
/// Offset of its register for a software reset, and the value that triggers it.
const WATCHDOG_SOFTWARE_RESET: (u32, u32) = (0x24, 0xaeed_f123);
/// What arms it: offset and value of each store, in this order. Stopped, the reload value in microseconds, reloaded,
/// running with a reset of the system at its end.
const fn watchdog_arm(milliseconds: u32) -> [(u32, u32); 4] {
    [
        (WATCHDOG_CONTROL, 0),
        (0x04, milliseconds.saturating_mul(1000)),
        (0x08, 0x4755),
        (WATCHDOG_CONTROL, 0x13),
    ]
}
/// Offset of its control register, in which bit 0 says that it runs.
const WATCHDOG_CONTROL: u32 = 0x0c;
/// The system is reset so long after a failure of the kernel at the latest, whatever becomes of its record.
const FAILURE_MS: u32 = 1_000;
/// The watchdog resets the system when it is time to, because the kernel fails again and again.
static DELAYED: AtomicBool = AtomicBool::new(false);

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
    on_failure,
};

/// Resets the whole chip at once, memory excepted.
fn reset() {
    if DELAYED.load(Ordering::Relaxed) {
        return;
    }
    watchdog(WATCHDOG_SOFTWARE_RESET);
}

/// The kernel has failed: keeps what is known, with the watchdog running.
fn on_failure(failure: &Failure<'_>) {
    let control = (WATCHDOG + WATCHDOG_CONTROL) as *const u32;
    // SAFETY: a device register that the kernel maps for itself (`PLATFORM.devices`), and reading it has no effects.
    let running = unsafe { control.read_volatile() } & 1 != 0;
    // In an emergency of the supervisor it runs already, and is not to be given more time.
    if running {
        failure::record(failure);
        return;
    }
    watchdog_arm(FAILURE_MS).into_iter().for_each(watchdog);
    let delay = failure::record(failure);
    if delay > 0 {
        watchdog_arm(delay).into_iter().for_each(watchdog);
        DELAYED.store(true, Ordering::Relaxed);
    }
}

/// Stores a value into a register of the watchdog.
fn watchdog((offset, value): (u32, u32)) {
    let register = (WATCHDOG + offset) as *mut u32;
    // SAFETY: a device register that the kernel maps for itself (`PLATFORM.devices`).
    unsafe { register.write_volatile(value) };
}

/// Called by the kernel's reset code.
#[unsafe(no_mangle)]
extern "C" fn kernel_main() -> ! {
    // SAFETY: this is the one call, and the platform is the chip this is built for.
    unsafe { kern::startup::start_kernel(COUNTS_PER_TICK, &PLATFORM) }
}
