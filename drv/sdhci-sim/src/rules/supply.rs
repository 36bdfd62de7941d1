//! The card's supply, and when a card listens after it was switched on.

use crate::card::SimCardState;
use crate::controller::SimController;
use drv_sdhci::registers::HostControl;

/// How long the supply has to be low before it may rise again, microseconds (SD 6.4.1.2).
const LOW_US: u64 = 1_000;

/// How long the supply has to be stable before the first command, microseconds (SD 6.4.1.1).
const STABLE_US: u64 = 1_000;

/// Cycles of the clock before the first command (SD 6.4.1.1, eMMC 10.1).
const FIRST_CLOCKS: u64 = 74;

/// Whether and since when the supply is switched off.
#[derive(Clone, Copy, Debug)]
enum Off {
    /// It is on.
    No,
    /// Since this time.
    Since(u64),
    /// It has never been on.
    Always,
}

/// The supply of the card, as its switches have made it.
#[derive(Clone, Debug)]
pub(crate) struct Supply {
    off: Off,
    /// When it was last switched on after it had been low; it rises from then on.
    rises_from: u64,
    /// The card's clock, since it last changed: from when, and Hz.
    clock: Option<(u64, u64)>,
}

impl Supply {
    /// Never switched on up to now.
    pub(crate) fn new() -> Self {
        Self {
            off: Off::Always,
            rises_from: 0,
            clock: None,
        }
    }
}

impl SimController {
    /// Operates the platform's switch in the card's supply.
    pub(crate) fn set_platform_power(&mut self, on: bool) {
        self.platform_power = on;
        self.update_power();
    }

    /// Whether the switches in the card's supply are on.
    fn is_switched_on(&self) -> bool {
        let controller_power = self.host_control & HostControl::BUS_POWER::SET.value != 0;
        self.platform_power && (controller_power || !self.powers_card)
    }

    /// Whether the card has lost its supply.
    pub(crate) fn is_dark(&self) -> bool {
        match self.supply.off {
            Off::No => false,
            Off::Since(since) => self.now - since > self.supply_holds_us,
            Off::Always => !self.is_switched_on(),
        }
    }

    /// Powers the card on or off as the switches in its supply say.
    pub(crate) fn update_power(&mut self) {
        let now = self.now;
        let off = self.supply.off;
        if !self.is_switched_on() {
            if matches!(off, Off::No) {
                self.supply.off = Off::Since(now);
            }
            return;
        }
        self.supply.off = Off::No;
        let low_us = match off {
            Off::No => return,
            Off::Since(since) if now - since <= self.supply_holds_us => return,
            Off::Since(since) => now - since - self.supply_holds_us,
            // Nothing that this simulator knows of switches it.
            Off::Always if !self.powers_card => return,
            Off::Always => u64::MAX,
        };
        self.supply.rises_from = now;
        if let Some(card) = &mut self.card {
            card.power_off();
            // A card whose supply was not low for long enough is in no defined state, and does not
            // come back before it has been (SD 6.4.1.2).
            if low_us >= LOW_US {
                card.power_on();
            }
        }
    }

    /// The value that Host Control and Power Control take.
    ///
    /// Power Control keeps no power at a voltage that the controller does not have, and the voltage
    /// must not change while there is power (SDHCI 2.2.11).
    pub(crate) fn checked_power(&mut self, value: u32) -> u32 {
        let power = HostControl::BUS_POWER::SET.value;
        let field = HostControl::BUS_VOLTAGE.mask << HostControl::BUS_VOLTAGE.shift;
        let voltage = value >> HostControl::BUS_VOLTAGE.shift & HostControl::BUS_VOLTAGE.mask;
        if value & power == 0 {
            return value;
        }
        let ability = match voltage {
            7 => 1 << 24,
            6 => 1 << 25,
            5 => 1 << 26,
            _ => 0,
        };
        if self.capabilities & ability == 0 {
            self.violation(format!("power at a voltage ({voltage}) that is not there"));
            return value & !power;
        }
        if self.host_control & power != 0 && (self.host_control ^ value) & field != 0 {
            self.violation("the voltage changes while there is power".into());
        }
        value
    }

    /// The voltage on the bus, as bits of the operating conditions register (SD 5.1, eMMC 7.1).
    pub(crate) fn supplied_voltage(&self) -> u32 {
        match self.host_control >> HostControl::BUS_VOLTAGE.shift & HostControl::BUS_VOLTAGE.mask {
            7 => 3 << 20,
            6 => 3 << 17,
            5 => 1 << 7,
            _ => 0,
        }
    }

    /// Notes that the card's clock may have changed.
    pub(crate) fn note_clock(&mut self) {
        let hz = if self.card_is_clocked() {
            self.clock_hz()
        } else {
            0
        };
        if self.supply.clock.map(|(_, hz)| hz) != Some(hz) {
            self.supply.clock = Some((self.now, hz));
        }
    }

    /// Whether a card that was just powered listens to a command: a millisecond after its supply
    /// has risen, and after 74 clocks (SD 6.4.1.1, eMMC 10.1). A driver that begins an
    /// identification earlier has not waited; one that asks for the state of a card that it knows
    /// could not tell that the card had lost its supply.
    pub(crate) fn listens(&mut self, index: u8) -> bool {
        if !self.card.as_ref().is_some_and(|card| card.is_fresh()) {
            return true;
        }
        let risen = self.supply.rises_from + self.ramp_us;
        let stable = self.now >= risen + STABLE_US || !self.powers_card;
        let clocks = self.supply.clock.map_or(0, |(since, hz)| {
            self.now.saturating_sub(since.max(risen)) * hz / 1_000_000
        });
        let clocked = clocks >= FIRST_CLOCKS || !self.powers_card;
        if index == 0 && !(stable && clocked) {
            let after = self.now.saturating_sub(risen);
            self.violation(format!(
                "CMD0 {after} us and {clocks} clocks after the supply has risen"
            ));
        }
        // A lower voltage than the card needs (SD 4.2.3, eMMC 6.4.2).
        let supplied = self.supplied_voltage();
        let is_low = supplied == 1 << 7
            && self.powers_card
            && self
                .card
                .as_ref()
                .is_some_and(|card| card.voltages & supplied == 0);
        stable && clocked && !is_low
    }

    /// Whether the card, if there is one, is in no defined state.
    pub(crate) fn is_mute(&self) -> bool {
        self.card
            .as_ref()
            .is_some_and(|card| card.state() == SimCardState::Mute)
    }
}
