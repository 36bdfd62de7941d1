//! Whose floating-point registers they are.
//!
//! Most tasks never use them, so they are not saved and loaded with the others. They belong to the task that used
//! them last, whichever runs; for every other task the unit is disabled. Its first floating-point instruction is then
//! undefined, and the kernel exchanges the registers and lets it try again. An instruction that is still undefined
//! really is.
//!
//! The compiler does not use floating point in the kernel: it is built for a soft-float target.

use super::{faults, frame};
use crate::table::{Kernel, TaskHandle};
use crate::task::Task;
use abi::FaultInfo;
use core::arch::global_asm;
use core::mem::offset_of;
use core::sync::atomic::{AtomicPtr, Ordering};

/// FPEXC.EN.
const ENABLED: u32 = 1 << 30;

/// The task whose registers are in the processor, if any.
static OWNER: AtomicPtr<Task> = AtomicPtr::new(core::ptr::null_mut());

/// Floating-point registers of a task, while they are not in the processor. ARMv7-M would have s0 to s15 and FPSCR in
/// the frame; here only their place is reserved there, because they are saved at another time than the frame.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Registers {
    /// s16 to s31, as debuggers of ARMv7-M expect them in the task table.
    s16_s31: [u32; 16],
    /// s0 to s15.
    s0_s15: [u32; 16],
    /// FPSCR.
    fpscr: u32,
}

global_asm!(
    r#"
    .syntax unified
    .thumb
    .fpu    vfpv3-d16
    .section .text.kernel_fpu, "ax", %progbits

    .thumb_func
kernel_fpu_access:                      @ r0: value for FPEXC
    vmsr    fpexc, r0
    isb
    bx      lr

    .thumb_func
kernel_fpu_save:                        @ r0: Registers
    add     r1, r0, #{low}
    vstmia  r0, {{d8-d15}}
    vstmia  r1, {{d0-d7}}
    vmrs    r2, fpscr
    str     r2, [r0, #{fpscr}]
    bx      lr

    .thumb_func
kernel_fpu_load:                        @ r0: Registers
    add     r1, r0, #{low}
    vldmia  r0, {{d8-d15}}
    vldmia  r1, {{d0-d7}}
    ldr     r2, [r0, #{fpscr}]
    vmsr    fpscr, r2
    bx      lr
    "#,
    low = const offset_of!(Registers, s0_s15),
    fpscr = const offset_of!(Registers, fpscr),
);

const _: () = assert!(offset_of!(Registers, s16_s31) == 0);

unsafe extern "C" {
    fn kernel_fpu_access(fpexc: u32);
    fn kernel_fpu_save(registers: &mut Registers);
    fn kernel_fpu_load(registers: &Registers);
}

/// The task tried an instruction that the processor does not know, or that needs the registers of another task.
pub(crate) fn undefined_instruction(kernel: &mut Kernel, task: TaskHandle) -> TaskHandle {
    if !frame::is_thumb(&kernel[task]) {
        return kernel.fault_current(task, faults::INVALID_STATE);
    }
    if kernel[task].arch.fpexc == ENABLED {
        return kernel.fault_current(task, FaultInfo::IllegalInstruction);
    }
    // SAFETY: the kernel has no floating-point state of its own; enabling first is what makes the other two defined.
    // The owner is a task (see `OWNER`), its registers are those in the processor, and those of `task` are in its
    // save area.
    unsafe {
        kernel_fpu_access(ENABLED);
        let owner = core::ptr::NonNull::new(OWNER.load(Ordering::Relaxed));
        if let Some(owner) = owner.map(|owner| TaskHandle::from_entry(owner)) {
            kernel_fpu_save(&mut kernel[owner].save.fp);
            kernel[owner].arch.fpexc = 0;
        }
        kernel_fpu_load(&kernel[task].save.fp);
    }
    kernel[task].arch.fpexc = ENABLED;
    OWNER.store(task.entry().as_ptr(), Ordering::Relaxed);
    task
}

/// The task begins a new life: what it had in the registers is dropped.
pub(crate) fn forget(task: &mut Task) {
    task.arch.fpexc = 0;
    if OWNER.load(Ordering::Relaxed) == core::ptr::from_mut(task) {
        OWNER.store(core::ptr::null_mut(), Ordering::Relaxed);
        // SAFETY: the running task either is this one, or did not have access before.
        unsafe { kernel_fpu_access(0) };
    }
}
