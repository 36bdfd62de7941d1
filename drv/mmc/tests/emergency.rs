//! The emergency path, from every state of controller and card.

mod common;

use block_device::PolledDevice;
use common::{Bench, MODELS, SETTINGS, host, rescue, write_crash};
use drv_mmc::emergency::{Phase, PhaseFailure};
use drv_mmc::found::{ControllerState, NO_ANSWER, NOT_ASKED, step};
use drv_mmc::normal::Suspended;
use drv_mmc::{CardLocation, EmergencyReport, Error, flag};
use drv_sdhci::ErrorKind;
use drv_sdhci_sim::{ClockFault, FaultPlan, InjectedFault, Model, SimCard, SimCardState};

/// REQ: M3 (idle; what was found is recorded)
#[test]
fn a_healthy_card_is_taken_over_without_identification() {
    for (model, blocks) in MODELS {
        for dma in [true, false] {
            let bench = Bench::of(model, blocks);
            let location = bench.identified();
            let _ = bench.sim.commands();
            let found = rescue(&bench, &location, dma, "healthy");
            assert_eq!(found.steps, step::PREPARED | step::COMPLETED, "{model:?}");
            assert_eq!(found.card_state, SimCardState::Transfer as u8);
            assert_eq!((found.retries, found.last_error), (0, 0));
            let commands = bench.sim.commands();
            assert!(!commands.iter().any(|(index, _)| *index == 0), "{model:?}");
            assert_eq!(
                bench.sim.card().was_reliable(600),
                location.has(flag::RELIABLE_WRITE)
            );
            bench.assert_clean();
        }
    }
}

/// REQ: M3 (initialisation not begun)
#[test]
fn a_card_that_was_never_identified_is_identified() {
    for (model, blocks) in MODELS {
        let bench = Bench::of(model, blocks);
        let found = rescue(&bench, &CardLocation::default(), true, "cold");
        assert_eq!(found.controller, ControllerState::NeverInitialised as u8);
        assert_eq!(found.card_state, NOT_ASKED);
        assert_ne!(found.steps & step::IDENTIFIED, 0);
        bench.assert_clean();
    }
}

/// REQ: M2 (from every state of the card)
#[test]
fn the_card_is_brought_from_every_state_to_transfer_state() {
    let known = [
        (SimCardState::Standby, step::SELECTED),
        (SimCardState::Transfer, 0),
        (SimCardState::Sending, step::STOPPED),
        (SimCardState::Receiving, step::STOPPED | step::WAITED),
        (SimCardState::Programming, step::WAITED),
        (SimCardState::Disconnected, step::SELECTED),
    ];
    for (model, blocks) in MODELS {
        for (state, steps) in known {
            let bench = Bench::of(model, blocks);
            let location = bench.identified();
            bench.sim.card().program_us = 2_000;
            bench.sim.card().set_state(state);
            let busy_until = bench.sim.now_us() + 20_000;
            bench.sim.card().set_busy_until(busy_until);
            let what = format!("{model:?} {state:?}");
            let found = rescue(&bench, &location, true, &what);
            assert_eq!(found.card_state, state as u8, "{what}");
            let ours = step::PREPARED | step::COMPLETED;
            let expected = if state == SimCardState::Disconnected {
                steps | step::WAITED
            } else {
                steps
            };
            assert!(
                found.steps & !ours == expected || found.steps & !ours == steps,
                "{what}: {:#x}",
                found.steps
            );
        }
        for state in [
            SimCardState::Idle,
            SimCardState::Ready,
            SimCardState::Ident,
            SimCardState::Sleep,
            SimCardState::Mute,
        ] {
            let mut bench = Bench::of(model, blocks);
            bench.suspend = Suspended::PowerOff;
            let location = bench.identified();
            bench.sim.card().set_state(state);
            let what = format!("{model:?} {state:?}");
            let found = rescue(&bench, &location, true, &what);
            assert_eq!(found.card_state, NO_ANSWER, "{what}");
            assert_ne!(found.steps & step::IDENTIFIED, 0, "{what}");
            assert_eq!(found.steps & step::OTHER_CARD, 0, "{what}");
            let cycled = found.steps & step::POWER_CYCLED != 0;
            assert_eq!(cycled, state == SimCardState::Mute, "{what}");
        }
    }
}

/// REQ: M4 (card without power)
#[test]
fn a_card_that_hangs_until_its_power_is_off_is_power_cycled() {
    let mut bench = Bench::emmc();
    bench.suspend = Suspended::PowerOff;
    let location = bench.identified();
    // The supply is switched by the platform, not by the controller.
    bench.sim.controller().powers_card = false;
    bench.sim.card().set_state(SimCardState::Mute);
    let found = rescue(&bench, &location, true, "mute");
    assert_ne!(found.steps & step::POWER_CYCLED, 0);
}

/// What else hangs on that supply would lose it.
///
/// REQ: M4 (in part: a supply that must not be cut)
#[test]
fn power_is_cut_only_where_the_platform_allows_it() {
    let bench = Bench::emmc();
    let location = bench.identified();
    bench.sim.controller().powers_card = false;
    bench.sim.card().set_state(SimCardState::Mute);
    let mut card = bench.emergency(true);
    let failure = card.prepare(&location).expect_err("it cannot be reached");
    // It was tried until the time was up.
    assert_eq!(failure.error, Error::Deadline);
    assert_eq!(card.report().last_error, Error::NoCard.code());
    assert_eq!(card.report().steps & step::POWER_CYCLED, 0);
    assert_eq!(bench.sim.card().state(), SimCardState::Mute);
}

/// REQ: M3 (wedged controller)
#[test]
fn a_wedged_controller_is_reset() {
    let bench = Bench::emmc();
    let location = bench.identified();
    bench.sim.controller().hang();
    bench.sim.controller().force_status(0x0010_8003);
    let found = rescue(&bench, &location, true, "wedged");
    assert_eq!(found.controller, ControllerState::Command as u8);
    assert_eq!(found.interrupt_status & 0x8003, 0x8003);

    // Both lines, and the first reset of the whole.
    for (stuck, again) in [(1, false), (2, false), (3, true)] {
        let bench = Bench::emmc();
        let location = bench.identified();
        bench.sim.controller().stuck_resets = stuck;
        let found = rescue(&bench, &location, true, "resets hang");
        assert_eq!(found.steps & step::RESET_AGAIN != 0, again, "{stuck}");
        assert_eq!(found.last_error, host(ErrorKind::ResetStuck, 0).code());
    }
}

fn prepare_fails(
    bench: &Bench,
    location: &CardLocation,
    limit_ms: u64,
) -> (PhaseFailure, EmergencyReport) {
    let start = bench.sim.now_us();
    let mut card = bench.emergency(true);
    let failure = card.prepare(location).expect_err("it cannot succeed");
    let took_ms = (bench.sim.now_us() - start) / 1000;
    assert!(took_ms <= limit_ms, "{failure:?} took {took_ms} ms");
    let found = card.report();
    let refused = card.write(0, &bench.data[..1]);
    assert_eq!(
        refused.map_err(|failure| failure.error),
        Err(Error::NotReady)
    );
    (failure, found)
}

/// REQ: K1 (error codes of the first phase)
#[test]
fn the_error_of_the_first_phase_names_the_cause() {
    let bench = Bench::emmc();
    let location = bench.identified();
    bench.sim.controller().stuck_resets = u32::MAX;
    let (failure, found) = prepare_fails(&bench, &location, 450);
    assert_eq!(
        failure,
        PhaseFailure {
            phase: Phase::Prepare,
            error: host(ErrorKind::ResetStuck, 0)
        }
    );
    assert_eq!(found.last_error, failure.error.code());

    let bench = Bench::emmc();
    let location = bench.identified();
    bench.sim.controller().unstable_clock = true;
    let (failure, _) = prepare_fails(&bench, &location, 350);
    assert_eq!(failure.error, host(ErrorKind::ClockUnstable, 0));

    let bench = Bench::emmc();
    let location = bench.identified();
    bench.sim.eject();
    let (failure, found) = prepare_fails(&bench, &location, 50);
    assert_eq!(failure.error, host(ErrorKind::CardGone, 0));
    assert_eq!(found.controller, ControllerState::NoCard as u8);

    let bench = Bench::emmc();
    bench.sim.card().voltages = 0;
    let (failure, _) = prepare_fails(&bench, &CardLocation::default(), 200);
    assert_eq!(failure.error, Error::Voltage);

    let bench = Bench::emmc();
    bench.sim.card().power_up_polls = u32::MAX;
    let (failure, _) = prepare_fails(&bench, &CardLocation::default(), 1_850);
    assert_eq!(failure.error, Error::Deadline);
}

/// REQ: M5 (every wait has its own bound), X1
#[test]
fn a_slot_that_ignores_commands_takes_bounded_time() {
    for command in [None, Some(13), Some(0), Some(1), Some(8)] {
        let bench = Bench::emmc();
        let location = bench.identified();
        let fault = FaultPlan {
            command,
            after: 0,
            times: u32::MAX,
            fault: InjectedFault::Ignored,
        };
        bench.sim.fault(fault);
        bench.fill(1, 12);
        let start = bench.sim.now_us();
        let mut card = bench.emergency(true);
        let result = card
            .prepare(&location)
            .and_then(|_| write_crash(&mut card, &bench));
        let took_ms = (bench.sim.now_us() - start) / 1000;
        assert!(
            result.is_ok() || took_ms <= 1_950,
            "{command:?}: {took_ms} ms"
        );
        match command {
            None => assert!(result.is_err()),
            Some(0 | 1) => assert_eq!(result.map(|found| found.steps & step::IDENTIFIED), Ok(0)),
            _ => {}
        }
    }
}

/// REQ: X1 (a dead time source)
#[test]
fn without_a_clock_a_healthy_card_works_and_a_hung_card_is_given_up() {
    for fault in [ClockFault::Dead, ClockFault::Frozen(77)] {
        let bench = Bench::emmc();
        let location = bench.identified();
        bench.sim.set_clock_fault(fault);
        let found = rescue(&bench, &location, true, "no clock");
        assert_eq!(found.retries, 0);
        rescue(&bench, &CardLocation::default(), true, "no clock, cold");

        for plan in [
            FaultPlan {
                command: None,
                after: 0,
                times: u32::MAX,
                fault: InjectedFault::Ignored,
            },
            FaultPlan::always(25, InjectedFault::DataStall(0)),
            FaultPlan::always(25, InjectedFault::Busy(u64::MAX / 2)),
        ] {
            bench.sim.no_faults();
            bench.sim.fault(plan);
            let before = bench.sim.accesses();
            let mut card = bench.emergency(true);
            let result = card
                .prepare(&location)
                .and_then(|_| write_crash(&mut card, &bench));
            assert!(result.is_err(), "{fault:?} {plan:?}");
            let accesses = bench.sim.accesses() - before;
            let bound = 3 * u64::from(SETTINGS.polls_without_time) + 100_000;
            assert!(
                accesses < bound,
                "{fault:?} {plan:?}: {accesses} register accesses"
            );
            bench.sim.card().power_on();
        }
    }
}

/// REQ: K2 (draining is bounded and its outcome recorded)
#[test]
fn a_card_that_never_ends_programming_is_identified_again() {
    let bench = Bench::emmc();
    let location = bench.identified();
    bench.sim.card().set_state(SimCardState::Programming);
    bench.sim.controller().powers_card = false;
    bench.fill(3, 12);
    let mut card = bench.emergency(true);
    let prepared = card.prepare(&location);
    assert!(prepared.is_ok(), "{:?}", card.report());
    let found = card.report();
    assert_eq!(found.card_state, SimCardState::Programming as u8);
    let expected = step::WAITED | step::IDENTIFIED;
    assert_eq!(found.steps & expected, expected);
    assert_eq!(found.last_error, Error::Busy.code());
    assert!(write_crash(&mut card, &bench).is_ok());
}

/// REQ: M2 (HPI where the card has it)
#[test]
fn a_high_priority_interrupt_ends_programming() {
    for by_cmd12 in [true, false] {
        let card = SimCard::new(Model::EmmcSector, 8 * 1024 * 1024);
        let bench = Bench::new(card.with_interrupt(by_cmd12));
        bench.sim.controller().powers_card = false;
        let location = bench.identified();
        assert!(location.has(flag::HPI));
        assert_eq!(location.has(flag::HPI_BY_CMD12), by_cmd12);
        bench.sim.card().set_state(SimCardState::Programming);
        let found = rescue(&bench, &location, true, "programming");
        assert_ne!(found.steps & step::INTERRUPTED, 0);
        assert_eq!(found.steps & step::IDENTIFIED, 0);
    }
}

#[test]
fn another_card_in_the_slot_is_noticed() {
    let bench = Bench::emmc();
    let location = bench.identified();
    bench.sim.eject();
    let other = SimCard::new(Model::SdHighCapacity, 4 * 1024 * 1024).with_serial(99);
    bench.sim.insert(other);
    let found = rescue(&bench, &location, true, "another card");
    assert_ne!(found.steps & step::OTHER_CARD, 0);
    let mut card = bench.emergency(true);
    card.prepare(&location).expect("the other card works");
    assert_eq!(card.block_count(), 4 * 1024 * 1024);
}

/// REQ: M8 (a card that is not ours is noticed, also if the normal path has identified it)
#[test]
fn another_card_that_the_normal_path_has_identified_is_noticed() {
    for (model, blocks) in MODELS {
        let bench = Bench::of(model, blocks);
        let location = bench.identified();
        for serial in [0, 1, 0x1234_5679, u32::MAX] {
            bench.sim.eject();
            bench
                .sim
                .insert(SimCard::new(model, blocks).with_serial(serial));
            let other = bench.identified();
            if other.rca == location.rca {
                // An SD card chooses its address; the simulated ones always choose the same.
                assert_eq!(other.kind, drv_mmc::CardKind::Sd as u8);
                continue;
            }
            let found = bench.emergency(true).prepare(&location);
            let steps = found.expect("the other card works").steps;
            assert_ne!(steps & step::OTHER_CARD, 0, "{model:?} {serial:#x}");
            assert_eq!(bench.sim.card().last_written(), None);
        }
    }
}

#[test]
fn a_card_with_a_wrong_location_is_identified() {
    let bench = Bench::emmc();
    let mut location = bench.identified();
    location.rca = 77;
    let found = rescue(&bench, &location, true, "wrong address");
    assert_eq!(found.card_state, NO_ANSWER);
    assert_eq!(
        found.steps & (step::IDENTIFIED | step::OTHER_CARD),
        step::IDENTIFIED
    );
    // A wrong bus width: data do not arrive, and the card is identified in the end.
    let mut location = bench.identified();
    location.lines = 1;
    let found = rescue(&bench, &location, true, "wrong width");
    assert_eq!(found.retries, 2);
    assert_ne!(found.steps & step::IDENTIFIED, 0);
}
