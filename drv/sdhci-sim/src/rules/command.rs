//! Response formats, and the fields of Transfer Mode and Command.

use crate::controller::SimController;
use drv_sdhci::registers::Interrupt;

/// What is checked in a response: its CRC.
pub(crate) const CRC_CHECK: u32 = 1 << 19;
/// What is checked in a response: the command's number.
pub(crate) const INDEX_CHECK: u32 = 1 << 20;
const DATA_PRESENT: u32 = 1 << 21;
const READ: u32 = 1 << 4;
const MULTIPLE: u32 = 1 << 5;
const COUNTED: u32 = 1 << 1;

/// Response type with the two checks, as bits of Command (SDHCI 2.2.6, table 2-12).
mod format {
    use super::{CRC_CHECK, INDEX_CHECK};
    pub(super) const NONE: u32 = 0;
    pub(super) const R1: u32 = 2 << 16 | CRC_CHECK | INDEX_CHECK;
    pub(super) const R1B: u32 = 3 << 16 | CRC_CHECK | INDEX_CHECK;
    pub(super) const R2: u32 = 1 << 16 | CRC_CHECK;
    pub(super) const R3: u32 = 2 << 16;
    pub(super) const FIELDS: u32 = 3 << 16 | CRC_CHECK | INDEX_CHECK;
}

/// The formats that a command may be sent with (SD 4.7.4, eMMC 6.10). R1b may be sent as R1 where
/// the driver waits for the end of busy by CMD13.
fn formats(index: u8, argument: u32, application: bool, data: bool) -> &'static [u32] {
    match index {
        0 => &[format::NONE],
        1 => &[format::R3],
        41 if application => &[format::R3],
        2 | 9 | 10 => &[format::R2],
        5 => &[format::R1B],
        6 if application || data => &[format::R1],
        6 => &[format::R1B],
        7 if argument >> 16 == 0 => &[format::NONE],
        7 | 12 | 38 => &[format::R1, format::R1B],
        _ => &[format::R1],
    }
}

impl SimController {
    /// Whether the bits of Transfer Mode and Command fit the command (SDHCI 2.2.5 and 2.2.6).
    pub(crate) fn check_command(&mut self, value: u32) {
        let index = (value >> 24 & 0x3F) as u8;
        let application = std::mem::take(&mut self.prefixed);
        let data = value & DATA_PRESENT != 0;
        if !formats(index, self.argument, application, data).contains(&(value & format::FIELDS)) {
            self.violation(format!(
                "CMD{index} with the response format {:#x}",
                value & format::FIELDS
            ));
        }
        let wants_data = match index {
            17 | 18 | 24 | 25 => Some(true),
            6 | 8 => None,
            _ => Some(false),
        };
        if wants_data.is_some_and(|wanted| wanted != data) {
            self.violation(format!("CMD{index} with data: {data}"));
        }
        // CMD12 is an abort command, which may be sent during a transfer (SDHCI 2.2.6).
        if (value >> 22 & 3 == 3) != (index == 12) {
            self.violation(format!("CMD{index} with type {}", value >> 22 & 3));
        }
        let busy = value >> 16 & 3 == 3;
        if data || busy {
            self.check_timeout(index);
        }
        if data {
            self.check_transfer_mode(index, value);
        }
    }

    fn check_transfer_mode(&mut self, index: u8, value: u32) {
        let read = !matches!(index, 24 | 25);
        let multiple = matches!(index, 18 | 25);
        let (size, count) = (self.blocks & 0xFFF, self.blocks >> 16);
        let auto = value >> 2 & 3;
        let rules = [
            ((value & READ != 0) == read, "the direction"),
            ((value & MULTIPLE != 0) == multiple, "single or multiple"),
            // Without a count the controller never ends the transfer (SDHCI table 2-8).
            (
                !multiple || value & COUNTED != 0,
                "the block count disabled",
            ),
            (!multiple || count != 0, "a block count of 0"),
            // A block is at most 512 bytes, unless Capabilities says more (SDHCI 2.2.2).
            (
                (1..=512).contains(&size) && size.is_multiple_of(4),
                "the block size",
            ),
            (
                multiple || auto == 0,
                "an automatic command for a single block",
            ),
            // Auto CMD23 and Argument 2 are there since version 3.00 (SDHCI 2.2.1, 2.2.5).
            (auto < 2 || self.version >= 2, "Auto CMD23 before 3.00"),
            (auto != 3, "a reserved automatic command"),
        ];
        for (holds, what) in rules {
            if !holds {
                self.violation(format!("CMD{index} with {what} wrong: {value:#x}"));
            }
        }
        if value & 1 != 0 {
            self.check_dma(index);
        }
    }

    /// The error bits of a response that is damaged in this way, if the driver asked for the check.
    pub(crate) fn noticed(value: u32, bits: u32) -> u32 {
        let mut noticed = bits;
        if value & CRC_CHECK == 0 {
            noticed &= !Interrupt::COMMAND_CRC::SET.value;
        }
        if value & INDEX_CHECK == 0 {
            noticed &= !Interrupt::COMMAND_INDEX::SET.value;
        }
        noticed
    }

    /// The errors that a check finds in a sound response: R2 and R3 have no index, and R3 has no
    /// CRC (SD 4.9.3 and 4.9.4, eMMC 6.12).
    pub(crate) fn wrong_checks(&self, value: u32, index: u8, is_condition: bool) -> u32 {
        let mut errors = 0;
        if is_condition && value & CRC_CHECK != 0 {
            errors |= Interrupt::COMMAND_CRC::SET.value;
        }
        if (is_condition || matches!(index, 2 | 9 | 10)) && value & INDEX_CHECK != 0 {
            errors |= Interrupt::COMMAND_INDEX::SET.value;
        }
        errors
    }
}
