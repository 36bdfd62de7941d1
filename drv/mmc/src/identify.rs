//! Identification of an eMMC or SD card: from power-on to transfer state.
//!
//! ```text
//! CMD0  all cards to idle
//!   SD     CMD8, ACMD41 until ready, CMD2, CMD3 (the card chooses its address), CMD9, CMD7
//!          CMD16 (byte addressing), ACMD6 four lines, CMD6 high speed
//!   eMMC   CMD1 until ready, CMD2, CMD3 (the host chooses), CMD9, CMD7
//!          CMD16 (byte addressing), CMD8 EXT_CSD, CMD6 high speed, bus width, HPI, cache;
//!          CMD8 again to check that the faster and wider bus carries data
//! CMD13 the card is in transfer state
//! ```
//!
//! The family that is expected is tried first, then the other. If an answer over the fast or wide
//! bus is wrong, the identification is repeated once and leaves the bus as it is after power-on:
//! slow and one line wide.

mod emmc;

use crate::action::{Action, Reply};
use crate::csd::Csd;
use crate::error::Error;
use crate::ext_csd::ExtCsd;
use crate::location::{CardKind, CardLocation, flag};
use crate::proto::{self, ocr, status};
use crate::state::{StatusError, is_ready};
use block_device::Block;
use drv_sdhci::{BlockLen, Bus, Command, ErrorKind};
use emmc::Switch;

/// How often a card is polled for the end of its power-up, a millisecond apart: for a second, as
/// both specifications demand (SD 4.2.3, eMMC 6.4.2).
const POWER_UP_POLLS: u16 = 1_000;

/// Questions for its operating conditions that a card may leave without an answer, in a row.
const MOST_MISSED: u8 = 2;

/// Delay before a card that does not answer is asked again, milliseconds.
pub(crate) const SILENCE_MS: u32 = 10;

/// Bytes of the status that CMD6 of SD returns (SD 4.3.10.4).
const SWITCH_STATUS: BlockLen = BlockLen::new(64).expect("a multiple of 16");

/// Which features of a card are to be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdentificationOptions {
    /// The family to try first.
    pub first: CardKind,
    /// Data lines that are wired: 1, 4 or 8.
    pub lines: u8,
    /// Use high-speed timing and all lines; if not set, leave the bus as it is after power-on.
    pub fast: bool,
    /// Turn on a volatile cache if the card has one.
    pub cache: bool,
    /// Set [`flag::SLEEP`] if the card has a sleep state.
    pub sleep: bool,
    /// Promise the card a notification before its power is cut.
    pub power_off_notification: bool,
    /// The supply is of 3 V and more; if not, of 1.8 V.
    pub has_3_volts: bool,
    /// The write-protect switch of the slot is on; it counts for an SD card only.
    pub write_protected: bool,
    /// How long the supply takes to rise, milliseconds.
    pub ramp_ms: u16,
    /// Use dual data rate if the eMMC has it.
    pub dual_rate: bool,
    /// How often, 10 ms apart, a card may answer nothing at all: one whose programming was aborted
    /// by CMD0 may first have to repair its tables.
    pub most_silences: u8,
}

/// The last action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum IdentificationStep {
    Start,
    BusStarted,
    PowerStable,
    WaitedForAnswer,
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
    options: IdentificationOptions,
    step: IdentificationStep,
    kind: CardKind,
    /// The other family has been tried already.
    second: bool,
    /// The SD card answered CMD8: version 2.00 or later.
    version_2: bool,
    polls: u16,
    /// Questions since the last answer.
    missed: u8,
    /// How often no card has answered.
    silences: u8,
    location: CardLocation,
    ext_csd: Option<ExtCsd>,
    has_functions: bool,
}

impl Identification {
    /// A procedure for the card in the slot, in any state. The controller must have been reset.
    #[must_use]
    pub fn new(options: IdentificationOptions) -> Self {
        Self {
            options,
            step: IdentificationStep::Start,
            kind: options.first,
            second: false,
            version_2: false,
            polls: 0,
            missed: 0,
            silences: 0,
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

    fn then(&mut self, step: IdentificationStep, action: Action) -> Result<Action, Error> {
        self.step = step;
        Ok(action)
    }

    fn send(&mut self, step: IdentificationStep, command: Command) -> Result<Action, Error> {
        self.then(step, Action::Command(command))
    }

    fn go_idle(&mut self) -> Result<Action, Error> {
        self.polls = 0;
        self.missed = 0;
        self.version_2 = false;
        self.ext_csd = None;
        self.location = CardLocation {
            kind: self.kind as u8,
            lines: 1,
            ..CardLocation::default()
        };
        self.send(IdentificationStep::WentIdle, proto::go_idle_state())
    }

    /// Tries the other family: a command failed that only cards of the current one answer.
    fn try_other_kind(&mut self, error: drv_sdhci::Error) -> Result<Action, Error> {
        // A card of the other family does not answer; any other error has another cause.
        if error.kind != ErrorKind::CommandTimeout {
            return Err(error.into());
        }
        // A card that has answered before may miss a question. If it misses more, an answer may
        // have been lost by which it left this state.
        self.missed = self.missed.saturating_add(1);
        if self.polls > 0 && self.missed <= MOST_MISSED {
            return self.ask_later();
        }
        self.next_kind()
    }

    fn next_kind(&mut self) -> Result<Action, Error> {
        self.kind = match self.kind {
            CardKind::Emmc => CardKind::Sd,
            CardKind::Sd => CardKind::Emmc,
        };
        if !core::mem::replace(&mut self.second, true) {
            return self.go_idle();
        }
        if self.silences >= self.options.most_silences {
            return Err(if self.options.has_3_volts {
                Error::NoCard
            } else {
                Error::SdVoltage
            });
        }
        self.second = false;
        self.silences = self.silences.saturating_add(1);
        self.then(
            IdentificationStep::WaitedForAnswer,
            Action::Delay(SILENCE_MS),
        )
    }

    /// Asks for the operating conditions again, a millisecond later.
    fn ask_later(&mut self) -> Result<Action, Error> {
        self.polls = self.polls.saturating_add(1);
        if self.polls > POWER_UP_POLLS {
            return Err(Error::PowerUp);
        }
        self.then(IdentificationStep::WaitedForPower, Action::Delay(1))
    }

    /// The voltages that the supply can give, as bits of the operating conditions register.
    fn voltages(&self) -> u32 {
        if self.options.has_3_volts {
            ocr::VOLTAGE_3V
        } else {
            ocr::VOLTAGE_1V8
        }
    }

    /// Repeats the identification over a slow bus, because the fast or wide one does not work.
    fn repeat_slowly(&mut self, error: Error) -> Result<Action, Error> {
        if !core::mem::take(&mut self.options.fast) {
            return Err(error);
        }
        self.step = IdentificationStep::BusStarted;
        Ok(Action::Bus(Bus::IDENTIFICATION))
    }

    fn ask_condition(&mut self) -> Result<Action, Error> {
        match self.kind {
            CardKind::Sd => self.send(IdentificationStep::PrefixedCondition, proto::app_cmd(0)),
            CardKind::Emmc => {
                let argument = ocr::ACCESS_MODE_SECTOR | self.voltages();
                self.send(
                    IdentificationStep::AskedCondition,
                    proto::send_op_cond(argument),
                )
            }
        }
    }

    fn take_conditions(&mut self, conditions: u32) -> Result<Action, Error> {
        self.missed = 0;
        if conditions & self.voltages() == 0 {
            return Err(Error::Voltage);
        }
        if conditions & ocr::READY == 0 {
            return self.ask_later();
        }
        let by_sector = match self.kind {
            CardKind::Sd => conditions & ocr::CARD_CAPACITY != 0,
            CardKind::Emmc => conditions & ocr::ACCESS_MODE == ocr::ACCESS_MODE_SECTOR,
        };
        self.location.set(flag::SECTOR_ADDRESSING, by_sector);
        self.send(IdentificationStep::ReadCid, proto::all_send_cid())
    }

    fn take_csd(&mut self, response: [u32; 4]) -> Result<Action, Error> {
        let csd = Csd::parse(response, self.kind).ok_or(Error::Csd)?;
        self.location.blocks = csd.blocks;
        let switched = self.kind == CardKind::Sd && self.options.write_protected;
        self.location
            .set(flag::READ_ONLY, csd.read_only || switched);
        if self.kind == CardKind::Emmc {
            self.location.set(flag::SET_BLOCK_COUNT, csd.has_ext_csd);
        }
        // Class 10 is the switch command of SD.
        self.has_functions = csd.classes & (1 << 10) != 0;
        self.then(
            IdentificationStep::SetClock,
            Action::Bus(self.location.bus()),
        )
    }

    /// Continues after the block length with the features that not every card has.
    fn select_features(&mut self) -> Result<Action, Error> {
        match self.kind {
            CardKind::Sd if self.options.fast && self.options.lines >= 4 => self.send(
                IdentificationStep::PrefixedWidth,
                proto::app_cmd(self.location.rca),
            ),
            CardKind::Sd => self.switch_sd_timing(),
            CardKind::Emmc if self.location.has(flag::SET_BLOCK_COUNT) => self.then(
                IdentificationStep::ReadExtCsd,
                Action::Read(proto::send_ext_csd(), BlockLen::FULL),
            ),
            CardKind::Emmc => self.ask_status(),
        }
    }

    fn switch_sd_timing(&mut self) -> Result<Action, Error> {
        if self.options.fast && self.has_functions {
            let command = proto::switch_to_high_speed();
            return self.then(
                IdentificationStep::SwitchedFunction,
                Action::Read(command, SWITCH_STATUS),
            );
        }
        self.ask_status()
    }

    fn ask_status(&mut self) -> Result<Action, Error> {
        self.send(
            IdentificationStep::AskedStatus,
            proto::send_status(self.location.rca),
        )
    }
}

impl Identification {
    pub(crate) fn next(&mut self, reply: Reply, buffer: &Block) -> Result<Action, Error> {
        match self.step {
            IdentificationStep::Start => self.then(
                IdentificationStep::BusStarted,
                Action::Bus(Bus::IDENTIFICATION),
            ),
            IdentificationStep::BusStarted => {
                reply?;
                // The supply rises. Then the card gets a millisecond, and at least 74 clocks in it
                // (SD 6.4.1.1, eMMC 10.1).
                let delay = self.options.ramp_ms.saturating_add(1).into();
                self.then(IdentificationStep::PowerStable, Action::Delay(delay))
            }
            IdentificationStep::PowerStable | IdentificationStep::WaitedForAnswer => self.go_idle(),
            IdentificationStep::WentIdle => {
                reply?;
                match self.kind {
                    // Every SD card begins at 3.3 V (SD 4.2.1): at less it is not even asked.
                    CardKind::Sd if !self.options.has_3_volts => self.next_kind(),
                    CardKind::Sd => {
                        self.send(IdentificationStep::AskedInterface, proto::send_if_cond())
                    }
                    CardKind::Emmc => self.ask_condition(),
                }
            }
            IdentificationStep::AskedInterface => {
                // Cards before version 2.00, and eMMCs, do not answer.
                if let Ok([answer, ..]) = reply {
                    self.version_2 = true;
                    if answer & 0xFFF != proto::send_if_cond().argument {
                        return Err(Error::Voltage);
                    }
                }
                self.ask_condition()
            }
            IdentificationStep::PrefixedCondition => {
                if let Err(error) = reply {
                    return self.try_other_kind(error);
                }
                let capacity = if self.version_2 {
                    ocr::CARD_CAPACITY
                } else {
                    0
                };
                let command = proto::sd_send_op_cond(capacity | ocr::VOLTAGE_3V);
                self.send(IdentificationStep::AskedCondition, command)
            }
            IdentificationStep::AskedCondition => match reply {
                Ok([conditions, ..]) => self.take_conditions(conditions),
                Err(error) => self.try_other_kind(error),
            },
            IdentificationStep::WaitedForPower => self.ask_condition(),
            IdentificationStep::ReadCid => {
                self.location.cid = reply?;
                match self.kind {
                    CardKind::Sd => {
                        self.send(IdentificationStep::GotAddress, proto::send_relative_addr())
                    }
                    CardKind::Emmc => {
                        let rca = proto::emmc_rca(self.location.cid);
                        self.send(
                            IdentificationStep::GotAddress,
                            proto::set_relative_addr(rca),
                        )
                    }
                }
            }
            IdentificationStep::GotAddress => {
                let [answer, ..] = reply?;
                self.location.rca = match self.kind {
                    CardKind::Sd => (answer >> 16) as u16,
                    CardKind::Emmc => proto::emmc_rca(self.location.cid),
                };
                self.send(
                    IdentificationStep::ReadCsd,
                    proto::send_csd(self.location.rca),
                )
            }
            IdentificationStep::ReadCsd => self.take_csd(reply?),
            IdentificationStep::SetClock => {
                reply?;
                self.send(
                    IdentificationStep::Selected,
                    proto::select_card(self.location.rca),
                )
            }
            IdentificationStep::Selected => {
                reply?;
                if self.location.has(flag::SECTOR_ADDRESSING) {
                    return self.select_features();
                }
                self.send(IdentificationStep::SetBlockLength, proto::set_blocklen(512))
            }
            IdentificationStep::SetBlockLength => {
                reply?;
                self.select_features()
            }
            IdentificationStep::PrefixedWidth => {
                reply?;
                self.send(IdentificationStep::SetWidth, proto::set_bus_width_4())
            }
            IdentificationStep::SetWidth => {
                reply?;
                self.location.lines = 4;
                self.then(
                    IdentificationStep::AppliedBus,
                    Action::Bus(self.location.bus()),
                )
            }
            IdentificationStep::SwitchedFunction => match reply {
                // Byte 16 of the status is the function that group 1 has been switched to (SD
                // 4.3.10).
                Ok(_) => {
                    self.has_functions = false;
                    let switched = buffer.word(4) & 0xF == 1;
                    self.location.set(flag::HIGH_SPEED, switched);
                    self.then(
                        IdentificationStep::AppliedBus,
                        Action::Bus(self.location.bus()),
                    )
                }
                Err(error) => self.repeat_slowly(error.into()),
            },
            IdentificationStep::ReadExtCsd => match reply {
                Ok(_) => self.take_ext_csd(buffer),
                Err(error) => self.repeat_slowly(error.into()),
            },
            IdentificationStep::Switched(what) => match reply {
                Ok(_) => self.send(
                    IdentificationStep::CheckedSwitch(what),
                    proto::send_status(self.location.rca),
                ),
                Err(error) => self.not_switched(what, error.into()),
            },
            IdentificationStep::CheckedSwitch(what) => match reply {
                Ok([card_status, ..]) if card_status & status::SWITCH_ERROR == 0 => {
                    self.switched(what)
                }
                Ok(_) => self.not_switched(
                    what,
                    Error::Card {
                        error: StatusError::Switch,
                        command: 6,
                    },
                ),
                Err(error) => self.not_switched(what, error.into()),
            },
            IdentificationStep::AppliedBus => {
                reply?;
                match self.kind {
                    CardKind::Sd => self.switch_sd_timing(),
                    CardKind::Emmc if self.location.lines > 1 => self.switch(Switch::Interrupt),
                    CardKind::Emmc => self.switch(Switch::Width),
                }
            }
            IdentificationStep::Verified => match reply {
                Ok(_) if ExtCsd::parse(buffer) == self.ext_csd => self.ask_status(),
                Ok(_) => self.repeat_slowly(Error::ExtCsd),
                Err(error) => self.repeat_slowly(error.into()),
            },
            IdentificationStep::AskedStatus => {
                let [card_status, ..] = reply?;
                if !is_ready(card_status) {
                    return self.repeat_slowly(Error::Busy);
                }
                self.then(IdentificationStep::Finished, Action::Done)
            }
            IdentificationStep::Finished => Ok(Action::Done),
        }
    }
}
