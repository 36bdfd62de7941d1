//! Identification of every kind of card, and the errors that prevent it.

mod common;

use block_device::BlockDevice;
use common::{Bench, MODELS, host};
use drv_mmc::{CardKind, Error, flag};
use drv_sdhci::ErrorKind;
use drv_sdhci_sim::{Model, SimCard, SimCardState};

fn emmc() -> SimCard {
    SimCard::new(Model::EmmcSector, 8 * 1024 * 1024)
}

/// REQ: M10 (eMMC and SD card, byte and sector addressing)
#[test]
fn every_kind_of_card_is_identified_and_used() {
    for (model, blocks) in MODELS {
        for dma in [true, false] {
            for lines in [1, 4, 8] {
                let mut bench = Bench::of(model, blocks);
                bench.lines = lines;
                let mut card = bench.card(dma);
                let what = format!("{model:?} dma {dma} lines {lines}");
                assert_eq!(bench.sim.block_on(card.identify()), Ok(()), "{what}");
                assert_eq!(card.block_count(), u64::from(blocks), "{what}");
                let location = *card.location();
                let emmc = matches!(model, Model::EmmcByte | Model::EmmcSector);
                let sector = matches!(model, Model::EmmcSector | Model::SdHighCapacity);
                assert_eq!(
                    location.kind(),
                    Some(if emmc { CardKind::Emmc } else { CardKind::Sd })
                );
                assert_eq!(location.has(flag::SECTOR_ADDRESSING), sector, "{what}");
                assert_eq!(
                    location.lines,
                    if emmc { lines } else { lines.min(4) },
                    "{what}"
                );
                assert!(location.has(flag::HIGH_SPEED), "{what}");
                let places = [
                    (0, 1),
                    (7, 2),
                    (1000, 130),
                    (blocks - 1, 1),
                    (blocks - 40, 40),
                ];
                for (seed, (first, len)) in (0..).zip(places) {
                    bench.fill(seed, len);
                    let write = card.write(u64::from(first), &bench.data[..len]);
                    assert_eq!(bench.sim.block_on(write), Ok(()), "{what}");
                    assert!(bench.holds(first, len), "{what} {first}+{len}");
                    bench.wipe();
                    let read = card.read(u64::from(first), &bench.back[..len]);
                    assert_eq!(bench.sim.block_on(read), Ok(()), "{what}");
                    assert!(bench.same(len), "{what} {first}+{len}");
                }
                assert_eq!(card.health().last_error, None, "{what}");
                assert_eq!(bench.sim.card().state(), SimCardState::Transfer);
                bench.assert_clean();
            }
        }
    }
}

/// A card is used over a slow bus of one line if the wide one or the fast timing does not work.
#[test]
fn a_bus_that_does_not_work_is_not_used() {
    for (model, blocks) in MODELS {
        for (working_lines, high_speed_works) in [(8, false), (1, true), (1, false)] {
            let bench = Bench::of(model, blocks);
            bench.sim.card().working_lines = working_lines;
            bench.sim.card().high_speed_works = high_speed_works;
            let mut card = bench.card(true);
            let what = format!("{model:?} {working_lines} {high_speed_works}");
            assert_eq!(bench.sim.block_on(card.identify()), Ok(()), "{what}");
            bench.fill(4, 5);
            let write = bench.sim.block_on(card.write(8, &bench.data[..5]));
            assert_eq!(write, Ok(()), "{what}");
            assert!(bench.holds(8, 5), "{what}");
            let location = card.location();
            assert_eq!(
                (location.lines, location.has(flag::HIGH_SPEED)),
                (1, false),
                "{what}"
            );
        }
    }
}

#[test]
fn the_error_of_an_identification_names_the_cause() {
    let identify = |bench: &Bench| {
        let mut card = bench.card(true);
        let result = bench.sim.block_on(card.identify());
        assert_eq!(card.health().last_error, result.err());
        assert_eq!(card.block_count() == 0, result.is_err());
        result
    };
    let bench = Bench::emmc();
    bench.sim.card().set_state(SimCardState::Mute);
    bench.sim.controller().powers_card = false;
    assert_eq!(identify(&bench), Err(Error::NoCard));
    bench.sim.eject();
    assert_eq!(identify(&bench), Err(host(ErrorKind::CardGone, 0)));

    let bench = Bench::emmc();
    bench.sim.card().voltages = 0;
    assert_eq!(identify(&bench), Err(Error::Voltage));

    let bench = Bench::emmc();
    bench.sim.card().power_up_polls = u32::MAX;
    assert_eq!(identify(&bench), Err(Error::PowerUp));

    let bench = Bench::new(emmc().with_ext_csd(192, 0xFF));
    assert_eq!(identify(&bench), Err(Error::ExtCsd));

    let bench = Bench::emmc();
    bench.sim.controller().stuck_resets = 1;
    assert_eq!(identify(&bench), Err(host(ErrorKind::ResetStuck, 0)));
    assert_eq!(identify(&bench), Ok(()), "the next try succeeds");

    let bench = Bench::emmc();
    bench.sim.controller().unstable_clock = true;
    assert_eq!(identify(&bench), Err(host(ErrorKind::ClockUnstable, 0)));
}

#[test]
fn identification_waits_for_a_slow_card() {
    let bench = Bench::emmc();
    bench.sim.card().power_up_polls = 300;
    bench.sim.card().program_us = 400_000;
    let mut card = bench.card(true);
    bench
        .sim
        .block_on(card.identify())
        .expect("it is only slow");
    bench
        .sim
        .block_on(card.write(0, &bench.data[..4]))
        .expect("it is only slow");
    assert_eq!(card.health().last_error, None);
}
