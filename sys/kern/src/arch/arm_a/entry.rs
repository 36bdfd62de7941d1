//! Exception vectors, the way into the kernel and out of it.
//!
//! | from | through | to |
//! |---|---|---|
//! | SVC | `supervisor_call`, `KERNEL_CALLS` | [`crate::syscalls`] |
//! | IRQ | `interrupt` | [`crate::entry::interrupt`] |
//! | data abort, prefetch abort, undefined instruction of a task | the vector of that name, [`faults`] | `Kernel::fault_current`, which notifies the supervisor |
//! | FIQ, taken from a task | `hang_timer_expired` | [`crate::fail::fail_of_hang`] |
//! | FIQ, taken from the kernel | [`super::hang_timer`] | the kernel again, or [`crate::fail`] |
//! | any of the three in the kernel, other exceptions | `kernel_failure` | [`crate::fail`] |
//!
//! # In
//!
//! Every exception from a task runs the same sequence, the macro `enter`. It ends with the task's
//! registers where debuggers look for them (`frame`), in SVC mode on an empty kernel stack, and
//! calls a function of this module with the task. Interrupts stay masked.
//!
//! Directly above the empty kernel stack lie two words that are not part of it:
//! [`CURRENT_TASK_PTR`], which the linker script puts there so that reading and changing the
//! running task take one instruction each, and [`CALLS`].
//!
//! A frame that does not fit into the task's stack region is stored by [`frame_does_not_fit`]:
//! elsewhere, if the stack pointer points to other memory that the task may write; if not, the task
//! is faulted, whatever exception it was.
//!
//! # Out
//!
//! `leave` gets the task to run. If it is not the one that ran before, translation table, ASID and
//! FPU access are switched: first to an ASID that no task has, so that no entry of one task's table
//! enters the TLB under another task's ASID (DDI 0406C, B3.10.4). TPIDRURW, which an ARMv7-M lacks
//! and a task here can write, is cleared then. The task can write the PSR in its frame, so all of
//! it but flags and IT state is replaced: USR mode, Thumb state, little-endian, no exceptions
//! masked. The exclusive monitor is cleared, as an exception return of ARMv7-M does.
//!
//! A system call after which its caller runs on takes a shorter way out. It relies on the banked
//! stack pointer and link register of USR mode and on SPSR_svc, which the kernel has not changed
//! since the entry. A task that restarted itself must not take it: [`frame::reinitialize`] clears
//! [`CURRENT_TASK_PTR`], so that the task is not the one that ran before.
//!
//! # A32 state
//!
//! An ARMv7-M has only Thumb state, and a branch to an even address is a fault (INVSTATE). Here it
//! is a branch to A32 code, which cannot be trapped. The task gets that fault at its next abort or
//! undefined instruction, and at the next interrupt at the latest.
//!
//! # Asynchronous aborts
//!
//! A store may be answered with a bus error after other instructions have run (DDI 0406C, B1.9.8).
//! Such aborts are never masked while a task runs, nor, once its registers are saved, in the
//! kernel; and the kernel waits for all accesses (DSB) before it switches. So one that is taken in
//! USR mode is charged to the task that caused it. One that is taken in the kernel is a kernel
//! failure, and the task in [`CURRENT_TASK_PTR`] has caused it, if the kernel has not.
//!
//! # Exceptions in the kernel
//!
//! An abort or undefined instruction in any mode but USR is a kernel failure. It is handled on a
//! stack of its own, in the mode that the exception was taken to. The one exception is a data abort
//! of the load in `device`, which reads a register that may not answer.

use super::{faults, fpu, frame};
use crate::task::Task;
use crate::{entry, fail, syscalls};
use abi::TASK_REGISTERS;
use core::arch::global_asm;
use core::mem::offset_of;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicPtr, Ordering};

/// The running task; null until there is one. Lies directly above the kernel stack.
#[unsafe(no_mangle)]
#[used]
#[unsafe(link_section = ".current_task")]
pub static CURRENT_TASK_PTR: AtomicPtr<Task> = AtomicPtr::new(core::ptr::null_mut());

/// The table of the system calls. Lies directly above [`CURRENT_TASK_PTR`], so that one LDRD loads
/// both.
#[used]
#[unsafe(link_section = ".current_task.calls")]
static CALLS: AtomicPtr<[syscalls::Handler; syscalls::COUNT + 1]> =
    AtomicPtr::new(core::ptr::null_mut());

global_asm!(
    r#"
    .syntax unified
    .thumb
    .arch_extension virt
    .fpu    vfpv3-d16

    .section .vector_table, "ax", %progbits
    .balign 32
kernel_vectors:
    b.w     _start
    b.w     undefined_instruction
    b.w     supervisor_call
    b.w     prefetch_abort
    b.w     data_abort
    b.w     unexpected
    b.w     interrupt
    b.w     hang_timer_expired

    .section .text.kernel_entry, "ax", %progbits

    @ In the mode of the exception, with lr the address to return to: saves the running task and
    @ leaves it in r0, and KERNEL_CALLS in r2. Goes to label 8 if its frame does not fit into the
    @ stack region.
    .macro  enter mode
    srsdb   sp!, #0x13                  @ pc and psr to the kernel stack
    .ifnc   \mode, svc
    cps     #0x13
    .endif
    push    {{r0-r3}}
    ldrd    r0, r2, [sp, #24]           @ CURRENT_TASK_PTR, CALLS
    stmia   r0, {{r4-r11}}
    pop     {{r4-r7, r10, r11}}         @ r0 to r3, pc, psr: the kernel stack is empty
    mov     r8, r12
    mrs     r9, lr_usr
    mrs     r1, sp_usr
    lsr     r12, r11, #5                @ psr becomes an xPSR: no mode, no masks,
    bfc     r11, #0, #10
    bfi     r11, r12, #24, #1           @   T where it is there
    subs    r1, r1, #{frame}
    ldrd    r12, r3, [r0, #{stack}]
    sub     r12, r1, r12
    cmp     r3, r12, ror #2             @ one that is not aligned is larger than any
    blo     8f
    stmia   r1, {{r4-r11}}
    str     r1, [r0, #{psp}]
    .endm

    @ At label 8: stores the frame elsewhere and goes on at label 7, as `enter` would have; if that
    @ is not possible, the task is faulted and another one resumed.
    .macro  store_elsewhere
    bic     r1, r1, #3
    push    {{r4-r11}}
    .cfi_adjust_cfa_offset 32
    mov     r2, sp
    bl      {frame_does_not_fit}
    add     sp, #32
    .cfi_adjust_cfa_offset -32
    cmp     r0, #0
    bne.w   leave
    ldrd    r0, r2, [sp]
    b       7b
    .endm

    @ For exceptions that the kernel itself may cause: continues only if the exception was taken
    @ from USR mode.
    .macro  from_user cause
    push    {{r0}}
    mrs     r0, spsr
    tst     r0, #0xf
    beq     6f
    movs    r0, #\cause
    b.w     kernel_failure
6:  pop     {{r0}}
    .endm

    @ The kernel stack is empty at each of the calls below, so an unwinder ends here.
    .cfi_sections .debug_frame
    .balign 32
    .cfi_startproc
    .thumb_func
supervisor_call:
    enter   svc
7:  ldr     r1, [r0, #{number}]
    cmp     r1, #{calls}
    bhs     9f
    ldr     r2, [r2, r1, lsl #2]
    blx     r2

    @ The short way out, to the task that called: its stack pointer, link register and psr are still
    @ in the processor.
    clrex
    ldr     r1, [sp]
    cmp     r0, r1
    bne     5f
    ldmia   r0, {{r4-r12}}              @ the last is psp
    ldr     lr, [r12, #24]              @ pc
    ldmia   r12, {{r0, r1, r2, r3, r12}}
    subs    pc, lr, #0

    @ The way out: r0 is the task to run, the kernel stack is empty.
    .thumb_func
leave:
    clrex
    ldr     r1, [sp]
    cmp     r0, r1
    beq     1f
5:  dsb                                 @ asynchronous aborts of what it did come now
    str     r0, [sp]
    ldrd    r1, r2, [r0, #{translation}]
    ldr     r3, [r0, #{fpexc}]
    movs    r4, #0
    mcr     p15, 0, r4, c13, c0, 2      @ TPIDRURW, which tasks can write
    mcr     p15, 0, r4, c13, c0, 1      @ CONTEXTIDR: an ASID that no task has
    isb
    mcr     p15, 0, r1, c2, c0, 0       @ TTBR0
    isb
    mcr     p15, 0, r2, c13, c0, 1      @ CONTEXTIDR: the task's
    vmsr    fpexc, r3
1:  ldmia   r0, {{r4-r12}}              @ the last is psp
    ldrd    r2, r3, [r12, #24]          @ pc, xpsr
    bic     r3, r3, #0x01f00000         @ flags, GE and IT are the task's,
    mov     r0, #0x30
    bfi     r3, r0, #0, #10             @   USR mode and Thumb state are not
    push    {{r2, r3}}
    add     r0, r12, #{frame}
    msr     sp_usr, r0
    ldr     r0, [r12, #20]
    msr     lr_usr, r0
    ldmia   r12, {{r0, r1, r2, r3, r12}}
    rfeia   sp!
8:  store_elsewhere
9:  ldr     r2, [r2, #{calls} * 4]      @ no such call
    blx     r2
    b       leave

    .thumb_func
interrupt:
    subs    lr, lr, #4
    enter   other
7:  cpsie   a
    bl      {interrupt}
    b.w     leave
8:  store_elsewhere

    .thumb_func
hang_timer_expired:                     @ FIQ mode has r8 to r12 of its own
    mrs     r8, spsr
    tst     r8, #0xf
    bne.w   kernel_was_interrupted
    sub     r9, lr, #4
    msr     lr_abt, r9                  @ goes on in ABT mode, which has none of its own
    msr     spsr_abt, r8
    cps     #0x17
    enter   other
7:  bl      {hang}
    b.w     leave
8:  store_elsewhere

    .global kernel_hangs
    .thumb_func
kernel_hangs:
    mrs     r8, spsr
    sub     r9, lr, #4
    msr     lr_abt, r9
    msr     spsr_abt, r8
    cps     #0x17
    push    {{r0}}
    movs    r0, #{hang_cause}
    b.w     kernel_failure

    .thumb_func
data_abort:
    push    {{r0}}                      @ as from_user
    mrs     r0, spsr
    tst     r0, #0xf
    beq     6f
    ldr     r0, =kernel_device_load + 8 @ DDI 0406C, table B1-7
    cmp     r0, lr
    beq     5f
    movs    r0, #{data_abort_cause}
    b.w     kernel_failure
5:  pop     {{r0}}                      @ `device`: a bus fault there is expected; go on behind the
    subs    pc, lr, #0                  @   two instructions
6:  pop     {{r0}}
    sub     lr, lr, #8
    enter   other
7:  cpsie   a
    bl      {data_abort}
    b.w     leave
8:  store_elsewhere

    .thumb_func
prefetch_abort:
    from_user {prefetch_abort_cause}
    sub     lr, lr, #4
    enter   other
7:  cpsie   a
    bl      {prefetch_abort}
    b.w     leave
8:  store_elsewhere

    .thumb_func
undefined_instruction:
    from_user {undefined_cause}
    push    {{r0}}
    mrs     r0, spsr
    tst     r0, #0x20                   @ lr is one instruction on, whatever its length in Thumb state
    ite     ne
    subne   lr, lr, #2
    subeq   lr, lr, #4
    pop     {{r0}}
    enter   other
7:  bl      {undefined}
    b.w     leave
8:  store_elsewhere
    .cfi_endproc

    .ltorg

    .thumb_func
unexpected:
    push    {{r0}}
    movs    r0, #{unexpected_cause}
    .thumb_func
kernel_failure:                         @ r0: cause; its own value has been pushed
    sub     sp, #76                     @ a multiple of 8 again: registers, and the cause
    str     r0, [sp, #72]
    add     r0, sp, #4
    stmia   r0!, {{r1-r12}}
    ldr     r1, [sp, #76]
    str     r1, [sp]
    mrs     r2, sp_svc                  @ the kernel runs in no other mode
    mrs     r3, lr_svc
    mov     r4, lr
    mrs     r5, spsr
    stmia   r0!, {{r2-r5}}
    ldr     r0, [sp, #72]
    mov     r1, sp
    bl      {kernel_failure}
    udf     #0
    "#,
    frame = const frame::FRAME_BYTES,
    stack = const offset_of!(Task, arch) + offset_of!(frame::ArchState, stack_low),
    translation = const offset_of!(Task, arch) + offset_of!(frame::ArchState, translation_table),
    fpexc = const offset_of!(Task, arch) + offset_of!(frame::ArchState, fpexc),
    psp = const offset_of!(Task, save) + offset_of!(frame::SavedState, psp),
    data_abort_cause = const KernelException::DataAbort as u32,
    prefetch_abort_cause = const KernelException::PrefetchAbort as u32,
    undefined_cause = const KernelException::Undefined as u32,
    unexpected_cause = const KernelException::Unexpected as u32,
    hang_cause = const KernelException::Hang as u32,
    hang = sym hang,
    frame_does_not_fit = sym frame_does_not_fit,
    number = const offset_of!(Task, save) + offset_of!(frame::SavedState, r11),
    calls = const syscalls::COUNT,
    interrupt = sym interrupt,
    data_abort = sym data_abort,
    prefetch_abort = sym prefetch_abort,
    undefined = sym undefined,
    kernel_failure = sym kernel_failure,
);

unsafe extern "C" {
    /// The way out. Not to be called as a function: it expects the task in r0 and an empty kernel
    /// stack.
    fn leave();
}

// What the assembly relies on.
const _: () = {
    assert!(offset_of!(Task, save) == 0, "registers first");
    assert!(offset_of!(frame::SavedState, r4) == 0 && offset_of!(frame::SavedState, r11) == 28);
    assert!(
        offset_of!(frame::ArchState, stack_room) == offset_of!(frame::ArchState, stack_low) + 4,
        "one LDRD"
    );
    assert!(
        offset_of!(frame::ArchState, address_space)
            == offset_of!(frame::ArchState, translation_table) + 4,
        "one LDRD"
    );
};

/// The exception that the kernel caused.
#[derive(Copy, Clone)]
enum KernelException {
    Undefined = 0,
    PrefetchAbort = 1,
    DataAbort = 2,
    Unexpected = 3,
    Hang = 4,
}

/// IRQ, taken from a task.
///
/// # Safety
///
/// Called from the exception entry only, with the running task.
unsafe extern "C" fn interrupt(task: NonNull<Task>) -> NonNull<Task> {
    // SAFETY: a new kernel entry, see above.
    unsafe {
        entry::with_kernel(task, |kernel, task| {
            let next = entry::interrupt(kernel, task);
            if frame::is_thumb(&kernel[task]) {
                return next;
            }
            kernel.fault_current(task, faults::INVALID_STATE)
        })
    }
}

/// The supervisor's timer has expired while this task ran.
///
/// # Safety
///
/// As for [`interrupt`].
unsafe extern "C" fn hang(task: NonNull<Task>) -> NonNull<Task> {
    // SAFETY: as for `interrupt`.
    unsafe { entry::with_kernel(task, |kernel, _| fail::fail_of_hang(kernel)) }
}

/// Data abort of a task: a fault.
///
/// # Safety
///
/// As for [`interrupt`].
unsafe extern "C" fn data_abort(task: NonNull<Task>) -> NonNull<Task> {
    // SAFETY: as for `interrupt`.
    unsafe {
        entry::with_kernel(task, |kernel, task| {
            let fault = faults::data_abort(&kernel[task]);
            kernel.fault_current(task, fault)
        })
    }
}

/// Prefetch abort of a task: a fault.
///
/// # Safety
///
/// As for [`interrupt`].
unsafe extern "C" fn prefetch_abort(task: NonNull<Task>) -> NonNull<Task> {
    // SAFETY: as for `interrupt`.
    unsafe {
        entry::with_kernel(task, |kernel, task| {
            let fault = faults::prefetch_abort(&kernel[task]);
            kernel.fault_current(task, fault)
        })
    }
}

/// Undefined instruction of a task: its first use of the floating-point unit, or a fault.
///
/// # Safety
///
/// As for [`interrupt`].
unsafe extern "C" fn undefined(task: NonNull<Task>) -> NonNull<Task> {
    // SAFETY: as for `interrupt`.
    unsafe { entry::with_kernel(task, fpu::undefined_instruction) }
}

/// The frame of the running task does not fit into its stack region at `frame`. Its eight words are
/// in `words`.
///
/// Returns null if the task may write at `frame` anyway: the frame has been stored, and the entry
/// continues with the exception. Otherwise the task is faulted, and the task to run instead is
/// returned.
///
/// # Safety
///
/// As for [`interrupt`]; `words` are on the kernel's stack.
unsafe extern "C" fn frame_does_not_fit(
    task: NonNull<Task>,
    frame: u32,
    words: &[u32; 8],
) -> Option<NonNull<Task>> {
    let mut stored = false;
    // SAFETY: as for `interrupt`. If this returns null, it has only stored the task's frame, and
    // its `Kernel` is gone when the entry continues and the handler of the exception makes another.
    let next = unsafe {
        entry::with_kernel(task, |kernel, task| {
            match frame::store_elsewhere(&mut kernel[task], frame, words) {
                Ok(()) => {
                    stored = true;
                    task
                }
                Err(fault) => kernel.fault_current(task, fault),
            }
        })
    };
    if stored { None } else { Some(next) }
}

/// The kernel itself caused an exception. The pc among `registers` is the link register of the
/// exception's mode, which is ahead of the instruction at fault.
extern "C" fn kernel_failure(cause: u32, registers: &mut [u32; TASK_REGISTERS]) -> ! {
    use super::cp15;
    let [.., pc, _psr] = registers;
    // DDI 0406C, table B1-7; the kernel is in Thumb state.
    let ahead = match cause {
        c if c == KernelException::DataAbort as u32 => 8,
        c if c == KernelException::PrefetchAbort as u32 => 4,
        c if c == KernelException::Undefined as u32 => 2,
        _ => 0,
    };
    *pc = pc.wrapping_sub(ahead);
    let at = *pc;
    match cause {
        c if c == KernelException::DataAbort as u32 => fail::fail_of_kernel(
            format_args!(
                "kernel data abort at {at:#x}: address {:#x}, DFSR {:#x}",
                cp15::dfar(),
                cp15::dfsr()
            ),
            registers,
        ),
        c if c == KernelException::PrefetchAbort as u32 => fail::fail_of_kernel(
            format_args!("kernel prefetch abort at {at:#x}: IFSR {:#x}", cp15::ifsr()),
            registers,
        ),
        c if c == KernelException::Undefined as u32 => fail::fail_of_kernel(
            format_args!("kernel undefined instruction at {at:#x}"),
            registers,
        ),
        c if c == KernelException::Hang as u32 => {
            fail::fail_of_hanging_kernel(registers);
        }
        _ => fail::fail_of_kernel(format_args!("unexpected exception near {at:#x}"), registers),
    }
}

/// Leaves the kernel for the first time.
///
/// # Safety
///
/// `task` is an initialised element of the task table, nothing of the kernel's state is borrowed,
/// and everything that a running task needs is set up.
pub(crate) unsafe fn leave_kernel(task: NonNull<Task>) -> ! {
    CALLS.store(
        (&raw const syscalls::KERNEL_CALLS).cast_mut(),
        Ordering::Relaxed,
    );
    // `leave` expects an empty kernel stack, directly below `CURRENT_TASK_PTR`, which is null so
    // far. SAFETY: nothing on the stack is used again; the rest is the caller's promise.
    unsafe {
        core::arch::asm!(
            "ldr sp, ={top}",
            "b {leave}",
            top = sym CURRENT_TASK_PTR,
            leave = sym leave,
            in("r0") task.as_ptr(),
            options(noreturn)
        )
    }
}
