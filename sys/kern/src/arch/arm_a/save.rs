//! Copying memory for snapshots.
//!
//! [`copy_wide`] moves 128 bytes with two instructions, in the floating-point registers. They
//! belong to a task, so they are restored.
//!
//! [`copy_and_sum`] goes over the memory once: it compares with the two fills, copies, and computes
//! the checksum. A step of the checksum is one UMAAL: with the sum as the words `low` and `high`,
//! the new one is `low * FACTOR + high + word`. A word is compared with the fill by USADA8, which
//! adds up the differences of its bytes: nothing is added if there are none, and a granule's do not
//! overflow.

use super::cp15;
use abi::SavedExtent;
use core::arch::global_asm;

global_asm!(
    r#"
    .syntax unified
    .thumb
    .fpu    vfpv3-d16
    .section .text.kernel_save, "ax", %progbits

    .macro  move_128
    vldmia  r0!, {{d0-d15}}
    vstmia  r1!, {{d0-d15}}
    .endm

    .thumb_func
kernel_copy_wide:                       @ r0: from, r1: to, r2: bytes
    vmrs    r3, fpexc
    orr     r12, r3, #1 << 30           @ EN
    vmsr    fpexc, r12
    isb
    vpush   {{d0-d15}}
    subs    r2, #1024
    blo     2f
1:  .rept   8
    move_128
    .endr
    subs    r2, #1024
    bhs     1b
2:  adds    r2, #896                    @ what is left, less 128
    blt     4f
3:  move_128
    subs    r2, #128
    bge     3b
4:  adds    r2, #128
    beq     6f
5:  ldr     r12, [r0], #4
    str     r12, [r1], #4
    subs    r2, #4
    bne     5b
6:  vpop    {{d0-d15}}
    vmsr    fpexc, r3
    isb
    bx      lr

    @ 32 bytes of data. The factor is in r3, the sum's high word in r12. Its low word is in \low
    @ before, and in \last, the last of the words, after.
    .macro  move_and_sum_32 low, last
    ldmia   r0!, {{r4-r10, \last}}
    stmia   r1!, {{r4-r10, \last}}
    umaal   r4, r12, \low, r3
    umaal   r5, r12, r4, r3
    umaal   r6, r12, r5, r3
    umaal   r7, r12, r6, r3
    umaal   r8, r12, r7, r3
    umaal   r9, r12, r8, r3
    umaal   r10, r12, r9, r3
    umaal   \last, r12, r10, r3
    .endm

    @ 32 bytes that may be fill: adds to r2 how much their bytes differ from those of r4.
    .macro  differences_32
    ldmia   r0!, {{r3, r5-r11}}
    usada8  r2, r3, r4, r2
    usada8  r2, r5, r4, r2
    usada8  r2, r6, r4, r2
    usada8  r2, r7, r4, r2
    usada8  r2, r8, r4, r2
    usada8  r2, r9, r4, r2
    usada8  r2, r10, r4, r2
    usada8  r2, r11, r4, r2
    .endm

    @ The bit in the map for the granule at r0, whose words are r4.
    .macro  bit_of_granule result, start
    sub     \result, r0, \start
    lsr     \result, \result, #{granule_log} - 1
    lsr     \start, r4, #31            @ 1 of the fill, 0 of zeros
    add     \start, \start, #{is_zeros}
    lsl     \result, \start, \result
    .endm

    @ On the stack, from sp on: map, start of the source, start of the destination, bytes of the
    @ last granule if it is not whole, three registers, result.
    .thumb_func
kernel_copy_and_sum:                    @ r0: from, r1: to, r2: bytes, r3: map, stored, sum
    push    {{r3-r11, lr}}
    sub     sp, #28
    movs    r4, #0
    strd    r4, r0, [sp]
    and     r5, r2, #{granule} - 1
    strd    r1, r5, [sp, #8]
    bic     r2, r2, #{granule} - 1
    add     r2, r0                      @ end of the whole granules
    ldrd    lr, r12, [r3, #8]
    ldr     r3, ={factor}
    b       2f

    @ A whole granule of data.
1:  .rept   4
    move_and_sum_32 lr, r11
    move_and_sum_32 r11, lr
    .endr

    @ What is next? It may be fill if it begins and ends with it.
2:  cmp     r0, r2
    beq     5f
    ldr     r4, [r0]
    cbz     r4, 21f
    ldr     r5, ={fill}
    cmp     r4, r5
    bne     1b
21: ldr     r5, [r0, #{granule} - 4]
    cmp     r5, r4
    bne     1b

    @ Whole granules that hold nothing but r4. In this loop r1 is the end, r12 the map, lr the bit of
    @ the next granule.
3:  strd    lr, r12, [sp, #16]
    str     r1, [sp, #24]
    ldrd    r12, r1, [sp]
    bit_of_granule lr, r1
    mov     r1, r2
    movs    r2, #0
31: differences_32
    cbz     r2, 32f
    subs    r0, #32
    b       4f
32: .rept   3
    differences_32
    .endr
    cbz     r2, 33f
    subs    r0, #128
    b       4f
33: .rept   4
    differences_32
    .endr
    cbz     r2, 34f
    sub     r0, r0, #{granule}
    b       4f
34: orr     r12, r12, lr
    lsl     lr, lr, #2
    cmp     r0, r1
    bne     31b
4:  str     r12, [sp]
    mov     r2, r1
    ldrd    lr, r12, [sp, #16]
    ldr     r1, [sp, #24]
    ldr     r3, ={factor}
    cmp     r0, r2
    beq     5f
    ldr     r5, [r0]
    cmp     r5, r4                      @ it begins with the fill, and has something else
    beq     1b
    b       2b

    @ The last granule, if it is not whole.
5:  ldr     r2, [sp, #12]
    cbz     r2, 9f
    ldr     r4, [r0]
    cbz     r4, 6f
    ldr     r5, ={fill}
    cmp     r4, r5
    bne     8f
6:  mov     r6, r0
    mov     r7, r2
7:  ldr     r5, [r6], #4
    cmp     r5, r4
    bne     8f
    subs    r7, #4
    bne     7b
    ldrd    r6, r7, [sp]
    bit_of_granule r5, r7
    orr     r6, r6, r5
    str     r6, [sp]
    b       9f
8:  ldr     r4, [r0], #4
    str     r4, [r1], #4
    umaal   r4, r12, lr, r3
    mov     lr, r4
    subs    r2, #4
    bne     8b

9:  ldr     r4, [sp]
    ldr     r5, [sp, #8]
    ldr     r6, [sp, #28]
    subs    r5, r1, r5                  @ stored
    strd    r4, r5, [r6]
    strd    lr, r12, [r6, #8]
    add     sp, #28
    pop     {{r3-r11, pc}}
    .ltorg
    "#,
    factor = const SavedExtent::SUM_FACTOR,
    fill = const SavedExtent::STACK_FILL,
    granule = const SavedExtent::GRANULE,
    granule_log = const SavedExtent::GRANULE.ilog2(),
    is_zeros = const SavedExtent::ZEROS,
);

// `bit_of_granule` tells the fills by the highest bit of their words.
const _: () = {
    assert!(SavedExtent::STACK_FILL >> 31 == 1);
    assert!(SavedExtent::FILL == SavedExtent::ZEROS + 1);
};

unsafe extern "C" {
    fn kernel_copy_wide(from: u32, to: u32, count: u32);
    fn kernel_copy_and_sum(from: u32, to: u32, count: u32, result: &mut [u32; 4]);
}

/// Copies `count` bytes, 128 at a time.
///
/// # Safety
///
/// Both ranges are mapped normal memory, the destination writable for the kernel and not memory
/// that Rust knows as borrowed, and they do not overlap. `from`, `to` and `count` are multiples of
/// 4.
pub(crate) unsafe fn copy_wide(from: u32, to: u32, count: u32) {
    // SAFETY: the caller's promise. The floating-point registers and FPEXC are restored.
    unsafe { kernel_copy_wide(from, to, count) }
}

/// Copies what is data among `count` bytes, and continues a checksum, `sum`, with it.
///
/// # Safety
///
/// As for [`copy_wide`], with `count` from 4 to [`SavedExtent::MAX`].
pub(crate) unsafe fn copy_and_sum(from: u32, to: u32, count: u32, sum: u64) -> SavedExtent {
    let mut result = [0, 0, sum as u32, (sum >> 32) as u32];
    // SAFETY: the caller's promise; the last argument is four words, which are read and written.
    unsafe { kernel_copy_and_sum(from, to, count, &mut result) };
    let [map, stored, low, high] = result;
    SavedExtent {
        map,
        stored,
        sum: u64::from(low) | u64::from(high) << 32,
    }
}

/// Is there an interrupt that waits until the kernel returns?
#[inline(always)]
pub(crate) fn is_interrupt_pending() -> bool {
    // DDI 0406C, B4.1.85: bit 7 says it of IRQ, bit 6 of FIQ, whether masked or not.
    cp15::isr() & 0b1100_0000 != 0
}
