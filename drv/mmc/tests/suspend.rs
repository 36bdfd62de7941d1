//! Suspending and resuming, as deeply as board and card allow, and a crash at any point of it.

mod common;

use block_device::BlockDevice;
use common::{Bench, MODELS, rescue};
use drv_mmc::found::{ControllerState, step};
use drv_mmc::normal::Suspended;
use drv_mmc::state::CardState;
use drv_mmc::{CardLocation, Error, flag};
use drv_sdhci_sim::{FaultPlan, InjectedFault, Model, SimCard, SimCardState};
use std::pin::pin;

const MODES: [Suspended; 3] = [Suspended::ClockOff, Suspended::Asleep, Suspended::PowerOff];

fn card(model: Model, blocks: u32) -> SimCard {
    SimCard::new(model, blocks).with_sleep()
}

fn bench(card: SimCard, mode: Suspended) -> Bench {
    let mut bench = Bench::new(card);
    bench.suspend = mode;
    bench
}

/// How a card is suspended on a board that allows `mode`.
fn expected(model: Model, mode: Suspended) -> Suspended {
    let emmc = matches!(model, Model::EmmcByte | Model::EmmcSector);
    match mode {
        Suspended::Asleep if !emmc => Suspended::ClockOff,
        mode => mode,
    }
}

/// Runs a test with every kind of card on every kind of board.
fn everywhere(mut test: impl FnMut(Bench, Suspended, &str)) {
    for (model, blocks) in MODELS {
        for mode in MODES {
            let what = format!("{model:?} {mode:?}");
            test(
                bench(card(model, blocks), mode),
                expected(model, mode),
                &what,
            );
        }
    }
}

/// REQ: M4, K4 (suspend and resume by the normal path)
#[test]
fn a_card_is_suspended_as_deeply_as_possible_and_any_request_resumes_it() {
    everywhere(|bench, how, what| {
        let mut card = bench.card(true);
        let sim = &bench.sim;
        sim.block_on(card.identify()).expect(what);
        let before = *card.location();
        bench.fill(5, 4);
        sim.block_on(card.write(8, &bench.data[..4])).expect(what);
        let _ = sim.commands();
        assert_eq!(sim.block_on(card.suspend()), Ok(how), "{what}");
        assert_eq!(sim.block_on(card.suspend()), Ok(how), "{what}");
        assert_eq!(card.suspended(), Some(how), "{what}");
        let sent: Vec<u8> = sim.commands().iter().map(|(index, _)| *index).collect();
        let told = card.location().has(flag::POWER_OFF_NOTIFICATION);
        match how {
            Suspended::ClockOff => assert_eq!(sent, [], "{what}"),
            Suspended::Asleep => assert_eq!(sent, [7, 5], "{what}"),
            Suspended::PowerOff => assert_eq!(told, sent.contains(&6), "{what}"),
        }
        if how == Suspended::Asleep {
            assert_eq!(sim.card().state(), SimCardState::Sleep, "{what}");
        }
        sim.pass_us(1_000_000);
        bench.wipe();
        sim.block_on(card.read(8, &bench.back[..4])).expect(what);
        assert!(bench.same(4), "{what}");
        assert_eq!(card.suspended(), None, "{what}");
        assert_eq!(card.health().retries, 0, "{what}");
        assert_eq!(
            *card.location(),
            CardLocation {
                rca: card.location().rca,
                ..before
            },
            "{what}"
        );
        let identified = 1 + u32::from(how == Suspended::PowerOff);
        assert_eq!(card.health().identifications, identified, "{what}");
        assert_eq!(sim.card().sudden_power_cuts, 0, "{what}");
        bench.assert_clean();
    });
}

#[test]
fn a_cache_is_flushed_before_the_power_is_cut() {
    for mode in MODES {
        let card = card(Model::EmmcSector, 8 * 1024 * 1024).with_cache(64);
        let bench = bench(card, mode);
        let mut card = bench.card_with_cache(true, true);
        bench.sim.block_on(card.identify()).expect("healthy");
        bench.fill(5, 4);
        let write = card.write(8, &bench.data[..4]);
        bench.sim.block_on(write).expect("healthy");
        assert_eq!(bench.sim.card().volatile_blocks(), 4);
        bench.sim.block_on(card.suspend()).expect("healthy");
        assert_eq!(bench.sim.card().volatile_blocks(), 0, "{mode:?}");
        let read = card.read(8, &bench.back[..4]);
        bench.sim.block_on(read).expect("healthy");
        assert!(bench.same(4), "{mode:?}");
    }
}

#[test]
fn a_card_that_does_not_wake_is_identified_again() {
    for state in [None, Some(SimCardState::Idle), Some(SimCardState::Mute)] {
        let bench = bench(card(Model::EmmcSector, 8 * 1024 * 1024), Suspended::Asleep);
        let mut card = bench.card(true);
        bench.sim.block_on(card.identify()).expect("healthy");
        bench.sim.block_on(card.suspend()).expect("healthy");
        match state {
            None => bench.sim.card().wakes = false,
            Some(state) => bench.sim.card().set_state(state),
        }
        // Otherwise the power that the reset cuts brings the card back.
        bench.sim.controller().powers_card = state != Some(SimCardState::Mute);
        let result = bench.sim.block_on(card.write(8, &bench.data[..4]));
        if state == Some(SimCardState::Mute) {
            assert_eq!(result, Err(Error::NoCard));
        } else {
            assert_eq!(result, Ok(()), "{state:?}");
            assert_eq!(card.health().identifications, 2);
        }
    }
}

#[test]
fn another_card_is_not_used_until_identify_is_called() {
    everywhere(|bench, _, what| {
        let mut card = bench.card(true);
        let sim = &bench.sim;
        sim.block_on(card.identify()).expect(what);
        sim.block_on(card.suspend()).expect(what);
        sim.eject();
        sim.insert(SimCard::new(Model::EmmcSector, 8 * 1024 * 1024).with_serial(7));
        let result = sim.block_on(card.write(8, &bench.data[..4]));
        assert_eq!(result, Err(Error::OtherCard), "{what}");
        let result = sim.block_on(card.write(8, &bench.data[..4]));
        assert_eq!(result, Err(Error::NotReady), "{what}");
        assert_eq!(sim.card().last_written(), None, "{what}");
        sim.block_on(card.identify()).expect(what);
        sim.block_on(card.write(8, &bench.data[..4])).expect(what);
    });
}

/// A card that cannot be suspended stays usable.
#[test]
fn a_suspend_that_fails_leaves_the_card_usable() {
    for (mode, command) in [(Suspended::Asleep, 5), (Suspended::PowerOff, 6)] {
        for fault in [
            InjectedFault::NoResponse,
            InjectedFault::ResponseCrc,
            InjectedFault::Ignored,
        ] {
            let what = format!("{mode:?} {fault:?}");
            let bench = bench(card(Model::EmmcSector, 8 * 1024 * 1024), mode);
            let mut card = bench.card(true);
            bench.sim.block_on(card.identify()).expect(&what);
            bench.sim.fault(FaultPlan::next(command, fault));
            let result = bench.sim.block_on(card.suspend());
            assert!(result.is_err(), "{what}");
            assert_eq!(card.suspended(), None, "{what}");
            bench.fill(6, 4);
            let write = card.write(8, &bench.data[..4]);
            assert_eq!(bench.sim.block_on(write), Ok(()), "{what}");
            assert!(bench.holds(8, 4), "{what}");
        }
    }
}

/// Suspends and resumes; the future is dropped after `polls` polls. True if it had ended before.
fn drop_after(bench: &Bench, card: &mut common::SimNormalCard<'_>, polls: u32) -> bool {
    let mut future = pin!(async {
        let _ = card.suspend().await;
        let _ = card.read(8, &bench.back[..1]).await;
    });
    for _ in 0..polls {
        if bench.sim.poll(&mut future).is_ready() {
            return true;
        }
        bench.sim.wake();
    }
    false
}

#[test]
fn a_dropped_suspend_or_resume_is_repaired_by_the_next_request() {
    for (model, blocks) in MODELS {
        for mode in MODES {
            for polls in 1.. {
                let what = format!("{model:?} {mode:?} dropped after {polls} polls");
                let bench = bench(card(model, blocks), mode);
                let mut card = bench.card(true);
                bench.sim.block_on(card.identify()).expect(&what);
                let ended = drop_after(&bench, &mut card, polls);
                bench.fill(polls, 4);
                let write = card.write(8, &bench.data[..4]);
                bench.sim.block_on(write).expect(&what);
                assert!(bench.holds(8, 4), "{what}");
                if ended {
                    break;
                }
            }
        }
    }
}

/// REQ: M4, K4 (by the emergency path: clock off, asleep, power off)
#[test]
fn the_emergency_path_resumes_a_suspended_card() {
    everywhere(|bench, how, what| {
        let mut card = bench.card(true);
        bench.sim.block_on(card.identify()).expect(what);
        let location = *card.location();
        bench.sim.block_on(card.suspend()).expect(what);
        let found = rescue(&bench, &location, true, what);
        let (controller, steps) = match how {
            Suspended::ClockOff => (ControllerState::ClockOff, 0),
            Suspended::Asleep => (
                ControllerState::ClockOff,
                step::AWOKEN | step::SELECTED | step::LINES_RESET,
            ),
            Suspended::PowerOff => (
                ControllerState::PowerOff,
                step::IDENTIFIED | step::LINES_RESET,
            ),
        };
        assert_eq!(found.controller, controller as u8, "{what}");
        let ours = step::PREPARED | step::COMPLETED;
        assert_eq!(found.steps, ours | steps, "{what}");
        if how == Suspended::Asleep {
            assert_eq!(found.card_state, CardState::Sleep as u8, "{what}");
        }
        assert_eq!(bench.sim.card().sudden_power_cuts, 0, "{what}");
        bench.assert_clean();
    });
}

/// A board whose card never wakes: it is not put to sleep, and the emergency path does not try to
/// wake it.
#[test]
fn on_a_board_that_does_not_allow_it_no_card_is_put_to_sleep_or_woken() {
    let bench = bench(
        card(Model::EmmcSector, 8 * 1024 * 1024),
        Suspended::ClockOff,
    );
    let location = bench.identified();
    assert!(!location.has(flag::SLEEP | flag::POWER_OFF_NOTIFICATION));
    bench.sim.card().set_state(SimCardState::Sleep);
    let _ = bench.sim.commands();
    let found = rescue(&bench, &location, true, "asleep");
    assert_ne!(found.steps & step::IDENTIFIED, 0);
    assert!(!bench.sim.commands().iter().any(|(index, _)| *index == 5));
}
