//! What a request is, and how the command register encodes it.

use crate::buffer_port;
use crate::registers::TransferMode;
use block_device::{BLOCK_LEN, Block};
use tock_registers::fields::FieldValue;

/// Format of a response (SD Physical Layer 4.9, JESD84-B51 6.12).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Response {
    /// None.
    None,
    /// Card status.
    R1,
    /// Card status, then busy until the card has finished.
    R1b,
    /// CID or CSD, 136 bits.
    R2,
    /// Operating conditions, without CRC.
    R3,
    /// Relative card address (SD only).
    R6,
    /// Interface condition (SD only).
    R7,
}

/// A command, as the controller has to send it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command {
    /// Command number, 0 to 63.
    pub index: u8,
    /// Its argument.
    pub argument: u32,
    /// Format of the response.
    pub response: Response,
    /// Bits of the first response word by which the card refuses the command: no data phase
    /// follows.
    pub refusal: u32,
}

/// Direction of a data phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the card to the host.
    Read,
    /// From the host to the card.
    Write,
}

/// The command that the controller sends by itself with a transfer of several blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AutoCommand {
    /// None: the transfer is of one block, or the caller has sent CMD23, or sends CMD12 later.
    None,
    /// CMD12 after the last block. The word holds the bits of its response that mean an error.
    Cmd12(u32),
    /// CMD23 with the number of blocks before the command (version 3.00 and later).
    Cmd23,
}

/// Length of a block on the bus, in bytes.
///
/// Holding one proves that the length is a multiple of 16 from 16 to 512: that it fits in a
/// [`Block`], and that the loops over the buffer port, which move four words at a time, leave no
/// rest. Lengths are constants, so the check is made by the compiler:
///
/// ```ignore
/// const SWITCH_STATUS: BlockLen = BlockLen::new(64).expect("a multiple of 16");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockLen(u16);

impl BlockLen {
    /// A whole [`Block`], 512 bytes: the length of every block of the card's memory.
    pub const FULL: Self = Self(BLOCK_LEN as u16);

    /// A block of `bytes` bytes; `None` if that is 0, above 512, or not a multiple of 16.
    #[must_use]
    pub const fn new(bytes: u16) -> Option<Self> {
        let multiple = bytes.is_multiple_of(4 * buffer_port::UNROLL as u16);
        if bytes == 0 || !multiple || bytes > Self::FULL.0 {
            return None;
        }
        Some(Self(bytes))
    }

    /// The length in bytes.
    #[must_use]
    #[inline(always)]
    pub const fn bytes(self) -> u16 {
        self.0
    }
}

/// The data phase of a command.
#[derive(Clone, Copy, Debug)]
pub struct Data<'a> {
    /// Direction.
    pub direction: Direction,
    /// The data: at least one block, at most [`crate::adma2::MAX_BLOCKS`].
    pub blocks: &'a [Block],
    /// Length of a block on the bus. [`BlockLen::FULL`], unless a register of the card is read:
    /// then there is one block, of which the first bytes are used.
    pub block_len: BlockLen,
    /// The command is one of the multiple-block commands.
    pub multiple: bool,
    /// The command that the controller sends by itself.
    pub auto: AutoCommand,
}

impl Command {
    pub(crate) fn encode(&self) -> FieldValue<u32, TransferMode::Register> {
        let checked = TransferMode::CRC_CHECK::SET + TransferMode::INDEX_CHECK::SET;
        let response = match self.response {
            Response::None => TransferMode::RESPONSE::None,
            Response::R1 | Response::R6 | Response::R7 => TransferMode::RESPONSE::Short + checked,
            Response::R1b => TransferMode::RESPONSE::ShortBusy + checked,
            Response::R2 => TransferMode::RESPONSE::Long + TransferMode::CRC_CHECK::SET,
            Response::R3 => TransferMode::RESPONSE::Short,
        };
        // CMD12 has to be accepted while a data phase is in progress: it ends that phase.
        let kind = if self.index == 12 {
            TransferMode::TYPE::Abort
        } else {
            TransferMode::TYPE::Normal
        };
        TransferMode::INDEX.val(self.index.into()) + response + kind
    }
}

impl Data<'_> {
    pub(crate) fn encode(&self, dma: bool) -> FieldValue<u32, TransferMode::Register> {
        let mut mode = TransferMode::DATA_PRESENT::SET
            + match self.auto {
                AutoCommand::None => TransferMode::AUTO_COMMAND::CLEAR,
                AutoCommand::Cmd12(_) => TransferMode::AUTO_COMMAND::Cmd12,
                AutoCommand::Cmd23 => TransferMode::AUTO_COMMAND::Cmd23,
            };
        if self.direction == Direction::Read {
            mode += TransferMode::READ::SET;
        }
        if self.multiple {
            mode += TransferMode::MULTIPLE::SET + TransferMode::BLOCK_COUNT_ENABLE::SET;
        }
        if dma {
            mode += TransferMode::DMA_ENABLE::SET;
        }
        mode
    }
}

#[cfg(test)]
mod tests {
    use super::BlockLen;

    #[test]
    fn a_block_length_that_the_buffer_port_cannot_move_is_refused() {
        for bytes in 0..=u16::MAX {
            let is_valid = (16..=512).contains(&bytes) && bytes % 16 == 0;
            let len = BlockLen::new(bytes).map(BlockLen::bytes);
            assert_eq!(len, is_valid.then_some(bytes), "{bytes} bytes");
        }
    }
}
