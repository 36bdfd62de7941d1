//! The part of identification that only eMMC has: EXT_CSD, and switching its bytes.

use super::{Identification, IdentificationStep};
use crate::action::Action;
use crate::error::Error;
use crate::ext_csd::ExtCsd;
use crate::location::flag;
use crate::proto::{self, ext_csd};
use block_device::Block;
use drv_sdhci::BlockLen;

/// A byte of EXT_CSD that is switched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Switch {
    Partition,
    Timing,
    Width,
    Interrupt,
    Cache,
    PowerOff,
}

impl Switch {
    /// Timing before width, so that a wide bus is verified with the timing that it will be used
    /// with.
    const ORDER: [Self; 5] = [
        Self::Timing,
        Self::Width,
        Self::Interrupt,
        Self::Cache,
        Self::PowerOff,
    ];
}

impl Identification {
    pub(super) fn take_ext_csd(&mut self, buffer: &Block) -> Result<Action, Error> {
        let ext_csd = ExtCsd::parse(buffer).ok_or(Error::ExtCsd)?;
        if self.location.has(flag::SECTOR_ADDRESSING) {
            self.location.blocks = ext_csd.sectors;
        }
        self.location
            .set(flag::RELIABLE_WRITE, ext_csd.reliable_write);
        self.location.set(
            flag::CACHE,
            ext_csd.cache_kib != 0 && ExtCsd::is_cache_on(buffer),
        );
        self.location.set(flag::HPI_BY_CMD12, ext_csd.hpi == 3);
        self.location
            .set(flag::SLEEP, self.options.sleep && ext_csd.sleep);
        if ext_csd.large_sectors {
            return Err(Error::SectorSize);
        }
        self.ext_csd = Some(ext_csd);
        // CMD0 has selected the user area (eMMC 7.4.69), unless the card does not obey.
        if let Some(config) = ExtCsd::other_partition(buffer) {
            return self.send(
                IdentificationStep::Switched(Switch::Partition),
                proto::switch(ext_csd::PARTITION_CONFIG, config),
            );
        }
        self.switch(Switch::Timing)
    }

    /// Whether the width is switched together with dual data rate, which needs high-speed timing
    /// (eMMC 6.6.5).
    fn uses_dual_rate(&self, card: ExtCsd) -> bool {
        self.options.dual_rate && card.timings & 4 != 0 && self.location.has(flag::HIGH_SPEED)
    }

    /// Switches `what`, or if that is not wanted, the next in the order that is.
    pub(super) fn switch(&mut self, what: Switch) -> Result<Action, Error> {
        let Some(card) = self.ext_csd else {
            return Err(Error::ExtCsd);
        };
        let options = &self.options;
        for what in Switch::ORDER
            .iter()
            .copied()
            .skip_while(|other| *other != what)
        {
            let (wanted, index, value) = match what {
                // It was switched before, if it had to be.
                Switch::Partition => (false, ext_csd::PARTITION_CONFIG, 0),
                // A card for 26 MHz at most is used with the timing after power-on, which goes as
                // far.
                Switch::Timing => (options.fast && card.timings & 2 != 0, ext_csd::HS_TIMING, 1),
                Switch::Width => (
                    options.fast && options.lines >= 4,
                    ext_csd::BUS_WIDTH,
                    match (options.lines >= 8, self.uses_dual_rate(card)) {
                        (false, false) => 1,
                        (true, false) => 2,
                        (false, true) => 5,
                        (true, true) => 6,
                    },
                ),
                Switch::Interrupt => (card.hpi & 1 != 0, ext_csd::HPI_MGMT, 1),
                Switch::Cache => (options.cache && card.cache_kib != 0, ext_csd::CACHE_CTRL, 1),
                Switch::PowerOff => (
                    options.power_off_notification && card.has_power_off_notification(),
                    ext_csd::POWER_OFF_NOTIFICATION,
                    proto::power_off::POWERED_ON,
                ),
            };
            if wanted {
                return self.send(
                    IdentificationStep::Switched(what),
                    proto::switch(index, value),
                );
            }
        }
        self.verify_bus()
    }

    /// Goes on after a switch that failed. Timing and width of the bus have to be known for
    /// certain; the card is usable without the other features.
    pub(super) fn not_switched(&mut self, what: Switch, error: Error) -> Result<Action, Error> {
        match what {
            // Data must never go to another partition.
            Switch::Partition => Err(error),
            Switch::Timing | Switch::Width => self.repeat_slowly(error),
            Switch::Interrupt => self.switch(Switch::Cache),
            Switch::Cache => self.switch(Switch::PowerOff),
            Switch::PowerOff => self.verify_bus(),
        }
    }

    pub(super) fn switched(&mut self, what: Switch) -> Result<Action, Error> {
        match what {
            Switch::Partition => return self.switch(Switch::Timing),
            Switch::Timing => self.location.set(flag::HIGH_SPEED, true),
            Switch::Width => {
                self.location.lines = if self.options.lines >= 8 { 8 } else { 4 };
                let dual_rate = self.ext_csd.is_some_and(|card| self.uses_dual_rate(card));
                self.location.set(flag::DUAL_RATE, dual_rate);
            }
            Switch::Interrupt => {
                self.location.set(flag::HPI, true);
                return self.switch(Switch::Cache);
            }
            Switch::Cache => {
                self.location.set(flag::CACHE, true);
                return self.switch(Switch::PowerOff);
            }
            Switch::PowerOff => {
                self.location.set(flag::POWER_OFF_NOTIFICATION, true);
                return self.verify_bus();
            }
        }
        self.then(
            IdentificationStep::AppliedBus,
            Action::Bus(self.location.bus()),
        )
    }

    /// Reads EXT_CSD again if the bus was changed, to check that it works.
    fn verify_bus(&mut self) -> Result<Action, Error> {
        if self.location.lines > 1 || self.location.has(flag::HIGH_SPEED) {
            return self.then(
                IdentificationStep::Verified,
                Action::Read(proto::send_ext_csd(), BlockLen::FULL),
            );
        }
        self.ask_status()
    }
}
