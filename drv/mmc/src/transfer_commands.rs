//! The commands of a transfer, and the errors in their responses.

use crate::error::Error;
use crate::location::{CardLocation, flag};
use crate::proto::{self, status};
use crate::state::StatusError;
use drv_sdhci::{AutoCommand, Command, Direction, ErrorKind};

/// The commands of one transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TransferCommands {
    /// CMD23, if the driver has to send it before [`Self::command`].
    pub(crate) announce: Option<Command>,
    /// The command with the data.
    pub(crate) command: Command,
    /// That command is one of the multiple-block commands.
    pub(crate) multiple: bool,
    /// The command that the controller sends by itself.
    pub(crate) auto: AutoCommand,
}

impl TransferCommands {
    /// One block is moved by a single-block command. Several are announced by CMD23, sent by the
    /// controller, where card and controller support that; otherwise the transfer is open-ended and
    /// the controller ends it by CMD12, which every card and controller supports. A reliable write
    /// has to be announced by CMD23.
    pub(crate) fn new(
        card: &CardLocation,
        direction: Direction,
        address: u32,
        count: usize,
        reliable: bool,
        auto_cmd23: bool,
    ) -> Self {
        let reliable = reliable && card.has(flag::RELIABLE_WRITE);
        let multiple = count > 1 || reliable;
        let command = match direction {
            Direction::Read => proto::read_block(address, multiple),
            Direction::Write => proto::write_block(address, multiple),
        };
        let announce =
            reliable.then(|| proto::set_block_count(proto::RELIABLE_WRITE | count as u32));
        let auto = if !multiple || reliable {
            AutoCommand::None
        } else if auto_cmd23 && card.has(flag::SET_BLOCK_COUNT) {
            AutoCommand::Cmd23
        } else {
            AutoCommand::Cmd12(match direction {
                Direction::Read => status::READ_STOP_ERRORS,
                Direction::Write => status::TRANSFER_ERRORS,
            })
        };
        Self {
            announce,
            command,
            multiple,
            auto,
        }
    }
}

/// The error of a request; where the card has set an error bit in its response, that error.
pub(crate) fn explain(error: drv_sdhci::Error, response: [u32; 4]) -> Error {
    let [answer, _, _, auto_answer] = response;
    let card_status = match error.kind {
        ErrorKind::Refused => answer,
        ErrorKind::AutoRefused => auto_answer,
        _ => return Error::Host(error),
    };
    match StatusError::decode(card_status, status::TRANSFER_ERRORS) {
        Some(status_error) => Error::Card {
            error: status_error,
            command: error.command,
        },
        None => Error::Host(error),
    }
}
