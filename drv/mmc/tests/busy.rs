//! Cards that are busy for long, at every kind of command.

mod common;

use block_device::BlockDevice;
use common::{Bench, MODELS};
use drv_mmc::normal::Suspended;
use drv_sdhci_sim::{FaultPlan, InjectedFault, Model, SimCard};

/// Durations, milliseconds: within what SD allows a write (250 and 500), beyond, and those of an
/// eMMC that collects garbage.
const BUSY_MS: [u64; 6] = [290, 310, 499, 501, 1_999, 7_000];

fn busy(command: u8, ms: u64) -> FaultPlan {
    FaultPlan::next(command, InjectedFault::Busy(ms * 1_000))
}

fn card(model: Model, blocks: u32) -> SimCard {
    SimCard::new(model, blocks).with_cache(64).with_sleep()
}

/// REQ: X13 (in part: the normal path)
#[test]
fn the_normal_path_waits_for_a_card_that_is_busy() {
    for ms in BUSY_MS {
        for (model, blocks) in MODELS {
            let emmc = matches!(model, Model::EmmcByte | Model::EmmcSector);
            for dma in [true, false] {
                let bench = Bench::new(card(model, blocks));
                let what = format!("{model:?} dma {dma}, busy for {ms} ms");
                bench.fill(3, 12);
                let mut card = bench.card_with_cache(dma, emmc);
                // A switch of the identification.
                bench.sim.fault(busy(6, ms));
                assert_eq!(bench.sim.block_on(card.identify()), Ok(()), "{what}");
                // One block, several that CMD12 ends, and a reliable write.
                bench.sim.no_faults();
                bench.sim.fault(busy(24, ms));
                let write = bench.sim.block_on(card.write(8, &bench.data[..1]));
                assert_eq!(write, Ok(()), "{what}: one block");
                bench.sim.fault(busy(25, ms));
                let write = bench.sim.block_on(card.write(8, &bench.data[..5]));
                assert_eq!(write, Ok(()), "{what}: several blocks");
                bench.sim.fault(busy(25, ms));
                let write = card.write_reliable(20, &bench.data[0]);
                assert_eq!(bench.sim.block_on(write), Ok(()), "{what}: reliable");
                bench.sim.fault(busy(6, ms));
                let flushed = bench.sim.block_on(card.flush());
                assert_eq!(flushed, Ok(()), "{what}: flush");
                assert!(bench.holds(8, 5), "{what}");
                assert_eq!(bench.sim.card().volatile_blocks(), 0, "{what}");
                assert_eq!(card.health().failures, 0, "{what}");
                assert_eq!(card.health().identifications, 1, "{what}");
            }
        }
    }
}

/// CMD12 that ends a write whose future was dropped, and the notification before a power cut.
#[test]
fn the_normal_path_waits_in_recovery_and_suspend() {
    for ms in BUSY_MS {
        let mut bench = Bench::new(card(Model::EmmcSector, 8 * 1024 * 1024));
        bench.suspend = Suspended::PowerOff;
        let mut card = bench.card(true);
        bench.sim.block_on(card.identify()).expect("healthy");
        bench.fill(3, 12);
        {
            let mut write = std::pin::pin!(card.write(8, &bench.data[..200]));
            for _ in 0..3 {
                assert!(bench.sim.poll(&mut write).is_pending());
                bench.sim.wake();
            }
        }
        bench.sim.fault(busy(12, ms));
        let write = bench.sim.block_on(card.write(8, &bench.data[..5]));
        assert_eq!(write, Ok(()), "busy for {ms} ms after CMD12");
        assert!(bench.holds(8, 5));
        bench.sim.fault(busy(6, ms));
        let suspended = bench.sim.block_on(card.suspend());
        assert_eq!(suspended, Ok(Suspended::PowerOff), "busy for {ms} ms");
        assert_eq!(bench.sim.card().sudden_power_cuts, 0);
        assert_eq!(card.health().identifications, 1);
    }
}

/// A card that collects garbage now and then.
#[test]
fn the_normal_path_waits_for_garbage_collection() {
    for (model, blocks) in MODELS {
        let bench = Bench::of(model, blocks);
        bench.sim.card().habits.stall = Some((7, 3_500_000));
        let mut card = bench.card(true);
        bench.sim.block_on(card.identify()).expect("healthy");
        for first in 0..20 {
            bench.fill(first, 3);
            let write = card.write((first * 3).into(), &bench.data[..3]);
            assert_eq!(bench.sim.block_on(write), Ok(()), "{model:?} {first}");
            assert!(bench.holds(first * 3, 3));
        }
        assert_eq!(card.health().identifications, 1, "{model:?}");
    }
}
