//! Cards that need something of the driver, or that it must refuse by name.

mod common;

use block_device::{BlockDevice, PolledDevice};
use common::{Bench, crash_is_there, write_crash};
use drv_mmc::{CardLocation, Error, flag};
use drv_sdhci_sim::{FaultPlan, InjectedFault, Model, SimCard};

fn emmc() -> SimCard {
    SimCard::new(Model::EmmcSector, 8 * 1024 * 1024)
}

/// Both paths write and find the data again, the emergency path with and without what the normal
/// one knows.
fn both_paths_work(bench: &Bench, what: &str) -> CardLocation {
    bench.fill(7, 12);
    let mut card = bench.card(true);
    bench.sim.block_on(card.identify()).expect(what);
    let write = bench.sim.block_on(card.write(8, &bench.data[..4]));
    assert_eq!(write, Ok(()), "{what}");
    bench.sim.block_on(card.flush()).expect(what);
    assert!(bench.holds(8, 4), "{what}");
    let location = *card.location();
    drop(card);
    for known in [location, CardLocation::default()] {
        let mut card = bench.emergency(true);
        card.prepare(&known).expect(what);
        write_crash(&mut card, bench).expect(what);
        assert!(crash_is_there(bench), "{what}");
    }
    location
}

/// DEVICE_TYPE says which clocks a card allows (eMMC 7.4.57).
#[test]
fn a_card_for_26_mhz_is_used_at_26_mhz() {
    for (device_type, fast) in [(0, false), (1, false), (2, true), (3, true), (0x57, true)] {
        let bench = Bench::new(emmc().with_ext_csd(196, device_type));
        let location = both_paths_work(&bench, &format!("DEVICE_TYPE {device_type:#x}"));
        assert_eq!(location.has(flag::HIGH_SPEED), fast, "{device_type:#x}");
        assert_eq!(location.lines, 8);
    }
}

/// A controller that has no eight lines, on a board that has them.
#[test]
fn no_more_lines_are_used_than_the_controller_has() {
    let bench = Bench::new(emmc());
    let without = bench.sim.controller().capabilities & !(1 << 18);
    bench.sim.controller().capabilities = without;
    let location = both_paths_work(&bench, "no eight lines");
    assert_eq!(location.lines, 4);
}

/// Sectors of 4 KiB: native with emulation of 512 bytes (byte 63), and without (byte 61).
#[test]
fn a_card_with_sectors_of_4_kib_is_refused_by_name() {
    let bench = Bench::new(emmc().with_ext_csd(63, 1));
    both_paths_work(&bench, "emulated");
    let bench = Bench::new(emmc().with_ext_csd(63, 1).with_ext_csd(61, 1));
    let mut card = bench.card(true);
    let result = bench.sim.block_on(card.identify());
    assert_eq!(result, Err(Error::SectorSize));
    drop(card);
    let mut card = bench.emergency(true);
    let failure = card
        .prepare(&CardLocation::default())
        .expect_err("it is refused");
    assert_eq!(failure.error, Error::SectorSize);
}

/// The switch is on the side of an SD card, and only the host obeys it (SD 4.3.6).
#[test]
fn the_write_protect_switch_of_an_sd_card_is_obeyed() {
    for (model, blocks) in common::MODELS {
        let bench = Bench::of(model, blocks);
        bench.sim.controller().write_enabled = false;
        if matches!(model, Model::EmmcByte | Model::EmmcSector) {
            both_paths_work(&bench, "an eMMC has no switch");
            continue;
        }
        refuses_writes(&bench);
    }
}

/// CSD bits PERM_WRITE_PROTECT and TMP_WRITE_PROTECT (eMMC 7.3.36, SD 5.3.2).
#[test]
fn a_card_that_says_it_is_protected_is_not_written() {
    for bits in 1..=3 {
        for (model, blocks) in common::MODELS {
            refuses_writes(&Bench::new(
                SimCard::new(model, blocks).with_write_protection(bits),
            ));
        }
    }
}

fn refuses_writes(bench: &Bench) {
    let mut card = bench.card(true);
    bench.sim.block_on(card.identify()).expect("it is readable");
    let read = bench.sim.block_on(card.read(8, &bench.back[..4]));
    assert_eq!(read, Ok(()));
    let write = bench.sim.block_on(card.write(8, &bench.data[..4]));
    assert_eq!(write, Err(Error::ReadOnly));
    let location = *card.location();
    drop(card);
    for known in [location, CardLocation::default()] {
        let mut card = bench.emergency(true);
        card.prepare(&known).expect("it is readable");
        let failure = card.write(8, &bench.data[..4]).expect_err("protected");
        assert_eq!(failure.error, Error::ReadOnly);
    }
    assert_eq!(bench.sim.card().last_written(), None);
}

/// Groups of blocks that are protected until the next power-up or for ever (eMMC 6.6.15, USER_WP):
/// the card refuses each write by itself.
#[test]
fn a_protected_group_is_refused_by_the_card() {
    for user_wp in [1, 4, 5] {
        let bench = Bench::new(emmc().with_ext_csd(171, user_wp));
        bench.sim.card().protected = Some(0..1_000);
        let mut card = bench.card(true);
        bench.sim.block_on(card.identify()).expect("it is readable");
        let write = bench.sim.block_on(card.write(8, &bench.data[..4]));
        assert!(
            matches!(write, Err(Error::Card { error, command: 25 })
                if error == drv_mmc::state::StatusError::WriteProtected),
            "{write:?}"
        );
        let write = bench.sim.block_on(card.write(2_000, &bench.data[..4]));
        assert_eq!(write, Ok(()));
    }
}

/// Earlier software has selected a boot partition (1, 2) or RPMB (3), and CMD0 does not select the
/// user area, as it should (eMMC 7.4.69).
#[test]
fn data_go_to_the_user_area() {
    for config in [0x48, 0x49, 0x4A, 0x4B] {
        let bench = Bench::new(emmc().with_ext_csd(179, config));
        bench.sim.card().habits.keeps_modes = true;
        both_paths_work(&bench, &format!("PARTITION_CONFIG {config:#x}"));
        assert_eq!(bench.sim.card().ext_csd(179), 0x48);
        let other = |block: &u32| *block >= 1 << 31;
        assert!(!bench.sim.card().contents().keys().any(other));
    }
}

/// The cache was left on by earlier software, and the driver was not told to use it: data are
/// durable only after a flush all the same.
#[test]
fn a_cache_that_was_left_on_is_flushed() {
    let bench = Bench::new(emmc().with_cache(64).with_ext_csd(33, 1));
    bench.sim.card().habits.keeps_modes = true;
    let location = both_paths_work(&bench, "cache left on");
    assert!(location.has(flag::CACHE));
    assert_eq!(bench.sim.card().volatile_blocks(), 0);
}

/// A card that asks urgently for time of its own (eMMC 6.6.25) sets an exception bit, and is slow.
#[test]
fn a_card_that_needs_background_operations_is_served() {
    let bench = Bench::new(emmc().with_ext_csd(246, 3).with_ext_csd(502, 1));
    bench.sim.card().habits.urgent_background = true;
    bench.sim.card().habits.stall = Some((3, 150_000));
    let location = both_paths_work(&bench, "BKOPS urgent");
    assert!(!location.has(flag::READ_ONLY));
}

/// SDXC: a register of the same structure as SDHC, up to 2 TiB.
#[test]
fn an_sdxc_card_is_used_to_its_end() {
    for gib in [64, 512, 1_024] {
        let blocks = gib * 2 * 1024 * 1024;
        let bench = Bench::of(Model::SdHighCapacity, blocks);
        let location = both_paths_work(&bench, &format!("{gib} GiB"));
        assert_eq!(location.blocks, blocks);
        let mut card = bench.card(true);
        bench.sim.block_on(card.identify()).expect("healthy");
        let last = u64::from(blocks - 1);
        let write = bench.sim.block_on(card.write(last, &bench.data[..1]));
        assert_eq!(write, Ok(()));
    }
}

/// A switch of the identification that the card reports as failed, by SWITCH_ERROR after the
/// command (eMMC 6.6.1): nothing is used that was not switched.
#[test]
fn a_switch_that_failed_does_not_count() {
    for after in 0..5 {
        let card = emmc().with_cache(64).with_interrupt(false);
        let bench = Bench::new(card);
        bench.sim.fault(FaultPlan {
            command: Some(6),
            after,
            times: 1,
            fault: InjectedFault::NotProgrammed,
        });
        let mut card = bench.card_with_cache(true, true);
        assert_eq!(bench.sim.block_on(card.identify()), Ok(()), "{after}");
        let location = *card.location();
        let byte = |index| bench.sim.card().ext_csd(index);
        assert_eq!(location.has(flag::HIGH_SPEED), byte(185) == 1, "{after}");
        assert_eq!(location.lines > 1, byte(183) > 0, "{after}");
        assert_eq!(location.has(flag::HPI), byte(161) == 1, "{after}");
        assert_eq!(location.has(flag::CACHE), byte(33) == 1, "{after}");
        let write = bench.sim.block_on(card.write(8, &bench.data[..4]));
        assert_eq!(write, Ok(()), "{after}");
    }
}

/// DDR52 with eight and with four lines, where controller, board and card have it (eMMC 6.6.5), on
/// both paths; if it does not work the bus is slow.
#[test]
fn dual_data_rate_is_used_where_all_have_it() {
    for (model, blocks) in &common::MODELS[..2] {
        for (lines, controller, device_type, works) in [
            (8, 4, 0x57, true),
            (4, 4, 0x57, true),
            (8, 0, 0x57, true),
            (8, 4, 0x53, true),
            (8, 4, 0x57, false),
        ] {
            let card = SimCard::new(*model, *blocks).with_ext_csd(196, device_type);
            let mut bench = Bench::new(card);
            bench.lines = lines;
            bench.sim.controller().capabilities_2 = controller;
            bench.sim.card().dual_rate_works = works;
            let what = format!("{model:?} {lines} {controller} {device_type:#x} {works}");
            let location = both_paths_work(&bench, &what);
            let expected = controller == 4 && device_type & 4 != 0 && works;
            assert_eq!(location.has(flag::DUAL_RATE), expected, "{what}");
            assert_eq!(location.lines, if works { lines } else { 1 }, "{what}");
            let mut card = bench.card(true);
            bench.sim.block_on(card.identify()).expect(&what);
            let known = *card.location();
            drop(card);
            let mut card = bench.emergency(true);
            card.prepare(&known).expect(&what);
            write_crash(&mut card, &bench).expect(&what);
            assert!(crash_is_there(&bench), "{what}");
            let report = card.report();
            assert_eq!((report.retries, report.last_error), (0, 0), "{what}");
        }
    }
}
