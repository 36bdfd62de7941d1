//! The timer that ends a system whose supervisor does not come back: the virtual timer of the
//! generic timer (DDI 0406C, chapter B8), whose interrupt is the only FIQ.
//!
//! The supervisor starts it anew at least every [`start`]ed period. Whoever keeps it from doing so
//! is stopped by the FIQ: the kernel masks IRQs while it runs, but not FIQs.
//!
//! * A task was interrupted: the supervisor itself loops, or it waits where it should not.
//!   [`crate::fail::fail_of_hang`] describes it, with its registers and its stack.
//! * The kernel was interrupted. A supervisor that loops is often in one of its system calls, so
//!   the first FIQ only notes that it is [`is_late`], and the next tick, which comes when the
//!   kernel returns to a task, does the rest. If the kernel does not return within [`GRACE_MS`], it
//!   is the kernel that loops, and the second FIQ makes that a failure of the kernel, with its
//!   registers and its stack.
//!
//! The chip's watchdog runs a little longer than this timer. It resets a system that does not get
//! this far.

use super::cp15;
use crate::time::CLOCK_FREQ_KHZ;
use core::arch::global_asm;
use core::sync::atomic::{AtomicU32, Ordering};

/// Milliseconds for which the kernel may go on after the first FIQ. It never runs for one.
const GRACE_MS: u32 = 100;

/// CNTV_CTL.ENABLE, with the interrupt not masked.
const ENABLE: u32 = 1;

/// CNTV_CTL.ISTATUS: the time has come.
const EXPIRED: u32 = 1 << 2;

/// The supervisor's period in milliseconds; 0: it has not started the timer.
static PERIOD_MS: AtomicU32 = AtomicU32::new(0);

/// Not 0: a FIQ has interrupted the kernel.
static LATE: AtomicU32 = AtomicU32::new(0);

/// Counts of the timer that [`GRACE_MS`] are.
static GRACE: AtomicU32 = AtomicU32::new(0);

global_asm!(
    r#"
    .syntax unified
    .thumb

    .section .text.kernel_entry, "ax", %progbits

    @ A FIQ that has interrupted the kernel. r8 to r12 are this mode's own. Returns to the kernel
    @ the first time.
    .global kernel_was_interrupted
    .thumb_func
kernel_was_interrupted:
    mrc     p15, 0, r9, c14, c3, 1      @ CNTV_CTL
    tst     r9, #{expired}
    beq     1f                          @ taken again, while the timer was moved
    ldr     r8, ={late}
    ldr     r9, [r8]
    cmp     r9, #0
    bne.w   kernel_hangs
    mov     r9, #1
    str     r9, [r8]
    ldr     r8, ={grace}
    ldr     r8, [r8]
    isb
    mrrc    p15, 1, r9, r10, c14        @ CNTVCT
    adds    r9, r9, r8
    adc     r10, r10, #0
    mcrr    p15, 3, r9, r10, c14        @ CNTV_CVAL
    isb
1:  subs    pc, lr, #4
    .ltorg
    "#,
    late = sym LATE,
    grace = sym GRACE,
    expired = const EXPIRED,
);

/// Starts the timer, or starts it anew: unless that happens again in time, the system fails after
/// this number of milliseconds. 0 stops it.
pub(crate) fn start(milliseconds: u32) {
    PERIOD_MS.store(milliseconds, Ordering::Relaxed);
    let frequency = CLOCK_FREQ_KHZ.load(Ordering::Relaxed);
    GRACE.store(GRACE_MS.saturating_mul(frequency), Ordering::Relaxed);
    if milliseconds == 0 {
        cp15::set_cntv_ctl(0);
        cp15::isb();
        LATE.store(0, Ordering::Relaxed);
        return;
    }
    let counts = u64::from(milliseconds).wrapping_mul(u64::from(frequency));
    cp15::set_cntv_cval(cp15::cntvct().wrapping_add(counts));
    cp15::set_cntv_ctl(ENABLE);
    // Not before: a FIQ of the time that is over would count for the new one.
    cp15::isb();
    LATE.store(0, Ordering::Relaxed);
}

/// Has a FIQ interrupted the kernel since the timer was started?
#[inline(always)]
pub(crate) fn is_late() -> bool {
    LATE.load(Ordering::Relaxed) != 0
}

/// The supervisor's period in milliseconds.
pub(crate) fn period() -> u32 {
    PERIOD_MS.load(Ordering::Relaxed)
}
