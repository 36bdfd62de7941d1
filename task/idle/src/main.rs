//! The task that runs when no other does.
//!
//! The kernel needs something to run at all times. This is the least important task of every application; it puts the
//! processor to sleep until the next interrupt, again and again. It never receives, never sends, never returns. It keeps
//! no trace: there is nothing to tell.

#![no_std]
#![no_main]

// For the entry point and the panic handler.
use userlib as _;

#[unsafe(export_name = "main")]
fn main() -> ! {
    loop {
        if cfg!(feature = "insomniac") {
            core::hint::spin_loop();
        } else {
            // SAFETY: WFI suspends execution until the next interrupt and has no effect on registers or memory.
            unsafe { core::arch::asm!("wfi", options(nomem, nostack, preserves_flags)) };
        }
    }
}
