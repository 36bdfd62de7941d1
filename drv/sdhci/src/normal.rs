//! The normal driver: asynchronous, driven by the controller's interrupt.
//!
//! # Waiting
//!
//! A request polls the status register a few times, because a short command can be over before a
//! task switch would be. Then it enables the interrupt signal for exactly the bits it waits for and
//! yields the processor by [`Wait::interrupt`]. Every wait has a deadline: an interrupt that never
//! comes ends in an error.
//!
//! # Cancellation
//!
//! Dropping a future of this driver leaves its request running in the hardware, and the blocks of a
//! transfer may still be read or written by DMA. The next request on the same value finds that the
//! last one did not end, resets the command and data circuits, and then goes on. The state of the
//! *card* is for the caller to repair. The interrupt signal may stay enabled, so the caller may get
//! an interrupt that nothing waits for. The emergency driver can take the slot over at any point.

mod deadline;

use crate::adma2;
use crate::buffer_port;
use crate::clock::Abilities;
use crate::command::{AutoCommand, Command, Data, Direction, Response};
use crate::error::{Error, ErrorKind, is_complete};
use crate::platform::{Bus, Platform};
use crate::registers::{
    ADMA_ADDRESS, ARGUMENT, ARGUMENT_2, BLOCKS, Blocks, CAPABILITIES_2, CLOCK_CONTROL, COMMAND,
    Capabilities2, ClockControl, HOST_CONTROL, HOST_CONTROL_2, HostControl,
    INTERRUPT_SIGNAL_ENABLE, INTERRUPT_STATUS, INTERRUPT_STATUS_ENABLE, Interrupt, InterruptBits,
    InterruptStatus, PRESENT_STATE, PresentState, RESPONSE_0, RESPONSE_1, RESPONSE_2, RESPONSE_3,
    Registers,
};
use crate::slot;
use block_device::Block;
use core::future::Future;
use deadline::WaitDeadline;

/// How the driver waits. The caller implements it, because it owns the processor's side of the
/// interrupt.
pub trait Wait {
    /// Milliseconds since a fixed moment.
    fn now(&self) -> u64;

    /// Waits until the controller interrupts, or until `deadline` on the clock of [`Wait::now`].
    ///
    /// It may return early for any reason: the driver polls the status register again. Dropping the
    /// future must cancel the wait and nothing else.
    fn interrupt(&self, deadline: u64) -> impl Future<Output = ()>;
}

impl<T: Wait + ?Sized> Wait for &T {
    fn now(&self) -> u64 {
        (**self).now()
    }

    fn interrupt(&self, deadline: u64) -> impl Future<Output = ()> {
        (**self).interrupt(deadline)
    }
}

/// Limits of single steps, milliseconds.
mod limit {
    /// A software reset, a clock becoming stable (both at most 100 ms in the specification), a line
    /// becoming free.
    pub(super) const CONTROLLER: u64 = 100;
    /// Bouncing of the card detect signal, for which the specification gives no limit.
    pub(super) const DETECTION: u64 = 500;
    /// A response: 64 clocks, 160 us at the slowest bus.
    pub(super) const RESPONSE: u64 = 50;
    /// Data of one request, with the card's programming time, and busy: 250 to 500 ms in the
    /// specifications of SD; an eMMC takes seconds when it reclaims blocks in the background.
    pub(super) const DATA: u64 = 10_000;
}

/// Every error bit.
const ERRORS: u32 = 0x03FF_0000;

/// One slot of a controller, used by the normal path.
#[derive(Debug)]
pub struct NormalController<'a, R, P, W> {
    registers: R,
    platform: P,
    wait: W,
    table: Option<&'a Block>,
    /// Polls of a status before sleeping.
    spin: u32,
    /// Whether data move by ADMA2.
    dma: bool,
    auto_cmd23: bool,
    /// A request was begun and has not ended: either it is running now, or its future was dropped.
    in_flight: bool,
}

impl<'a, R: Registers, P: Platform, W: Wait> NormalController<'a, R, P, W> {
    /// Takes a slot; accesses no register yet. [`NormalController::reset`] has to come first.
    ///
    /// `table` is memory for descriptors; without it all data go through the buffer port. `spin` is
    /// how often a status is polled before the request sleeps until the interrupt.
    pub fn new(registers: R, platform: P, wait: W, table: Option<&'a Block>, spin: u32) -> Self {
        Self {
            registers,
            platform,
            wait,
            table,
            spin,
            dma: false,
            auto_cmd23: false,
            in_flight: false,
        }
    }

    /// The platform's decisions.
    pub fn platform(&self) -> &P {
        &self.platform
    }

    /// Whether the controller can send CMD23 by itself.
    pub fn has_auto_cmd23(&self) -> bool {
        self.auto_cmd23
    }

    /// Moves data through the buffer port from now on.
    pub fn give_up_dma(&mut self) {
        self.dma = false;
        self.table = None;
    }

    /// Resets the controller and starts the bus: powered, clocked, all status bits enabled.
    ///
    /// Dropped half way, the controller is in an unknown state: call it again.
    ///
    /// # Errors
    /// [`ErrorKind::CardGone`], [`ErrorKind::ResetStuck`], [`ErrorKind::ClockUnstable`].
    pub async fn reset(&mut self, bus: Bus) -> Result<(), Error> {
        self.platform.prepare();
        self.registers
            .write(CLOCK_CONTROL, ClockControl::RESET_ALL::SET);
        self.wait_reset().await?;
        self.platform.after_reset();
        self.in_flight = false;
        self.dma = self.table.is_some();
        // The reset has switched the card's supply off (2.2.16), or one before that a crash has
        // interrupted. A card that gets power back before its supply is discharged is in no defined
        // state.
        self.delay(self.platform.discharge_ms()).await;
        self.platform.power(true);
        self.registers.set(INTERRUPT_STATUS_ENABLE, !0);
        self.registers.set(INTERRUPT_SIGNAL_ENABLE, 0);
        self.set_bus(bus).await?;
        self.check_card(0).await
    }

    /// Whether the card's supply is of 3 V and more. If not, it is 1.8 V.
    pub fn has_3_volts(&self) -> bool {
        self.abilities().has_3_volts()
    }

    /// Whether dual data rate reaches the card.
    pub fn has_dual_rate(&self) -> bool {
        self.platform.has_dual_rate()
            && self
                .registers
                .read(CAPABILITIES_2)
                .is_set(Capabilities2::DDR50)
    }

    /// Data lines that are wired to the card and that the controller has: 1, 4 or 8.
    pub fn data_lines(&self) -> u8 {
        let wired = self.platform.data_lines();
        if wired == 8 && !self.abilities().has_8_lines() {
            4
        } else {
            wired
        }
    }

    /// Whether the write-protect switch of the slot is on.
    pub fn is_write_protected(&self) -> bool {
        slot::is_write_protected(&self.registers, &self.platform)
    }

    fn abilities(&self) -> Abilities {
        Abilities::read(&self.registers, &self.platform)
    }

    /// Runs the bus at another clock, width or timing, or starts it again after
    /// [`NormalController::suspend`].
    ///
    /// Dropped half way, the card has no clock: call it again.
    ///
    /// # Errors
    /// [`ErrorKind::ClockUnstable`].
    pub async fn set_bus(&mut self, bus: Bus) -> Result<(), Error> {
        let abilities = self.abilities();
        self.dma &= abilities.has_adma2();
        self.auto_cmd23 = abilities.is_version_3();
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
        let mut deadline = WaitDeadline::new(limit::CONTROLLER);
        while !self
            .registers
            .read(CLOCK_CONTROL)
            .is_set(ClockControl::INTERNAL_CLOCK_STABLE)
        {
            if self.pause(&mut deadline).await.is_none() {
                return Err(Error::new(ErrorKind::ClockUnstable, 0));
            }
        }
        self.registers
            .write(CLOCK_CONTROL, clock + ClockControl::SD_CLOCK_ENABLE::SET);
        Ok(())
    }

    /// Stops all clocks and leaves the card powered, so that it keeps its state.
    /// [`NormalController::set_bus`] starts them again.
    pub fn suspend(&mut self) {
        slot::stop_clock(&self.registers);
        // Then the internal clock, too.
        self.registers
            .write(CLOCK_CONTROL, ClockControl::INTERNAL_CLOCK_ENABLE::CLEAR);
    }

    /// Stops all clocks and switches the card's power off, where the controller or the platform
    /// can. [`NormalController::reset`] switches it on.
    pub fn power_off(&mut self) {
        self.suspend();
        self.registers
            .write(HOST_CONTROL, HostControl::BUS_POWER::CLEAR);
        self.platform.power(false);
    }

    /// Resets the command and the data circuit, after an error.
    ///
    /// Dropped half way, the circuits may still be in reset, and the next request repeats it if one
    /// had not ended before.
    ///
    /// # Errors
    /// [`ErrorKind::ResetStuck`].
    pub async fn reset_lines(&mut self) -> Result<(), Error> {
        let clock = self.registers.read(CLOCK_CONTROL).get();
        // One at a time: some controllers accept only one of the bits in a write.
        let command_line = ClockControl::RESET_COMMAND::SET.modify(clock);
        self.registers.set(CLOCK_CONTROL, command_line);
        let result = self.wait_reset().await;
        let data_lines = ClockControl::RESET_DATA::SET.modify(clock);
        self.registers.set(CLOCK_CONTROL, data_lines);
        let result = result.and(self.wait_reset().await);
        self.registers.set(INTERRUPT_STATUS, !0);
        self.in_flight = false;
        result
    }

    /// Waits for at least `ms` milliseconds. Dropping it has no effect on the controller.
    pub async fn delay(&mut self, ms: u32) {
        // One more, because the current millisecond has begun already.
        let end = self.wait.now().saturating_add(ms.into()).saturating_add(1);
        while self.wait.now() < end {
            self.wait.interrupt(end).await;
        }
    }

    /// Sends a command without data; returns the first word of the response. For [`Response::R1b`]
    /// it returns when the card is no longer busy.
    ///
    /// Dropped half way, the command goes on in the hardware; see the module's documentation.
    ///
    /// # Errors
    /// Those of a command; after one, call [`NormalController::reset_lines`].
    pub async fn command(&mut self, command: &Command) -> Result<u32, Error> {
        self.begin(command, command.response == Response::R1b)
            .await?;
        self.registers.set(ARGUMENT, command.argument);
        self.registers.write(COMMAND, command.encode());
        let response = self.wait_response(command).await?;
        if command.response == Response::R1b {
            match self.wait_complete(command, ErrorKind::BusyStuck).await {
                // The controller has waited for as long as it can (2.2.15), and the card is still
                // busy.
                Err(error) if error.kind == ErrorKind::DataTimeout => {
                    self.wait_released(command).await?;
                }
                result => result?,
            }
        }
        self.in_flight = false;
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
    /// Dropped half way, the transfer goes on in the hardware; see the module's documentation.
    ///
    /// # Errors
    /// [`ErrorKind::BadRequest`] if there are no blocks, or more than [`adma2::MAX_BLOCKS`];
    /// nothing was sent then. Otherwise those of a command and of data; after one, call
    /// [`NormalController::reset_lines`], and bring the card back to its transfer state.
    pub async fn transfer(&mut self, command: &Command, data: &Data<'_>) -> Result<u32, Error> {
        let count = data.blocks.len();
        if count == 0 || count > adma2::MAX_BLOCKS {
            return Err(Error::new(ErrorKind::BadRequest, command.index));
        }
        self.begin(command, true).await?;
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
        let response = self.wait_response(command).await?;
        if !dma {
            self.move_data(command, data).await?;
        }
        self.wait_complete(command, ErrorKind::DataStalled).await?;
        self.registers.barrier();
        if let AutoCommand::Cmd12(refusal) = data.auto
            && self.registers.read(RESPONSE_3).get() & refusal != 0
        {
            return Err(Error::new(ErrorKind::AutoRefused, command.index));
        }
        self.in_flight = false;
        Ok(response)
    }

    /// Waits until a request can start, and clears the status bits of the one before.
    async fn begin(&mut self, command: &Command, needs_data_lines: bool) -> Result<(), Error> {
        if self.in_flight {
            self.reset_lines().await?;
        }
        self.check_card(command.index).await?;
        let mut inhibits = PresentState::COMMAND_INHIBIT::SET;
        if needs_data_lines {
            inhibits += PresentState::DATA_INHIBIT::SET;
        }
        let mut deadline = WaitDeadline::new(limit::CONTROLLER);
        while self
            .registers
            .read(PRESENT_STATE)
            .any_matching_bits_set(inhibits)
        {
            if self.pause(&mut deadline).await.is_none() {
                return Err(Error::new(ErrorKind::InhibitStuck, command.index));
            }
        }
        self.registers.set(INTERRUPT_STATUS, !0);
        self.in_flight = true;
        Ok(())
    }

    /// Sets ADMA2 up for a transfer; false if its data have to go through the buffer port.
    fn set_up_dma(&self, data: &Data<'_>) -> bool {
        if !self.dma {
            return false;
        }
        let Some(address) = adma2::describe(self.table, data, &self.platform) else {
            return false;
        };
        self.registers.set(ADMA_ADDRESS, address);
        true
    }

    /// Moves data through the buffer port.
    async fn move_data(&mut self, command: &Command, data: &Data<'_>) -> Result<(), Error> {
        let read = data.direction == Direction::Read;
        let ready = if read {
            Interrupt::BUFFER_READ_READY::SET
        } else {
            Interrupt::BUFFER_WRITE_READY::SET
        };
        let words = usize::from(data.block_len.bytes() / 4);
        for block in data.blocks {
            self.wait_for(ready, command, ErrorKind::DataStalled, limit::DATA)
                .await?;
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

    /// Until the card detect signal does not bounce any more no card is shown (2.2.9).
    async fn check_card(&mut self, command: u8) -> Result<(), Error> {
        let mut deadline = WaitDeadline::new(limit::DETECTION);
        loop {
            let present = self.registers.read(PRESENT_STATE);
            if present.is_set(PresentState::CARD_INSERTED) || !self.platform.has_card_detect() {
                return Ok(());
            }
            if present.is_set(PresentState::CARD_STATE_STABLE)
                || self.pause(&mut deadline).await.is_none()
            {
                return Err(Error::new(ErrorKind::CardGone, command));
            }
        }
    }

    async fn wait_reset(&mut self) -> Result<(), Error> {
        let resets = ClockControl::RESET_ALL::SET
            + ClockControl::RESET_COMMAND::SET
            + ClockControl::RESET_DATA::SET;
        let mut deadline = WaitDeadline::new(limit::CONTROLLER);
        while self
            .registers
            .read(CLOCK_CONTROL)
            .any_matching_bits_set(resets)
        {
            if self.pause(&mut deadline).await.is_none() {
                return Err(Error::new(ErrorKind::ResetStuck, 0));
            }
        }
        Ok(())
    }

    /// Waits for the response and checks it.
    async fn wait_response(&mut self, command: &Command) -> Result<u32, Error> {
        let complete = Interrupt::COMMAND_COMPLETE::SET;
        self.wait_for(complete, command, ErrorKind::NoCompletion, limit::RESPONSE)
            .await?;
        let response = self.registers.read(RESPONSE_0).get();
        if response & command.refusal != 0 {
            return Err(Error::new(ErrorKind::Refused, command.index));
        }
        Ok(response)
    }

    /// Waits until the card releases DAT0.
    async fn wait_released(&mut self, command: &Command) -> Result<(), Error> {
        self.reset_lines().await?;
        let mut deadline = WaitDeadline::new(limit::DATA);
        while self
            .registers
            .read(PRESENT_STATE)
            .read(PresentState::DATA_LEVEL)
            & 1
            == 0
        {
            if self.pause(&mut deadline).await.is_none() {
                return Err(Error::new(ErrorKind::BusyStuck, command.index));
            }
        }
        Ok(())
    }

    fn wait_complete(
        &mut self,
        command: &Command,
        timeout: ErrorKind,
    ) -> impl Future<Output = Result<(), Error>> {
        self.wait_for(
            Interrupt::TRANSFER_COMPLETE::SET,
            command,
            timeout,
            limit::DATA,
        )
    }

    /// Waits for a status bit. If it does not come in time the error is `timeout`, or
    /// [`ErrorKind::CardGone`] if there is no card any more.
    async fn wait_for(
        &mut self,
        wanted: InterruptBits,
        command: &Command,
        timeout: ErrorKind,
        limit_ms: u64,
    ) -> Result<(), Error> {
        let mut deadline = WaitDeadline::new(limit_ms);
        loop {
            let status: InterruptStatus = self.registers.read(INTERRUPT_STATUS);
            if status.is_set(Interrupt::ERROR) && !is_complete(status) {
                self.check_card(command.index).await?;
                return Err(Error::decode(status, command.index));
            }
            if status.any_matching_bits_set(wanted) {
                return Ok(());
            }
            if deadline.polls < self.spin {
                deadline.polls = deadline.polls.wrapping_add(1);
                continue;
            }
            let now = self.wait.now();
            let Some(mut end) = deadline.at(now) else {
                self.check_card(command.index).await?;
                return Err(Error::new(timeout, command.index));
            };
            if !R::INTERRUPTS_AT_END_OF_BUSY && command.response == Response::R1b {
                end = end.min(now.saturating_add(1));
            }
            self.registers
                .set(INTERRUPT_SIGNAL_ENABLE, wanted.value | ERRORS);
            self.wait.interrupt(end).await;
            self.registers.set(INTERRUPT_SIGNAL_ENABLE, 0);
        }
    }

    /// Waits a little, for a state that no interrupt reports: nothing at first, then a millisecond.
    /// `None` when the deadline has passed.
    async fn pause(&mut self, deadline: &mut WaitDeadline) -> Option<()> {
        if deadline.polls < self.spin {
            deadline.polls = deadline.polls.wrapping_add(1);
            return Some(());
        }
        let now = self.wait.now();
        let end = deadline.at(now)?;
        self.wait.interrupt(end.min(now.saturating_add(1))).await;
        Some(())
    }
}
