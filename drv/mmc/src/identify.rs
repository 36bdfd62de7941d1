//! Identification: from power-on to transfer state, eMMC and SD.
//!
//! ```text
//! CMD0  all cards to idle
//!   SD     CMD8, ACMD41 until ready, CMD2, CMD3 (the card chooses its address), CMD9, CMD7
//!          CMD16 (byte addressing), ACMD6 four lines, CMD6 high speed
//!   eMMC   CMD1 until ready, CMD2, CMD3 (the host chooses), CMD9, CMD7
//!          CMD16 (byte addressing), CMD8 EXT_CSD, CMD6 high speed, bus width, HPI, cache; CMD8 once more to see
//!          whether the faster and wider bus carries data
//! CMD13 the card is in transfer state
//! ```
//!
//! The family that is expected is tried first, then the other. An answer that is wrong over a fast or wide bus is
//! followed by one more identification that leaves the bus as it is after power-on: slow, one line, and it works.

mod emmc;

use crate::csd::Csd;
use crate::error::Error;
use crate::ext_csd::ExtCsd;
use crate::location::{CardLocation, Kind, flag};
use crate::procedure::{Action, Reply};
use crate::proto::{self, ocr, status};
use crate::state::{Fault, is_ready};
use block_device::Block;
use drv_sdhci::{Bus, Command, ErrorKind};
use emmc::Switch;

/// Times a card is asked whether its power-up has finished, a millisecond apart: a second, as both specifications
/// demand (SD 4.2.3, eMMC 6.4.2).
const POWER_UP_POLLS: u16 = 1_000;

/// What is wanted of a card beside its capacity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// The family to try first.
    pub first: Kind,
    /// Data lines that are wired: 1, 4 or 8.
    pub lines: u8,
    /// Use high-speed timing and all lines; otherwise leave the bus as it is after power-on.
    pub fast: bool,
    /// Turn on a volatile cache if the card has one.
    pub cache: bool,
    /// Note whether the card can sleep.
    pub sleep: bool,
    /// Promise the card to be told before its power is cut.
    pub power_off_notification: bool,
}

/// What the last action was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Start,
    BusStarted,
    PowerSettled,
    WentIdle,
    AskedInterface,
    PrefixedCondition,
    AskedCondition,
    WaitedForPower,
    ReadCid,
    GotAddress,
    ReadCsd,
    SetClock,
    Selected,
    SetBlockLength,
    PrefixedWidth,
    SetWidth,
    SwitchedFunction,
    ReadExtCsd,
    Switched(Switch),
    CheckedSwitch(Switch),
    AppliedBus,
    Verified,
    AskedStatus,
    Finished,
}

/// The procedure, and at its end the card's location.
#[derive(Debug)]
pub struct Identification {
    options: Options,
    step: Step,
    kind: Kind,
    /// The other family has been tried already.
    second: bool,
    /// The SD card answered CMD8: version 2.00 or later.
    version_2: bool,
    polls: u16,
    location: CardLocation,
    ext_csd: Option<ExtCsd>,
    has_functions: bool,
}

impl Identification {
    /// A procedure for the card in the slot, whatever its state is. The controller must have been reset.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self {
            options,
            step: Step::Start,
            kind: options.first,
            second: false,
            version_2: false,
            polls: 0,
            location: CardLocation::default(),
            ext_csd: None,
            has_functions: false,
        }
    }

    /// The card, after [`Action::Done`].
    #[must_use]
    pub fn location(&self) -> &CardLocation {
        &self.location
    }

    fn then(&mut self, step: Step, action: Action) -> Result<Action, Error> {
        self.step = step;
        Ok(action)
    }

    fn send(&mut self, step: Step, command: Command) -> Result<Action, Error> {
        self.then(step, Action::Command(command))
    }

    fn go_idle(&mut self) -> Result<Action, Error> {
        self.polls = 0;
        self.version_2 = false;
        self.ext_csd = None;
        self.location = CardLocation {
            kind: self.kind as u8,
            lines: 1,
            ..CardLocation::default()
        };
        self.send(Step::WentIdle, proto::go_idle_state())
    }

    /// A command failed that only cards of the family that is being tried answer.
    fn other_kind(&mut self, error: drv_sdhci::Error) -> Result<Action, Error> {
        // Anything but silence has another cause.
        if error.kind != ErrorKind::CommandTimeout {
            return Err(error.into());
        }
        if core::mem::replace(&mut self.second, true) {
            return Err(Error::NoCard);
        }
        self.kind = match self.kind {
            Kind::Emmc => Kind::Sd,
            Kind::Sd => Kind::Emmc,
        };
        self.go_idle()
    }

    /// The bus does not carry what it should: once more, slowly.
    fn retreat(&mut self, error: Error) -> Result<Action, Error> {
        if !core::mem::take(&mut self.options.fast) {
            return Err(error);
        }
        self.step = Step::BusStarted;
        Ok(Action::Bus(Bus::IDENTIFICATION))
    }

    fn ask_condition(&mut self) -> Result<Action, Error> {
        match self.kind {
            Kind::Sd => self.send(Step::PrefixedCondition, proto::app_cmd(0)),
            Kind::Emmc => {
                let argument = ocr::ACCESS_MODE_SECTOR | ocr::VOLTAGE_3V | ocr::VOLTAGE_1V8;
                self.send(Step::AskedCondition, proto::send_op_cond(argument))
            }
        }
    }

    fn conditions(&mut self, conditions: u32) -> Result<Action, Error> {
        if conditions & (ocr::VOLTAGE_3V | ocr::VOLTAGE_1V8) == 0 {
            return Err(Error::Voltage);
        }
        if conditions & ocr::READY == 0 {
            self.polls = self.polls.saturating_add(1);
            if self.polls > POWER_UP_POLLS {
                return Err(Error::PowerUp);
            }
            return self.then(Step::WaitedForPower, Action::Delay(1));
        }
        let by_sector = match self.kind {
            Kind::Sd => conditions & ocr::CARD_CAPACITY != 0,
            Kind::Emmc => conditions & ocr::ACCESS_MODE == ocr::ACCESS_MODE_SECTOR,
        };
        self.location.set(flag::SECTOR_ADDRESSING, by_sector);
        self.send(Step::ReadCid, proto::all_send_cid())
    }

    fn take_csd(&mut self, response: [u32; 4]) -> Result<Action, Error> {
        let csd = Csd::parse(response, self.kind).ok_or(Error::Csd)?;
        self.location.blocks = csd.blocks;
        self.location.set(flag::READ_ONLY, csd.read_only);
        if self.kind == Kind::Emmc {
            self.location.set(flag::SET_BLOCK_COUNT, csd.has_ext_csd);
        }
        // Class 10 is the switch command of SD.
        self.has_functions = csd.classes & (1 << 10) != 0;
        self.then(Step::SetClock, Action::Bus(self.location.bus()))
    }

    /// After the block length: what the family can do beyond the minimum.
    fn features(&mut self) -> Result<Action, Error> {
        match self.kind {
            Kind::Sd if self.options.fast && self.options.lines >= 4 => {
                self.send(Step::PrefixedWidth, proto::app_cmd(self.location.rca))
            }
            Kind::Sd => self.high_speed_function(),
            Kind::Emmc if self.location.has(flag::SET_BLOCK_COUNT) => {
                self.then(Step::ReadExtCsd, Action::Read(proto::send_ext_csd(), 512))
            }
            Kind::Emmc => self.finish(),
        }
    }

    fn high_speed_function(&mut self) -> Result<Action, Error> {
        if self.options.fast && self.has_functions {
            let command = proto::switch_to_high_speed();
            return self.then(Step::SwitchedFunction, Action::Read(command, 64));
        }
        self.finish()
    }

    fn finish(&mut self) -> Result<Action, Error> {
        self.send(Step::AskedStatus, proto::send_status(self.location.rca))
    }
}

impl Identification {
    pub(crate) fn next(&mut self, reply: Reply, buffer: &Block) -> Result<Action, Error> {
        match self.step {
            Step::Start => self.then(Step::BusStarted, Action::Bus(Bus::IDENTIFICATION)),
            Step::BusStarted => {
                reply?;
                // The supply rises, and the card sees at least 74 clocks (SD 6.4.1, eMMC 10.1).
                self.then(Step::PowerSettled, Action::Delay(1))
            }
            Step::PowerSettled => self.go_idle(),
            Step::WentIdle => {
                reply?;
                match self.kind {
                    Kind::Sd => self.send(Step::AskedInterface, proto::send_if_cond()),
                    Kind::Emmc => self.ask_condition(),
                }
            }
            Step::AskedInterface => {
                // Cards before version 2.00, and eMMCs, do not answer.
                if let Ok([answer, ..]) = reply {
                    self.version_2 = true;
                    if answer & 0xFFF != proto::send_if_cond().argument {
                        return Err(Error::Voltage);
                    }
                }
                self.ask_condition()
            }
            Step::PrefixedCondition => {
                if let Err(error) = reply {
                    return self.other_kind(error);
                }
                let capacity = if self.version_2 {
                    ocr::CARD_CAPACITY
                } else {
                    0
                };
                let command = proto::sd_send_op_cond(capacity | ocr::VOLTAGE_3V);
                self.send(Step::AskedCondition, command)
            }
            Step::AskedCondition => match reply {
                Ok([conditions, ..]) => self.conditions(conditions),
                Err(error) => self.other_kind(error),
            },
            Step::WaitedForPower => self.ask_condition(),
            Step::ReadCid => {
                self.location.cid = reply?;
                match self.kind {
                    Kind::Sd => self.send(Step::GotAddress, proto::send_relative_addr()),
                    Kind::Emmc => {
                        let rca = proto::emmc_rca(self.location.cid);
                        self.send(Step::GotAddress, proto::set_relative_addr(rca))
                    }
                }
            }
            Step::GotAddress => {
                let [answer, ..] = reply?;
                self.location.rca = match self.kind {
                    Kind::Sd => (answer >> 16) as u16,
                    Kind::Emmc => proto::emmc_rca(self.location.cid),
                };
                self.send(Step::ReadCsd, proto::send_csd(self.location.rca))
            }
            Step::ReadCsd => self.take_csd(reply?),
            Step::SetClock => {
                reply?;
                self.send(Step::Selected, proto::select_card(self.location.rca))
            }
            Step::Selected => {
                reply?;
                if self.location.has(flag::SECTOR_ADDRESSING) {
                    return self.features();
                }
                self.send(Step::SetBlockLength, proto::set_blocklen(512))
            }
            Step::SetBlockLength => {
                reply?;
                self.features()
            }
            Step::PrefixedWidth => {
                reply?;
                self.send(Step::SetWidth, proto::set_bus_width_4())
            }
            Step::SetWidth => {
                reply?;
                self.location.lines = 4;
                self.then(Step::AppliedBus, Action::Bus(self.location.bus()))
            }
            Step::SwitchedFunction => match reply {
                // Byte 16 of the status is the function that group 1 has been switched to (SD 4.3.10).
                Ok(_) => {
                    self.has_functions = false;
                    let switched = buffer.word(4) & 0xF == 1;
                    self.location.set(flag::HIGH_SPEED, switched);
                    self.then(Step::AppliedBus, Action::Bus(self.location.bus()))
                }
                Err(error) => self.retreat(error.into()),
            },
            Step::ReadExtCsd => match reply {
                Ok(_) => self.take_ext_csd(buffer),
                Err(error) => self.retreat(error.into()),
            },
            Step::Switched(what) => match reply {
                Ok(_) => self.send(
                    Step::CheckedSwitch(what),
                    proto::send_status(self.location.rca),
                ),
                Err(error) => self.not_switched(what, error.into()),
            },
            Step::CheckedSwitch(what) => match reply {
                Ok([card_status, ..]) if card_status & status::SWITCH_ERROR == 0 => {
                    self.switched(what)
                }
                Ok(_) => self.not_switched(
                    what,
                    Error::Card {
                        fault: Fault::Switch,
                        command: 6,
                    },
                ),
                Err(error) => self.not_switched(what, error.into()),
            },
            Step::AppliedBus => {
                reply?;
                match self.kind {
                    Kind::Sd => self.high_speed_function(),
                    Kind::Emmc if self.location.lines > 1 => self.switch(Switch::Interrupt),
                    Kind::Emmc => self.switch(Switch::Width),
                }
            }
            Step::Verified => match reply {
                Ok(_) if ExtCsd::parse(buffer) == self.ext_csd => self.finish(),
                Ok(_) => self.retreat(Error::ExtCsd),
                Err(error) => self.retreat(error.into()),
            },
            Step::AskedStatus => {
                let [card_status, ..] = reply?;
                if !is_ready(card_status) {
                    return self.retreat(Error::Busy);
                }
                self.then(Step::Finished, Action::Done)
            }
            Step::Finished => Ok(Action::Done),
        }
    }
}
