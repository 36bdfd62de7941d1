//! The emergency path with a card that is busy for as long as the standards allow, and longer.

mod common;

use common::{Bench, MODELS, SETTINGS, crash_is_there, write_crash};
use drv_mmc::CardLocation;
use drv_mmc::emergency::Settings;
use drv_mmc::found::step;
use drv_sdhci_sim::{FaultPlan, InjectedFault, Model, SimCard, SimCardState};

/// The first try of the default budget of 8 s, milliseconds.
const TRY_MS: u32 = 7_250;

const DEFAULT: Settings = Settings {
    try_ms: TRY_MS,
    polls_without_time: 1 << 20,
    ..SETTINGS
};

/// SD allows 250 ms, and 500 ms for SDXC; a card that collects garbage takes seconds.
const BUSY_MS: [u64; 6] = [290, 310, 499, 501, 1_999, 7_000];

/// Writes a crash, in one try.
fn rescue(bench: &Bench, location: &CardLocation, dma: bool, what: &str) -> u16 {
    bench.fill(0xC0FFEE, 12);
    let start = bench.sim.now_us();
    let mut card = bench.emergency_with(dma, DEFAULT);
    let prepared = card.prepare(location);
    assert!(prepared.is_ok(), "{what}: {prepared:?} {:?}", card.report());
    let written = write_crash(&mut card, bench);
    assert!(written.is_ok(), "{what}: {written:?} {:?}", card.report());
    assert!(crash_is_there(bench), "{what}: {:?}", card.report());
    let took_ms = (bench.sim.now_us() - start) / 1000;
    assert!(took_ms < TRY_MS.into(), "{what}: took {took_ms} ms");
    card.report().steps
}

/// REQ: X13 (in part: busy times), M2 (in part: CMD13 polled)
#[test]
fn a_card_that_is_busy_after_any_command_gets_the_crash() {
    for (model, blocks) in MODELS {
        for ms in BUSY_MS {
            // Stop, write, write of several blocks; a switch; the command that selects the card.
            for command in [12, 24, 25, 6, 7] {
                for (dma, cold) in [(true, false), (false, false), (true, true)] {
                    let card = SimCard::new(model, blocks).with_cache(64);
                    let bench = Bench::new(card);
                    let mut location = CardLocation::default();
                    if !cold {
                        let mut card = bench.card_with_cache(true, true);
                        let identified = bench.sim.block_on(card.identify());
                        identified.expect("the card is healthy");
                        location = *card.location();
                        bench.sim.card().set_state(SimCardState::Receiving);
                    }
                    let busy = InjectedFault::Busy(ms * 1_000);
                    bench.sim.fault(FaultPlan::next(command, busy));
                    let what = format!("{model:?} CMD{command} {ms} ms, dma {dma}, cold {cold}");
                    rescue(&bench, &location, dma, &what);
                    bench.assert_clean();
                }
            }
        }
    }
}

/// REQ: X13 (in part: busy times), M2 (programming when the system crashes)
#[test]
fn a_card_that_is_busy_when_the_system_crashes_keeps_its_state_and_its_cache() {
    for ms in BUSY_MS {
        let card = SimCard::new(Model::EmmcSector, 8 * 1024 * 1024).with_cache(64);
        let bench = Bench::new(card);
        // A supply that does not hold: a reset of the whole controller costs the cache.
        bench.sim.controller().supply_holds_us = 0;
        let mut card = bench.card_with_cache(true, true);
        let identified = bench.sim.block_on(card.identify());
        identified.expect("the card is healthy");
        let location = *card.location();
        bench.fill(7, 4);
        let written = bench.sim.block_on(block_device::BlockDevice::write(
            &mut card,
            900,
            &bench.data[..4],
        ));
        written.expect("the card is healthy");
        assert_eq!(bench.sim.card().volatile_blocks(), 4);
        bench.sim.card().set_state(SimCardState::Programming);
        let end = bench.sim.now_us() + ms * 1_000;
        bench.sim.card().set_busy_until(end);
        let steps = rescue(&bench, &location, true, &format!("{ms} ms"));
        assert_eq!(steps & (step::IDENTIFIED | step::CACHE_LOST), 0, "{ms} ms");
        bench.fill(7, 4);
        assert!(bench.holds(900, 4), "{ms} ms: what was cached is flushed");
        bench.assert_clean();
    }
}

/// A card that has to be identified anew has lost what it had cached, and the report says so.
#[test]
fn a_lost_cache_is_reported() {
    let card = SimCard::new(Model::EmmcSector, 8 * 1024 * 1024).with_cache(64);
    let bench = Bench::new(card);
    let mut card = bench.card_with_cache(true, true);
    let identified = bench.sim.block_on(card.identify());
    identified.expect("the card is healthy");
    let location = *card.location();
    bench.sim.card().set_state(SimCardState::Idle);
    let steps = rescue(&bench, &location, true, "lost its state");
    assert_ne!(steps & step::CACHE_LOST, 0);
}

/// Every write takes 200 ms: all of a crash is on the card all the same.
///
/// REQ: X13 (in part: programming times)
#[test]
fn a_card_whose_every_write_is_slow_gets_the_crash() {
    for dma in [true, false] {
        let bench = Bench::of(Model::SdHighCapacity, 16 * 1024 * 1024);
        let location = bench.identified();
        bench.sim.card().program_us = 200_000;
        rescue(&bench, &location, dma, "200 ms a write");
    }
}
