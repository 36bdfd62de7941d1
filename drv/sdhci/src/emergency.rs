//! The emergency driver: synchronous and polled, with a request path of its own.
//!
//! # Guarantees
//!
//! * It works on a controller in any state, because [`EmergencyController::reset`] comes first. DMA
//!   is used only after that reset.
//! * It enables no interrupt signal, takes no lock, and does not allocate, recurse or panic.
//! * Every wait is bounded three times: by a limit of its own, by the deadline of the phase it is
//!   in ([`EmergencyController::begin_phase`]), and, in case the time source is dead, by a number
//!   of polls. The limit of a wait for the card is not the end while the card is busy: it is then
//!   prolonged until only a reserve of the phase is left.
//!
//! On a healthy card every wait ends at its first poll or soon after, and a request costs about ten
//! register accesses.

mod phase_timer;

pub use phase_timer::{Clock, Spent, WaitLimit};

use crate::adma2;
use crate::buffer_port;
use crate::clock::Abilities;
use crate::command::{AutoCommand, Command, Data, Direction, Response};
use crate::error::{Error, ErrorKind, is_complete};
use crate::platform::{Bus, Platform};
use crate::registers::{
    ADMA_ADDRESS, ARGUMENT, ARGUMENT_2, BLOCKS, Blocks, CLOCK_CONTROL, COMMAND, ClockControl,
    HOST_CONTROL, HOST_CONTROL_2, HostControl, INTERRUPT_SIGNAL_ENABLE, INTERRUPT_STATUS,
    INTERRUPT_STATUS_ENABLE, Interrupt, InterruptBits, InterruptStatus, PRESENT_STATE,
    PresentState, RESPONSE_0, RESPONSE_1, RESPONSE_2, RESPONSE_3, Registers, TransferMode,
};
use crate::slot;
use block_device::Block;
use phase_timer::PhaseTimer;
use tock_registers::LocalRegisterCopy;

/// Limits of single waits, milliseconds: above what the specifications allow the hardware, and well
/// below the length of a phase.
mod limit {
    /// A software reset, a clock becoming stable (both at most 100 ms in the specification), a line
    /// becoming free.
    pub(super) const CONTROLLER: u32 = 100;
    /// A response: 64 clocks, 160 us at the slowest bus.
    pub(super) const RESPONSE: u32 = 20;
    /// The next data of a read (100 ms in SD 4.6.2.1).
    pub(super) const READ: u32 = 150;
    /// Data of a write, or busy, with the card's programming time (250 to 500 ms in SD 4.6.2.2). A
    /// card that signals busy gets what is left of the phase, too.
    pub(super) const DATA: u32 = 500;
}

/// How long the data of a request may take, milliseconds: the card's time, and a quarter of a
/// millisecond for each block, which is its time over one line at 25 MHz.
const fn limit_of(data: &Data<'_>) -> u32 {
    let card = match data.direction {
        Direction::Read => limit::READ,
        Direction::Write => limit::DATA,
    };
    card.saturating_add(data.blocks.len() as u32 / 4)
}

/// By how many bits [`limit_of`] is shifted with each of the caller's attempts at a request.
const PATIENCE_BITS: u8 = 2;

/// Content of the registers before this driver has written to any of them.
#[derive(Clone, Copy, Debug)]
pub struct Observation {
    /// Present State.
    pub present_state: LocalRegisterCopy<u32, PresentState::Register>,
    /// Normal and Error Interrupt Status.
    pub interrupt_status: LocalRegisterCopy<u32, Interrupt::Register>,
    /// Clock Control, Timeout Control, Software Reset.
    pub clock_control: LocalRegisterCopy<u32, ClockControl::Register>,
    /// Block Size and Block Count: what remained of a transfer.
    pub blocks: LocalRegisterCopy<u32, Blocks::Register>,
    /// Transfer Mode and Command: the last request.
    pub request: LocalRegisterCopy<u32, TransferMode::Register>,
    /// Host Control, Power Control.
    pub host_control: LocalRegisterCopy<u32, HostControl::Register>,
    /// Normal and Error Interrupt Status Enable: 0 until a driver has set the controller up.
    pub status_enable: LocalRegisterCopy<u32, Interrupt::Register>,
}

/// One slot of a controller, used by the emergency path.
#[derive(Debug)]
pub struct EmergencyController<'a, R, P, C> {
    registers: R,
    platform: P,
    timer: PhaseTimer<C>,
    table: Option<&'a Block>,
    /// Whether data move by ADMA2: there is a table, the controller has ADMA2, and it has not been
    /// given up.
    dma: bool,
    /// Bits by which the limits of data are shifted.
    patience: u8,
    /// Highest clock, Hz, whatever a bus is to have.
    most_hz: u32,
}

impl<'a, R: Registers, P: Platform, C: Clock> EmergencyController<'a, R, P, C> {
    /// Takes over a slot; accesses no register yet.
    ///
    /// `table` is memory for descriptors; without it all data go through the buffer port. The clock
    /// counts as dead after `polls_without_time` polls during which it did not move: choose as many
    /// as take some tenths of a second.
    pub fn new(
        registers: R,
        platform: P,
        clock: C,
        table: Option<&'a Block>,
        polls_without_time: u32,
    ) -> Self {
        let timer = PhaseTimer::new(clock, polls_without_time);
        Self {
            registers,
            platform,
            timer,
            table,
            dma: false,
            patience: 0,
            most_hz: u32::MAX,
        }
    }

    /// Starts a try, all phases of which have to end within `try_ms` milliseconds.
    pub fn begin_try(&mut self, try_ms: u32) {
        self.timer.begin_try(try_ms);
    }

    /// Starts a phase that may take what is left of the try, less a reserve for each of the `later`
    /// phases after it; returns what the one before has taken.
    pub fn begin_phase(&mut self, later: u32) -> Spent {
        self.timer.begin_phase(later)
    }

    /// Milliseconds of the phase that a wait for a busy card may still take.
    pub fn patience_ms(&self) -> u32 {
        self.timer.patience_ms()
    }

    /// Says how often the request that follows has failed. Each time it gets four times as long for
    /// its data: a card may collect garbage instead of reading.
    pub fn set_failures(&mut self, failures: u8) {
        self.patience = failures.saturating_mul(PATIENCE_BITS).min(8);
    }

    /// What the phase has taken, up to the last time that a wait read the clock.
    pub fn spent(&self) -> Spent {
        self.timer.spent()
    }

    /// The platform's decisions.
    pub fn platform(&self) -> &P {
        &self.platform
    }

    /// Reads the registers that tell what the controller is doing. Reading them has no side effect.
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

    /// Runs the bus at no more than `hz` from the next [`Self::set_bus`] on.
    pub fn limit_clock(&mut self, hz: u32) {
        self.most_hz = hz;
    }

    /// Makes a controller ready whose bus is running, without a reset of all of it: ends the
    /// command, the data and the DMA in flight (2.2.16), and sets the bus up anew. The card keeps
    /// its supply.
    ///
    /// # Errors
    /// As [`EmergencyController::reset`].
    pub fn take_over(&mut self, bus: Bus) -> Result<(), Error> {
        self.registers.set(INTERRUPT_SIGNAL_ENABLE, 0);
        self.reset_lines()?;
        self.dma = self.table.is_some();
        self.registers.set(INTERRUPT_STATUS_ENABLE, !0);
        self.set_bus(bus)?;
        self.check_card(self.present(), 0)
    }

    /// Resets the controller and starts the bus: powered, clocked, all status bits enabled, no
    /// interrupt signal. Where the reset takes the supply from the card (2.2.16), the card is
    /// without it for `off_ms` milliseconds.
    ///
    /// # Errors
    /// [`ErrorKind::CardGone`], [`ErrorKind::ResetStuck`], [`ErrorKind::ClockUnstable`].
    pub fn reset(&mut self, bus: Bus, off_ms: u32) -> Result<(), Error> {
        self.platform.prepare();
        // The reset does that as well, if it works.
        self.registers.set(INTERRUPT_SIGNAL_ENABLE, 0);
        self.registers
            .write(CLOCK_CONTROL, ClockControl::RESET_ALL::SET);
        self.wait_reset()?;
        self.platform.after_reset();
        if off_ms != 0 {
            self.delay(off_ms);
        }
        self.dma = self.table.is_some();
        self.platform.power(true);
        // Status bits only: card insertion and removal are read from Present State where they
        // matter.
        self.registers.set(INTERRUPT_STATUS_ENABLE, !0);
        self.set_bus(bus)?;
        self.check_card(self.present(), 0)
    }

    /// Switches the card's power off, where the controller or the platform can.
    /// [`EmergencyController::reset`] switches it on.
    pub fn power_off(&mut self) {
        slot::stop_clock(&self.registers);
        self.registers
            .write(HOST_CONTROL, HostControl::BUS_POWER::CLEAR);
        self.platform.power(false);
    }

    /// Whether the card's supply is of 3 V and more. If not, it is 1.8 V.
    pub fn has_3_volts(&self) -> bool {
        self.abilities().has_3_volts()
    }

    /// Whether the write-protect switch of the slot is on.
    pub fn is_write_protected(&self) -> bool {
        slot::is_write_protected(&self.registers, &self.platform)
    }

    fn abilities(&self) -> Abilities {
        Abilities::read(&self.registers, &self.platform)
    }

    /// Runs the bus at another clock, width or timing.
    ///
    /// # Errors
    /// [`ErrorKind::ClockUnstable`].
    pub fn set_bus(&mut self, mut bus: Bus) -> Result<(), Error> {
        bus.clock_hz = bus.clock_hz.min(self.most_hz);
        let abilities = self.abilities();
        self.dma &= abilities.has_adma2();
        slot::stop_clock(&self.registers);
        self.registers
            .write(HOST_CONTROL, abilities.host_control(bus));
        if self.platform.has_dual_rate() {
            self.registers
                .write(HOST_CONTROL_2, Abilities::host_control_2(bus));
        }
        let clock =
            abilities.clock_control(bus, &self.platform) + ClockControl::INTERNAL_CLOCK_ENABLE::SET;
        self.registers.write(CLOCK_CONTROL, clock);
        let mut limit = WaitLimit::new(limit::CONTROLLER);
        while !self
            .registers
            .read(CLOCK_CONTROL)
            .is_set(ClockControl::INTERNAL_CLOCK_STABLE)
        {
            if self.timer.wait_expired(&mut limit) {
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
        // One at a time: some controllers accept only one of the bits in a write.
        let command_line = ClockControl::RESET_COMMAND::SET.modify(clock);
        self.registers.set(CLOCK_CONTROL, command_line);
        let result = self.wait_reset();
        let data_lines = ClockControl::RESET_DATA::SET.modify(clock);
        self.registers.set(CLOCK_CONTROL, data_lines);
        let result = result.and(self.wait_reset());
        self.registers.set(INTERRUPT_STATUS, !0);
        result
    }

    /// Counts a poll of the caller that found the card busy; true when that wait, or the phase, has
    /// taken too long.
    pub fn busy_expired(&mut self, limit: &mut WaitLimit) -> bool {
        self.timer.wait_expired(limit) && !self.timer.prolong(limit)
    }

    /// As [`PhaseTimer::wait_expired`]; a wait that has expired goes on if the card signals busy on
    /// DAT0 (2.2.9).
    #[inline(always)]
    fn card_expired(&mut self, limit: &mut WaitLimit) -> bool {
        self.timer.wait_expired(limit)
            && !(self.present().read(PresentState::DATA_LEVEL) & 1 == 0
                && self.timer.prolong(limit))
    }

    /// Whether the time of the phase was over when a wait last read the clock.
    pub fn phase_expired(&self) -> bool {
        self.timer.phase_expired()
    }

    /// Waits for at least `ms` milliseconds, or half of the phase, or until the phase is over.
    pub fn delay(&mut self, ms: u32) {
        let registers = &self.registers;
        self.timer.delay(ms, || {
            registers.read(PRESENT_STATE);
        });
    }

    /// Sends a command without data; returns the first word of the response. For [`Response::R1b`]
    /// it returns when the card is no longer busy.
    ///
    /// # Errors
    /// Those of a command; after one, call [`EmergencyController::reset_lines`].
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

    /// The last response; of a long one (136 bits) bits 127:8.
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
    /// [`ErrorKind::BadRequest`] if there are no blocks, or more than [`adma2::MAX_BLOCKS`];
    /// nothing was sent then. Otherwise those of a command and of data; after one, call
    /// [`EmergencyController::reset_lines`], and bring the card back to its transfer state.
    pub fn transfer(&mut self, command: &Command, data: &Data<'_>) -> Result<u32, Error> {
        let count = data.blocks.len();
        if count == 0 || count > adma2::MAX_BLOCKS {
            return Err(Error::new(ErrorKind::BadRequest, command.index));
        }
        self.wait_free(command, true)?;
        let dma = self.set_up_dma(data);
        // Data and descriptors must be in memory before the controller reads them.
        self.registers.barrier();
        let registers = &self.registers;
        let blocks =
            Blocks::SIZE.val(data.block_len.bytes().into()) + Blocks::COUNT.val(count as u32);
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
        let limit = limit_of(data).wrapping_shl(self.patience.into());
        self.wait_for(complete, command, ErrorKind::DataStalled, limit)?;
        self.registers.barrier();
        if let AutoCommand::Cmd12(refusal) = data.auto
            && self.registers.read(RESPONSE_3).get() & refusal != 0
        {
            return Err(Error::new(ErrorKind::AutoRefused, command.index));
        }
        Ok(response)
    }

    /// Sets ADMA2 up for a transfer; false if its data have to go through the buffer port.
    fn set_up_dma(&self, data: &Data<'_>) -> bool {
        let table = if self.dma { self.table } else { None };
        let Some(address) = adma2::describe(table, data, &self.platform) else {
            return false;
        };
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
        let words = usize::from(data.block_len.bytes() / 4);
        let limit = limit_of(data).wrapping_shl(self.patience.into());
        for block in data.blocks {
            self.wait_for(ready, command, ErrorKind::DataStalled, limit)?;
            self.registers.write(INTERRUPT_STATUS, ready);
            // A `BlockLen` is at most that of a `Block`, so this always holds.
            let Some(words) = block.words().get(..words) else {
                continue;
            };
            if read {
                buffer_port::to_memory(&self.registers, words);
            } else {
                buffer_port::from_memory(&self.registers, words);
            }
        }
        Ok(())
    }

    fn present(&self) -> LocalRegisterCopy<u32, PresentState::Register> {
        self.registers.read(PRESENT_STATE)
    }

    #[inline(always)]
    fn check_card(
        &mut self,
        present: LocalRegisterCopy<u32, PresentState::Register>,
        command: u8,
    ) -> Result<(), Error> {
        if present.is_set(PresentState::CARD_INSERTED) || !self.platform.has_card_detect() {
            Ok(())
        } else {
            self.check_card_again(command)
        }
    }

    /// Until the card detect signal does not bounce any more no card is shown (2.2.9).
    #[cold]
    #[inline(never)]
    fn check_card_again(&mut self, command: u8) -> Result<(), Error> {
        let mut limit = WaitLimit::new(limit::CONTROLLER);
        while !self.present().is_set(PresentState::CARD_STATE_STABLE) {
            if self.timer.wait_expired(&mut limit) {
                break;
            }
        }
        if self.present().is_set(PresentState::CARD_INSERTED) {
            Ok(())
        } else {
            Err(Error::new(ErrorKind::CardGone, command))
        }
    }

    /// An error of a request, which is [`ErrorKind::CardGone`] if there is no card any more. It
    /// does not wait for a signal that bounces: the card was there when the command was sent.
    fn explain(&self, error: Error) -> Error {
        if self.present().is_set(PresentState::CARD_INSERTED) || !self.platform.has_card_detect() {
            error
        } else {
            Error::new(ErrorKind::CardGone, error.command)
        }
    }

    /// The error that an error bit stands for; none if the transfer is complete all the same.
    #[cold]
    #[inline(never)]
    fn judge(&self, status: InterruptStatus, command: u8) -> Result<(), Error> {
        if is_complete(status) {
            return Ok(());
        }
        Err(self.explain(Error::decode(status, command)))
    }

    fn wait_reset(&mut self) -> Result<(), Error> {
        let resets = ClockControl::RESET_ALL::SET
            + ClockControl::RESET_COMMAND::SET
            + ClockControl::RESET_DATA::SET;
        let mut limit = WaitLimit::new(limit::CONTROLLER);
        while self
            .registers
            .read(CLOCK_CONTROL)
            .any_matching_bits_set(resets)
        {
            if self.timer.wait_expired(&mut limit) {
                return Err(Error::new(ErrorKind::ResetStuck, 0));
            }
        }
        Ok(())
    }

    /// Waits until a request can start, and clears the status bits of the one before.
    fn wait_free(&mut self, command: &Command, needs_data_lines: bool) -> Result<(), Error> {
        let mut inhibits = PresentState::COMMAND_INHIBIT::SET;
        if needs_data_lines {
            inhibits += PresentState::DATA_INHIBIT::SET;
        }
        let mut limit = WaitLimit::new(limit::CONTROLLER);
        let mut present = self.present();
        while present.any_matching_bits_set(inhibits) {
            if self.card_expired(&mut limit) {
                return Err(Error::new(ErrorKind::InhibitStuck, command.index));
            }
            present = self.present();
        }
        self.registers.set(INTERRUPT_STATUS, !0);
        self.check_card(present, command.index)
    }

    /// Waits for the response and checks it.
    fn wait_response(&mut self, command: &Command) -> Result<u32, Error> {
        let complete = Interrupt::COMMAND_COMPLETE::SET;
        self.wait_for(complete, command, ErrorKind::NoCompletion, limit::RESPONSE)?;
        let response = self.registers.read(RESPONSE_0).get();
        if response & command.refusal != 0 {
            return Err(Error::new(ErrorKind::Refused, command.index));
        }
        Ok(response)
    }

    /// Waits for a status bit. If it does not come in time the error is `timeout`, or
    /// [`ErrorKind::CardGone`] if there is no card any more.
    fn wait_for(
        &mut self,
        wanted: InterruptBits,
        command: &Command,
        timeout: ErrorKind,
        limit_ms: u32,
    ) -> Result<(), Error> {
        let mut limit = WaitLimit::new(limit_ms);
        loop {
            let status: InterruptStatus = self.registers.read(INTERRUPT_STATUS);
            if status.is_set(Interrupt::ERROR) {
                self.judge(status, command.index)?;
            }
            if status.any_matching_bits_set(wanted) {
                return Ok(());
            }
            if self.card_expired(&mut limit) {
                return Err(self.explain(Error::new(timeout, command.index)));
            }
        }
    }
}
