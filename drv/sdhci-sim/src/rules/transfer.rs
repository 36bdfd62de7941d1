//! What must not change during a transfer, and what DMA needs.

use crate::controller::SimController;
use drv_sdhci::registers::HostControl;

impl SimController {
    /// Whether a command or a data phase is in progress.
    pub(crate) fn is_transferring(&self) -> bool {
        self.pending.is_some() || self.data.is_some()
    }

    /// A write to a register, before it has any effect.
    pub(crate) fn check_store(&mut self, offset: u8, value: u32) {
        let what = match offset {
            // SDHCI 2.2.1, 2.2.2, 2.2.3: only while no transaction is executing.
            0x00 | 0x04 if self.is_transferring() => "block size, block count or argument 2",
            // SDHCI 2.2.4: the argument belongs to the command that is being sent.
            0x08 if self.pending.is_some() => "the argument",
            // SDHCI 2.2.31: the address belongs to the transfer.
            0x58 if self.is_transferring() => "the address of the descriptors",
            0x28 if self.is_transferring() && value != self.host_control => "width or power",
            _ => return self.check_timing(offset, value),
        };
        self.violation(format!("{what} is written during a transfer"));
    }

    /// High-speed timing is chosen while the card is not clocked, or it gets a glitch (SDHCI 2.2.10
    /// in version 3.00, High Speed Enable; 2.2.24, UHS Mode Select).
    fn check_timing(&mut self, offset: u8, value: u32) {
        let bit = HostControl::HIGH_SPEED::SET.value;
        let changes = match offset {
            0x28 => (value ^ self.host_control) & bit != 0,
            0x3C => value != self.host_control_2,
            _ => false,
        };
        if changes && self.card_is_clocked() {
            self.violation("the timing changes while the card is clocked".into());
        }
    }

    /// A command with DMA: the controller has ADMA2 and was told to use it (SDHCI 2.2.10 and
    /// 2.2.26), and the table is aligned (SDHCI 1.13.3).
    pub(crate) fn check_dma(&mut self, index: u8) {
        if self.capabilities & 1 << 19 == 0 {
            self.violation(format!("CMD{index} by ADMA2, which is not there"));
        }
        let field = self.host_control >> HostControl::DMA_SELECT.shift;
        if field & HostControl::DMA_SELECT.mask != 2 {
            self.violation(format!("CMD{index} by another DMA than ADMA2"));
        }
        if !self.adma_address.is_multiple_of(4) {
            self.violation(format!("CMD{index} with descriptors that are not aligned"));
        }
    }
}
