//! Copying and filling aligned memory, eight words at a time.
//!
//! The compiler calls these by their names in the Run-time ABI for the Arm Architecture (IHI 0043,
//! section 5.3.4, "Memory copying, clearing, and setting"). They replace the functions of its own
//! library, which move one word at a time: the recorder's emergency write has a budget of
//! instructions.

use core::arch::global_asm;

global_asm!(
    r#"
    .syntax unified
    .thumb

    .section .text.__aeabi_memcpy4, "ax", %progbits
    .global __aeabi_memcpy4
    .global __aeabi_memcpy8
    .type   __aeabi_memcpy4, %function
    .type   __aeabi_memcpy8, %function
    .cfi_sections .debug_frame
    .p2align 2
    .thumb_func
__aeabi_memcpy8:
    .thumb_func
__aeabi_memcpy4:                        @ r0: to, r1: from, r2: bytes
    .cfi_startproc
    subs    r2, #32
    blo     2f
    push    {{r4-r10}}
    .cfi_def_cfa_offset 28
1:  ldm     r1!, {{r3-r10}}
    stm     r0!, {{r3-r10}}
    subs    r2, #32
    bhs     1b
    pop     {{r4-r10}}
    .cfi_def_cfa_offset 0
2:  adds    r2, #28                     @ what is left, less one word
    bmi     4f
3:  ldr     r3, [r1], #4
    str     r3, [r0], #4
    subs    r2, #4
    bhs     3b
4:  adds    r2, #4                      @ the bytes after the last word
    beq     6f
5:  ldrb    r3, [r1], #1
    strb    r3, [r0], #1
    subs    r2, #1
    bne     5b
6:  bx      lr
    .cfi_endproc
    .size   __aeabi_memcpy4, . - __aeabi_memcpy4
    .size   __aeabi_memcpy8, . - __aeabi_memcpy8

    .section .text.__aeabi_memset4, "ax", %progbits
    .global __aeabi_memclr4
    .global __aeabi_memclr8
    .global __aeabi_memset4
    .global __aeabi_memset8
    .type   __aeabi_memclr4, %function
    .type   __aeabi_memclr8, %function
    .type   __aeabi_memset4, %function
    .type   __aeabi_memset8, %function
    .p2align 2
    .thumb_func
__aeabi_memclr8:
    .thumb_func
__aeabi_memclr4:                        @ r0: to, r1: bytes
    .cfi_startproc
    movs    r2, #0
    .thumb_func
__aeabi_memset8:
    .thumb_func
__aeabi_memset4:                        @ r0: to, r1: bytes, r2: the byte to set
    and     r2, r2, #0xff
    orr     r2, r2, r2, lsl #8
    orr     r2, r2, r2, lsl #16
    subs    r1, #32
    blo     2f
    push    {{r4-r9}}
    .cfi_def_cfa_offset 24
    mov     r3, r2
    mov     r4, r2
    mov     r5, r2
    mov     r6, r2
    mov     r7, r2
    mov     r8, r2
    mov     r9, r2
1:  stm     r0!, {{r2-r9}}
    subs    r1, #32
    bhs     1b
    pop     {{r4-r9}}
    .cfi_def_cfa_offset 0
2:  adds    r1, #28                     @ what is left, less one word
    bmi     4f
3:  str     r2, [r0], #4
    subs    r1, #4
    bhs     3b
4:  adds    r1, #4                      @ the bytes after the last word
    beq     6f
5:  strb    r2, [r0], #1
    subs    r1, #1
    bne     5b
6:  bx      lr
    .cfi_endproc
    .size   __aeabi_memclr4, . - __aeabi_memclr4
    .size   __aeabi_memclr8, . - __aeabi_memclr8
    .size   __aeabi_memset4, . - __aeabi_memset4
    .size   __aeabi_memset8, . - __aeabi_memset8

    .text
    "#
);
