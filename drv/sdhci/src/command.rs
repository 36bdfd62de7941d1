//! What a request is, and how the command register encodes it.

use crate::registers::Transfer;
use block_device::Block;
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

/// A command, with what the driver must know to send it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command {
    /// Command number, 0 to 63.
    pub index: u8,
    /// Its argument.
    pub argument: u32,
    /// Format of the response.
    pub response: Response,
    /// Bits of the first response word that mean that the card refused: there will be no data phase.
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

/// Command that goes with a transfer of several blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AutoCommand {
    /// None: the transfer is of one block, or announced by CMD23, or will be ended by the caller.
    None,
    /// The controller sends CMD12 after the last block. The word holds the bits of its response that mean an error.
    Cmd12(u32),
    /// The controller sends CMD23 with the number of blocks first (version 3.00 and later).
    Cmd23,
}

/// The data phase of a command.
#[derive(Clone, Copy, Debug)]
pub struct Data<'a> {
    /// Direction.
    pub direction: Direction,
    /// The data: at most [`crate::adma2::MAX_BLOCKS`], at least one.
    pub blocks: &'a [Block],
    /// Bytes per block on the bus, a multiple of 16; 512 unless a register of the card is read, and then there is one
    /// block, of which the first bytes are used.
    pub block_len: u16,
    /// Several blocks: the command is one of the multiple-block commands.
    pub multiple: bool,
    /// What the controller sends by itself.
    pub auto: AutoCommand,
}

impl Command {
    pub(crate) fn encode(&self) -> FieldValue<u32, Transfer::Register> {
        let checked = Transfer::CRC_CHECK::SET + Transfer::INDEX_CHECK::SET;
        let response = match self.response {
            Response::None => Transfer::RESPONSE::None,
            Response::R1 | Response::R6 | Response::R7 => Transfer::RESPONSE::Short + checked,
            Response::R1b => Transfer::RESPONSE::ShortBusy + checked,
            Response::R2 => Transfer::RESPONSE::Long + Transfer::CRC_CHECK::SET,
            Response::R3 => Transfer::RESPONSE::Short,
        };
        // CMD12 may have to pass a data phase that is still going on.
        let kind = if self.index == 12 {
            Transfer::TYPE::Abort
        } else {
            Transfer::TYPE::Normal
        };
        Transfer::INDEX.val(self.index.into()) + response + kind
    }
}

impl Data<'_> {
    pub(crate) fn encode(&self, dma: bool) -> FieldValue<u32, Transfer::Register> {
        let mut mode = Transfer::DATA_PRESENT::SET
            + match self.auto {
                AutoCommand::None => Transfer::AUTO_COMMAND::CLEAR,
                AutoCommand::Cmd12(_) => Transfer::AUTO_COMMAND::Cmd12,
                AutoCommand::Cmd23 => Transfer::AUTO_COMMAND::Cmd23,
            };
        if self.direction == Direction::Read {
            mode += Transfer::READ::SET;
        }
        if self.multiple {
            mode += Transfer::MULTIPLE::SET + Transfer::BLOCK_COUNT_ENABLE::SET;
        }
        if dma {
            mode += Transfer::DMA_ENABLE::SET;
        }
        mode
    }
}
