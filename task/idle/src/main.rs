//! The idle task: runs when no other task can.
//!
//! The kernel needs a task that can run at all times. This is the least important task of every
//! application: in a loop, it puts the processor to sleep until the next interrupt. It makes no
//! system call and has no ring buffer, because there is nothing to trace.

#![no_std]
#![no_main]

// Linked for its entry point and panic handler.
use userlib as _;

#[unsafe(export_name = "main")]
fn main() -> ! {
    loop {
        if cfg!(feature = "insomniac") {
            core::hint::spin_loop();
        } else {
            // SAFETY: WFI suspends execution until the next interrupt and has no effect on
            // registers or memory.
            unsafe { core::arch::asm!("wfi", options(nomem, nostack, preserves_flags)) };
        }
    }
}
