//! The normal path: transfers, and faults during them.

mod common;

use block_device::BlockDevice;
use common::{Bench, MODELS, host};
use drv_mmc::normal::Suspended;
use drv_mmc::state::StatusError;
use drv_mmc::{Error, flag};
use drv_sdhci::ErrorKind;
use drv_sdhci_sim::{FaultPlan, InjectedFault, Model, SimCard};
use std::pin::pin;

fn emmc() -> SimCard {
    SimCard::new(Model::EmmcSector, 8 * 1024 * 1024)
}

#[test]
fn several_blocks_go_by_cmd23_or_cmd12_as_both_sides_can() {
    for (version, expected) in [(1, [25, 12, 13].as_slice()), (2, &[23, 25, 13])] {
        let bench = Bench::emmc();
        bench.sim.controller().version = version;
        let mut card = bench.card(true);
        bench
            .sim
            .block_on(card.identify())
            .expect("the card is healthy");
        let _ = bench.sim.commands();
        bench
            .sim
            .block_on(card.write(8, &bench.data[..3]))
            .expect("the card is healthy");
        let sent: Vec<u8> = bench
            .sim
            .commands()
            .iter()
            .map(|(index, _)| *index)
            .collect();
        assert_eq!(sent, expected, "version {version}");
    }
    let bench = Bench::emmc();
    let mut card = bench.card(true);
    bench
        .sim
        .block_on(card.identify())
        .expect("the card is healthy");
    let _ = bench.sim.commands();
    bench
        .sim
        .block_on(card.write_reliable(8, &bench.data[0]))
        .expect("the card is healthy");
    let sent = bench.sim.commands();
    assert_eq!(sent[0], (23, 0x8000_0001));
    assert!(bench.sim.card().was_reliable(8));
}

#[test]
fn a_card_without_reliable_write_gets_a_plain_one() {
    let bench = Bench::new(emmc().with_ext_csd(222, 0));
    let mut card = bench.card(true);
    bench
        .sim
        .block_on(card.identify())
        .expect("the card is healthy");
    bench
        .sim
        .block_on(card.write_reliable(8, &bench.data[0]))
        .expect("the card is healthy");
    assert!(!bench.sim.card().was_reliable(8));
    assert!(bench.holds(8, 1));
}

#[test]
fn blocks_beyond_the_card_are_never_sent() {
    let bench = Bench::emmc();
    let mut card = bench.card(true);
    let early = bench.sim.block_on(card.read(0, &bench.data[..1]));
    assert_eq!(early, Err(Error::NotReady));
    assert_eq!(bench.sim.block_on(card.flush()), Err(Error::NotReady));
    bench
        .sim
        .block_on(card.identify())
        .expect("the card is healthy");
    let _ = bench.sim.commands();
    let end = card.block_count();
    for first in [end, end - 1, u64::MAX] {
        let result = bench.sim.block_on(card.write(first, &bench.data[..2]));
        assert_eq!(result, Err(Error::OutOfBounds));
    }
    assert_eq!(bench.sim.commands(), []);
    assert_eq!(
        bench.sim.block_on(card.read(end, &[])),
        Ok(()),
        "a request for no blocks succeeds"
    );
}

#[test]
fn a_cache_is_used_only_if_wanted_and_then_flushed() {
    for wanted in [false, true] {
        let bench = Bench::new(emmc().with_cache(512));
        let mut card = bench.card_with_cache(true, wanted);
        bench
            .sim
            .block_on(card.identify())
            .expect("the card is healthy");
        assert_eq!(card.location().has(flag::CACHE), wanted);
        bench
            .sim
            .block_on(card.write(8, &bench.data[..3]))
            .expect("the card is healthy");
        assert_eq!(
            bench.sim.card().volatile_blocks(),
            if wanted { 3 } else { 0 }
        );
        bench
            .sim
            .block_on(card.flush())
            .expect("the card is healthy");
        assert_eq!(bench.sim.card().volatile_blocks(), 0);
    }
}

/// Every transient fault is repaired, and is the last error of the card's health.
#[test]
fn transient_faults_are_repaired() {
    let faults = [
        (InjectedFault::NoResponse, ErrorKind::CommandTimeout),
        (InjectedFault::ResponseLost, ErrorKind::CommandTimeout),
        (InjectedFault::ResponseCrc, ErrorKind::CommandCrc),
        (InjectedFault::ResponseEndBit, ErrorKind::CommandEndBit),
        (InjectedFault::ResponseIndex, ErrorKind::CommandIndex),
        (InjectedFault::Ignored, ErrorKind::NoCompletion),
        (InjectedFault::DataCrc(0), ErrorKind::DataCrc),
        (InjectedFault::DataCrc(2), ErrorKind::DataCrc),
        (InjectedFault::DataEndBit(4), ErrorKind::DataEndBit),
        (InjectedFault::DataTimeout(1), ErrorKind::DataTimeout),
        (InjectedFault::DataStall(0), ErrorKind::DataStalled),
        (InjectedFault::DataStall(4), ErrorKind::DataStalled),
        (InjectedFault::Adma(3), ErrorKind::Adma),
        (InjectedFault::AutoCommand, ErrorKind::AutoCommand),
    ];
    for (model, blocks) in MODELS {
        for (fault, kind) in faults {
            for (command, dma) in [(18, true), (18, false), (25, true), (25, false)] {
                if !dma && matches!(fault, InjectedFault::Adma(_)) {
                    continue;
                }
                let bench = Bench::of(model, blocks);
                let mut card = bench.card(dma);
                bench
                    .sim
                    .block_on(card.identify())
                    .expect("the card is healthy");
                bench.fill(11, 5);
                let what = format!("{model:?} CMD{command} {fault:?} dma {dma}");
                if command == 25 {
                    bench.sim.fault(FaultPlan::next(command, fault));
                    let write = bench.sim.block_on(card.write(8, &bench.data[..5]));
                    assert_eq!(write, Ok(()), "{what}");
                } else {
                    bench
                        .sim
                        .block_on(card.write(8, &bench.data[..5]))
                        .expect("healthy");
                    bench.sim.fault(FaultPlan::next(command, fault));
                    bench.wipe();
                    let read = bench.sim.block_on(card.read(8, &bench.back[..5]));
                    assert_eq!(read, Ok(()), "{what}");
                    assert!(bench.same(5), "{what}");
                }
                assert!(bench.holds(8, 5), "{what}");
                let health = card.health();
                assert_eq!(health.last_error, Some(host(kind, command)), "{what}");
                assert_eq!((health.retries, health.failures), (1, 0), "{what}");
                bench.assert_clean();
            }
        }
    }
}

#[test]
fn permanent_faults_are_reported_after_three_attempts() {
    for fault in [
        InjectedFault::DataCrc(1),
        InjectedFault::NoResponse,
        InjectedFault::DataStall(1),
    ] {
        let bench = Bench::emmc();
        let mut card = bench.card(true);
        bench
            .sim
            .block_on(card.identify())
            .expect("the card is healthy");
        bench.sim.fault(FaultPlan::always(25, fault));
        let start = bench.sim.now_us();
        let result = bench.sim.block_on(card.write(8, &bench.data[..4]));
        assert!(
            matches!(result, Err(Error::Host(error)) if error.command == 25),
            "{fault:?}"
        );
        assert!(bench.sim.now_us() - start < 40_000_000, "{fault:?}");
        assert_eq!(card.health().retries, 2);
        assert_eq!(card.health().failures, 1);
        bench.sim.no_faults();
        bench
            .sim
            .block_on(card.write(8, &bench.data[..4]))
            .expect("the fault is removed");
    }
}

#[test]
fn requests_that_the_card_refuses_are_not_repeated() {
    for dma in [true, false] {
        let bench = Bench::emmc();
        bench.sim.card().protected = Some(1000..1100);
        let mut card = bench.card(dma);
        bench
            .sim
            .block_on(card.identify())
            .expect("the card is healthy");
        for (first, len, command) in [(1000, 1, 24), (1050, 4, 25), (998, 4, 25)] {
            let result = bench.sim.block_on(card.write(first, &bench.data[..len]));
            let error = StatusError::WriteProtected;
            assert_eq!(
                result,
                Err(Error::Card { error, command }),
                "{first}+{len} dma {dma}"
            );
        }
        assert_eq!(card.health().retries, 0);
        bench
            .sim
            .block_on(card.write(2000, &bench.data[..4]))
            .expect("it is still usable");
        bench.assert_clean();
    }
}

#[test]
fn a_removed_card_is_reported_at_once() {
    let bench = Bench::emmc();
    let mut card = bench.card(true);
    bench
        .sim
        .block_on(card.identify())
        .expect("the card is healthy");
    bench.sim.fault(FaultPlan::next(25, InjectedFault::Removed));
    let start = bench.sim.now_us();
    let result = bench.sim.block_on(card.write(8, &bench.data[..4]));
    assert_eq!(result, Err(host(ErrorKind::CardGone, 25)));
    assert!(bench.sim.now_us() - start < 100_000);
    let result = bench.sim.block_on(card.read(8, &bench.back[..4]));
    assert_eq!(result, Err(host(ErrorKind::CardGone, 13)));
}

/// The card is usable after the future of a request was dropped at any point.
#[test]
fn a_dropped_request_is_ended_by_the_next() {
    for dma in [true, false] {
        for write in [true, false] {
            for polls in 1..40 {
                let bench = Bench::emmc();
                let mut card = bench.card(dma);
                bench
                    .sim
                    .block_on(card.identify())
                    .expect("the card is healthy");
                bench.fill(5, 20);
                let ended = if write {
                    poll_some(&bench, card.write(100, &bench.data[..8]), polls)
                } else {
                    poll_some(&bench, card.read(100, &bench.back[..8]), polls)
                };
                let result = bench.sim.block_on(card.write(300, &bench.data[..20]));
                assert_eq!(
                    result,
                    Ok(()),
                    "dma {dma} write {write} dropped after {polls}"
                );
                assert!(bench.holds(300, 20));
                bench.assert_clean();
                if ended {
                    break;
                }
            }
        }
    }
}

fn poll_some<F: Future>(bench: &Bench, future: F, polls: u32) -> bool {
    let mut future = pin!(future);
    for _ in 0..polls {
        if bench.sim.poll(&mut future).is_ready() {
            return true;
        }
        bench.sim.wake();
    }
    false
}

#[test]
fn any_request_resumes_a_suspended_card() {
    for (model, blocks) in MODELS {
        let bench = Bench::of(model, blocks);
        let mut card = bench.card(true);
        bench
            .sim
            .block_on(card.identify())
            .expect("the card is healthy");
        bench
            .sim
            .block_on(card.suspend())
            .expect("the card is healthy");
        assert_eq!(card.suspended(), Some(Suspended::ClockOff));
        bench
            .sim
            .block_on(card.write(8, &bench.data[..4]))
            .expect("the card is healthy");
        assert_eq!(card.suspended(), None);
        assert_eq!(card.health().retries, 0);
        bench.assert_clean();
    }
}

/// A card may lose its state while it is suspended, or after a dip of its supply.
#[test]
fn a_card_that_lost_its_state_is_identified_again() {
    let bench = Bench::emmc();
    let mut card = bench.card(true);
    bench
        .sim
        .block_on(card.identify())
        .expect("the card is healthy");
    bench.sim.card().forget();
    bench.fill(6, 4);
    bench
        .sim
        .block_on(card.write(8, &bench.data[..4]))
        .expect("it is identified again");
    assert!(bench.holds(8, 4));
    assert_eq!(card.health().identifications, 2);
    // With data in a cache it is an error: they may be lost.
    let bench = Bench::new(emmc().with_cache(64));
    let mut card = bench.card_with_cache(true, true);
    bench
        .sim
        .block_on(card.identify())
        .expect("the card is healthy");
    bench
        .sim
        .block_on(card.write(8, &bench.data[..4]))
        .expect("the card is healthy");
    bench.sim.card().forget();
    let result = bench.sim.block_on(card.write(20, &bench.data[..4]));
    assert_eq!(result, Err(Error::CacheLost));
}
