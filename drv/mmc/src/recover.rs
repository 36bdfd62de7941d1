//! Bringing a card back to transfer state, by its own protocol.
//!
//! The card is asked for its state by CMD13, which it answers in every state that an identified card can be in, even in
//! the middle of a data phase; then each state has one way out (SD 4.8, eMMC 6.6):
//!
//! ```text
//! data, rcv   CMD12 ends the transfer
//! prg         it ends by itself; after a while HPI makes it, where the card has that
//! stby, dis   CMD7 selects the card
//! no answer   slp, if the card was allowed to sleep: CMD5 wakes it
//! others      the card has lost its address: it must be identified again
//! ```
//!
//! After each of them the card is asked again. Only its own word that it is in tran and ready for data ends this. The card
//! is then told the length of a block (CMD16), which somebody else may have changed, and its answer to that is the last
//! word.

use crate::error::Error;
use crate::found::step;
use crate::location::{CardLocation, Kind, flag};
use crate::procedure::{Action, Reply};
use crate::proto;
use crate::state::{CardState, is_ready};
use drv_sdhci::ErrorKind;

/// Waits for the end of programming after which a high-priority interrupt is sent. Most writes end well before.
const PATIENCE: u32 = 20;
/// Commands without an answer, or without effect, before the card counts as lost.
const ATTEMPTS: u8 = 4;

/// The last action, as far as its reply matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Last {
    /// CMD13, or CMD16: the answer is the card's status.
    Asked,
    /// CMD5.
    Woke,
    Other,
}

/// Whether the length of a block cannot be changed: a card that is addressed by sector has blocks of 512 bytes (SD 4.3.2,
/// eMMC 6.6.6). For SD cards CMD16 then has a meaning for CMD42 only, but not everything that passes for a card keeps to
/// that: QEMU's model writes as many bytes as it says.
fn has_fixed_blocks(location: &CardLocation) -> bool {
    location.has(flag::SECTOR_ADDRESSING) && location.kind() != Some(Kind::Sd)
}

/// The procedure, and afterwards what was found.
#[derive(Debug)]
pub struct Recovery {
    location: CardLocation,
    last: Last,
    waited: u32,
    /// Waits for the end of programming after which the card counts as hung.
    most_waits: u32,
    attempts: u8,
    /// CMD16 was sent, or is not needed.
    is_sized: bool,
    /// State at the first answer.
    pub(crate) first_state: Option<CardState>,
    /// Bits of [`step`].
    pub(crate) steps: u16,
}

impl Recovery {
    /// For a card that was at `location` before. While it is busy it is asked `most_waits` times, 1 to 2 ms apart.
    #[must_use]
    pub fn new(location: &CardLocation, most_waits: u32) -> Self {
        Self {
            location: *location,
            last: Last::Other,
            waited: 0,
            most_waits,
            attempts: 0,
            is_sized: has_fixed_blocks(location),
            first_state: None,
            steps: 0,
        }
    }

    fn ask(&mut self) -> Result<Action, Error> {
        self.last = Last::Asked;
        Ok(Action::Command(proto::send_status(self.location.rca)))
    }

    /// One more command that may turn out to be in vain.
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
        self.waited = self.waited.saturating_add(1);
        if self.waited > self.most_waits {
            return Err(Error::Busy);
        }
        let location = &self.location;
        if self.waited > PATIENCE && location.has(flag::HPI) && self.steps & step::INTERRUPTED == 0
        {
            self.steps |= step::INTERRUPTED;
            let by_cmd12 = location.has(flag::HPI_BY_CMD12);
            return self.attempt(proto::high_priority_interrupt(location.rca, by_cmd12));
        }
        Ok(Action::Delay(1))
    }

    fn size(&mut self) -> Result<Action, Error> {
        if core::mem::replace(&mut self.is_sized, true) {
            return Ok(Action::Done);
        }
        self.last = Last::Asked;
        Ok(Action::Command(proto::set_blocklen(512)))
    }

    fn judge(&mut self, card_status: u32) -> Result<Action, Error> {
        let state = CardState::of(card_status);
        self.first_state.get_or_insert(state);
        match state {
            CardState::Transfer if is_ready(card_status) => self.size(),
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

impl Recovery {
    pub(crate) fn next(&mut self, reply: Reply) -> Result<Action, Error> {
        match core::mem::replace(&mut self.last, Last::Other) {
            Last::Other => self.ask(),
            Last::Woke => {
                if reply.is_ok() {
                    self.first_state.get_or_insert(CardState::Sleep);
                }
                self.ask()
            }
            Last::Asked => match reply {
                Ok([card_status, ..]) => self.judge(card_status),
                Err(error) if error.kind == ErrorKind::CardGone => Err(error.into()),
                Err(_) => self.no_answer(),
            },
        }
    }

    /// The card sleeps, or has missed the command while its lines were in disorder, or has lost its state.
    fn no_answer(&mut self) -> Result<Action, Error> {
        self.is_sized = has_fixed_blocks(&self.location);
        let rca = self.location.rca;
        if self.location.has(flag::SLEEP) && self.steps & step::AWOKEN == 0 {
            self.steps |= step::AWOKEN;
            self.last = Last::Woke;
            return self.attempt(proto::sleep_awake(rca, false));
        }
        self.last = Last::Asked;
        self.attempt(proto::send_status(rca))
    }
}

#[cfg(test)]
mod tests {
    use super::{Action, CardLocation, Recovery, proto};

    /// REQ: M2: a card that says that it is in transfer state, but takes no data yet, is asked again.
    #[test]
    fn a_card_that_is_not_ready_for_data_is_waited_for() {
        const TRANSFER: u32 = 4 << 9;
        const READY: u32 = 1 << 8;
        let location = CardLocation::default();
        let mut recovery = Recovery::new(&location, 5);
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
