//! Cards and supplies at the limits of what their standards allow, on both paths.

mod common;

use block_device::BlockDevice;
use common::{Bench, MODELS, crash_is_there, write_crash};
use drv_mmc::emergency::Settings;
use drv_mmc::{CardKind, CardLocation, Error};
use drv_sdhci_sim::{FaultPlan, InjectedFault, Model, SimCardState};

/// Time for a card that needs its full second, several times.
const SETTINGS: Settings = Settings {
    first: CardKind::Emmc,
    try_ms: 18_000,
    polls_without_time: 1 << 26,
};

/// Both paths serve the card: the normal one from power-up, then the emergency path as it finds the
/// card, and one that knows nothing of it.
fn both_paths_serve(bench: &Bench, what: &str) {
    bench.fill(7, 12);
    let mut card = bench.card(true);
    bench.sim.block_on(card.identify()).expect(what);
    let write = bench.sim.block_on(card.write(8, &bench.data[..4]));
    assert_eq!(write, Ok(()), "{what}");
    assert!(bench.holds(8, 4), "{what}");
    let location = *card.location();
    drop(card);
    for location in [location, CardLocation::default()] {
        let mut card = bench.emergency_with(true, SETTINGS);
        let prepared = card.prepare(&location);
        assert!(prepared.is_ok(), "{what}: {prepared:?} {:?}", card.report());
        let written = write_crash(&mut card, bench);
        assert!(written.is_ok(), "{what}: {written:?} {:?}", card.report());
        assert!(crash_is_there(bench), "{what}");
    }
}

fn each_model(what: &str, change: impl Fn(&Bench)) {
    for (model, blocks) in MODELS {
        let bench = Bench::of(model, blocks);
        change(&bench);
        both_paths_serve(&bench, &format!("{model:?}, {what}"));
    }
}

/// SD 6.4.1: the supply rises within 0.1 to 35 ms.
///
/// REQ: X13 (in part: power ramps)
#[test]
fn a_supply_may_rise_slowly() {
    for ramp_us in [100, 5_000, 35_000] {
        each_model(&format!("ramp {ramp_us} us"), |bench| {
            bench.sim.controller().ramp_us = ramp_us;
        });
    }
}

/// SDHCI 2.2.16: a reset of the controller switches the supply off, which then holds for a while.
#[test]
fn a_reset_may_or_may_not_cut_the_power() {
    for holds_us in [0, 50, 3_000, 10_000] {
        each_model(&format!("holds for {holds_us} us"), |bench| {
            bench.sim.controller().supply_holds_us = holds_us;
        });
    }
}

/// The same at a restart of the recorder, which finds the card powered: it gets its power back when
/// the supply has been low for a millisecond (SD 6.4.1.2), or has never lost it.
#[test]
fn a_card_that_is_powered_survives_the_reset_of_the_controller() {
    for holds_us in [0, 50, 900, 3_000, 10_000] {
        for (model, blocks) in MODELS {
            let what = format!("{model:?}, holds for {holds_us} us");
            let bench = Bench::of(model, blocks);
            bench.sim.controller().supply_holds_us = holds_us;
            for start in 1..=3 {
                let mut card = bench.card(true);
                let result = bench.sim.block_on(card.identify());
                assert_eq!(result, Ok(()), "{what}, start {start}");
            }
        }
    }
}

/// SDHCI 2.2.9: no card is shown while the signal bounces.
#[test]
fn a_card_that_was_just_put_in_is_waited_for() {
    for (model, blocks) in MODELS {
        let bench = Bench::of(model, blocks);
        let card = bench.sim.eject().expect("there is a card");
        bench.sim.controller().debounce_us = 90_000;
        bench.sim.insert(card);
        let mut card = bench.card(true);
        assert_eq!(bench.sim.block_on(card.identify()), Ok(()), "{model:?}");
        let location = *card.location();
        drop(card);
        let other = bench.sim.eject().expect("there is a card");
        bench.sim.insert(other);
        let mut card = bench.emergency_with(true, SETTINGS);
        assert!(card.prepare(&location).is_ok(), "{model:?}");
    }
}

/// SD 4.2.3 and eMMC 6.4.2 give a card a second to power up.
///
/// REQ: X13 (in part: identification times)
#[test]
fn a_card_may_take_its_full_second_to_power_up() {
    each_model("a second", |bench| {
        bench.sim.card().habits.power_up_us = 990_000;
    });
}

#[test]
fn a_card_may_miss_commands_after_power_up() {
    each_model("first CMD0", |bench| {
        bench.sim.card().habits.misses_first_reset = true;
    });
    each_model("second condition", |bench| {
        bench.sim.card().habits.misses_second_condition = true;
    });
}

/// A card that is reset while it powers up begins its second anew.
#[test]
fn a_card_that_misses_a_question_is_asked_again_and_not_reset() {
    for (model, blocks) in MODELS {
        if !matches!(model, Model::EmmcByte | Model::EmmcSector) {
            continue;
        }
        let resets = |misses: bool| {
            let bench = Bench::of(model, blocks);
            bench.sim.card().habits.misses_second_condition = misses;
            bench.sim.card().habits.power_up_us = 200_000;
            bench.identified();
            let commands = bench.sim.commands();
            commands.iter().filter(|(index, _)| *index == 0).count()
        };
        assert_eq!(resets(true), resets(false), "{model:?}");
    }
}

/// The bus is verified by reading the EXT_CSD once more (eMMC 6.6.4): one that garbles data, and
/// its checksum with it, is not used at that speed.
#[test]
fn a_bus_that_garbles_data_is_not_used_at_full_speed() {
    let healthy = Bench::emmc();
    let fast = healthy.identified().bus().clock_hz;
    let bench = Bench::emmc();
    let flipped = InjectedFault::DataFlipped(0);
    // The first CMD8 with data is of the slow bus.
    bench.sim.fault(FaultPlan {
        after: 1,
        ..FaultPlan::next(8, flipped)
    });
    let slow = bench.identified().bus().clock_hz;
    assert!(slow < fast, "{slow} Hz, {fast} Hz without the fault");
}

/// eMMC 6.8.3: what the card reports at the end of a read is about blocks after the first.
#[test]
fn an_error_that_is_reported_at_the_end_of_a_read_is_noticed() {
    let bench = Bench::emmc();
    bench.sim.controller().version = 1;
    let mut card = bench.card(true);
    bench.sim.block_on(card.identify()).expect("healthy");
    // CARD_ECC_FAILED, for the read and its repetitions.
    bench.sim.fault(FaultPlan {
        times: u32::MAX,
        ..FaultPlan::next(18, InjectedFault::StopRefused(1 << 21))
    });
    let read = bench.sim.block_on(card.read(8, &bench.data[..4]));
    assert!(read.is_err(), "{read:?}");
}

/// A card without a switch in its supply is found in transfer state, and misses the first CMD0.
#[test]
fn a_card_that_was_in_use_may_miss_the_first_reset() {
    for (model, blocks) in MODELS {
        let bench = Bench::of(model, blocks);
        bench.sim.controller().powers_card = false;
        bench.sim.card().set_state(SimCardState::Transfer);
        bench.sim.card().habits.misses_first_reset = true;
        both_paths_serve(&bench, &format!("{model:?}"));
    }
}

/// A time-out of the data leaves some cards silent for one command.
#[test]
fn a_card_may_be_silent_after_a_time_out() {
    for (model, blocks) in MODELS {
        let bench = Bench::of(model, blocks);
        bench.sim.card().habits.silent_after_timeout = true;
        let location = bench.identified();
        bench
            .sim
            .fault(FaultPlan::next(25, InjectedFault::DataTimeout(0)));
        let mut card = bench.card(true);
        bench.sim.block_on(card.identify()).expect("healthy");
        bench.fill(3, 12);
        let write = bench.sim.block_on(card.write(8, &bench.data[..4]));
        assert_eq!(write, Ok(()), "{model:?}");
        drop(card);
        bench.sim.no_faults();
        bench
            .sim
            .fault(FaultPlan::next(25, InjectedFault::DataTimeout(0)));
        let mut card = bench.emergency(true);
        card.prepare(&location).expect("healthy");
        write_crash(&mut card, &bench).expect("it is repeated");
        assert!(crash_is_there(&bench), "{model:?}");
    }
}

/// CMD0 aborts programming, and the card then repairs its tables before it answers.
#[test]
fn a_card_may_rebuild_its_tables_after_a_reset() {
    for (model, blocks) in MODELS {
        for rebuild_us in [5_000, 300_000, 900_000] {
            let bench = Bench::of(model, blocks);
            bench.sim.controller().powers_card = false;
            bench.sim.card().habits.rebuild_us = rebuild_us;
            let location = bench.identified();
            let what = format!("{model:?}, rebuilds for {rebuild_us} us");
            bench.sim.card().set_state(SimCardState::Programming);
            let mut card = bench.card(true);
            assert_eq!(bench.sim.block_on(card.identify()), Ok(()), "{what}");
            drop(card);
            // An emergency waits for a card that programs until hardly any time is left.
            if rebuild_us > 5_000 {
                continue;
            }
            bench.sim.card().set_state(SimCardState::Programming);
            bench.fill(3, 12);
            let mut card = bench.emergency_with(true, SETTINGS);
            let prepared = card.prepare(&location);
            assert!(prepared.is_ok(), "{what}: {prepared:?} {:?}", card.report());
            write_crash(&mut card, &bench).expect(&what);
            assert!(crash_is_there(&bench), "{what}");
        }
    }
}

/// SDHCI 2.2.17: the end of a transfer counts more than a time-out at the same moment.
#[test]
fn a_transfer_that_ends_with_a_time_out_is_complete() {
    each_model("complete and time-out", |bench| {
        bench.sim.controller().late_timeout = true;
    });
    let bench = Bench::emmc();
    bench.sim.controller().late_timeout = true;
    let mut card = bench.card(true);
    bench.sim.block_on(card.identify()).expect("healthy");
    assert_eq!(card.health().retries, 0);
    let write = bench.sim.block_on(card.write(8, &bench.data[..4]));
    assert_eq!((write, card.health().retries), (Ok(()), 0));
}

/// A controller for 1.8 V only, in which an eMMC works and an SD card is not even asked.
#[test]
fn an_sd_card_is_not_used_below_3_volts() {
    for (model, blocks) in MODELS {
        let bench = Bench::of(model, blocks);
        let mut capabilities = bench.sim.controller().capabilities;
        capabilities = capabilities & !(1 << 24) | 1 << 26;
        bench.sim.controller().capabilities = capabilities;
        bench.sim.card().voltages = 0x00FF_8080;
        let mut card = bench.card(true);
        let result = bench.sim.block_on(card.identify());
        let emmc = matches!(model, Model::EmmcByte | Model::EmmcSector);
        let expected = if emmc { Ok(()) } else { Err(Error::SdVoltage) };
        assert_eq!(result, expected, "{model:?}");
        let commands = bench.sim.commands();
        assert!(!commands.iter().any(|(index, _)| *index == 41), "{model:?}");
    }
}

/// A card for 3 V does not answer, or cannot be used, at 1.8 V.
#[test]
fn a_card_for_3_volts_is_not_used_at_1_8() {
    let bench = Bench::emmc();
    let both = bench.sim.controller().capabilities | 1 << 26;
    bench.sim.controller().capabilities = both;
    both_paths_serve(&bench, "the controller has both");
    let bench = Bench::emmc();
    bench.sim.controller().capabilities = both & !(1 << 24);
    let mut card = bench.card(true);
    let result = bench.sim.block_on(card.identify());
    assert_eq!(result, Err(Error::SdVoltage));
}

/// A card reports an error of programming when it is no longer busy (SD 4.10.1, eMMC 6.13): each
/// path asks after each write, and repeats it.
#[test]
fn a_write_that_was_not_programmed_is_noticed() {
    for (model, blocks) in MODELS {
        let bench = Bench::of(model, blocks);
        bench.fill(7, 12);
        let mut card = bench.card(true);
        bench.sim.block_on(card.identify()).expect("healthy");
        let fault = FaultPlan::next(25, InjectedFault::NotProgrammed);
        bench.sim.fault(fault);
        let write = bench.sim.block_on(card.write(8, &bench.data[..4]));
        assert_eq!((write, card.health().retries), (Ok(()), 1), "{model:?}");
        assert!(bench.holds(8, 4), "{model:?}");
        let location = *card.location();
        drop(card);
        bench.sim.fault(fault);
        let mut card = bench.emergency(true);
        card.prepare(&location).expect("healthy");
        write_crash(&mut card, &bench).expect("it is repeated");
        assert!(crash_is_there(&bench), "{model:?}");
        assert_eq!(card.report().retries, 1, "{model:?}");
    }
}
