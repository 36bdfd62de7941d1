//! Which commands a transfer takes.

use crate::error::Error;
use crate::location::{CardLocation, flag};
use crate::proto::{self, status};
use crate::state::Fault;
use drv_sdhci::{AutoCommand, Command, Direction, ErrorKind};

/// The commands of one transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    /// CMD23, sent first.
    pub(crate) announce: Option<Command>,
    /// The command with the data.
    pub(crate) command: Command,
    /// It is one of the multiple-block commands.
    pub(crate) multiple: bool,
    /// What the controller adds.
    pub(crate) auto: AutoCommand,
}

impl Request {
    /// One block goes by the single-block commands. Several go with CMD23 sent by the controller where both sides can,
    /// otherwise open-ended, ended by the controller with CMD12, which every card and controller can. A reliable write
    /// must be announced by CMD23.
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

/// The error of a request, with what the card said about it where it said something.
pub(crate) fn explain(error: drv_sdhci::Error, response: [u32; 4]) -> Error {
    let [answer, _, _, auto_answer] = response;
    let card_status = match error.kind {
        ErrorKind::Refused => answer,
        ErrorKind::AutoRefused => auto_answer,
        _ => return Error::Host(error),
    };
    match Fault::decode(card_status, status::TRANSFER_ERRORS) {
        Some(fault) => Error::Card {
            fault,
            command: error.command,
        },
        None => Error::Host(error),
    }
}
