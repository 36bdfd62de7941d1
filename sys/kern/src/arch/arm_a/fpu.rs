//! Floating-point registers, switched lazily.
//!
//! Most tasks never use them, so they are not saved and loaded with the others. They belong to the
//! task that used them last ([`OWNER`]), even while others run; for every other task the unit is
//! disabled. The first floating-point instruction of such a task is then undefined: the kernel
//! exchanges the registers, enables the unit for that task and lets it repeat the instruction. An
//! instruction that is undefined while the unit is enabled faults the task.
//!
//! Tasks are built for d0 to d15. Where the processor has d16 to d31 as well, they are disabled
//! (CPACR, `boot`), so that they carry nothing from one task to another.
//!
//! The kernel itself uses no floating point: it is built for a soft-float target.

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

/// Floating-point registers of a task that is not [`OWNER`]. ARMv7-M has s0 to s15 and FPSCR in the
/// exception frame; here that part of the frame is reserved and unused, because these registers are
/// saved later than the frame.
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

/// A task executed an undefined instruction: gives it the floating-point unit, or faults it if it
/// has the unit already.
pub(crate) fn undefined_instruction(kernel: &mut Kernel, task: TaskHandle) -> TaskHandle {
    if !frame::is_thumb(&kernel[task]) {
        return kernel.fault_current(task, faults::INVALID_STATE);
    }
    if kernel[task].arch.fpexc == ENABLED {
        return kernel.fault_current(task, FaultInfo::IllegalInstruction);
    }
    // SAFETY: the kernel has no floating-point state of its own; enabling first is what makes the
    // other two defined. The owner is a task (see `OWNER`), its registers are those in the
    // processor, and those of `task` are in its save area.
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

/// Drops a task's floating-point registers, as its restart does.
pub(crate) fn forget(task: &mut Task) {
    task.arch.fpexc = 0;
    if OWNER.load(Ordering::Relaxed) == core::ptr::from_mut(task) {
        OWNER.store(core::ptr::null_mut(), Ordering::Relaxed);
        // SAFETY: the running task either is this one, or did not have access before.
        unsafe { kernel_fpu_access(0) };
    }
}
