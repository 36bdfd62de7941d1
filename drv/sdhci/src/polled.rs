//! The emergency driver: polled, with a request path of its own.
//!
//! # What it promises
//!
//! * It works on a controller in any state, because it begins with [`Controller::reset`]; DMA is used only after that.
//! * It enables no interrupt signal, takes no lock, does not allocate, recurse or panic.
//! * Every wait is bounded by its own limit, by the deadline of the phase it is in, and by a number of polls should the
//!   clock be dead. [`Controller::begin`] starts a phase.
//!
//! On a healthy card every wait ends at its first poll or soon after, and a request costs about ten register accesses.

mod buffer;
mod watch;

pub use watch::{Clock, Patience, Spent};

use crate::adma2;
use crate::clock::Abilities;
use crate::command::{AutoCommand, Command, Data, Direction, Response};
use crate::error::{Error, ErrorKind};
use crate::platform::{Bus, Platform};
use crate::registers::{
    ADMA_ADDRESS, ARGUMENT, ARGUMENT_2, BLOCKS, Blocks, CAPABILITIES, CLOCK_CONTROL, COMMAND,
    ClockControl, HOST_CONTROL, HostControl, INTERRUPT_SIGNAL_ENABLE, INTERRUPT_STATUS,
    INTERRUPT_STATUS_ENABLE, Interrupt, PRESENT_STATE, PresentState, RESPONSE_0, RESPONSE_1,
    RESPONSE_2, RESPONSE_3, Registers, Transfer, VERSION,
};
use block_device::Block;
use core::sync::atomic::{Ordering, fence};
use tock_registers::LocalRegisterCopy;
use tock_registers::fields::FieldValue;
use watch::Watch;

type Status = LocalRegisterCopy<u32, Interrupt::Register>;
type StatusBits = FieldValue<u32, Interrupt::Register>;

/// Limits of single steps, milliseconds. Far above what the specifications allow the hardware, far below a phase.
mod limit {
    /// A software reset, a clock becoming stable (both 100 ms at most in the specification), a line becoming free.
    pub(super) const SETTLE: u32 = 100;
    /// A response: 64 clocks, 160 us at the slowest bus.
    pub(super) const RESPONSE: u32 = 20;
    /// The next data of a read (100 ms in SD 4.6.2.1).
    pub(super) const READ: u32 = 150;
    /// Data of a write, or busy, with the card's programming time (250 to 500 ms in the specifications).
    pub(super) const DATA: u32 = 500;
}

/// How long data may take: a quarter of a millisecond for each block, as over one line at 25 MHz, beside what the card
/// needs.
const fn limit_of(data: &Data<'_>) -> u32 {
    let card = match data.direction {
        Direction::Read => limit::READ,
        Direction::Write => limit::DATA,
    };
    card.saturating_add(data.blocks.len() as u32 / 4)
}

/// What the registers said before this driver touched them.
#[derive(Clone, Copy, Debug)]
pub struct Observation {
    /// Present State.
    pub present_state: LocalRegisterCopy<u32, PresentState::Register>,
    /// Normal and Error Interrupt Status.
    pub interrupt_status: LocalRegisterCopy<u32, Interrupt::Register>,
    /// Clock Control, Timeout Control, Software Reset.
    pub clock_control: LocalRegisterCopy<u32, ClockControl::Register>,
    /// Block Size and Block Count: what was left of a transfer.
    pub blocks: LocalRegisterCopy<u32, Blocks::Register>,
    /// Transfer Mode and Command: the last request.
    pub request: LocalRegisterCopy<u32, Transfer::Register>,
    /// Host Control, Power Control.
    pub host_control: LocalRegisterCopy<u32, HostControl::Register>,
    /// Normal and Error Interrupt Status Enable: 0 until a driver has set the controller up.
    pub status_enable: LocalRegisterCopy<u32, Interrupt::Register>,
}

/// One slot of a controller, in the hands of the emergency path.
#[derive(Debug)]
pub struct Controller<'a, R, P, C> {
    registers: R,
    platform: P,
    watch: Watch<C>,
    table: Option<&'a Block>,
    /// Whether data move by ADMA2: a table is given, the controller can do it, and it has not failed.
    dma: bool,
}

impl<'a, R: Registers, P: Platform, C: Clock> Controller<'a, R, P, C> {
    /// Takes over a slot; touches nothing yet.
    ///
    /// `table` is memory for descriptors; without it all data go through the buffer port. `polls_without_time` is the
    /// number of polls without movement of the clock after which it counts as dead: some tenths of a second's worth.
    pub fn new(
        registers: R,
        platform: P,
        clock: C,
        table: Option<&'a Block>,
        polls_without_time: u32,
    ) -> Self {
        let watch = Watch::new(clock, polls_without_time);
        Self {
            registers,
            platform,
            watch,
            table,
            dma: false,
        }
    }

    /// Starts a phase that must end within `ms` milliseconds; returns what the one before has taken.
    pub fn begin(&mut self, ms: u32) -> Spent {
        self.watch.begin(ms)
    }

    /// What the phase has taken, up to the last look at the clock.
    pub fn spent(&self) -> Spent {
        self.watch.spent()
    }

    /// The platform's decisions.
    pub fn platform(&self) -> &P {
        &self.platform
    }

    /// Looks at the registers, without any effect.
    pub fn observe(&self) -> Observation {
        let registers = &self.registers;
        Observation {
            present_state: registers.read(PRESENT_STATE),
            interrupt_status: registers.read(INTERRUPT_STATUS),
            clock_control: registers.read(CLOCK_CONTROL),
            blocks: registers.read(BLOCKS),
            request: registers.read(COMMAND),
            host_control: registers.read(HOST_CONTROL),
            status_enable: registers.read(INTERRUPT_STATUS_ENABLE),
        }
    }

    /// Whether data move by ADMA2.
    pub fn uses_dma(&self) -> bool {
        self.dma
    }

    /// Moves data through the buffer port from now on.
    pub fn give_up_dma(&mut self) {
        self.dma = false;
        self.table = None;
    }

    /// Resets the controller and starts the bus: powered, clocked, all status bits enabled, no interrupt signal.
    ///
    /// # Errors
    /// [`ErrorKind::CardGone`], [`ErrorKind::ResetStuck`], [`ErrorKind::ClockUnstable`].
    pub fn reset(&mut self, bus: Bus) -> Result<(), Error> {
        self.platform.prepare();
        // The reset would do that, if it works.
        self.registers.set(INTERRUPT_SIGNAL_ENABLE, 0);
        self.registers
            .write(CLOCK_CONTROL, ClockControl::RESET_ALL::SET);
        self.wait_reset()?;
        self.dma = self.table.is_some();
        self.platform.power(true);
        // Card insertion and removal are seen in Present State when they matter.
        self.registers.set(INTERRUPT_STATUS_ENABLE, !0);
        self.set_bus(bus)?;
        self.check_card(self.present(), 0)
    }

    /// Takes the power from the card, where it can be taken. [`Controller::reset`] gives it back.
    pub fn power_off(&mut self) {
        self.registers
            .write(CLOCK_CONTROL, ClockControl::SD_CLOCK_ENABLE::CLEAR);
        self.registers
            .write(HOST_CONTROL, HostControl::BUS_POWER::CLEAR);
        self.platform.power(false);
    }

    /// Runs the bus at another clock, width or timing.
    ///
    /// # Errors
    /// [`ErrorKind::ClockUnstable`].
    pub fn set_bus(&mut self, bus: Bus) -> Result<(), Error> {
        let abilities = Abilities {
            capabilities: self.registers.read(CAPABILITIES),
            version: self.registers.read(VERSION),
        };
        self.dma &= abilities.has_adma2();
        self.registers
            .write(HOST_CONTROL, abilities.host_control(bus));
        let clock =
            abilities.clock_control(bus, &self.platform) + ClockControl::INTERNAL_CLOCK_ENABLE::SET;
        self.registers.write(CLOCK_CONTROL, clock);
        let mut patience = Patience::new(limit::SETTLE);
        while !self
            .registers
            .read(CLOCK_CONTROL)
            .is_set(ClockControl::INTERNAL_CLOCK_STABLE)
        {
            if self.watch.is_over(&mut patience) {
                return Err(Error::new(ErrorKind::ClockUnstable, 0));
            }
        }
        self.registers
            .write(CLOCK_CONTROL, clock + ClockControl::SD_CLOCK_ENABLE::SET);
        Ok(())
    }

    /// Resets the command and the data circuit, after an error.
    ///
    /// # Errors
    /// [`ErrorKind::ResetStuck`].
    pub fn reset_lines(&mut self) -> Result<(), Error> {
        let clock = self.registers.read(CLOCK_CONTROL).get();
        // One at a time: a controller may take only one of the bits from each write.
        let command_line = ClockControl::RESET_COMMAND::SET.modify(clock);
        self.registers.set(CLOCK_CONTROL, command_line);
        let result = self.wait_reset();
        let data_lines = ClockControl::RESET_DATA::SET.modify(clock);
        self.registers.set(CLOCK_CONTROL, data_lines);
        let result = result.and(self.wait_reset());
        self.registers.set(INTERRUPT_STATUS, !0);
        result
    }

    /// Counts a poll of the caller's that found nothing yet; true when that wait, or the phase, has taken too long.
    pub fn is_over(&mut self, patience: &mut Patience) -> bool {
        self.watch.is_over(patience)
    }

    /// Whether the time of the phase was over when a wait last looked.
    pub fn is_late(&self) -> bool {
        self.watch.is_late()
    }

    /// Lets time pass.
    pub fn delay(&mut self, ms: u32) {
        let registers = &self.registers;
        self.watch.delay(ms, || {
            registers.read(PRESENT_STATE);
        });
    }

    /// Sends a command without data; returns the first word of the response. For [`Response::R1b`] it returns when the
    /// card is no longer busy.
    ///
    /// # Errors
    /// Those of a command; after one, call [`Controller::reset_lines`].
    pub fn command(&mut self, command: &Command) -> Result<u32, Error> {
        self.wait_free(command, command.response == Response::R1b)?;
        self.registers.set(ARGUMENT, command.argument);
        self.registers.write(COMMAND, command.encode());
        let response = self.wait_response(command)?;
        if command.response == Response::R1b {
            let complete = Interrupt::TRANSFER_COMPLETE::SET;
            self.wait_for(complete, command, ErrorKind::BusyStuck, limit::DATA)?;
        }
        Ok(response)
    }

    /// The last response, bits 127:8 of it if it was a long one.
    pub fn response(&self) -> [u32; 4] {
        let registers = &self.registers;
        [
            registers.read(RESPONSE_0).get(),
            registers.read(RESPONSE_1).get(),
            registers.read(RESPONSE_2).get(),
            registers.read(RESPONSE_3).get(),
        ]
    }

    /// Sends a command and moves its data; returns the first word of the response.
    ///
    /// # Errors
    /// Those of a command and of data; after one, call [`Controller::reset_lines`], and bring the card back to its
    /// transfer state.
    pub fn transfer(&mut self, command: &Command, data: &Data<'_>) -> Result<u32, Error> {
        let count = data.blocks.len();
        if count == 0 || count > adma2::MAX_BLOCKS {
            return Err(Error::new(ErrorKind::BadRequest, command.index));
        }
        self.wait_free(command, true)?;
        let dma = self.describe(data);
        // The processor's view of the data, and of the descriptors, must be in memory before the controller looks.
        fence(Ordering::SeqCst);
        let registers = &self.registers;
        let blocks = Blocks::SIZE.val(data.block_len.into()) + Blocks::COUNT.val(count as u32);
        registers.write(BLOCKS, blocks);
        if data.auto == AutoCommand::Cmd23 {
            registers.set(ARGUMENT_2, count as u32);
        }
        registers.set(ARGUMENT, command.argument);
        registers.write(COMMAND, command.encode() + data.encode(dma));
        let response = self.wait_response(command)?;
        if !dma {
            self.move_data(command, data)?;
        }
        let complete = Interrupt::TRANSFER_COMPLETE::SET;
        let limit = limit_of(data);
        self.wait_for(complete, command, ErrorKind::DataStalled, limit)?;
        fence(Ordering::SeqCst);
        if let AutoCommand::Cmd12(refusal) = data.auto
            && self.registers.read(RESPONSE_3).get() & refusal != 0
        {
            return Err(Error::new(ErrorKind::AutoRefused, command.index));
        }
        Ok(response)
    }

    /// Writes the descriptors of a transfer; false if it must go through the buffer port.
    fn describe(&self, data: &Data<'_>) -> bool {
        let Some(table) = self.table else {
            return false;
        };
        if !self.dma {
            return false;
        }
        let Some(address) = self.platform.bus_address(table) else {
            return false;
        };
        if adma2::describe(table, data, &self.platform).is_none() {
            return false;
        }
        self.registers.set(ADMA_ADDRESS, address);
        true
    }

    /// Moves data through the buffer port.
    fn move_data(&mut self, command: &Command, data: &Data<'_>) -> Result<(), Error> {
        let read = data.direction == Direction::Read;
        let ready = if read {
            Interrupt::BUFFER_READ_READY::SET
        } else {
            Interrupt::BUFFER_WRITE_READY::SET
        };
        let words = usize::from(data.block_len / 4);
        for block in data.blocks {
            self.wait_for(ready, command, ErrorKind::DataStalled, limit_of(data))?;
            self.registers.write(INTERRUPT_STATUS, ready);
            let Some(words) = block.words().get(..words) else {
                continue;
            };
            if read {
                buffer::to_memory(&self.registers, words);
            } else {
                buffer::from_memory(&self.registers, words);
            }
        }
        Ok(())
    }

    fn present(&self) -> LocalRegisterCopy<u32, PresentState::Register> {
        self.registers.read(PRESENT_STATE)
    }

    fn check_card(
        &self,
        present: LocalRegisterCopy<u32, PresentState::Register>,
        command: u8,
    ) -> Result<(), Error> {
        if present.is_set(PresentState::CARD_INSERTED) || !self.platform.has_card_detect() {
            Ok(())
        } else {
            Err(Error::new(ErrorKind::CardGone, command))
        }
    }

    fn wait_reset(&mut self) -> Result<(), Error> {
        let resets = ClockControl::RESET_ALL::SET
            + ClockControl::RESET_COMMAND::SET
            + ClockControl::RESET_DATA::SET;
        let mut patience = Patience::new(limit::SETTLE);
        while self
            .registers
            .read(CLOCK_CONTROL)
            .any_matching_bits_set(resets)
        {
            if self.watch.is_over(&mut patience) {
                return Err(Error::new(ErrorKind::ResetStuck, 0));
            }
        }
        Ok(())
    }

    /// Waits until a command can be sent, and clears what was left of the one before.
    fn wait_free(&mut self, command: &Command, needs_data_lines: bool) -> Result<(), Error> {
        let mut inhibits = PresentState::COMMAND_INHIBIT::SET;
        if needs_data_lines {
            inhibits += PresentState::DATA_INHIBIT::SET;
        }
        let mut patience = Patience::new(limit::SETTLE);
        let mut present = self.present();
        while present.any_matching_bits_set(inhibits) {
            if self.watch.is_over(&mut patience) {
                return Err(Error::new(ErrorKind::InhibitStuck, command.index));
            }
            present = self.present();
        }
        self.registers.set(INTERRUPT_STATUS, !0);
        self.check_card(present, command.index)
    }

    /// Waits for the response and looks at it.
    fn wait_response(&mut self, command: &Command) -> Result<u32, Error> {
        let complete = Interrupt::COMMAND_COMPLETE::SET;
        self.wait_for(complete, command, ErrorKind::NoCompletion, limit::RESPONSE)?;
        let response = self.registers.read(RESPONSE_0).get();
        if response & command.refusal != 0 {
            return Err(Error::new(ErrorKind::Refused, command.index));
        }
        Ok(response)
    }

    /// Waits for a status bit. Without it in time the error is `late`, unless the card has gone.
    fn wait_for(
        &mut self,
        wanted: StatusBits,
        command: &Command,
        late: ErrorKind,
        limit_ms: u32,
    ) -> Result<(), Error> {
        let mut patience = Patience::new(limit_ms);
        loop {
            let status: Status = self.registers.read(INTERRUPT_STATUS);
            if status.is_set(Interrupt::ERROR) {
                return Err(Error::decode(status, command.index));
            }
            if status.any_matching_bits_set(wanted) {
                return Ok(());
            }
            if self.watch.is_over(&mut patience) {
                self.check_card(self.present(), command.index)?;
                return Err(Error::new(late, command.index));
            }
        }
    }
}
