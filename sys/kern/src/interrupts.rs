//! Interrupts as notifications: routing, IRQ_CONTROL, IRQ_STATUS.
//!
//! When an interrupt is taken, the kernel disables it and posts a notification to its owner; the
//! owner enables it again when it has dealt with the cause. A task names its interrupts by
//! notification masks only; the generated tables map a mask to the interrupts that post it.

use crate::arch::gic;
use crate::descs::{HUBRIS_IRQ_TASK_LOOKUP, HUBRIS_TASK_IRQ_LOOKUP};
use crate::fail;
use crate::outcome::CallOutcome;
use crate::syscalls::args::{IrqControlArgs, IrqStatusArgs};
use crate::table::{Kernel, TaskHandle};
use abi::{InterruptNum, InterruptOwner, IrqControlArg, IrqStatus, UsageError};

/// A device interrupt was taken: disables it and notifies its owner.
///
/// An interrupt without an owner is a kernel failure: only interrupts with owners are ever enabled.
pub(crate) fn taken(kernel: &mut Kernel, irq: InterruptNum) {
    let owner = HUBRIS_IRQ_TASK_LOOKUP
        .get(&irq)
        .and_then(|owner| Some((TaskHandle::new(owner.task as usize)?, owner.notification)));
    let Some((task, notification)) = owner else {
        fail::die(format_args!("interrupt {} has no owner", irq.0));
    };
    gic::disable(irq);
    kernel.post(task, notification);
}

/// The interrupts that post `mask` to the task with this index.
pub(crate) fn posting(task: usize, mask: u32) -> Result<&'static [InterruptNum], UsageError> {
    let owner = InterruptOwner {
        task: task as u32,
        notification: mask,
    };
    HUBRIS_TASK_IRQ_LOOKUP
        .get(&owner)
        .copied()
        .ok_or(UsageError::NoIrq)
}

/// Disables all interrupts of a task, as its restart does.
pub(crate) fn disable_all_of(task: usize) {
    for (owner, irqs) in HUBRIS_TASK_IRQ_LOOKUP.0 {
        if owner.task as usize == task {
            irqs.iter().copied().for_each(gic::disable);
        }
    }
}

/// IRQ_CONTROL.
pub(crate) fn irq_control(kernel: &mut Kernel, caller: TaskHandle) -> CallOutcome {
    let args = IrqControlArgs::of(&kernel[caller]);
    let control = IrqControlArg::from_bits(args.control).ok_or(UsageError::NoIrq)?;
    let irqs = posting(kernel[caller].id.index(), args.notification)?;
    let clear = control.contains(IrqControlArg::CLEAR_PENDING);
    for &irq in irqs {
        if control.contains(IrqControlArg::ENABLED) {
            if clear {
                gic::clear_pending(irq);
            }
            gic::enable(irq);
        } else {
            gic::disable(irq);
            if clear {
                gic::clear_pending(irq);
            }
        }
    }
    Ok(caller)
}

/// IRQ_STATUS.
pub(crate) fn irq_status(kernel: &mut Kernel, caller: TaskHandle) -> CallOutcome {
    let mask = IrqStatusArgs::of(&kernel[caller]).notification;
    let irqs = posting(kernel[caller].id.index(), mask)?;
    let mut status = IrqStatus::empty();
    for &irq in irqs {
        status.set(
            IrqStatus::ENABLED,
            status.contains(IrqStatus::ENABLED) || gic::is_enabled(irq),
        );
        status.set(
            IrqStatus::PENDING,
            status.contains(IrqStatus::PENDING) || gic::is_pending(irq),
        );
    }
    status.set(IrqStatus::POSTED, kernel[caller].notifications & mask != 0);
    kernel[caller].save.set_irq_status(status);
    Ok(caller)
}
