//! Copying and filling user memory.
//!
//! The copy is the inner loop of every message. It moves 32 bytes at a time where both ends are
//! word-aligned, single words otherwise, and single bytes at the end. The words need not be
//! aligned: it is normal memory, and SCTLR.A is 0.

use core::arch::{asm, global_asm};

global_asm!(
    r#"
    .syntax unified
    .thumb
    .section .text.kernel_copy, "ax", %progbits

    .thumb_func
kernel_copy:                            @ r0: from, r1: to, r2: count
    subs    r2, #32
    blo     2f
    orr     r3, r0, r1
    lsls    r3, r3, #30
    bne     2f
    push    {{r4-r10}}
1:  ldmia   r0!, {{r3-r10}}
    stmia   r1!, {{r3-r10}}
    subs    r2, #32
    bhs     1b
    pop     {{r4-r10}}
2:  adds    r2, #28                     @ what is left, less 4
    blt     4f
3:  ldr     r3, [r0], #4
    str     r3, [r1], #4
    subs    r2, #4
    bge     3b
4:  adds    r2, #4
    beq     6f
5:  ldrb    r3, [r0], #1
    strb    r3, [r1], #1
    subs    r2, #1
    bne     5b
6:  bx      lr

    .thumb_func
kernel_fill:                            @ r0: from, r1: to, r2: word
    subs    r1, r1, r0                  @ bytes
    bls     4f
    push    {{r4-r9}}
    mov     r3, r2
    mov     r4, r2
    mov     r5, r2
    mov     r6, r2
    mov     r7, r2
    mov     r8, r2
    mov     r9, r2
    subs    r1, #128
    blo     1f
0:  stmia   r0!, {{r2-r9}}
    stmia   r0!, {{r2-r9}}
    stmia   r0!, {{r2-r9}}
    stmia   r0!, {{r2-r9}}
    subs    r1, #128
    bhs     0b
1:  adds    r1, #96                     @ what is left, less one step of 32
    bmi     2f
5:  stmia   r0!, {{r2-r9}}
    subs    r1, #32
    bhs     5b
2:  pop     {{r4-r9}}
    adds    r1, #32                     @ what is left
    beq     4f
3:  str     r2, [r0], #4
    subs    r1, #4
    bhi     3b
4:  bx      lr
    "#
);

unsafe extern "C" {
    fn kernel_copy(from: u32, to: u32, count: u32);
    fn kernel_fill(start: u32, end: u32, word: u32);
}

/// Copies `count` bytes, less than 2^31. One word, the most common message, is copied without a
/// call.
///
/// # Safety
///
/// Both ranges are mapped normal memory, the destination writable for the kernel and not memory
/// that Rust knows as borrowed, and they do not overlap.
#[inline(always)]
pub(crate) unsafe fn copy(from: u32, to: u32, count: u32) {
    if count == 4 {
        // SAFETY: the caller's promise. The address need not be aligned, see above.
        unsafe {
            asm!(
                "ldr {word}, [{from}]",
                "str {word}, [{to}]",
                word = out(reg) _,
                from = in(reg) from,
                to = in(reg) to,
                options(nostack, preserves_flags)
            );
        }
        return;
    }
    // SAFETY: the caller's promise.
    unsafe { kernel_copy(from, to, count) }
}

/// Sets all words of `[start, end)`, which may be empty.
///
/// # Safety
///
/// The range consists of aligned words that are mapped normal memory, writable for the kernel and
/// not memory that Rust knows as borrowed.
pub(crate) unsafe fn fill(start: u32, end: u32, word: u32) {
    // SAFETY: the caller's promise.
    unsafe { kernel_fill(start, end, word) }
}
