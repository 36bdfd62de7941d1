//! When the kernel itself fails.
//!
//! A panic, a processor exception in the kernel, a system without a runnable task, and a fault of the supervisor all
//! end here. The epitaph is written to where debuggers look for it, the application's hook gets a chance to leave a
//! record in retained memory, and the system restarts. A second failure on the way skips to the restart: this path
//! ends in any case.

use crate::{arch, platform};
use core::fmt::{self, Write};
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, AtomicU8, Ordering};

/// Length of the epitaph, terminating zero included.
pub const EPITAPH_LEN: usize = 128;

/// Set when the kernel has failed.
#[unsafe(no_mangle)]
#[used]
pub static KERNEL_HAS_FAILED: AtomicBool = AtomicBool::new(false);

/// Why, as a zero-terminated string.
#[unsafe(no_mangle)]
#[used]
pub static KERNEL_EPITAPH: [AtomicU8; EPITAPH_LEN] = [const { AtomicU8::new(0) }; EPITAPH_LEN];

/// Records `reason` and restarts the system.
#[cold]
#[inline(never)]
pub fn die(reason: fmt::Arguments<'_>) -> ! {
    arch::mask_interrupts();
    if !KERNEL_HAS_FAILED.swap(true, Ordering::Relaxed) {
        // Writing to the epitaph does not fail; a formatter that does still leaves what came before.
        let _ = Epitaph { written: 0 }.write_fmt(reason);
        if let Some(platform) = platform::get() {
            let mut text = [0; EPITAPH_LEN];
            for (byte, source) in text.iter_mut().zip(&KERNEL_EPITAPH) {
                *byte = source.load(Ordering::Relaxed);
            }
            let len = text
                .iter()
                .position(|&byte| byte == 0)
                .unwrap_or(EPITAPH_LEN);
            (platform.on_failure)(text.get(..len).unwrap_or_default());
        }
    }
    restart()
}

/// Restarts the system.
pub(crate) fn restart() -> ! {
    if let Some(platform) = platform::get() {
        (platform.reset)();
    }
    // The reset takes effect within moments. Before the platform is known there is nothing that could be restarted.
    arch::wait_for_reset()
}

/// Appends to the epitaph; what does not fit is dropped, the last byte stays zero.
struct Epitaph {
    written: usize,
}

impl Write for Epitaph {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let (_terminator, room) = KERNEL_EPITAPH.split_last().ok_or(fmt::Error)?;
        for (slot, byte) in room.iter().skip(self.written).zip(text.bytes()) {
            slot.store(byte, Ordering::Relaxed);
            self.written = self.written.saturating_add(1);
        }
        Ok(())
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    match info.location() {
        Some(at) => die(format_args!(
            "{}:{}: {}",
            at.file(),
            at.line(),
            info.message()
        )),
        None => die(format_args!("{}", info.message())),
    }
}
