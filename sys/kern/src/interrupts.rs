//! Interrupts as notifications: routing, IRQ_CONTROL, IRQ_STATUS.
//!
//! An interrupt masks itself when it is taken and posts a notification to its owner, which enables it again when it
//! has dealt with the cause. A task knows its interrupts only as notification masks; the generated tables say which
//! interrupts are behind one.

use crate::arch::gic;
use crate::descs::{HUBRIS_IRQ_TASK_LOOKUP, HUBRIS_TASK_IRQ_LOOKUP};
use crate::fail;
use crate::outcome::Outcome;
use crate::table::{Kernel, TaskHandle};
use abi::{InterruptNum, InterruptOwner, IrqControlArg, IrqStatus, UsageError};

/// A device interrupt was taken: masks it and tells its owner.
///
/// Does not return if it has none. Only interrupts with owners are ever enabled, so then the kernel's state is wrong.
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

/// The interrupts behind `mask` of the task with this index.
pub(crate) fn behind(task: usize, mask: u32) -> Result<&'static [InterruptNum], UsageError> {
    let owner = InterruptOwner {
        task: task as u32,
        notification: mask,
    };
    HUBRIS_TASK_IRQ_LOOKUP
        .get(&owner)
        .copied()
        .ok_or(UsageError::NoIrq)
}

/// Masks all interrupts of a task, whose life ends.
pub(crate) fn mask_all_of(task: usize) {
    for (owner, irqs) in HUBRIS_TASK_IRQ_LOOKUP.0 {
        if owner.task as usize == task {
            irqs.iter().copied().for_each(gic::disable);
        }
    }
}

/// IRQ_CONTROL.
pub(crate) fn irq_control(kernel: &mut Kernel, caller: TaskHandle) -> Outcome {
    let [mask, control, ..] = kernel[caller].save.arguments();
    let control = IrqControlArg::from_bits(control).ok_or(UsageError::NoIrq)?;
    let irqs = behind(kernel[caller].id.index(), mask)?;
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
pub(crate) fn irq_status(kernel: &mut Kernel, caller: TaskHandle) -> Outcome {
    let [mask, ..] = kernel[caller].save.arguments();
    let irqs = behind(kernel[caller].id.index(), mask)?;
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
