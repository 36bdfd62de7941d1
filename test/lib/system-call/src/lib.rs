//! A system call with any number and any arguments, for tasks that test what the kernel refuses.
//!
//! `unsafe` is used for the call itself.

#![no_std]

/// Makes a system call: number and r4 to r10 come from the block, r4 to r10 go back to it after the
/// number.
///
/// # Safety
/// The system call writes only memory of this task that may be written, or none.
#[unsafe(naked)]
pub unsafe extern "C" fn system_call(block: &mut [u32; 8]) {
    core::arch::naked_asm!(
        "push {{r4-r11, lr}}",
        "push {{r0}}",
        "ldr r11, [r0], #4",
        "ldm r0, {{r4-r10}}",
        "svc #0",
        "pop {{r0}}",
        "add r0, #4",
        "stm r0, {{r4-r10}}",
        "pop {{r4-r11, pc}}",
    )
}
