//! The tick: Secure physical timer of the generic timer (DDI 0406C, chapter B8).
//!
//! The compare value advances by whole ticks from its last value, not from the present count, so
//! that ticks do not drift with the time it takes to handle them. Ticks that passed unhandled are
//! counted together by the next interrupt.

use super::cp15;
use crate::platform::Platform;
use crate::time::CLOCK_FREQ_KHZ;
use core::sync::atomic::Ordering;

/// CNTP_CTL.ENABLE, with the interrupt not masked.
const ENABLE: u32 = 1;

/// Starts the tick, one every `divisor` counts.
pub(crate) fn init(_platform: &Platform, divisor: u32) {
    cp15::set_cntp_cval(cp15::cntpct().wrapping_add(u64::from(divisor)));
    // SAFETY: neither register changes how memory is accessed. USR mode gets no access to the
    // timers, and to the cycle counter only for benchmarks.
    unsafe {
        cp15::set_cntkctl(0);
        cp15::set_pmuserenr(u32::from(cfg!(feature = "bench")));
        #[cfg(feature = "bench")]
        {
            // PMCR: enable, reset both kinds of counters. PMCNTENSET.C: the cycle counter.
            cp15::set_pmcr(0b111);
            cp15::set_pmcntenset(1 << 31);
        }
        cp15::set_cntp_ctl(ENABLE);
    }
}

/// Sets the timer to its next tick and returns the number of ticks that have passed, normally one.
pub(crate) fn acknowledge() -> u32 {
    let (due, ticks) = passed();
    if ticks > 0 {
        cp15::set_cntp_cval(due.wrapping_add(ticks.wrapping_mul(divisor())));
    }
    u32::try_from(ticks).unwrap_or(u32::MAX)
}

/// The frequency of the generic timer's counts, Hz, by CNTFRQ: 0 if nobody has set it.
pub(crate) fn noted_frequency() -> u32 {
    cp15::cntfrq()
}

/// The number of ticks that have passed and are not acknowledged.
pub(crate) fn pending() -> u64 {
    passed().1
}

/// When the next tick was due, and how many have passed since then, that one included.
fn passed() -> (u64, u64) {
    let due = cp15::cntp_cval();
    let ticks = match cp15::cntpct().checked_sub(due) {
        None => 0,
        Some(late) if late < divisor() => 1,
        Some(late) => (late / divisor()).wrapping_add(1),
    };
    (due, ticks)
}

fn divisor() -> u64 {
    u64::from(CLOCK_FREQ_KHZ.load(Ordering::Relaxed)).max(1)
}
