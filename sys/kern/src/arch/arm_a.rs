//! ARMv7-A: a Cortex-A7 in Secure state.
//!
//! With GICv2, generic timer, short-descriptor MMU and VFPv4-D16.
//!
//! | module | subject |
//! |---|---|
//! | [`boot`] | from reset to `kernel_main` |
//! | [`entry`] | exception vectors, the way into the kernel and out of it |
//! | [`frame`] | a stopped task's registers |
//! | [`faults`] | the fault for a task's abort |
//! | [`fpu`] | floating-point registers, switched on first use |
//! | [`memory`] | translation tables, caches |
//! | [`gic`] | interrupt controller |
//! | [`timer`] | the tick |
//! | [`hang_timer`] | the timer of the supervisor, whose interrupt is a FIQ |
//! | [`copy`](mod@copy) | copying and filling user memory by words |
//! | `device` | reading a register of a task's device, with a bus fault caught (its user: feature `dump`) |
//! | `save` | copying memory for snapshots (feature `dump`) |
//! | [`cp15`] | system control coprocessor registers by name |
//!
//! The kernel runs in SVC mode, tasks in USR mode; all exceptions are taken to Thumb state. Kernel
//! code is built for a soft-float target, so the compiler never touches floating-point registers,
//! which belong to tasks.
//!
//! References are to the ARM Architecture Reference Manual, ARMv7-A and ARMv7-R edition (DDI
//! 0406C), and to the GICv2 architecture specification (IHI 0048B).

pub(crate) mod boot;
pub(crate) mod copy;
pub(crate) mod cp15;
pub(crate) mod device;
pub(crate) mod entry;
pub(crate) mod faults;
pub(crate) mod fpu;
pub(crate) mod frame;
pub(crate) mod gic;
pub(crate) mod hang_timer;
pub(crate) mod memory;
#[cfg(feature = "dump")]
pub(crate) mod save;
pub(crate) mod timer;

use crate::task::Task;
use abi::TASK_REGISTERS;
use core::arch::asm;
use core::ptr::NonNull;

/// Leaves the kernel for the first time.
///
/// # Safety
///
/// `task` is an initialised element of the task table, nothing of the kernel's state is borrowed,
/// and translation, interrupts and timer are set up.
pub(crate) unsafe fn start_first_task(task: NonNull<Task>) -> ! {
    // SAFETY: passed on.
    unsafe { entry::leave_kernel(task) }
}

/// r0 to r12, sp, lr, pc, psr of the caller. r0 to r3 and r12 hold what the compiler has left in
/// them.
#[inline(always)]
pub(crate) fn capture() -> [u32; TASK_REGISTERS] {
    let mut registers = [0; TASK_REGISTERS];
    // SAFETY: stores 17 words to an array of as many.
    unsafe {
        asm!(
            "stm {base}, {{r0-r12}}",
            "str sp, [{base}, #52]",
            "str lr, [{base}, #56]",
            "mov {word}, pc",
            "str {word}, [{base}, #60]",
            "mrs {word}, cpsr",
            "str {word}, [{base}, #64]",
            base = in(reg) registers.as_mut_ptr(),
            word = out(reg) _,
            options(nostack, preserves_flags)
        );
    }
    registers
}

/// Masks IRQ and FIQ. The kernel always runs with IRQ masked, and once a task has run, with FIQ not
/// masked; a failing kernel must not be interrupted.
pub(crate) fn mask_interrupts() {
    // SAFETY: masking has no effect on memory safety.
    unsafe { asm!("cpsid if", options(nomem, nostack, preserves_flags)) };
}

/// Sleeps until the requested reset takes effect.
pub(crate) fn wait_for_reset() -> ! {
    loop {
        // SAFETY: WFI only waits.
        unsafe { asm!("wfi", options(nomem, nostack, preserves_flags)) };
    }
}
