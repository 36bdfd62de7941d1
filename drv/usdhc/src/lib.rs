//! NXP's Ultra Secured Digital Host Controller (uSDHC) behind the driver for SDHCI.
//!
//! The uSDHC of the i.MX 6, i.MX 7, i.MX 8M and i.MX RT is a relative of SDHCI: commands,
//! responses, data and descriptors are the same, and so are half of the registers. The others have
//! another layout, and a few have no counterpart. [`Usdhc`] shows them to `drv-sdhci` as those of
//! an SDHCI controller of version 2.00. It holds no state, so both drivers may use one after the
//! other, whatever the first has left behind.
//!
//! References are to the *i.MX 6UltraLite Applications Processor Reference Manual* (IMX6ULRM),
//! chapter 58, by the names of the registers.
//!
//! | SDHCI | uSDHC |
//! |---|---|
//! | Transfer Mode and Command | MIX_CTRL, then CMD_XFR_TYP |
//! | Present State | PRES_STATE: the levels of the lines are elsewhere |
//! | Host Control, Power Control | PROT_CTRL. There is no power control: see below |
//! | Clock Control | SYS_CTRL, and FRC_SDCLK_ON of VEND_SPEC. Stable: SDSTB of PRES_STATE |
//! | Software Reset | RSTA, RSTC, RSTD of SYS_CTRL |
//! | Interrupt registers | INT_STATUS, ...: no bit that an error occurred; ADMA errors are bit 28 |
//! | Capabilities | HOST_CTRL_CAP: ADMA2 is bit 20, and the base clock is not there |
//!
//! # Clock
//!
//! SYS_CTRL divides twice: by a power of two (SDCLKFS), as SDHCI does before version 3.00, and by 1
//! to 16 (DVS). DVS is always set to divide by [`BASE_DIVISOR`]. So what `base_clock_hz` of the
//! platform has to say is the controller's root clock divided by that; it may be up to 204 MHz, for
//! otherwise there is no divisor for the clock of identification.
//!
//! # Busy
//!
//! A command whose response is R1b ends, by SDHCI, with Transfer Complete when the card is no
//! longer busy. The uSDHC sets it after data only. So the bit is made out of the state of the data
//! lines, and the drivers have to poll for it ([`Registers::INTERRUPTS_AT_END_OF_BUSY`]).
//!
//! # Power
//!
//! The card's supply is the board's (`Platform::power`). Power Control reads as on since a driver
//! has enabled status bits, and so as off after a reset of the controller. The lines have 3.3 V
//! (VSELECT of VEND_SPEC is 0).
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

use drv_sdhci::Registers;
use drv_sdhci::registers::{
    BLOCKS, CAPABILITIES, CLOCK_CONTROL, COMMAND, HOST_CONTROL, INTERRUPT_SIGNAL_ENABLE,
    INTERRUPT_STATUS, INTERRUPT_STATUS_ENABLE, PRESENT_STATE, VERSION,
};

/// The root clock is divided by this before the divisor that the driver chooses.
pub const BASE_DIVISOR: u32 = 2;

/// Registers that have no counterpart, or another place. Offsets in bytes.
const WATERMARK_LEVEL: u8 = 0x44;
const MIX_CONTROL: u8 = 0x48;
const VENDOR_SPECIFIC: u8 = 0xC0;

/// Offsets of the registers with another layout.
mod at {
    use super::*;

    pub(super) const BLOCKS: u8 = super::BLOCKS.offset();
    pub(super) const COMMAND: u8 = super::COMMAND.offset();
    pub(super) const PRESENT_STATE: u8 = super::PRESENT_STATE.offset();
    pub(super) const HOST_CONTROL: u8 = super::HOST_CONTROL.offset();
    pub(super) const CLOCK_CONTROL: u8 = super::CLOCK_CONTROL.offset();
    pub(super) const STATUS: u8 = INTERRUPT_STATUS.offset();
    pub(super) const STATUS_ENABLE: u8 = INTERRUPT_STATUS_ENABLE.offset();
    pub(super) const SIGNAL_ENABLE: u8 = INTERRUPT_SIGNAL_ENABLE.offset();
    pub(super) const CAPABILITIES: u8 = super::CAPABILITIES.offset();
    pub(super) const VERSION: u8 = super::VERSION.offset();
}

/// CMD_XFR_TYP: the upper half, which is that of SDHCI's Command.
const COMMAND_HALF: u32 = 0xFFFF_0000;
/// DPSEL: a data phase follows.
const DATA_PRESENT: u32 = 1 << 21;
/// RSPTYP: 3 is R1b.
const RESPONSE: u32 = 3 << 16;

/// MIX_CTRL: what has the place that it has in Transfer Mode: DMAEN, BCEN, AC12EN, DTDSEL, MSBSEL.
const TRANSFER_MODE: u32 = 0x37;
/// AC23EN, and its counterpart.
const AUTO_CMD23: (u32, u32) = (1 << 7, 1 << 3);
/// Reads 1, and has to be written so.
const MIX_RESERVED: u32 = 1 << 31;
/// DMAEN.
const DMA_ENABLE: u32 = 1 << 0;

/// PRES_STATE: CDIHB, the data circuit is in use, or DLA, the lines are.
const DATA_BUSY: u32 = 1 << 1 | 1 << 2;
/// SDSTB: the clock is stable.
const CLOCK_STABLE: u32 = 1 << 3;
/// SDOFF: the card has no clock.
const CLOCK_IS_OFF: u32 = 1 << 7;
/// Bits that have the same meaning as in Present State: CIHB, CDIHB, DLA, WTA, RTA, BWEN, BREN,
/// CINST, CDPL, WPSPL.
const PRESENT: u32 = 0x000D_0F07;
/// CLSL, the level of the command line, and its counterpart's place.
const COMMAND_LEVEL: (u32, u32) = (23, 24);
/// DLSL, the levels of the lines DAT3 to DAT0, and their counterparts' place.
const DATA_LEVELS: (u32, u32) = (24, 20);
/// The level of DAT0.
const DATA_0: u32 = 1 << 24;
/// CINST and CDPL: a card is in the slot, by its pin after debouncing, and before that.
const CARD_IS_THERE: u32 = 1 << 16 | 1 << 18;
/// Present State: the card detect signal is stable.
const CARD_STATE_STABLE: u32 = 1 << 17;

/// PROT_CTRL: little-endian (EMODE), burst lengths and a reserved bit as after a reset.
const PROTOCOL: u32 = 0x0880_0020;
/// DTW: four data lines, eight, and their counterparts in Host Control.
const FOUR_LINES: (u32, u32) = (1 << 1, 1 << 1);
const EIGHT_LINES: (u32, u32) = (1 << 2, 1 << 5);
/// DMASEL: ADMA2, and its counterpart.
const ADMA2: (u32, u32) = (2 << 8, 2 << 3);
/// Power Control: on, with 3.3 V.
const POWERED: u32 = 0xF << 8;

/// SYS_CTRL: what has the place that it has in Clock Control, Timeout Control and Software Reset:
/// SDCLKFS, DTOCV, RSTA, RSTC, RSTD.
const CLOCK: u32 = 0x070F_FF00;
/// Bits that have to be 1; DVS; and IPP_RST_N, the reset line of an eMMC, not asserted.
const SYSTEM: u32 = 0xF | (BASE_DIVISOR - 1) << 4 | 1 << 23;
/// Clock Control: the internal clock is enabled and stable.
const INTERNAL_CLOCK: u32 = 0b11;
/// Clock Control: the card is clocked.
const CARD_CLOCK: u32 = 1 << 2;
/// VEND_SPEC: its value after a reset, with 3.3 V.
const VENDOR: u32 = 0x2000_7809;
/// FRC_SDCLK_ON: the card is clocked all the time, and not only during a command.
const FORCE_CLOCK: u32 = 1 << 8;
/// Polls until the card's clock has stopped: eight cycles of 400 kHz take 20 us, and a poll at
/// least 20 ns.
const CLOCK_POLLS: u32 = 1_000;

/// INT_STATUS: CC, TC, and the other bits that are where SDHCI has them.
const STATUS: u32 = 0x017F_01FF;
const COMMAND_COMPLETE: u32 = 1 << 0;
const TRANSFER_COMPLETE: u32 = 1 << 1;
/// DMAE, and its counterpart.
const ADMA_ERROR: (u32, u32) = (1 << 28, 1 << 25);
/// All errors, as SDHCI has them, and the bit that says that there is one.
const ERRORS: u32 = 0x03FF_0000;
const ERROR: u32 = 1 << 15;

/// HOST_CTRL_CAP: MBL, HSS, DMAS, SRS, and the voltages, where SDHCI has them.
const ABILITIES: u32 = 0x07E3_0000;
/// ADMAS, and its counterpart.
const HAS_ADMA2: (u32, u32) = (1 << 20, 1 << 19);
/// Capabilities: eight lines. The uSDHC always has them.
const HAS_EIGHT_LINES: u32 = 1 << 18;

/// Host Controller Version: 2.00. Clocks are divided by powers of two, and there is no CMD23 that
/// the controller sends by itself: not every uSDHC has it.
const VERSION_2: u32 = 1 << 16;

/// Words in the buffer at which DMA moves them, and the length of a burst (WTMK_LVL): the values
/// after a reset.
const WATERMARK_OF_DMA: u32 = 16;
const BURST: u32 = 8;

/// The registers of a uSDHC, as those of an SDHCI controller. `R` accesses the real ones:
/// [`drv_sdhci::Mmio`] in a system.
#[derive(Debug)]
pub struct Usdhc<R>(R);

impl<R: Registers> Usdhc<R> {
    /// Takes the controller whose registers `registers` accesses, by the offsets of the uSDHC.
    pub const fn new(registers: R) -> Self {
        Self(registers)
    }

    /// Transfer Mode and Command.
    fn command(&self) -> u32 {
        let mix = self.0.load(MIX_CONTROL);
        self.0.load(at::COMMAND) & COMMAND_HALF | mix & TRANSFER_MODE | moved(mix, AUTO_CMD23)
    }

    /// Sends a command.
    fn set_command(&self, value: u32) {
        if value & DATA_PRESENT != 0 {
            self.set_watermark(value & DMA_ENABLE != 0);
        }
        let mix = value & TRANSFER_MODE | moved_back(value, AUTO_CMD23);
        self.0.store(MIX_CONTROL, mix | MIX_RESERVED);
        self.0.store(at::COMMAND, value & COMMAND_HALF);
    }

    /// Has the buffer port report a whole block, because the drivers move whole blocks. DMA is
    /// served in bursts.
    fn set_watermark(&self, dma: bool) {
        let words = if dma {
            WATERMARK_OF_DMA
        } else {
            (self.0.load(at::BLOCKS) & 0x1FFF) / 4
        };
        let both = words & 0xFF | BURST << 8;
        self.0.store(WATERMARK_LEVEL, both << 16 | both);
    }

    /// Present State.
    fn present_state(&self) -> u32 {
        let present = self.0.load(at::PRESENT_STATE);
        // There is no bit for it: it is stable when debouncing gives what the pin says.
        let is_stable = matches!(present & CARD_IS_THERE, 0 | CARD_IS_THERE);
        present & PRESENT
            | if is_stable { CARD_STATE_STABLE } else { 0 }
            | (present >> COMMAND_LEVEL.0 & 1) << COMMAND_LEVEL.1
            | (present >> DATA_LEVELS.0 & 0xF) << DATA_LEVELS.1
    }

    /// Host Control and Power Control.
    fn host_control(&self) -> u32 {
        let protocol = self.0.load(at::HOST_CONTROL);
        let set_up = self.0.load(at::STATUS_ENABLE) != 0;
        moved(protocol, FOUR_LINES)
            | moved(protocol, EIGHT_LINES)
            | moved(protocol, ADMA2)
            | if set_up { POWERED } else { 0 }
    }

    fn set_host_control(&self, value: u32) {
        let protocol = PROTOCOL
            | moved_back(value, FOUR_LINES)
            | moved_back(value, EIGHT_LINES)
            | moved_back(value, ADMA2);
        self.0.store(at::HOST_CONTROL, protocol);
    }

    /// Clock Control, Timeout Control and Software Reset.
    fn clock_control(&self) -> u32 {
        let mut clock = self.0.load(at::CLOCK_CONTROL) & CLOCK;
        if self.0.load(at::PRESENT_STATE) & CLOCK_STABLE != 0 {
            clock |= INTERNAL_CLOCK;
        }
        if self.0.load(VENDOR_SPECIFIC) & FORCE_CLOCK != 0 {
            clock |= CARD_CLOCK;
        }
        clock
    }

    fn set_clock_control(&self, value: u32) {
        if value & CARD_CLOCK == 0 {
            // Divisors may be changed only while the card has no clock.
            self.0.store(VENDOR_SPECIFIC, VENDOR);
            let mut polls = CLOCK_POLLS;
            while polls > 0 && self.0.load(at::PRESENT_STATE) & CLOCK_IS_OFF == 0 {
                polls = polls.wrapping_sub(1);
            }
        }
        self.0.store(at::CLOCK_CONTROL, value & CLOCK | SYSTEM);
        if value & CARD_CLOCK != 0 {
            self.0.store(VENDOR_SPECIFIC, VENDOR | FORCE_CLOCK);
        }
    }

    /// Normal and Error Interrupt Status.
    fn status(&self) -> u32 {
        let raw = self.0.load(at::STATUS);
        let mut status = raw & STATUS | moved(raw, ADMA_ERROR);
        if status & ERRORS != 0 {
            status |= ERROR;
        } else if status & (COMMAND_COMPLETE | TRANSFER_COMPLETE) == COMMAND_COMPLETE
            && self.busy_has_ended()
        {
            status |= TRANSFER_COMPLETE;
        }
        status
    }

    /// Was the last command one that makes the card busy, without data, and is it not any more?
    fn busy_has_ended(&self) -> bool {
        let command = self.0.load(at::COMMAND);
        if command & (RESPONSE | DATA_PRESENT) != RESPONSE {
            return false;
        }
        let present = self.0.load(at::PRESENT_STATE);
        present & DATA_BUSY == 0 && present & DATA_0 != 0
    }

    /// Status bits to clear, or to enable.
    fn set_interrupts(&self, offset: u8, value: u32) {
        let raw = value & STATUS | moved_back(value, ADMA_ERROR);
        self.0.store(offset, raw);
    }

    /// Those of the bits that are enabled.
    fn interrupts(&self, offset: u8) -> u32 {
        let raw = self.0.load(offset);
        raw & STATUS | moved(raw, ADMA_ERROR)
    }

    /// Capabilities.
    fn capabilities(&self) -> u32 {
        let own = self.0.load(at::CAPABILITIES);
        own & ABILITIES | moved(own, HAS_ADMA2) | HAS_EIGHT_LINES
    }
}

/// The bit of SDHCI, the second, if the bit of the uSDHC, the first, is set.
const fn moved(value: u32, (from, to): (u32, u32)) -> u32 {
    if value & from != 0 { to } else { 0 }
}

/// The bit of the uSDHC if that of SDHCI is set.
const fn moved_back(value: u32, (to, from): (u32, u32)) -> u32 {
    moved(value, (from, to))
}

impl<R: Registers> Registers for Usdhc<R> {
    const INTERRUPTS_AT_END_OF_BUSY: bool = false;

    #[inline(always)]
    fn load(&self, offset: u8) -> u32 {
        match offset {
            at::COMMAND => self.command(),
            at::PRESENT_STATE => self.present_state(),
            at::HOST_CONTROL => self.host_control(),
            at::CLOCK_CONTROL => self.clock_control(),
            at::STATUS => self.status(),
            at::STATUS_ENABLE | at::SIGNAL_ENABLE => self.interrupts(offset),
            at::CAPABILITIES => self.capabilities(),
            at::VERSION => VERSION_2,
            // The rest of the capabilities: there are other registers.
            0x44..=0x4C => 0,
            _ => self.0.load(offset),
        }
    }

    #[inline(always)]
    fn store(&self, offset: u8, value: u32) {
        match offset {
            at::COMMAND => self.set_command(value),
            at::HOST_CONTROL => self.set_host_control(value),
            at::CLOCK_CONTROL => self.set_clock_control(value),
            at::STATUS | at::STATUS_ENABLE | at::SIGNAL_ENABLE => {
                self.set_interrupts(offset, value)
            }
            // Read-only by SDHCI.
            0x40..=0x4C => {}
            _ => self.0.store(offset, value),
        }
    }

    #[inline(always)]
    fn barrier(&self) {
        self.0.barrier();
    }
}
