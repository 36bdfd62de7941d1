//! What the kernel has to be told about the chip it runs on.
//!
//! The application crate fills a [`Platform`] in and passes it to
//! [`start_kernel`](crate::startup::start_kernel). Nothing else in the kernel knows an address of a device.

use crate::fail::Failure;
use core::sync::atomic::{AtomicPtr, Ordering};

/// The chip, and what the application wants done when the kernel fails.
pub struct Platform {
    /// Interrupt controller (GICv2): base address of the distributor.
    pub gic_distributor: u32,
    /// Interrupt controller: base address of the CPU interface.
    pub gic_cpu_interface: u32,
    /// INTID of the generic timer's secure physical timer.
    pub timer_interrupt: u32,
    /// Device pages that the kernel maps for itself: base and size, multiples of 4 KiB. They hold the two above and
    /// whatever `reset` and `on_failure` need.
    pub devices: &'static [(u32, u32)],
    /// Restarts the system at once. May return if that takes a moment.
    pub reset: fn(),
    /// Called once when the kernel has failed, before `reset`: the place to leave a record in retained memory. It must
    /// not rely on any kernel state but what it is told and [`crate::fail::snapshot`] says, and must return in bounded
    /// time.
    pub on_failure: fn(failure: &Failure<'_>),
}

static PLATFORM: AtomicPtr<Platform> = AtomicPtr::new(core::ptr::null_mut());

/// Makes the platform known. Called once, first of all.
pub(crate) fn set(platform: &'static Platform) {
    PLATFORM.store(core::ptr::from_ref(platform).cast_mut(), Ordering::Relaxed);
}

/// The platform, if the start-up got that far.
pub(crate) fn get() -> Option<&'static Platform> {
    let platform = PLATFORM.load(Ordering::Relaxed);
    // SAFETY: the pointer is null or was made from a `&'static Platform` by `set`.
    unsafe { platform.as_ref() }
}
