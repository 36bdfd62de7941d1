//! The states of controller and card that rows begin in.

use crate::point::DriverActivity;
use crate::setup::Setup;
use drv_sdhci_sim::{Model, SimCardState};

/// A state of controller and card: its name, its description, and how it is reached.
pub struct Situation {
    pub name: &'static str,
    pub text: &'static str,
    pub doing: DriverActivity,
    pub setup: Setup,
}

pub fn all() -> Vec<Situation> {
    let state = |name, text, doing, setup| Situation {
        name,
        text,
        doing,
        setup,
    };
    vec![
        state(
            "never-initialised",
            "never initialised",
            DriverActivity::Nothing,
            Setup::BASE,
        ),
        state(
            "identification",
            "identification and bus switch, card not known",
            DriverActivity::Identifying(false),
            Setup::BASE,
        ),
        state(
            "identification-again",
            "identification and bus switch, card known from before",
            DriverActivity::Identifying(true),
            Setup::BASE,
        ),
        state("idle", "idle", DriverActivity::Idle, Setup::BASE),
        state(
            "read-one-adma2",
            "reading one block by ADMA2",
            DriverActivity::Reading(1),
            Setup::BASE,
        ),
        state(
            "read-one-pio",
            "reading one block by PIO",
            DriverActivity::Reading(1),
            Setup::PIO,
        ),
        state(
            "read-many-adma2",
            "reading 8 blocks by ADMA2",
            DriverActivity::Reading(8),
            Setup::BASE,
        ),
        state(
            "read-many-pio",
            "reading 8 blocks by PIO",
            DriverActivity::Reading(8),
            Setup::PIO,
        ),
        state(
            "write-one-adma2",
            "writing one block by ADMA2",
            DriverActivity::Writing(1),
            Setup::BASE,
        ),
        state(
            "write-one-pio",
            "writing one block by PIO",
            DriverActivity::Writing(1),
            Setup::PIO,
        ),
        state(
            "write-many-adma2",
            "writing 8 blocks by ADMA2",
            DriverActivity::Writing(8),
            Setup::BASE,
        ),
        state(
            "write-many-pio",
            "writing 8 blocks by PIO",
            DriverActivity::Writing(8),
            Setup::PIO,
        ),
        state(
            "write-reliable",
            "writing one block reliably",
            DriverActivity::WritingReliably,
            Setup::BASE,
        ),
        state(
            "programming",
            "writing to a card that programs for 5 ms",
            DriverActivity::WritingSlowly,
            Setup::BASE,
        ),
        state(
            "cache-flush",
            "flushing the card's cache",
            DriverActivity::Flushing,
            Setup::CACHE,
        ),
        state("erase", "erasing", DriverActivity::Erasing, Setup::BASE),
        state(
            "repair",
            "repairing a write after a CRC error",
            DriverActivity::Repairing,
            Setup::BASE,
        ),
        state(
            "suspending-clock",
            "stopping the clock",
            DriverActivity::Suspending,
            Setup::BASE,
        ),
        state(
            "suspended-clock",
            "suspended, clock off",
            DriverActivity::Suspended,
            Setup::BASE,
        ),
        state(
            "resuming-clock",
            "resuming, clock off",
            DriverActivity::Resuming,
            Setup::BASE,
        ),
        state(
            "suspending-sleep",
            "putting the card to sleep",
            DriverActivity::Suspending,
            Setup::SLEEP,
        ),
        state(
            "suspended-sleep",
            "suspended, card asleep",
            DriverActivity::Suspended,
            Setup::SLEEP,
        ),
        state(
            "resuming-sleep",
            "resuming, card asleep",
            DriverActivity::Resuming,
            Setup::SLEEP,
        ),
        state(
            "suspending-power",
            "cutting the power",
            DriverActivity::Suspending,
            Setup::POWER_CUT,
        ),
        state(
            "suspended-power",
            "suspended, power off",
            DriverActivity::Suspended,
            Setup::POWER_CUT,
        ),
        state(
            "resuming-power",
            "resuming, power off",
            DriverActivity::Resuming,
            Setup::POWER_CUT,
        ),
        state(
            "card-stby",
            "card in stby",
            DriverActivity::InState(SimCardState::Standby),
            Setup::BASE,
        ),
        state(
            "card-data",
            "card in data",
            DriverActivity::InState(SimCardState::Sending),
            Setup::BASE,
        ),
        state(
            "card-rcv",
            "card in rcv",
            DriverActivity::InState(SimCardState::Receiving),
            Setup::BASE,
        ),
        state(
            "card-prg",
            "card in prg",
            DriverActivity::InState(SimCardState::Programming),
            Setup::BASE,
        ),
        state(
            "card-prg-long",
            "card in prg for half a second",
            DriverActivity::BusyLong,
            Setup::BASE,
        ),
        state(
            "card-prg-long-hpi-cmd12",
            "card in prg for half a second, HPI by CMD12",
            DriverActivity::BusyLong,
            Setup {
                interrupt: Some(true),
                ..Setup::BASE
            },
        ),
        state(
            "card-prg-long-hpi-cmd13",
            "card in prg for half a second, HPI by CMD13",
            DriverActivity::BusyLong,
            Setup {
                interrupt: Some(false),
                ..Setup::BASE
            },
        ),
        state(
            "card-block-length",
            "card left with blocks of one byte by somebody else",
            DriverActivity::BlockLength(1),
            Setup {
                model: Model::EmmcByte,
                ..Setup::BASE
            },
        ),
        state(
            "card-dis",
            "card in dis",
            DriverActivity::InState(SimCardState::Disconnected),
            Setup::BASE,
        ),
        state(
            "card-slp",
            "card in slp, and never wakes",
            DriverActivity::InState(SimCardState::Sleep),
            Setup::BASE,
        ),
        state(
            "card-idle",
            "card in idle",
            DriverActivity::InState(SimCardState::Idle),
            Setup::BASE,
        ),
        state(
            "card-mute",
            "card hung until its power is off",
            DriverActivity::InState(SimCardState::Mute),
            Setup::POWER_CUT,
        ),
    ]
}
