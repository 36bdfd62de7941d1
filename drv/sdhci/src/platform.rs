//! What depends on the system-on-chip and the board.

use block_device::Block;

/// How the bus to the card is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bus {
    /// Highest clock, Hz. The controller uses the highest that it can make and that is not above
    /// it.
    pub clock_hz: u32,
    /// Data lines: 1, 4 or 8.
    pub lines: u8,
    /// High-speed timing: data change on the rising edge.
    pub high_speed: bool,
    /// Dual data rate: data on both edges, with high-speed timing.
    pub dual_rate: bool,
}

impl Bus {
    /// The bus during identification: one line, 400 kHz (SD Physical Layer 4.2.1, JESD84-B51 6.4).
    pub const IDENTIFICATION: Self = Self {
        clock_hz: 400_000,
        lines: 1,
        high_speed: false,
        dual_rate: false,
    };
}

/// Hooks for what the SD host controller specification leaves to the system.
///
/// Every method has a default that suits a controller whose capability register is complete and
/// whose addresses are those of the processor.
pub trait Platform {
    /// Base clock, Hz; 0 if the capability register says it. Anything else is believed instead of
    /// that register, which on some chips is empty or wrong.
    fn base_clock_hz(&self) -> u32 {
        0
    }

    /// The capability register (2.2.26, bits 31:0), corrected: `reported` is what the controller
    /// says. Voltages that the board does not have, or kinds of DMA and timing that do not work on
    /// it, are taken out here; the bits are [`Capabilities`](crate::registers::Capabilities). The
    /// emergency path asks, too.
    #[inline(always)]
    fn capabilities(&self, reported: u32) -> u32 {
        reported
    }

    /// Data lines that are wired to the card: 1, 4 or 8.
    fn data_lines(&self) -> u8 {
        1
    }

    /// Highest clock that the board's wiring allows, Hz.
    fn max_clock_hz(&self) -> u32 {
        u32::MAX
    }

    /// Whether the slot has a card detect signal. An eMMC that is soldered down may have none.
    fn has_card_detect(&self) -> bool {
        true
    }

    /// Whether controller and wiring carry dual data rate to an eMMC (DDR52) at the voltage of its
    /// lines. The controller's capabilities have to say so as well.
    fn has_dual_rate(&self) -> bool {
        false
    }

    /// Whether the slot has a write-protect switch that the controller sees (SD cards only). A slot
    /// without one may show any level.
    fn has_write_protect(&self) -> bool {
        false
    }

    /// The bus address at which the controller finds a block; `None` if it cannot reach it, and
    /// then the data go through the buffer port.
    #[inline(always)]
    fn bus_address(&self, block: &Block) -> Option<u32> {
        u32::try_from(block.address()).ok()
    }

    /// Called before a software reset of the whole controller: enables its clocks and releases its
    /// resets in the system-on-chip. The emergency path calls it too, so it must not wait, and must
    /// work whatever state the system-on-chip is in.
    fn prepare(&self) {}

    /// Called after each software reset of the whole controller, before the card is powered and
    /// clocked: sets again what the reset has cleared in registers of the vendor. It must not wait.
    #[inline(always)]
    fn after_reset(&self) {}

    /// Switches the card's power where the controller's own power control does not reach it.
    fn power(&self, on: bool) {
        let _ = on;
    }

    /// How long the card's supply takes to rise after it was switched on, milliseconds. At most 35
    /// by the specification (SD Physical Layer 6.4.1), which is the default.
    fn ramp_ms(&self) -> u16 {
        35
    }

    /// How long the card's supply has to stay switched off until it has been below 0.5 V for a
    /// millisecond (SD Physical Layer 6.4.1.2), so that a card that gets power again starts anew;
    /// milliseconds. It depends on the board's capacitors; the default allows them 10 ms.
    fn discharge_ms(&self) -> u32 {
        11
    }

    /// Whether the card's power may be cut while it is suspended: the controller's power control or
    /// [`Platform::power`] switches it, and nothing else needs that supply.
    fn may_cut_power(&self) -> bool {
        false
    }

    /// Whether a card that was put to sleep (CMD5, eMMC only) is known to wake on this system. Some
    /// cards do not, and then answer nothing but CMD0.
    fn card_wakes(&self) -> bool {
        false
    }
}

impl<T: Platform + ?Sized> Platform for &T {
    fn base_clock_hz(&self) -> u32 {
        (**self).base_clock_hz()
    }
    #[inline(always)]
    fn capabilities(&self, reported: u32) -> u32 {
        (**self).capabilities(reported)
    }
    fn data_lines(&self) -> u8 {
        (**self).data_lines()
    }
    fn max_clock_hz(&self) -> u32 {
        (**self).max_clock_hz()
    }
    fn has_card_detect(&self) -> bool {
        (**self).has_card_detect()
    }
    fn has_dual_rate(&self) -> bool {
        (**self).has_dual_rate()
    }
    fn has_write_protect(&self) -> bool {
        (**self).has_write_protect()
    }
    #[inline(always)]
    fn bus_address(&self, block: &Block) -> Option<u32> {
        (**self).bus_address(block)
    }
    fn prepare(&self) {
        (**self).prepare();
    }
    #[inline(always)]
    fn after_reset(&self) {
        (**self).after_reset();
    }
    fn power(&self, on: bool) {
        (**self).power(on);
    }
    fn ramp_ms(&self) -> u16 {
        (**self).ramp_ms()
    }
    fn discharge_ms(&self) -> u32 {
        (**self).discharge_ms()
    }
    fn may_cut_power(&self) -> bool {
        (**self).may_cut_power()
    }
    fn card_wakes(&self) -> bool {
        (**self).card_wakes()
    }
}
