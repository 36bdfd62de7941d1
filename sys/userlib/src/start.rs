//! The entry point of every task.
//!
//! The kernel enters it with an empty stack. It pushes nothing, so that `main`'s frame is the
//! outermost one and ends at the initial stack pointer, where a debugger's unwinding stops.
//! `.debug_frame` says the same, for a task that is still in the entry point.

use core::arch::naked_asm;

unsafe extern "Rust" {
    /// The task's own entry point.
    fn main() -> !;
}

/// Copies `.data` and zeroes `.bss`, then calls `main`. The linker script aligns both to words. It
/// moves eight words at a time, because the recorder's emergency write begins with it and has a
/// budget of instructions.
#[unsafe(naked)]
#[unsafe(no_mangle)]
#[unsafe(link_section = ".text.start")]
unsafe extern "C" fn _start() -> ! {
    naked_asm!(
        "
        .cfi_sections .debug_frame
        .cfi_startproc
        movw    r0, #:lower16:__sdata
        movt    r0, #:upper16:__sdata
        movw    r1, #:lower16:__edata
        movt    r1, #:upper16:__edata
        movw    r2, #:lower16:__sidata
        movt    r2, #:upper16:__sidata
        sub     r11, r1, #32
    0:  cmp     r0, r11
        bhi     5f
        ldm     r2!, {{r3-r10}}
        stm     r0!, {{r3-r10}}
        b       0b
    5:  cmp     r0, r1
        beq     1f
        ldr     r3, [r2], #4
        str     r3, [r0], #4
        b       5b

    1:  movw    r0, #:lower16:__sbss
        movt    r0, #:upper16:__sbss
        movw    r1, #:lower16:__ebss
        movt    r1, #:upper16:__ebss
        mov     r2, #0
        mov     r3, #0
        mov     r4, #0
        mov     r5, #0
        mov     r6, #0
        mov     r7, #0
        mov     r8, #0
        mov     r9, #0
        sub     r10, r1, #32
    2:  cmp     r0, r10
        bhi     3f
        stm     r0!, {{r2-r9}}
        b       2b
    3:  cmp     r0, r1
        beq     4f
        str     r2, [r0], #4
        b       3b

    4:  dsb
        isb
        bl      {main}
        udf     #0
        .cfi_endproc
        ",
        main = sym main,
    )
}
