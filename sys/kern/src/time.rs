//! Time: the tick, SET_TIMER, GET_TIMER.
//!
//! A tick is one millisecond, counted in 64 bits from boot. Each task has one timer. The kernel
//! keeps a lower bound of the next deadline, so that a tick before it looks at no timer.

use crate::last_ran;
use crate::outcome::CallOutcome;
use crate::syscalls::args::SetTimerArgs;
use crate::table::{Kernel, TaskHandle};
use crate::task::{NotificationSet, TimerState, Timestamp};
use core::sync::atomic::{AtomicU32, Ordering};

/// Ticks since boot, low word first. Debuggers read both as one.
#[unsafe(no_mangle)]
#[used]
pub static TICKS: [AtomicU32; 2] = [const { AtomicU32::new(0) }; 2];

/// Ticks in a millisecond of the timer: frequency of the count that makes ticks, in kHz. For
/// debuggers.
#[unsafe(no_mangle)]
#[used]
pub static CLOCK_FREQ_KHZ: AtomicU32 = AtomicU32::new(0);

/// Ticks since boot.
#[inline(always)]
pub(crate) fn now() -> u64 {
    let [low, high] = &TICKS;
    // The kernel does not interrupt itself, so the halves cannot come from different ticks.
    u64::from(low.load(Ordering::Relaxed)) | u64::from(high.load(Ordering::Relaxed)) << 32
}

/// The low word of [`now`].
#[inline(always)]
pub(crate) fn low() -> u32 {
    let [low, _] = &TICKS;
    low.load(Ordering::Relaxed)
}

/// Adds `ticks` to the time, until which `current` has run, and fires the timers that are due.
pub(crate) fn advance(kernel: &mut Kernel, current: TaskHandle, ticks: u32) {
    let now = now().wrapping_add(u64::from(ticks));
    kernel[current].last_ran = now as u32;
    last_ran::note(&kernel[current]);
    let [low, high] = &TICKS;
    low.store(now as u32, Ordering::Relaxed);
    high.store((now >> 32) as u32, Ordering::Relaxed);
    if now < *kernel.next_deadline() {
        return;
    }
    let mut next = u64::MAX;
    for task in TaskHandle::all() {
        let TimerState {
            deadline: Some(Timestamp(deadline)),
            to_post,
        } = kernel[task].timer
        else {
            continue;
        };
        if deadline <= now {
            kernel[task].timer.deadline = None;
            kernel.post(task, to_post.0);
        } else {
            next = next.min(deadline);
        }
    }
    *kernel.next_deadline() = next;
}

/// SET_TIMER. A deadline that has passed disables the timer and posts at once.
pub(crate) fn set_timer(kernel: &mut Kernel, caller: TaskHandle) -> CallOutcome {
    let args = SetTimerArgs::of(&kernel[caller]);
    let mut timer = TimerState {
        deadline: None,
        to_post: NotificationSet(args.notifications),
    };
    if args.enable {
        if args.deadline <= now() {
            kernel[caller].notifications |= args.notifications;
        } else {
            timer.deadline = Some(Timestamp(args.deadline));
            let next = kernel.next_deadline();
            *next = (*next).min(args.deadline);
        }
    }
    kernel[caller].timer = timer;
    Ok(caller)
}

/// GET_TIMER.
pub(crate) fn get_timer(kernel: &mut Kernel, caller: TaskHandle) -> CallOutcome {
    let timer = kernel[caller].timer;
    let deadline = timer.deadline.map(|Timestamp(deadline)| deadline);
    kernel[caller]
        .save
        .set_time(now(), deadline, timer.to_post.0);
    Ok(caller)
}
