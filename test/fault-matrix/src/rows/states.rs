//! The states of controller and card that rows begin in.

use crate::point::Doing;
use crate::slot::Setup;
use drv_mmc::normal::Suspended;
use drv_sdhci_sim::{Model, SimCardState};

/// What most of them have in common.
pub const BASE: Setup = Setup {
    model: Model::EmmcSector,
    dma: true,
    rest: Suspended::ClockOff,
    cache: false,
    card_detect: true,
    interrupt: None,
};

/// A state of controller and card: name, description, how it comes about.
pub struct Situation {
    pub name: &'static str,
    pub text: &'static str,
    pub doing: Doing,
    pub setup: Setup,
}

pub fn all() -> Vec<Situation> {
    let pio = Setup { dma: false, ..BASE };
    let cache = Setup {
        cache: true,
        ..BASE
    };
    let asleep = Setup {
        rest: Suspended::Asleep,
        ..BASE
    };
    let power = Setup {
        rest: Suspended::PowerOff,
        ..BASE
    };
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
            Doing::Nothing,
            BASE,
        ),
        state(
            "identification",
            "identification and bus switch, card not known",
            Doing::Identifying(false),
            BASE,
        ),
        state(
            "identification-again",
            "identification and bus switch, card known from before",
            Doing::Identifying(true),
            BASE,
        ),
        state("idle", "idle", Doing::Resting, BASE),
        state(
            "read-one-adma2",
            "reading one block by ADMA2",
            Doing::Reading(1),
            BASE,
        ),
        state(
            "read-one-pio",
            "reading one block by PIO",
            Doing::Reading(1),
            pio,
        ),
        state(
            "read-many-adma2",
            "reading 8 blocks by ADMA2",
            Doing::Reading(8),
            BASE,
        ),
        state(
            "read-many-pio",
            "reading 8 blocks by PIO",
            Doing::Reading(8),
            pio,
        ),
        state(
            "write-one-adma2",
            "writing one block by ADMA2",
            Doing::Writing(1),
            BASE,
        ),
        state(
            "write-one-pio",
            "writing one block by PIO",
            Doing::Writing(1),
            pio,
        ),
        state(
            "write-many-adma2",
            "writing 8 blocks by ADMA2",
            Doing::Writing(8),
            BASE,
        ),
        state(
            "write-many-pio",
            "writing 8 blocks by PIO",
            Doing::Writing(8),
            pio,
        ),
        state(
            "write-reliable",
            "writing one block reliably",
            Doing::WritingReliably,
            BASE,
        ),
        state(
            "programming",
            "writing to a card that programs for 5 ms",
            Doing::WritingSlowly,
            BASE,
        ),
        state(
            "cache-flush",
            "flushing the card's cache",
            Doing::Flushing,
            cache,
        ),
        state("erase", "erasing", Doing::Erasing, BASE),
        state(
            "repair",
            "repairing a write after a CRC error",
            Doing::Repairing,
            BASE,
        ),
        state(
            "suspending-clock",
            "stopping the clock",
            Doing::Suspending,
            BASE,
        ),
        state(
            "suspended-clock",
            "suspended, clock off",
            Doing::Suspended,
            BASE,
        ),
        state(
            "resuming-clock",
            "resuming, clock off",
            Doing::Resuming,
            BASE,
        ),
        state(
            "suspending-sleep",
            "putting the card to sleep",
            Doing::Suspending,
            asleep,
        ),
        state(
            "suspended-sleep",
            "suspended, card asleep",
            Doing::Suspended,
            asleep,
        ),
        state(
            "resuming-sleep",
            "resuming, card asleep",
            Doing::Resuming,
            asleep,
        ),
        state(
            "suspending-power",
            "cutting the power",
            Doing::Suspending,
            power,
        ),
        state(
            "suspended-power",
            "suspended, power off",
            Doing::Suspended,
            power,
        ),
        state(
            "resuming-power",
            "resuming, power off",
            Doing::Resuming,
            power,
        ),
        state(
            "card-stby",
            "card in stby",
            Doing::InState(SimCardState::Standby),
            BASE,
        ),
        state(
            "card-data",
            "card in data",
            Doing::InState(SimCardState::Sending),
            BASE,
        ),
        state(
            "card-rcv",
            "card in rcv",
            Doing::InState(SimCardState::Receiving),
            BASE,
        ),
        state(
            "card-prg",
            "card in prg",
            Doing::InState(SimCardState::Programming),
            BASE,
        ),
        state(
            "card-prg-long",
            "card in prg for half a second",
            Doing::BusyLong,
            BASE,
        ),
        state(
            "card-prg-long-hpi-cmd12",
            "card in prg for half a second, HPI by CMD12",
            Doing::BusyLong,
            Setup {
                interrupt: Some(true),
                ..BASE
            },
        ),
        state(
            "card-prg-long-hpi-cmd13",
            "card in prg for half a second, HPI by CMD13",
            Doing::BusyLong,
            Setup {
                interrupt: Some(false),
                ..BASE
            },
        ),
        state(
            "card-block-length",
            "card left with blocks of one byte by somebody else",
            Doing::BlockLength(1),
            Setup {
                model: Model::EmmcByte,
                ..BASE
            },
        ),
        state(
            "card-dis",
            "card in dis",
            Doing::InState(SimCardState::Disconnected),
            BASE,
        ),
        state(
            "card-slp",
            "card in slp, and never wakes",
            Doing::InState(SimCardState::Sleep),
            BASE,
        ),
        state(
            "card-idle",
            "card in idle",
            Doing::InState(SimCardState::Idle),
            BASE,
        ),
        state(
            "card-mute",
            "card hung until its power is off",
            Doing::InState(SimCardState::Mute),
            BASE,
        ),
    ]
}
