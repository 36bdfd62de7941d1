//! A card whose volatile cache is on: the emergency path flushes it, and reports if its data are
//! lost.

mod common;

use block_device::{BlockDevice, PolledDevice};
use common::{Bench, crash_is_there, write_crash};
use drv_mmc::{Error, flag};
use drv_sdhci_sim::{FaultPlan, InjectedFault, Model, SimCard};

#[test]
fn a_cache_that_is_on_is_flushed() {
    let card = SimCard::new(Model::EmmcSector, 8 * 1024 * 1024).with_cache(512);
    let bench = Bench::new(card);
    let mut normal = bench.card_with_cache(true, true);
    bench
        .sim
        .block_on(normal.identify())
        .expect("the card is healthy");
    let location = *normal.location();
    assert!(location.has(flag::CACHE));
    bench.fill(9, 12);
    bench.sim.controller().powers_card = false;
    let mut card = bench.emergency(true);
    card.prepare(&location).expect("the card is healthy");
    card.write(400, &bench.data[..9])
        .expect("the card is healthy");
    assert_eq!(bench.sim.card().volatile_blocks(), 9);
    card.flush().expect("the card is healthy");
    assert_eq!(bench.sim.card().volatile_blocks(), 0);
    write_crash(&mut card, &bench).expect("the card is healthy");
    assert!(crash_is_there(&bench));
}

/// What the normal path has left in the cache is flushed, even if the emergency path writes
/// nothing.
#[test]
fn a_cache_that_was_filled_before_is_flushed() {
    let card = SimCard::new(Model::EmmcSector, 8 * 1024 * 1024).with_cache(512);
    let bench = Bench::new(card);
    let mut normal = bench.card_with_cache(true, true);
    bench
        .sim
        .block_on(normal.identify())
        .expect("the card is healthy");
    bench.fill(9, 9);
    bench
        .sim
        .block_on(normal.write(400, &bench.data[..9]))
        .expect("the card is healthy");
    let location = *normal.location();
    assert_eq!(bench.sim.card().volatile_blocks(), 9);
    bench.sim.controller().powers_card = false;
    let mut card = bench.emergency(true);
    card.prepare(&location).expect("the card is healthy");
    card.complete().expect("the card is healthy");
    assert_eq!(bench.sim.card().volatile_blocks(), 0);
    assert!(bench.holds(400, 9));
}

/// A card that had to be identified again may have lost what was in its cache: that has to be
/// reported.
#[test]
fn a_cache_that_was_lost_is_not_reported_flushed() {
    let card = SimCard::new(Model::EmmcSector, 8 * 1024 * 1024).with_cache(512);
    let bench = Bench::new(card);
    let mut normal = bench.card_with_cache(true, true);
    bench
        .sim
        .block_on(normal.identify())
        .expect("the card is healthy");
    let location = *normal.location();
    bench.sim.controller().powers_card = false;
    let mut card = bench.emergency(true);
    card.prepare(&location).expect("the card is healthy");
    card.write(400, &bench.data[..9])
        .expect("the card is healthy");
    bench.sim.fault(FaultPlan::next(25, InjectedFault::Forgets));
    let failure = card
        .write(500, &bench.data[..2])
        .expect_err("the cache is lost");
    assert_eq!(failure.error, Error::CacheLost);
}

/// A flush that the card could not carry out is reported by SWITCH_ERROR, after the command (eMMC
/// 6.6.1): it is repeated, and nothing is called durable before.
#[test]
fn a_flush_that_fails_is_noticed() {
    for times in [1, u32::MAX] {
        let bench = Bench::new(SimCard::new(Model::EmmcSector, 8 * 1024 * 1024).with_cache(64));
        let mut card = bench.card_with_cache(true, true);
        bench.sim.block_on(card.identify()).expect("healthy");
        let location = *card.location();
        bench.fill(1, 12);
        bench
            .sim
            .block_on(card.write(8, &bench.data[..4]))
            .expect("healthy");
        let fault = InjectedFault::NotProgrammed;
        bench.sim.fault(FaultPlan {
            command: Some(6),
            after: 0,
            times,
            fault,
        });
        let flushed = bench.sim.block_on(card.flush());
        assert_eq!(flushed.is_ok(), times == 1);
        assert_eq!(bench.sim.card().volatile_blocks() == 0, times == 1);
        drop(card);
        bench.sim.no_faults();
        bench.sim.fault(FaultPlan {
            command: Some(6),
            after: 0,
            times,
            fault,
        });
        let mut card = bench.emergency(true);
        card.prepare(&location).expect("healthy");
        let written = write_crash(&mut card, &bench);
        assert_eq!(written.is_ok(), times == 1, "{written:?}");
        assert_eq!(bench.sim.card().volatile_blocks() == 0, times == 1);
    }
}
