//! What a card does at each command (SD 4.7 and 4.8, JESD84-B51 6.6 to 6.10).

use super::{CardReply, CardResponse, CardTransfer, Model, SimCard, SimCardState, TransferSource};

const ILLEGAL: u32 = 1 << 22;
const READY_FOR_DATA: u32 = 1 << 8;
const EXCEPTION: u32 = 1 << 6;
const APP_CMD: u32 = 1 << 5;
const SWITCH_ERROR: u32 = 1 << 7;
const BLOCK_LEN_ERROR: u32 = 1 << 29;

/// Error bits that forbid a data phase.
const REFUSALS: u32 = 0xFFF8_0000 & !(ILLEGAL | 1 << 23);

const SILENCE: CardReply = CardReply {
    response: None,
    data: false,
};

impl SimCard {
    /// A command with its argument.
    pub(crate) fn command(&mut self, now: u64, index: u8, argument: u32) -> CardReply {
        self.update(now);
        let application = std::mem::take(&mut self.application);
        let announced = self.announced.take();
        if self.state == SimCardState::Mute || self.misses(now, index) {
            return SILENCE;
        }
        self.fresh = false;
        if index == 0 {
            let busy = matches!(
                self.state,
                SimCardState::Programming | SimCardState::Disconnected
            );
            // A card that is reset may lose what is in its cache.
            self.go_idle();
            if busy {
                self.mood.silent_until = now.saturating_add(self.habits.rebuild_us);
            }
            return SILENCE;
        }
        let addressed = (argument >> 16) as u16 == self.rca;
        if self.state == SimCardState::Sleep {
            return self.asleep(now, index == 5 && addressed && argument & 1 << 15 == 0);
        }
        if index != 13 && self.ext_csd[34] > 1 {
            // The host goes on using the card after it announced to cut the power.
            self.ext_csd[34] = 1;
        }
        match (index, self.state) {
            (1, SimCardState::Idle) if self.is_emmc() => self.operating_conditions(now, argument),
            (8, SimCardState::Idle) if self.knows_cmd8() => short(argument & 0xFFF),
            (55, SimCardState::Idle) => self.app_command(argument == 0),
            (55, _) => self.app_command(addressed),
            (41, SimCardState::Idle) if application => self.operating_conditions(now, argument),
            (2, SimCardState::Ready) => {
                self.state = SimCardState::Ident;
                long(self.cid())
            }
            (3, SimCardState::Ident) => self.relative_address(argument),
            (3, SimCardState::Standby) if !self.is_emmc() => self.relative_address(argument),
            (9, SimCardState::Standby) if addressed => long(self.csd()),
            (10, SimCardState::Standby) if addressed => long(self.cid()),
            (5, SimCardState::Standby) if addressed && argument & 1 << 15 != 0 => {
                self.fall_asleep(now)
            }
            (7, _) => self.select(addressed),
            (12, SimCardState::Sending | SimCardState::Receiving) => self.stop(now),
            (12, SimCardState::Programming) if argument & 1 != 0 && addressed => {
                self.interrupt(now, 12)
            }
            (
                13,
                SimCardState::Idle
                | SimCardState::Ready
                | SimCardState::Ident
                | SimCardState::Sleep,
            ) => self.illegal(),
            (13, SimCardState::Programming) if argument & 1 != 0 && addressed => {
                self.interrupt(now, 13)
            }
            (13, _) if addressed => self.r1(),
            (13, _) => SILENCE,
            (6, SimCardState::Transfer) if application => self.set_bus_width(argument),
            (6, SimCardState::Transfer) if self.is_emmc() => self.switch(now, argument),
            (6, SimCardState::Transfer) => self.switch_function(argument),
            (8, SimCardState::Transfer) if self.is_emmc() => {
                self.send_register(self.ext_csd_words())
            }
            // Illegal with dual data rate (eMMC 6.6.5).
            (16, SimCardState::Transfer) if self.is_emmc() && self.ext_csd[183] >= 5 => {
                self.illegal()
            }
            (16, SimCardState::Transfer) => {
                if argument > 512 {
                    self.errors |= BLOCK_LEN_ERROR;
                } else {
                    self.block_len = argument;
                }
                self.r1()
            }
            (17 | 18, SimCardState::Transfer) => self.start(index, argument, announced),
            (24 | 25, SimCardState::Transfer) => self.start(index, argument, announced),
            (23, SimCardState::Transfer) if self.is_emmc() => {
                self.announced = Some(argument);
                self.r1()
            }
            (35 | 36, SimCardState::Transfer) => self.r1(),
            (38, SimCardState::Transfer) => {
                let reply = self.r1();
                self.program(now, 5_000);
                reply
            }
            _ => self.illegal(),
        }
    }

    fn knows_cmd8(&self) -> bool {
        matches!(self.model, Model::SdStandard | Model::SdHighCapacity)
    }

    fn illegal(&mut self) -> CardReply {
        self.errors |= ILLEGAL;
        SILENCE
    }

    /// The status before the command, with the errors since the last R1.
    fn r1(&mut self) -> CardReply {
        let ready = matches!(self.state, SimCardState::Transfer);
        let status = std::mem::take(&mut self.errors)
            | (self.state as u32) << 9
            | if ready { READY_FOR_DATA } else { 0 }
            | if self.habits.urgent_background {
                EXCEPTION
            } else {
                0
            };
        short(status)
    }

    fn app_command(&mut self, addressed: bool) -> CardReply {
        if self.is_emmc() || !addressed {
            return self.illegal();
        }
        self.application = true;
        self.errors |= APP_CMD;
        self.r1()
    }

    fn operating_conditions(&mut self, now: u64, argument: u32) -> CardReply {
        let mut conditions = self.voltages;
        if argument & 0x00FF_FF80 == 0 {
            return short(conditions);
        }
        // A host that offers no voltage of the card's gets no further answer (SD 4.2.3.1, eMMC
        // 6.4.2).
        if argument & self.voltages == 0 && self.voltages != 0 {
            self.state = SimCardState::Mute;
            return SILENCE;
        }
        self.power_up_asked += 1;
        let since = *self.power_up_since.get_or_insert(now);
        let has_time = now - since >= self.habits.power_up_us;
        if self.power_up_asked > self.power_up_polls && has_time {
            conditions |= 1 << 31;
            let host_supports = argument & (1 << 30) != 0;
            if self.by_sector() && host_supports {
                conditions |= 1 << 30;
            }
            // A card of high capacity stays busy for a host that does not announce support of it.
            if self.by_sector() && !host_supports {
                return short(self.voltages);
            }
            self.state = SimCardState::Ready;
        }
        short(conditions)
    }

    fn relative_address(&mut self, argument: u32) -> CardReply {
        if self.is_emmc() {
            self.rca = (argument >> 16) as u16;
            let reply = self.r1();
            self.state = SimCardState::Standby;
            return reply;
        }
        self.rca = self.rca.wrapping_add(0x1234);
        let status = (self.state as u32) << 9 | READY_FOR_DATA;
        self.state = SimCardState::Standby;
        short(u32::from(self.rca) << 16 | status)
    }

    fn select(&mut self, addressed: bool) -> CardReply {
        let next = match (self.state, addressed) {
            (SimCardState::Standby, true) => SimCardState::Transfer,
            (SimCardState::Disconnected, true) => SimCardState::Programming,
            (SimCardState::Transfer | SimCardState::Sending, false) => SimCardState::Standby,
            (SimCardState::Programming, false) => SimCardState::Disconnected,
            (_, false) => return SILENCE,
            _ => return self.illegal(),
        };
        let reply = self.r1();
        self.state = next;
        self.transfer = None;
        if addressed { reply } else { SILENCE }
    }

    fn stop(&mut self, now: u64) -> CardReply {
        let reply = self.r1();
        self.transfer = None;
        if self.state == SimCardState::Receiving {
            let us = self.program_us;
            self.program(now, us);
        } else {
            self.state = SimCardState::Transfer;
        }
        reply
    }

    fn interrupt(&mut self, now: u64, command: u8) -> CardReply {
        let by = if self.ext_csd[503] & 2 != 0 { 12 } else { 13 };
        let enabled = self.ext_csd[503] & 1 != 0 && self.ext_csd[161] & 1 != 0;
        if enabled && by == command && self.interrupt_works {
            self.busy_until = self.busy_until.min(now.saturating_add(100));
        }
        self.r1()
    }

    fn fall_asleep(&mut self, now: u64) -> CardReply {
        if !self.is_emmc() || self.ext_csd[217] == 0 {
            return self.illegal();
        }
        let reply = self.r1();
        self.state = SimCardState::Sleep;
        self.busy_until = now + self.sleep_us;
        reply
    }

    /// A command to a card that sleeps, or is about to, or is waking.
    fn asleep(&mut self, now: u64, wakes: bool) -> CardReply {
        if !wakes || !self.wakes || self.is_busy() {
            return SILENCE;
        }
        let reply = self.r1();
        self.waking = true;
        self.busy_until = now + self.sleep_us;
        reply
    }

    fn set_bus_width(&mut self, argument: u32) -> CardReply {
        self.lines = if argument & 3 == 2 { 4 } else { 1 };
        self.r1()
    }

    fn switch(&mut self, now: u64, argument: u32) -> CardReply {
        let reply = self.r1();
        let index = (argument >> 16 & 0xFF) as usize;
        let value = (argument >> 8 & 0xFF) as u8;
        let is_write = argument >> 24 & 3 == 3;
        let known = match index {
            _ if std::mem::take(&mut self.unprogrammed) => false,
            32 => {
                self.flush();
                true
            }
            34 => (1..=3).contains(&value),
            33 => self.ext_csd[249] != 0 || self.ext_csd[250] != 0,
            161 => self.ext_csd[503] & 1 != 0,
            179 => value & 7 != 3 || self.ext_csd[168] != 0,
            // Dual data rate needs high-speed timing, and a card that has it (eMMC 6.6.5).
            183 if value >= 5 => {
                value <= 6 && self.ext_csd[185] == 1 && self.ext_csd[196] & 0b1100 != 0
            }
            183 => value <= 2,
            // The timings that a card has are in DEVICE_TYPE (eMMC 7.4.57).
            185 => value == 0 || value == 1 && self.ext_csd[196] & 0b11 != 0,
            _ => false,
        };
        if !is_write || !known {
            self.errors |= SWITCH_ERROR;
        } else if index != 32 {
            self.ext_csd[index] = value;
            self.high_speed = self.ext_csd[185] == 1;
            self.lines = match self.ext_csd[183] {
                0 => 1,
                1 | 5 => 4,
                _ => 8,
            };
        }
        self.program(now, 500);
        reply
    }

    fn switch_function(&mut self, argument: u32) -> CardReply {
        let wants = argument & 0xF == 1;
        if argument >> 31 != 0 && wants {
            self.high_speed = true;
        }
        self.send_register(Self::switch_status(wants))
    }

    fn send_register(&mut self, words: Vec<u32>) -> CardReply {
        let reply = self.r1();
        let source = TransferSource::Register(words);
        self.transfer = Some(CardTransfer {
            source,
            left: Some(1),
            reliable: false,
        });
        self.state = SimCardState::Sending;
        CardReply {
            data: true,
            ..reply
        }
    }

    fn start(&mut self, index: u8, argument: u32, announced: Option<u32>) -> CardReply {
        let write = index >= 24;
        let multiple = index == 18 || index == 25;
        let block = if self.by_sector() {
            argument
        } else {
            argument / 512
        };
        if !self.by_sector() && !argument.is_multiple_of(512) {
            self.errors |= 1 << 30;
        }
        // Reads may be of any length; no card here takes a partial write (WRITE_BL_PARTIAL).
        if write && self.bytes_of_block() != 512 {
            self.errors |= BLOCK_LEN_ERROR;
        }
        // In sectors of 4 KiB only, where the card is set to them (eMMC 7.4.106).
        let count = announced.map_or(1, |word| word & 0xFFFF);
        if self.is_emmc()
            && self.ext_csd[61] != 0
            && !(block.is_multiple_of(8) && count.is_multiple_of(8))
        {
            self.errors |= 1 << 30;
        }
        self.check(block, write);
        if self.errors & REFUSALS != 0 {
            return self.r1();
        }
        let reply = self.r1();
        let left = if multiple {
            announced.map(|word| word & 0xFFFF)
        } else {
            Some(1)
        };
        let reliable = announced.is_some_and(|word| word >> 31 != 0);
        self.transfer = Some(CardTransfer {
            source: TransferSource::Memory(block),
            left,
            reliable,
        });
        self.state = if write {
            SimCardState::Receiving
        } else {
            SimCardState::Sending
        };
        CardReply {
            data: true,
            ..reply
        }
    }
}

fn short(word: u32) -> CardReply {
    CardReply {
        response: Some(CardResponse::Short(word)),
        data: false,
    }
}

fn long(words: [u32; 4]) -> CardReply {
    CardReply {
        response: Some(CardResponse::Long(words)),
        data: false,
    }
}
