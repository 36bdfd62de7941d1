//! The kernel on an NXP i.MX 6UltraLite: the chip's addresses, its watchdogs, its reset.
//!
//! Addresses are from the chip's reference manual (IMX6ULRM), chapter 2; interrupt numbers are
//! those of the Cortex-A7's private peripheral interrupts (DDI 0464F, 8.2.1).

#![no_std]
#![no_main]

use drv_imx_wdog::{ResetStatus, SRC_ADDRESS, SRSR_OFFSET, WDOG1_ADDRESS, WDOG3_ADDRESS, Watchdog};
use kern::Platform;
use kern::fail::{self, Failure};
use kernel_failure::{FAILURE_MS, ResetCause};

/// Counts of the generic timer in a millisecond if the loader has not set CNTFRQ: the system
/// counter's base frequency, 24 MHz through a fixed divider of 3.
const COUNTS_PER_TICK: u32 = 8_000;

/// Milliseconds between two times that the watchdogs are fed, while a reset is delayed.
const FEED_MS: u64 = 100;

/// Milliseconds in which a reset by software takes effect, on a board where it does: a few cycles
/// of the 32 kHz clock.
const RESET_MS: u64 = 2;

static PLATFORM: Platform = Platform {
    gic_distributor: 0x00a0_1000,
    gic_cpu_interface: 0x00a0_2000,
    timer_interrupt: 29,
    hang_interrupt: 27,
    devices: &[
        (0x00a0_1000, 0x1000),
        (0x00a0_2000, 0x2000),
        (WDOG1_ADDRESS as u32, 0x1000),
        (WDOG3_ADDRESS as u32, 0x1000),
    ],
    last_ran: kernel_failure::last_ran,
    on_restart: kernel_failure::on_restart,
    reset,
    on_failure,
};

/// The watchdogs: the one of emergencies, and the one that the supervisor feeds.
fn watchdogs() -> (Watchdog, Watchdog) {
    // SAFETY: device registers that the kernel maps for itself (`PLATFORM.devices`). The supervisor
    // uses them as well, but does not run yet, or is never run again: the kernel has failed, or
    // resets the system.
    unsafe { (Watchdog::wdog1(), Watchdog::wdog3()) }
}

/// Resets the whole chip, without its memory. Where that has no effect, it asserts the pin WDOG_B.
fn reset() {
    let (mut emergency, _) = watchdogs();
    emergency.reset_now();
    wait(RESET_MS, || {});
    emergency.reset_by_pin();
}

/// The kernel's hook for failures: arms the watchdog, describes the failure in retained RAM, with
/// the memory of the system, and delays the reset if the kernel fails repeatedly.
fn on_failure(failure: &Failure<'_>) {
    let (mut emergency, mut fed) = watchdogs();
    // In an emergency the supervisor has armed it. Serving it again would extend the time until the
    // reset.
    if emergency.is_armed() {
        kernel_failure::describe(failure, true);
        return;
    }
    emergency.arm(FAILURE_MS);
    fed.service();
    let delay = kernel_failure::describe(failure, false);
    wait(delay.into(), || {
        emergency.service();
        fed.service();
    });
}

/// Waits, and calls `again` at the start and every [`FEED_MS`].
fn wait(milliseconds: u64, mut again: impl FnMut()) {
    let start = fail::now();
    let end = start.saturating_add(milliseconds);
    let mut next = start;
    // `now` counts in hardware, so this ends; if the timer has stopped, by the watchdog.
    loop {
        let now = fail::now();
        if now >= end {
            return;
        }
        if now >= next {
            again();
            next = now.saturating_add(FEED_MS);
        }
    }
}

/// What the chip says of the last reset. Clears it there, as the chip adds to what is set. To be
/// called with translation off.
fn take_reset_cause() -> ResetCause {
    let (emergency, fed) = watchdogs();
    let register = (SRC_ADDRESS + SRSR_OFFSET) as *mut u32;
    // SAFETY: a device register. Translation is off still, so it is at its address.
    let srsr = unsafe {
        let value = register.read_volatile();
        register.write_volatile(value);
        value
    };
    let status = ResetStatus {
        srsr,
        wrsr: [emergency.reset_status(), fed.reset_status()],
    };
    if status.is_watchdog() {
        ResetCause::Watchdog
    } else if status.is_pin() {
        ResetCause::Pin
    } else {
        ResetCause::Unknown
    }
}

/// Called by the kernel's reset code.
#[unsafe(no_mangle)]
extern "C" fn kernel_main() -> ! {
    let counts = match kern::startup::noted_timer_frequency() / 1000 {
        0 => COUNTS_PER_TICK,
        counts => counts,
    };
    kernel_failure::leave_reset_cause(take_reset_cause());
    // SAFETY: this is the one call, and the platform is the chip this is built for.
    unsafe { kern::startup::start_kernel(counts, &PLATFORM) }
}
