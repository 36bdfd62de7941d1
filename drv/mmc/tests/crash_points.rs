//! Normal operation crashes at any register access, and the emergency path writes its record.

mod common;

use block_device::BlockDevice;
use common::{Bench, MODELS, rescue};
use drv_mmc::CardLocation;
use drv_mmc::found::{ControllerState, step};
use drv_sdhci_sim::Model;

/// What normal operation was doing when it crashed.
#[derive(Clone, Copy, Debug)]
enum Doing {
    Identifying,
    Writing(usize),
    Reading(usize),
    WritingReliably,
    Flushing,
    Suspending,
    Resuming,
}

async fn operate(bench: &Bench, dma: bool, doing: Doing, prepare: bool) {
    let cache = matches!(doing, Doing::Flushing);
    let mut card = bench.card_with_cache(dma, cache);
    if prepare {
        card.identify().await.expect("the card is healthy");
    }
    match doing {
        Doing::Identifying => card.identify().await.expect("the card is healthy"),
        Doing::Writing(len) => card.write(1000, &bench.back[..len]).await.expect("healthy"),
        Doing::Reading(len) => card.read(1000, &bench.back[..len]).await.expect("healthy"),
        Doing::WritingReliably => card
            .write_reliable(1000, &bench.back[0])
            .await
            .expect("healthy"),
        Doing::Flushing => {
            card.write(1000, &bench.back[..2]).await.expect("healthy");
            card.flush().await.expect("healthy");
        }
        Doing::Suspending => {
            card.suspend().await.expect("healthy");
        }
        Doing::Resuming => {
            card.suspend().await.expect("healthy");
            card.read(1000, &bench.back[..1]).await.expect("healthy");
        }
    }
}

/// Crashes normal operation at its `n`-th register access; false if it ended before.
fn crash(bench: &Bench, dma: bool, doing: Doing, n: u64) -> bool {
    bench.sim.crash_after(n);
    let crashed = bench
        .sim
        .survive(|| bench.sim.block_on(operate(bench, dma, doing, true)));
    crashed.is_err()
}

/// Register accesses of identification, and of identification with the operation.
fn accesses(model: Model, blocks: u32, dma: bool, doing: Doing) -> (u64, u64) {
    let bench = Bench::of(model, blocks);
    bench
        .sim
        .block_on(operate(&bench, dma, Doing::Identifying, false));
    let before = bench.sim.accesses();
    let bench = Bench::of(model, blocks);
    bench.sim.block_on(operate(&bench, dma, doing, true));
    (before, bench.sim.accesses())
}

/// The location cache of the recorder: what normal operation knew before.
fn location_before(model: Model, blocks: u32) -> CardLocation {
    Bench::of(model, blocks).identified()
}

/// Crashes normal operation at (nearly) every register access and rescues the record each time.
fn sweep(doing: Doing, dma: bool, stride: u64) {
    for (model, blocks) in MODELS {
        let location = location_before(model, blocks);
        let (first, last) = accesses(model, blocks, dma, doing);
        let first = if matches!(doing, Doing::Identifying) {
            0
        } else {
            first
        };
        let mut states = std::collections::BTreeSet::new();
        let mut n = first;
        while n < last {
            let bench = Bench::of(model, blocks);
            let what = format!("{model:?} {doing:?} dma {dma} crashed at access {n} of {last}");
            assert!(crash(&bench, dma, doing, n), "{what}: it did not crash");
            // The hardware goes on for a while before the supervisor has restarted the recorder.
            bench.sim.pass_us(n % 7 * 20);
            let found = rescue(&bench, &location, true, &what);
            states.insert((found.controller, found.card_state));
            // Half way through identification the card is slower than the location says, and nothing tells.
            if !matches!(doing, Doing::Identifying) {
                bench.assert_clean();
            }
            n += stride;
        }
        let many = !matches!(doing, Doing::Suspending);
        assert!(
            !many || states.len() > 1,
            "{doing:?}: only {states:?} was found"
        );
    }
}

/// REQ: M3 (initialisation half done)
#[test]
fn a_crash_anywhere_in_identification_is_survived() {
    sweep(Doing::Identifying, true, 7);
    sweep(Doing::Identifying, false, 41);
}

/// REQ: M2, M3 (data phase of a write, by ADMA2)
#[test]
fn a_crash_anywhere_in_a_write_by_dma_is_survived() {
    sweep(Doing::Writing(1), true, 1);
    sweep(Doing::Writing(5), true, 1);
}

/// REQ: M2, M3 (data phase of a write, by the buffer port)
#[test]
fn a_crash_anywhere_in_a_write_by_pio_is_survived() {
    sweep(Doing::Writing(1), false, 3);
    sweep(Doing::Writing(5), false, 5);
}

/// REQ: M2, M3 (data phase of a read, by ADMA2)
#[test]
fn a_crash_anywhere_in_a_read_by_dma_is_survived() {
    sweep(Doing::Reading(1), true, 1);
    sweep(Doing::Reading(5), true, 1);
}

/// REQ: M2, M3 (data phase of a read, by the buffer port)
#[test]
fn a_crash_anywhere_in_a_read_by_pio_is_survived() {
    sweep(Doing::Reading(1), false, 3);
    sweep(Doing::Reading(5), false, 5);
}

#[test]
fn a_crash_anywhere_in_a_reliable_write_or_a_flush_is_survived() {
    sweep(Doing::WritingReliably, true, 1);
    sweep(Doing::Flushing, true, 1);
}

/// REQ: M4, K4 (suspend and resume)
#[test]
fn a_crash_anywhere_in_suspend_and_resume_is_survived() {
    sweep(Doing::Suspending, true, 1);
    sweep(Doing::Resuming, true, 1);
}

/// REQ: M4 (suspended: clock off)
#[test]
fn a_suspended_card_is_resumed() {
    for (model, blocks) in MODELS {
        let bench = Bench::of(model, blocks);
        bench
            .sim
            .block_on(operate(&bench, true, Doing::Suspending, true));
        let location = location_before(model, blocks);
        let found = rescue(&bench, &location, true, "suspended");
        assert_eq!(found.controller, ControllerState::ClockOff as u8);
        assert_eq!(found.steps, step::PREPARED | step::COMPLETED);
    }
}

/// REQ: M5 (DMA only after this path's reset)
#[test]
fn a_transfer_that_was_cut_off_touches_no_memory_after_the_reset() {
    for (model, blocks) in MODELS {
        let location = location_before(model, blocks);
        let (first, last) = accesses(model, blocks, true, Doing::Reading(100));
        for n in first..last {
            let bench = Bench::of(model, blocks);
            assert!(crash(&bench, true, Doing::Reading(100), n));
            let mut card = bench.emergency(true);
            card.prepare(&location).expect("the card is healthy");
            bench.wipe();
            bench.sim.pass_us(1_000_000);
            assert!(bench.back.iter().all(|block| block.word(0) == 0xDEAD_DEAD));
            assert!(
                bench
                    .back
                    .iter()
                    .all(|block| block.word(127) == 0xDEAD_DEAD)
            );
        }
    }
}
