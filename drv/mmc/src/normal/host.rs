//! What the normal path needs of a host controller.

use drv_sdhci::normal::{NormalController, Wait};
use drv_sdhci::{Bus, Command, Data, Error, Platform, Registers};

/// A host controller, used asynchronously.
///
/// Dropping a future of this trait may leave a command or transfer running in the hardware. The
/// next [`Host::command`] or [`Host::transfer`] then has to reset the lines before it sends
/// anything; the state of the card is for the caller to repair.
pub trait Host {
    /// Resets the controller and starts the bus. After a future of it was dropped it has to be
    /// called again.
    fn reset(&mut self, bus: Bus) -> impl Future<Output = Result<(), Error>>;
    /// Runs the bus at another clock, width or timing, or starts it again after [`Host::suspend`].
    /// After a future of it was dropped it has to be called again.
    fn set_bus(&mut self, bus: Bus) -> impl Future<Output = Result<(), Error>>;
    /// Resets the command and data circuits, after an error.
    fn reset_lines(&mut self) -> impl Future<Output = Result<(), Error>>;
    /// Sends a command without data; returns the first word of the response.
    fn command(&mut self, command: &Command) -> impl Future<Output = Result<u32, Error>>;
    /// Sends a command with data; returns the first word of the response.
    fn transfer(
        &mut self,
        command: &Command,
        data: &Data<'_>,
    ) -> impl Future<Output = Result<u32, Error>>;
    /// Waits for at least `ms` milliseconds.
    fn delay(&mut self, ms: u32) -> impl Future<Output = ()>;
    /// The four words of the last response. The last of them is the response to a CMD12 that the
    /// controller sent by itself.
    fn response(&self) -> [u32; 4];
    /// Data lines that are wired to the card and that the controller has: 1, 4 or 8.
    fn data_lines(&self) -> u8;
    /// Whether the controller can send CMD23 by itself.
    fn has_auto_cmd23(&self) -> bool;
    /// Uses no DMA from now on.
    fn give_up_dma(&mut self);
    /// Stops the card's clock.
    fn suspend(&mut self);
    /// Stops the card's clock and switches its power off; [`Host::reset`] switches it on.
    fn power_off(&mut self);
    /// Whether [`Host::power_off`] is allowed.
    fn may_cut_power(&self) -> bool;
    /// Whether a card that was put to sleep is known to wake.
    fn card_wakes(&self) -> bool;
    /// Whether the card's supply is of 3 V and more. If not, it is 1.8 V.
    fn has_3_volts(&self) -> bool;
    /// Whether dual data rate reaches an eMMC.
    fn has_dual_rate(&self) -> bool;
    /// Whether the write-protect switch of the slot is on.
    fn is_write_protected(&self) -> bool;
    /// See [`Platform::ramp_ms`].
    fn ramp_ms(&self) -> u16;
    /// See [`Platform::discharge_ms`].
    fn discharge_ms(&self) -> u32;
}

impl<R: Registers, P: Platform, W: Wait> Host for NormalController<'_, R, P, W> {
    fn reset(&mut self, bus: Bus) -> impl Future<Output = Result<(), Error>> {
        NormalController::reset(self, bus)
    }

    fn set_bus(&mut self, bus: Bus) -> impl Future<Output = Result<(), Error>> {
        NormalController::set_bus(self, bus)
    }

    fn reset_lines(&mut self) -> impl Future<Output = Result<(), Error>> {
        NormalController::reset_lines(self)
    }

    fn command(&mut self, command: &Command) -> impl Future<Output = Result<u32, Error>> {
        NormalController::command(self, command)
    }

    fn transfer(
        &mut self,
        command: &Command,
        data: &Data<'_>,
    ) -> impl Future<Output = Result<u32, Error>> {
        NormalController::transfer(self, command, data)
    }

    fn delay(&mut self, ms: u32) -> impl Future<Output = ()> {
        NormalController::delay(self, ms)
    }

    fn response(&self) -> [u32; 4] {
        NormalController::response(self)
    }

    fn data_lines(&self) -> u8 {
        NormalController::data_lines(self)
    }

    fn has_auto_cmd23(&self) -> bool {
        NormalController::has_auto_cmd23(self)
    }

    fn give_up_dma(&mut self) {
        NormalController::give_up_dma(self);
    }

    fn suspend(&mut self) {
        NormalController::suspend(self);
    }

    fn power_off(&mut self) {
        NormalController::power_off(self);
    }

    fn may_cut_power(&self) -> bool {
        self.platform().may_cut_power()
    }

    fn card_wakes(&self) -> bool {
        self.platform().card_wakes()
    }

    fn has_3_volts(&self) -> bool {
        NormalController::has_3_volts(self)
    }

    fn has_dual_rate(&self) -> bool {
        NormalController::has_dual_rate(self)
    }

    fn is_write_protected(&self) -> bool {
        NormalController::is_write_protected(self)
    }

    fn ramp_ms(&self) -> u16 {
        self.platform().ramp_ms()
    }

    fn discharge_ms(&self) -> u32 {
        self.platform().discharge_ms()
    }
}
