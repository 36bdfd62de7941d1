//! The driver's environment: platform hooks and time.

use crate::{ClockFault, Simulator};
use block_device::Block;
use drv_sdhci::Platform;
use drv_sdhci::emergency::Clock;
use drv_sdhci::normal::Wait;
use std::task::Poll;

/// The board that the simulated slot is on.
#[derive(Clone, Debug)]
pub struct SimBoard {
    simulator: Simulator,
    lines: u8,
    has_card_detect: bool,
    may_cut_power: bool,
    card_wakes: bool,
}

/// The simulated time, as a time source for either driver.
#[derive(Clone, Debug)]
pub struct SimTime(Simulator);

impl Simulator {
    /// A board with `lines` data lines (1, 4 or 8).
    #[must_use]
    pub fn board(&self, lines: u8) -> SimBoard {
        SimBoard {
            simulator: self.clone(),
            lines,
            has_card_detect: true,
            may_cut_power: false,
            card_wakes: false,
        }
    }

    /// The time source.
    #[must_use]
    pub fn time(&self) -> SimTime {
        SimTime(self.clone())
    }
}

impl SimBoard {
    /// A board without a card detect signal.
    #[must_use]
    pub fn without_card_detect(mut self) -> Self {
        self.has_card_detect = false;
        self
    }

    /// A board that may cut the power of a suspended card.
    #[must_use]
    pub fn with_power_cut(mut self) -> Self {
        self.may_cut_power = true;
        self
    }

    /// A board whose card wakes from sleep.
    #[must_use]
    pub fn with_sleep(mut self) -> Self {
        self.card_wakes = true;
        self
    }
}

impl Platform for SimBoard {
    fn data_lines(&self) -> u8 {
        self.lines
    }

    fn has_card_detect(&self) -> bool {
        self.has_card_detect
    }

    fn has_dual_rate(&self) -> bool {
        true
    }

    fn has_write_protect(&self) -> bool {
        true
    }

    fn bus_address(&self, block: &Block) -> Option<u32> {
        self.simulator
            .controller()
            .memory
            .bus_address(block.address())
    }

    fn may_cut_power(&self) -> bool {
        self.may_cut_power
    }

    fn card_wakes(&self) -> bool {
        self.card_wakes
    }

    fn ramp_ms(&self) -> u16 {
        let us = self.simulator.controller().ramp_us;
        u16::try_from(us.div_ceil(1_000)).unwrap_or(u16::MAX)
    }

    fn discharge_ms(&self) -> u32 {
        // The supply has to be low for a millisecond (SD 6.4.1.2).
        let us = self.simulator.controller().supply_holds_us;
        u32::try_from(us.div_ceil(1_000) + 1).unwrap_or(u32::MAX)
    }

    fn power(&self, on: bool) {
        self.simulator.controller().set_platform_power(on);
    }
}

impl Clock for SimTime {
    fn now(&self) -> Option<u64> {
        let world = &self.0.0;
        let reading = world.clock_readings.get();
        world.clock_readings.set(reading + 1);
        let ms = self.0.now_us() / 1000;
        match world.clock.get() {
            ClockFault::None => Some(ms),
            ClockFault::Dead => None,
            ClockFault::Frozen(time) => Some(time),
            ClockFault::Jumping(by) => Some(ms + reading % 2 * by),
            ClockFault::Backwards => Some(u64::MAX / 2 - ms),
            ClockFault::Slow(factor) => reading.is_multiple_of(2).then_some(ms / factor),
        }
    }
}

impl Wait for SimTime {
    fn now(&self) -> u64 {
        self.0.now_us() / 1000
    }

    /// Sleeps once; [`Simulator::block_on`] wakes the driver at the interrupt or at the deadline.
    fn interrupt(&self, deadline: u64) -> impl Future<Output = ()> {
        let mut asleep = false;
        std::future::poll_fn(move |_| {
            if std::mem::replace(&mut asleep, true) {
                return Poll::Ready(());
            }
            self.0.0.deadline.set(Some(deadline.saturating_mul(1000)));
            Poll::Pending
        })
    }
}
