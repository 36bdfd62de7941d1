//! The kernel on an ASPEED AST2600: the chip's addresses, its watchdog, its reset.
//!
//! A warm start is told from a cold one by the content of retained memory. What the chip says of
//! the reset, where its boot loader has left that, is for the supervisor.

#![no_std]
#![no_main]

use core::sync::atomic::{AtomicBool, Ordering};
use drv_ast2600_wdt::{RESET_LOG_OFFSETS, ResetLog};
use kern::Platform;
use kern::fail::Failure;
use kernel_failure::{FAILURE_MS, ResetCause};

/// Counts of the generic timer in a millisecond. The timer counts nanoseconds, whatever CNTFRQ
/// says.
const COUNTS_PER_TICK: u32 = 1_000_000;

/// The system control unit.
const SCU: u32 = 0x1e6e_2000;
/// The stores that give the two controllers for cards their clock and end their reset, offset and
/// value of each, so that it does not matter what the boot loader has left: unlock the registers;
/// run the clock of the eMMC controller and end its reset; the same of the SD controller.
const CARD_CONTROLLERS: [(u32, u32); 5] = [
    (0x000, 0x1688_a8a8),
    (0x084, 1 << 27),
    (0x044, 1 << 16),
    (0x094, 1 << 4),
    (0x054, 1 << 24),
];

/// Watchdog timer 0.
const WATCHDOG: u32 = 0x1e78_5000;
/// Offset of its register for a software reset, and the value that triggers it.
const WATCHDOG_SOFTWARE_RESET: (u32, u32) = (0x24, 0xaeed_f123);
/// The stores that arm it, offset and value of each: stop it, set the reload value in microseconds,
/// reload, and run it so that it resets the system.
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
/// Offset of the control register of watchdog timer 1, which the supervisor feeds.
const FED_WATCHDOG_CONTROL: u32 = 0x40 + WATCHDOG_CONTROL;
/// Set if the watchdog is to reset the system later, because the kernel fails repeatedly: then
/// [`reset`] does not.
static DELAYED: AtomicBool = AtomicBool::new(false);

static PLATFORM: Platform = Platform {
    gic_distributor: 0x4046_1000,
    gic_cpu_interface: 0x4046_2000,
    timer_interrupt: 29,
    hang_interrupt: 27,
    devices: &[
        (0x4046_1000, 0x1000),
        (0x4046_2000, 0x2000),
        (WATCHDOG, 0x1000),
    ],
    last_ran: kernel_failure::last_ran,
    on_restart: kernel_failure::on_restart,
    reset,
    on_failure,
};

/// Resets the whole chip at once, without its memory; does nothing if the watchdog does it later.
fn reset() {
    if DELAYED.load(Ordering::Relaxed) {
        return;
    }
    watchdog(WATCHDOG_SOFTWARE_RESET);
}

/// The kernel's hook for failures: arms the watchdog, and describes the failure in retained RAM,
/// with the memory of the system.
fn on_failure(failure: &Failure<'_>) {
    let control = (WATCHDOG + WATCHDOG_CONTROL) as *const u32;
    // SAFETY: a device register that the kernel maps for itself (`PLATFORM.devices`), and reading
    // it has no effects.
    let running = unsafe { control.read_volatile() } & 1 != 0;
    // In an emergency the supervisor has armed it. Arming it again would extend the time until the
    // reset.
    if running {
        kernel_failure::describe(failure, true);
        return;
    }
    watchdog_arm(FAILURE_MS).into_iter().for_each(watchdog);
    // Nobody feeds it any more, and the reset may be delayed for longer than it would wait.
    watchdog((FED_WATCHDOG_CONTROL, 0));
    let delay = kernel_failure::describe(failure, false);
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

/// What the chip says of the last reset. Clears it there, as the chip adds to what is set. To be
/// called with translation off, and the system control unit unlocked.
fn take_reset_cause() -> ResetCause {
    let log = ResetLog(RESET_LOG_OFFSETS.map(|offset| {
        let register = (SCU + offset) as *mut u32;
        // SAFETY: a device register. Translation is off still, so it is at its address.
        unsafe {
            let value = register.read_volatile();
            register.write_volatile(value);
            value
        }
    }));
    if log.is_power_on() {
        ResetCause::PowerOn
    } else if log.is_watchdog() {
        ResetCause::Watchdog
    } else if log.is_pin() {
        ResetCause::Pin
    } else {
        ResetCause::Unknown
    }
}

/// Called by the kernel's reset code.
#[unsafe(no_mangle)]
extern "C" fn kernel_main() -> ! {
    for (offset, value) in CARD_CONTROLLERS {
        let register = (SCU + offset) as *mut u32;
        // SAFETY: a device register. Translation is off still, so it is at its address.
        unsafe { register.write_volatile(value) };
    }
    kernel_failure::leave_reset_cause(take_reset_cause());
    // SAFETY: this is the one call, and the platform is the chip this is built for.
    unsafe { kern::startup::start_kernel(COUNTS_PER_TICK, &PLATFORM) }
}
