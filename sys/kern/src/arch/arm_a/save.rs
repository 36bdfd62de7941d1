//! Copying memory for snapshots.
//!
//! [`copy_wide`] moves 128 bytes with two instructions, in the floating-point registers. They
//! belong to a task, so they are restored.
//!
//! [`copy_and_sum`] goes over the memory once: it compares with the two fills, copies, and computes
//! the checksum. A step of the checksum is one UMAAL: with the sum as the words `low` and `high`,
//! the new one is `low * FACTOR + high + word`.

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

    @ 32 bytes; low is in lr, high in r12, the factor in r3.
    .macro  move_and_sum_32
    ldmia   r0!, {{r4-r11}}
    stmia   r1!, {{r4-r11}}
    umaal   r4, r12, lr, r3
    umaal   r5, r12, r4, r3
    umaal   r6, r12, r5, r3
    umaal   r7, r12, r6, r3
    umaal   r8, r12, r7, r3
    umaal   r9, r12, r8, r3
    umaal   r10, r12, r9, r3
    umaal   r11, r12, r10, r3
    mov     lr, r11
    .endm

    .thumb_func
kernel_copy_and_sum:                    @ r0: from, r1: to, r2: bytes, r3: map, stored, sum
    push    {{r4-r11, lr}}
    sub     sp, #28
    add     r4, r0, r2
    movs    r5, #0
    strd    r4, r5, [sp]                @ end of the source; map of the granules so far
    strd    r1, r3, [sp, #8]
    str     r2, [sp, #24]
    ldr     lr, ={seed_low}
    ldr     r12, ={seed_high}
    ldr     r3, ={factor}

    @ A granule: r2 gets its length.
1:  ldr     r2, [sp]
    ldr     r4, [r0]
    subs    r2, r2, r0
    cmp     r2, #{granule}
    it      hi
    movhi   r2, #{granule}
    cmp     r4, #0
    beq     3f
    ldr     r5, ={fill}
    cmp     r4, r5
    beq     3f

    @ Data.
2:  subs    r2, #64
    blo     22f
21: move_and_sum_32
    move_and_sum_32
    subs    r2, #64
    bhs     21b
22: adds    r2, #64
    beq     24f
23: ldr     r4, [r0], #4
    str     r4, [r1], #4
    umaal   r4, r12, lr, r3
    mov     lr, r4
    subs    r2, #4
    bne     23b
24: movs    r6, #0
    b       9f

    @ It begins with one of the fills, which is in r4: is it nothing else?
3:  strd    r0, r2, [sp, #16]
    subs    r2, #32
    blo     5f
4:  ldmia   r0!, {{r3, r5-r11}}
    cmp     r3, r4
    ittt    eq
    cmpeq   r5, r4
    cmpeq   r6, r4
    cmpeq   r7, r4
    itttt   eq
    cmpeq   r8, r4
    cmpeq   r9, r4
    cmpeq   r10, r4
    cmpeq   r11, r4
    bne     7f
    subs    r2, #32
    bhs     4b
5:  adds    r2, #32
    beq     6f
51: ldr     r5, [r0], #4
    cmp     r5, r4
    bne     7f
    subs    r2, #4
    bne     51b
6:  ldr     r3, ={factor}
    movs    r6, #{is_fill}
    cmp     r4, #0
    it      eq
    moveq   r6, #{is_zeros}
    b       9f
7:  ldr     r3, ={factor}
    ldrd    r0, r2, [sp, #16]
    b       2b

    @ r6: what the granule holds.
9:  ldrd    r4, r5, [sp]
    lsrs    r5, #2
    orr     r5, r5, r6, lsl #30
    str     r5, [sp, #4]
    cmp     r0, r4
    bne     1b

    @ The map was filled from above.
    ldrd    r2, r3, [sp, #8]
    subs    r1, r1, r2                  @ stored
    ldr     r6, [sp, #24]
    adds    r6, #{granule} - 1
    lsrs    r6, #{granule_log} - 1
    bic     r6, #1                      @ two bits for each granule
    rsb     r6, #32
    lsrs    r5, r6
    strd    r5, r1, [r3]
    strd    lr, r12, [r3, #8]
    add     sp, #28
    pop     {{r4-r11, pc}}
    .ltorg
    "#,
    seed_low = const SavedExtent::SUM_SEED as u32,
    seed_high = const (SavedExtent::SUM_SEED >> 32) as u32,
    factor = const SavedExtent::SUM_FACTOR,
    fill = const SavedExtent::STACK_FILL,
    granule = const SavedExtent::GRANULE,
    granule_log = const SavedExtent::GRANULE.ilog2(),
    is_zeros = const SavedExtent::ZEROS,
    is_fill = const SavedExtent::FILL,
);

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

/// Copies what is data among `count` bytes, and computes its checksum.
///
/// # Safety
///
/// As for [`copy_wide`], with `count` from 4 to [`SavedExtent::MAX`].
pub(crate) unsafe fn copy_and_sum(from: u32, to: u32, count: u32) -> SavedExtent {
    let mut result = [0; 4];
    // SAFETY: the caller's promise; the last argument is four words that are written.
    unsafe { kernel_copy_and_sum(from, to, count, &mut result) };
    let [map, stored, low, high] = result;
    SavedExtent {
        map,
        stored,
        sum: u64::from(low) | u64::from(high) << 32,
    }
}
