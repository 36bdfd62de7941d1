//! Recovery: from any state back to transfer state, by the card's own protocol.
//!
//! This is where a transfer in flight is ended on the card's side. The card is asked for its state
//! by CMD13, which an identified card answers in every state, also during a data phase. Each state
//! has one way out (SD 4.8, eMMC 6.6):
//!
//! ```text
//! data, rcv   CMD12 ends the transfer
//! prg         programming ends by itself; after a while HPI ends it, if the card has HPI
//! stby, dis   CMD7 selects the card
//! no answer   slp, if the card was allowed to sleep: CMD5 wakes it
//! others      the card has lost its address: it must be identified again
//! ```
//!
//! After each of these the card is asked again. Recovery ends only when the card itself reports
//! that it is in tran and ready for data. Then CMD16 sets the length of a block, which other
//! software may have changed, and the response to that has to report the same.

use crate::action::{Action, Reply};
use crate::error::Error;
use crate::found::step;
use crate::location::{CardKind, CardLocation, flag};
use crate::proto;
use crate::state::{CardState, is_ready};
use drv_sdhci::ErrorKind;

/// Delays during programming after which a high-priority interrupt is sent, 1 to 2 ms each. Most
/// writes end well before.
const DELAYS_BEFORE_HPI: u32 = 20;
/// Commands after which a card that is still not in transfer state counts as lost. CMD13 that is
/// answered does not count.
const ATTEMPTS: u8 = 4;

/// The last action, by how its reply is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LastAction {
    /// CMD13, or CMD16: the response is the card's status.
    Asked,
    /// CMD5.
    Woke,
    Other,
}

/// Whether the length of a block is fixed: a card that is addressed by sector has blocks of 512
/// bytes (SD 4.3.2, eMMC 6.6.6). On an SD card of that kind CMD16 affects only CMD42; it is sent
/// all the same, because QEMU's model of such a card uses the length for data as well. With dual
/// data rate the length is fixed, and CMD16 illegal (eMMC 6.6.5).
fn has_fixed_blocks(location: &CardLocation) -> bool {
    location.has(flag::DUAL_RATE)
        || location.has(flag::SECTOR_ADDRESSING) && location.kind() != Some(CardKind::Sd)
}

/// The recovery procedure, and afterwards what it found.
#[derive(Debug)]
pub struct CardRecovery {
    location: CardLocation,
    last: LastAction,
    delays: u32,
    /// Delays during programming after which the card counts as hung.
    most_delays: u32,
    attempts: u8,
    /// CMD16 was sent, or is not needed.
    has_block_length: bool,
    /// State in the first response.
    pub(crate) first_state: Option<CardState>,
    /// Bits of [`step`].
    pub(crate) steps: u16,
}

impl CardRecovery {
    /// A procedure for the card that is described by `location`. While the card is busy it is asked
    /// `most_delays` times, 1 to 2 ms apart.
    #[must_use]
    pub fn new(location: &CardLocation, most_delays: u32) -> Self {
        Self {
            location: *location,
            last: LastAction::Other,
            delays: 0,
            most_delays,
            attempts: 0,
            has_block_length: has_fixed_blocks(location),
            first_state: None,
            steps: 0,
        }
    }

    fn ask(&mut self) -> Result<Action, Error> {
        self.last = LastAction::Asked;
        Ok(Action::Command(proto::send_status(self.location.rca)))
    }

    /// Sends a command that may have no effect; the number of these is bounded.
    fn attempt(&mut self, command: drv_sdhci::Command) -> Result<Action, Error> {
        self.attempts = self.attempts.saturating_add(1);
        if self.attempts > ATTEMPTS {
            Err(Error::Lost)
        } else {
            Ok(Action::Command(command))
        }
    }

    fn wait(&mut self) -> Result<Action, Error> {
        self.steps |= step::WAITED;
        self.delays = self.delays.saturating_add(1);
        if self.delays > self.most_delays {
            return Err(Error::Busy);
        }
        let location = &self.location;
        if self.delays > DELAYS_BEFORE_HPI
            && location.has(flag::HPI)
            && self.steps & step::INTERRUPTED == 0
        {
            self.steps |= step::INTERRUPTED;
            let by_cmd12 = location.has(flag::HPI_BY_CMD12);
            return self.attempt(proto::high_priority_interrupt(location.rca, by_cmd12));
        }
        Ok(Action::Delay(1))
    }

    fn set_block_length(&mut self) -> Result<Action, Error> {
        if core::mem::replace(&mut self.has_block_length, true) {
            return Ok(Action::Done);
        }
        self.last = LastAction::Asked;
        Ok(Action::Command(proto::set_blocklen(512)))
    }

    fn act_on_status(&mut self, card_status: u32) -> Result<Action, Error> {
        let state = CardState::of(card_status);
        self.first_state.get_or_insert(state);
        match state {
            CardState::Transfer if is_ready(card_status) => self.set_block_length(),
            CardState::Transfer | CardState::Programming => self.wait(),
            CardState::Sending | CardState::Receiving => {
                self.steps |= step::STOPPED;
                self.attempt(proto::stop_transmission())
            }
            CardState::Standby | CardState::Disconnected => {
                self.steps |= step::SELECTED;
                self.attempt(proto::select_card(self.location.rca))
            }
            _ => Err(Error::Lost),
        }
    }
}

impl CardRecovery {
    pub(crate) fn next(&mut self, reply: Reply) -> Result<Action, Error> {
        match core::mem::replace(&mut self.last, LastAction::Other) {
            LastAction::Other => self.ask(),
            LastAction::Woke => {
                if reply.is_ok() {
                    self.first_state.get_or_insert(CardState::Sleep);
                }
                self.ask()
            }
            LastAction::Asked => match reply {
                Ok([card_status, ..]) => self.act_on_status(card_status),
                Err(error) if error.kind == ErrorKind::CardGone => Err(error.into()),
                Err(_) => self.no_answer(),
            },
        }
    }

    /// The card is asleep, or has missed the command because its lines were being reset, or has
    /// lost its state.
    fn no_answer(&mut self) -> Result<Action, Error> {
        self.has_block_length = has_fixed_blocks(&self.location);
        let rca = self.location.rca;
        if self.location.has(flag::SLEEP) && self.steps & step::AWOKEN == 0 {
            self.steps |= step::AWOKEN;
            self.last = LastAction::Woke;
            return self.attempt(proto::sleep_awake(rca, false));
        }
        self.last = LastAction::Asked;
        self.attempt(proto::send_status(rca))
    }
}

#[cfg(test)]
mod tests {
    use super::{Action, CardLocation, CardRecovery, proto};

    /// REQ: M2: a card that is in transfer state, but not ready for data, is asked again.
    #[test]
    fn a_card_that_is_not_ready_for_data_is_waited_for() {
        const TRANSFER: u32 = 4 << 9;
        const READY: u32 = 1 << 8;
        let location = CardLocation::default();
        let mut recovery = CardRecovery::new(&location, 5);
        let ask = Ok(Action::Command(proto::send_status(0)));
        assert_eq!(recovery.next(Ok([0; 4])), ask);
        assert_eq!(recovery.next(Ok([TRANSFER, 0, 0, 0])), Ok(Action::Delay(1)));
        assert_eq!(recovery.next(Ok([0; 4])), ask);
        let size = Ok(Action::Command(proto::set_blocklen(512)));
        assert_eq!(recovery.next(Ok([TRANSFER | READY, 0, 0, 0])), size);
        let ready = [TRANSFER | READY, 0, 0, 0];
        assert_eq!(recovery.next(Ok(ready)), Ok(Action::Done));
    }
}
