//! What the card driver of normal operation needs of a host controller.

use drv_sdhci::interrupt::{Controller, Wait};
use drv_sdhci::{Bus, Command, Data, Error, Platform, Registers};

/// A host controller, used asynchronously.
pub trait Host {
    /// Resets the controller and runs the bus.
    fn reset(&mut self, bus: Bus) -> impl Future<Output = Result<(), Error>>;
    /// Runs the bus at another clock, width or timing, or again after [`Host::suspend`].
    fn set_bus(&mut self, bus: Bus) -> impl Future<Output = Result<(), Error>>;
    /// Makes the lines usable again after an error.
    fn reset_lines(&mut self) -> impl Future<Output = Result<(), Error>>;
    /// Sends a command without data; returns the first word of the response.
    fn command(&mut self, command: &Command) -> impl Future<Output = Result<u32, Error>>;
    /// Sends a command with data; returns the first word of the response.
    fn transfer(
        &mut self,
        command: &Command,
        data: &Data<'_>,
    ) -> impl Future<Output = Result<u32, Error>>;
    /// Lets time pass.
    fn delay(&mut self, ms: u32) -> impl Future<Output = ()>;
    /// The four words of the last response; the last of them is that to an automatic CMD12.
    fn response(&self) -> [u32; 4];
    /// Data lines that are wired: 1, 4 or 8.
    fn data_lines(&self) -> u8;
    /// Whether the controller can send CMD23 by itself.
    fn has_auto_cmd23(&self) -> bool;
    /// Moves data by the processor from now on.
    fn give_up_dma(&mut self);
    /// Stops the card's clock.
    fn suspend(&mut self);
    /// Stops the card's clock and takes its power; [`Host::reset`] gives it back.
    fn power_off(&mut self);
    /// Whether [`Host::power_off`] is allowed.
    fn may_cut_power(&self) -> bool;
    /// Whether a card that was put to sleep wakes again.
    fn card_wakes(&self) -> bool;
}

impl<R: Registers, P: Platform, W: Wait> Host for Controller<'_, R, P, W> {
    fn reset(&mut self, bus: Bus) -> impl Future<Output = Result<(), Error>> {
        Controller::reset(self, bus)
    }

    fn set_bus(&mut self, bus: Bus) -> impl Future<Output = Result<(), Error>> {
        Controller::set_bus(self, bus)
    }

    fn reset_lines(&mut self) -> impl Future<Output = Result<(), Error>> {
        Controller::reset_lines(self)
    }

    fn command(&mut self, command: &Command) -> impl Future<Output = Result<u32, Error>> {
        Controller::command(self, command)
    }

    fn transfer(
        &mut self,
        command: &Command,
        data: &Data<'_>,
    ) -> impl Future<Output = Result<u32, Error>> {
        Controller::transfer(self, command, data)
    }

    fn delay(&mut self, ms: u32) -> impl Future<Output = ()> {
        Controller::delay(self, ms)
    }

    fn response(&self) -> [u32; 4] {
        Controller::response(self)
    }

    fn data_lines(&self) -> u8 {
        self.platform().data_lines()
    }

    fn has_auto_cmd23(&self) -> bool {
        Controller::has_auto_cmd23(self)
    }

    fn give_up_dma(&mut self) {
        Controller::give_up_dma(self);
    }

    fn suspend(&mut self) {
        Controller::suspend(self);
    }

    fn power_off(&mut self) {
        Controller::power_off(self);
    }

    fn may_cut_power(&self) -> bool {
        self.platform().may_cut_power()
    }

    fn card_wakes(&self) -> bool {
        self.platform().card_wakes()
    }
}
