//! The chip as the application describes it to the kernel.
//!
//! The application crate passes a [`Platform`] to [`start_kernel`](crate::startup::start_kernel).
//! The kernel knows no other address of a device.

use crate::LastRanWords;
use crate::fail::Failure;
use core::sync::atomic::{AtomicPtr, Ordering};

/// Addresses of the chip, and the hooks that reset the system and record a failure of the kernel.
pub struct Platform {
    /// Interrupt controller (GICv2): base address of the distributor.
    pub gic_distributor: u32,
    /// Interrupt controller: base address of the CPU interface.
    pub gic_cpu_interface: u32,
    /// INTID of the generic timer's secure physical timer.
    pub timer_interrupt: u32,
    /// INTID of the generic timer's virtual timer.
    pub hang_interrupt: u32,
    /// Device pages that the kernel maps for itself: base and size, multiples of 4 KiB. They hold
    /// the two above and whatever `reset` and `on_failure` need.
    pub devices: &'static [(u32, u32)],
    /// Called once at start, before the first task runs: four words that are kept over a reset, for
    /// who ran last (`last_ran`). `None` if the application has none.
    pub last_ran: fn() -> Option<&'static LastRanWords>,
    /// Called before `reset` when a task has asked for a restart, with its index, to note that in
    /// retained memory. It must return in bounded time.
    pub on_restart: fn(task: u16),
    /// Requests a restart of the system. May return before it takes effect.
    pub reset: fn(),
    /// Called once when the kernel has failed, before `reset`, to describe the failure in retained
    /// memory. It must use no kernel state but its argument, [`crate::fail`] and
    /// `crate::saved_memory`, and must return in bounded time.
    pub on_failure: fn(failure: &Failure<'_>),
}

static PLATFORM: AtomicPtr<Platform> = AtomicPtr::new(core::ptr::null_mut());

/// Makes the platform known. Called once, before anything that may fail.
pub(crate) fn set(platform: &'static Platform) {
    PLATFORM.store(core::ptr::from_ref(platform).cast_mut(), Ordering::Relaxed);
}

/// The platform; `None` before [`set`].
pub(crate) fn get() -> Option<&'static Platform> {
    let platform = PLATFORM.load(Ordering::Relaxed);
    // SAFETY: the pointer is null or was made from a `&'static Platform` by `set`.
    unsafe { platform.as_ref() }
}
