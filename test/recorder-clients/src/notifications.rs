//! The recorder's notification bits.

pub const SDHCI_IRQ_MASK: u32 = 1 << 0;
pub const TIMER_MASK: u32 = 1 << 1;
pub const OOPS_MASK: u32 = 1 << 2;
