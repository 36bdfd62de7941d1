//! The rows of the drivers: what the normal path was doing, by what is broken.

mod states;

use crate::Row;
use crate::actual_state::ActualState;
use crate::broken::Broken;
use crate::point::{DriverActivity, visit_each};
use crate::setup::Setup;
use crate::slot::{MOST_ACCESSES_UNBROKEN, Slot};
use drv_mmc::CardLocation;
use drv_mmc::found::{ControllerState, Drain};
use drv_mmc::normal::Suspended;
use drv_sdhci_sim::{InjectedFault, Model, SimCardState};
use states::Situation;

const MODELS: [(&str, Model); 5] = [
    ("emmc-byte", Model::EmmcByte),
    ("emmc-sector", Model::EmmcSector),
    ("sd-v1", Model::SdVersion1),
    ("sd-standard", Model::SdStandard),
    ("sd-high-capacity", Model::SdHighCapacity),
];

/// Time between the crash and the start of the emergency path, in which the hardware goes on,
/// microseconds.
const DELAYS: [u64; 2] = [0, 37];

/// Every row.
#[must_use]
pub fn all() -> Vec<Row> {
    let mut rows = Vec::new();
    for state in states::all() {
        for (model_name, model) in MODELS {
            let emmc = matches!(model, Model::EmmcByte | Model::EmmcSector);
            if emmc || !(state.setup.cache || state.setup.interrupt.is_some()) {
                rows.push(unbroken(&state, model_name, model));
            }
        }
        for (broken_name, broken) in Broken::all().into_iter().skip(1) {
            if state.doing.knows_card() || !broken.needs_known_card() {
                rows.push(with(&state, broken_name, broken));
            }
        }
    }
    rows.push(without_card_detect());
    rows
}

/// What a row proves by the state it begins in.
///
/// * REQ: M2 (a transfer in flight is terminated by the card's own protocol, or CMD0)
/// * REQ: M3 (whoever holds the controller, and what was found is recorded)
/// * REQ: M4 (from clock off, power off, card asleep, by polling)
/// * REQ: K4 (a crash at any point of suspend and resume)
const fn of_state(doing: DriverActivity) -> &'static str {
    match doing {
        DriverActivity::Nothing | DriverActivity::Identifying(_) | DriverActivity::Idle => "M3",
        DriverActivity::Suspending | DriverActivity::Suspended | DriverActivity::Resuming => {
            "M3 M4 K4"
        }
        _ => "M2 M3",
    }
}

/// What a row proves by what is broken in it.
///
/// * REQ: M5 (PIO when DMA fails; DMA after the reset alone; no interrupt is enabled)
/// * REQ: M8 (another card is not written)
/// * REQ: K1 (each phase has its deadline)
/// * REQ: K2 (draining is bounded)
/// * REQ: K3 (a failed command is retried a bounded number of times, the last error is recorded)
/// * REQ: X1 (bounded in register accesses and time, also with a dead clock)
const fn of_broken(broken: Broken) -> &'static str {
    match broken {
        Broken::Replaced | Broken::Once(InjectedFault::Swapped(_)) => "M8",
        Broken::Once(InjectedFault::Adma(_)) | Broken::From(InjectedFault::Adma(_)) => "M5 K3",
        Broken::Once(_) => "K3",
        Broken::From(_) => "K1 K2 K3 X1",
        Broken::WriteProtected | Broken::OutOfRange => "K3",
        _ => "K1 X1",
    }
}

/// Nothing is broken, for each kind of card: at every register access.
fn unbroken(state: &Situation, model_name: &str, model: Model) -> Row {
    let setup = Setup {
        model,
        ..state.setup
    };
    let doing = state.doing;
    Row {
        id: format!("drv::{}::nothing::{model_name}", state.name),
        state: format!("{}, {model_name}", state.text),
        broken: "nothing".to_owned(),
        outcome: "record whole, report names the state, no other block changed, register accesses bounded, normal \
                  operation works again",
        requirements: format!("{} M5 M10 K2", of_state(doing)),
        run: Box::new(move || {
            DELAYS
                .into_iter()
                .map(|delay| {
                    visit_each(setup, doing, 1, move |slot, location, point| {
                        let what = format!("{doing:?} {setup:?} point {point} + {delay} us");
                        slot.sim.pass_us(delay);
                        check_unbroken(slot, location, doing, &what);
                    })
                })
                .sum()
        }),
    }
}

fn check_unbroken(slot: &Slot, location: &CardLocation, doing: DriverActivity, what: &str) {
    let before = ActualState::of(&slot.sim);
    let later = slot.sim.fork();
    // The hardware goes on while the emergency path reads the registers.
    later.pass_us(4);
    let during = ActualState::of(&later);
    later.pass_us(60);
    let after = ActualState::of(&later);
    let ended = slot.rescue(location, what);
    Broken::Nothing.expected(false).check(slot, &ended, what);
    let report = &ended.report;
    assert!(
        [before, during, after]
            .iter()
            .any(|actual| actual.names_controller(report)),
        "{what}: {before:?} is reported as {report:?}"
    );
    let asked = doing.knows_card();
    assert!(
        !asked
            || [before, during, after]
                .iter()
                .any(|actual| actual.names_card(report)),
        "{what}: {before:?} is reported as {report:?}"
    );
    let expected = match (doing, slot.setup.suspend) {
        (DriverActivity::Nothing, _) => Some(ControllerState::NeverInitialised),
        (DriverActivity::Idle | DriverActivity::BlockLength(_), _) => Some(ControllerState::Idle),
        (DriverActivity::Suspended, Suspended::PowerOff) => Some(ControllerState::PowerOff),
        (DriverActivity::Suspended, _) => Some(ControllerState::ClockOff),
        _ => None,
    };
    if let Some(state) = expected {
        assert_eq!(report.controller, state as u8, "{what}");
    }
    if let Some(drain) = expected_drain(doing, &slot.setup) {
        assert_eq!(report.drain, drain as u8, "{what}: {report:?}");
    }
    assert!(
        doing == DriverActivity::BusyLong || ended.accesses <= MOST_ACCESSES_UNBROKEN,
        "{what}: {} register accesses",
        ended.accesses
    );
    slot.check_normal(what);
}

/// How the card's operation has to be ended, where that follows from the state.
fn expected_drain(doing: DriverActivity, setup: &Setup) -> Option<Drain> {
    let emmc = matches!(setup.model, Model::EmmcByte | Model::EmmcSector);
    match doing {
        DriverActivity::Nothing | DriverActivity::Idle | DriverActivity::BlockLength(_) => {
            Some(Drain::NotNeeded)
        }
        DriverActivity::InState(SimCardState::Sending | SimCardState::Receiving) => {
            Some(Drain::Stopped)
        }
        DriverActivity::InState(SimCardState::Programming) | DriverActivity::Erasing => {
            Some(Drain::Waited)
        }
        DriverActivity::InState(SimCardState::Idle | SimCardState::Mute | SimCardState::Sleep) => {
            Some(Drain::Abandoned)
        }
        DriverActivity::BusyLong if emmc && setup.interrupt.is_some() => Some(Drain::Interrupted),
        DriverActivity::BusyLong => Some(Drain::Waited),
        _ => None,
    }
}

/// Something is broken: at some of the points, and a fault of one command at each command in turn.
fn with(state: &Situation, broken_name: &str, broken: Broken) -> Row {
    let (setup, doing) = (state.setup, state.doing);
    let stride = if broken.takes_long() { 97 } else { 13 };
    Row {
        id: format!("drv::{}::{broken_name}", state.name),
        state: state.text.to_owned(),
        broken: broken_name.replace('-', " "),
        outcome: "record whole or the error told, no other block and no other card written, register accesses and time \
                  bounded, normal operation works again where it can",
        requirements: format!("{} {}", of_state(doing), of_broken(broken)),
        run: Box::new(move || {
            visit_each(setup, doing, stride, move |slot, location, point| {
                for command in 0..500 {
                    let slot = Slot::over(slot.sim.fork(), setup);
                    let what = format!("{doing:?} point {point}, {broken:?} at command {command}");
                    // Slow registers, so that waits take fewer accesses and the test less time.
                    slot.sim.controller().timing.access_us = 10;
                    broken.apply(&slot, command);
                    let ended = slot.rescue(location, &what);
                    broken.expected(setup.cache).check(&slot, &ended, &what);
                    let happened = broken.has_happened(&slot.sim);
                    if broken.can_be_repaired() {
                        slot.check_normal(&what);
                    }
                    if !broken.is_swept() || !happened {
                        return;
                    }
                }
                panic!("{doing:?}, {broken:?}: 500 commands are not enough");
            })
        }),
    }
}

/// A board without a card detect signal: an empty slot is noticed because no card answers.
fn without_card_detect() -> Row {
    let setup = Setup {
        card_detect: false,
        ..Setup::BASE
    };
    Row {
        id: "drv::idle::card-gone::no-card-detect".to_owned(),
        state: "idle, no card detect signal".to_owned(),
        broken: "card gone".to_owned(),
        outcome: "error told, register accesses and time bounded",
        requirements: "M3 X1".to_owned(),
        run: Box::new(move || {
            visit_each(setup, DriverActivity::Idle, 1, |slot, location, _| {
                Broken::Gone.apply(slot, 0);
                let ended = slot.rescue(location, "no card detect");
                assert!(matches!(ended.result, Some(Err(_))), "{:?}", ended.result);
            })
        }),
    }
}
