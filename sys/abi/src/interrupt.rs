//! Hardware interrupts, as tasks know them: bits of a notification mask.

use bitflags::bitflags;
use serde::{Deserialize, Serialize};

/// Number of a hardware interrupt; with a GIC, its INTID.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Ord, PartialOrd, Serialize, Deserialize)]
#[repr(transparent)]
pub struct InterruptNum(pub u32);

impl InterruptNum {
    /// The number of no interrupt.
    pub const fn invalid() -> Self {
        Self(u32::MAX)
    }

    /// Is this anything but [`Self::invalid`]?
    pub fn is_valid(self) -> bool {
        self.0 != u32::MAX
    }
}

/// The task that an interrupt notifies, and the notification that it posts.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Ord, PartialOrd, Serialize, Deserialize)]
pub struct InterruptOwner {
    /// Index of the task.
    pub task: u32,
    /// Mask of the notification, one bit.
    pub notification: u32,
}

impl InterruptOwner {
    /// The owner of an interrupt that notifies no task.
    pub const fn invalid() -> Self {
        Self {
            task: u32::MAX,
            notification: 0,
        }
    }

    /// Is this anything but [`Self::invalid`]?
    pub fn is_valid(self) -> bool {
        self.task != u32::MAX
    }
}

/// An interrupt and its owner.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Interrupt {
    /// The hardware interrupt.
    pub irq: InterruptNum,
    /// The task it is routed to.
    pub owner: InterruptOwner,
}

/// Result of IRQ_STATUS, combined over all interrupts that post one notification.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[repr(transparent)]
pub struct IrqStatus(u32);

bitflags! {
    impl IrqStatus: u32 {
        /// One of the interrupts is enabled in the interrupt controller.
        const ENABLED = 1 << 0;
        /// One of the interrupts is pending in the interrupt controller.
        const PENDING = 1 << 1;
        /// The notification is posted and not yet received.
        const POSTED = 1 << 2;
    }
}

/// Argument of IRQ_CONTROL.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[repr(transparent)]
pub struct IrqControlArg(u32);

bitflags! {
    impl IrqControlArg: u32 {
        /// Enable (else disable).
        const ENABLED = 1 << 0;
        /// Clear what is pending: before enabling, after disabling.
        const CLEAR_PENDING = 1 << 1;
    }
}
