//! Reading a register of a device that may not answer.
//!
//! Devices are not mapped for the kernel, so the word is read through the table of a task that uses
//! the device. A bus fault at that one load is expected, of a device without clock for example: the
//! data abort entry (`entry`) goes on behind the two instructions at `device_load`, and nowhere
//! else is a data abort of the kernel anything but its failure. (On a Cortex-A7 the external abort
//! of a load from device memory is synchronous.)

#[cfg(feature = "dump")]
use super::frame::ArchState;
use core::arch::global_asm;

global_asm!(
    r#"
    .syntax unified
    .thumb
    .section .text.kernel_device, "ax", %progbits

    @ lr is saved: if the kernel has failed by an abort, it is in the mode whose lr another abort
    @ changes.
    .thumb_func
kernel_load_device:                     @ r0: address, r1: TTBR0 and CONTEXTIDR, r2: result
    push    {{r4-r7, lr}}
    mrc     p15, 0, r4, c2, c0, 0       @ TTBR0
    mrc     p15, 0, r5, c13, c0, 1      @ CONTEXTIDR
    ldrd    r6, r7, [r1]
    movs    r3, #0                      @ as in `entry`, by an ASID that no task has
    mcr     p15, 0, r3, c13, c0, 1
    isb
    mcr     p15, 0, r6, c2, c0, 0
    isb
    mcr     p15, 0, r7, c13, c0, 1
    isb
    movs    r3, #1
    .global kernel_device_load
kernel_device_load:
    ldr.w   r0, [r0]
    b.w     1f
    movs    r3, #0                      @ here after a data abort
1:  movs    r6, #0
    mcr     p15, 0, r6, c13, c0, 1
    isb
    mcr     p15, 0, r4, c2, c0, 0
    isb
    mcr     p15, 0, r5, c13, c0, 1
    isb
    str     r0, [r2]
    mov     r0, r3
    pop     {{r4-r7, pc}}
    "#
);

#[cfg(feature = "dump")]
unsafe extern "C" {
    fn kernel_load_device(address: u32, table: *const u32, result: &mut u32) -> u32;
}

/// Loads the word at `address` through the table of the task with this state; `None` if that is a
/// bus fault.
///
/// # Safety
///
/// The table maps an aligned word there.
#[cfg(feature = "dump")]
pub(crate) unsafe fn load(task: &ArchState, address: u32) -> Option<u32> {
    const {
        use core::mem::offset_of;
        assert!(
            offset_of!(ArchState, address_space) == offset_of!(ArchState, translation_table) + 4
        );
    }
    let mut result = 0;
    // SAFETY: the task's table maps all that the kernel's does, and the former one is set again
    // before the function returns. The rest is the caller's promise.
    let loaded =
        unsafe { kernel_load_device(address, &raw const task.translation_table, &mut result) };
    (loaded != 0).then_some(result)
}
