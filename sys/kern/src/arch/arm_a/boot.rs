//! From reset to `kernel_main`, before there is memory that Rust could use.
//!
//! All processors start here, in Secure SVC mode with MMU and caches off, after power-on and after
//! every reset. A second one, if the chip has it, reports that it has arrived and sleeps forever;
//! the first one waits for the report, so that from then on every instruction that an emulator
//! counts is its own. The word for the report lies in the loaded image, beside the vectors: RAM
//! would still hold the report of the previous boot, while the image is loaded anew each time.

use core::arch::global_asm;

/// Size in words of the stack for exceptions that the kernel itself causes; see `entry`.
pub(crate) const FAIL_STACK_WORDS: usize = 1024;

/// Stack for those exceptions: the kernel's ordinary stack may be their cause.
#[unsafe(no_mangle)]
static mut KERNEL_FAIL_STACK: [u64; FAIL_STACK_WORDS / 2] = [0; FAIL_STACK_WORDS / 2];

global_asm!(
    r#"
    .syntax unified
    .thumb

    .section .text.start, "ax", %progbits
    .global _start
    .thumb_func
_start:
    cpsid   aif
    mrc     p15, 0, r0, c0, c0, 5       @ MPIDR
    ldr     r1, =second_processor_parked
    ands    r0, r0, #3
    bne     4f
    mrc     p15, 1, r0, c9, c0, 2       @ L2CTLR: bits 25:24, processors beside this one
    tst     r0, #0x03000000             @   (DDI 0464F, 4.3.49)
    beq     2f

1:  ldr     r0, [r1]
    cbnz    r0, 2f
    wfe
    b       1b

2:  ldr     r0, =kernel_vectors
    mcr     p15, 0, r0, c12, c0, 0      @ VBAR
    mrc     p15, 0, r0, c1, c0, 0       @ SCTLR:
    bic     r0, r0, #0x00003000         @   V (low vectors via VBAR) and I off
    bic     r0, r0, #0x00000007         @   M, A, C off
    bic     r0, r0, #0x02000000         @   EE: exceptions are little-endian
    orr     r0, r0, #0x40000000         @   TE: and taken to Thumb state
    mcr     p15, 0, r0, c1, c0, 0
    mrc     p15, 0, r0, c1, c0, 1       @ ACTLR.SMP: the caches do not work without it
    orr     r0, r0, #0x40
    mcr     p15, 0, r0, c1, c0, 1
    movs    r0, #0                      @ CPACR: cp10 and cp11 for all, FPEXC decides;
    movt    r0, #0xc0f0                 @   ASEDIS, D32DIS: no SIMD, no d16 to d31
    mcr     p15, 0, r0, c1, c0, 2
    isb
    movs    r0, #0
    .fpu    vfpv3-d16
    vmsr    fpexc, r0

    @ Tasks must not pass anything on in registers that ARMv7-M lacks.
    mcr     p15, 0, r0, c13, c0, 3      @ TPIDRURO, which they can read
    mrc     p15, 0, r0, c0, c1, 0       @ ID_PFR0: is there ThumbEE?
    tst     r0, #0xf000
    beq     9f
    movs    r0, #1                      @ TEECR.XED: TEEHBR is not for them
    mcr     p14, 6, r0, c0, c0, 0
9:  mrc     p14, 0, r0, c0, c2, 2       @ DBGDSCRext.UDCCdis: nor is the debug channel
    orr     r0, #0x1000
    mcr     p14, 0, r0, c0, c2, 2

    ldr     r0, =KERNEL_FAIL_STACK + {fail_stack}
    cps     #0x11                       @ FIQ
    mov     sp, r0
    cps     #0x17                       @ ABT
    mov     sp, r0
    cps     #0x1b                       @ UND
    mov     sp, r0
    cps     #0x12                       @ IRQ: its entry uses the kernel's stack
    mov     sp, r0
    cps     #0x13                       @ SVC
    ldr     r0, =_stack_start
    mov     sp, r0

    ldr     r0, =__sbss
    ldr     r1, =__ebss
    movs    r2, #0
    b       6f
5:  str     r2, [r0], #4
6:  cmp     r0, r1
    blo     5b

    ldr     r0, =__sdata
    ldr     r1, =__edata
    ldr     r2, =__sidata
    b       8f
7:  ldr     r3, [r2], #4
    str     r3, [r0], #4
8:  cmp     r0, r1
    blo     7b

    bl      kernel_main
    udf     #0

4:  movs    r0, #1
    str     r0, [r1]
    dsb
    sev
3:  wfi
    b       3b
    .ltorg

    .section .vector_table, "ax", %progbits
    .balign 4
second_processor_parked:
    .word   0
    "#,
    fail_stack = const FAIL_STACK_WORDS * 4,
);
