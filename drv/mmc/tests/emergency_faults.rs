//! The emergency path, with faults during its own requests.

mod common;

use block_device::{BlockDevice, PolledDevice};
use common::{Bench, MODELS, crash_is_there, host, rescue, write_crash};
use drv_mmc::Error;
use drv_mmc::emergency::{Phase, PhaseFailure};
use drv_mmc::found::step;
use drv_mmc::normal::Suspended;
use drv_sdhci::ErrorKind;
use drv_sdhci_sim::{FaultPlan, InjectedFault, Model};

/// A card that is addressed by byte reads and writes as many bytes as the last CMD16 said.
///
/// REQ: M10, M3 (a block length that other software has left)
#[test]
fn another_block_length_is_corrected() {
    for (model, blocks) in MODELS {
        for bytes in [0, 1, 64, 511] {
            for dma in [true, false] {
                let bench = Bench::of(model, blocks);
                let location = bench.identified();
                bench.sim.card().set_block_len(bytes);
                let what = format!("{model:?} {bytes}");
                let mut card = bench.emergency(dma);
                card.prepare(&location).expect(&what);
                card.read(1_000, &bench.back[..1]).expect(&what);
                let found = rescue(&bench, &location, dma, &what);
                assert_eq!((found.retries, found.last_error), (0, 0), "{what}");
                let is_fixed = model == Model::EmmcSector;
                let expected = if is_fixed { bytes } else { 512 };
                assert_eq!(bench.sim.card().block_len(), expected, "{what}");
                bench.assert_clean();
            }
        }
    }
}

/// The same while a crash is being written: it is repaired as any other error is.
#[test]
fn a_block_length_that_changes_during_a_write_is_corrected() {
    for dma in [true, false] {
        let bench = Bench::of(Model::SdStandard, 128 * 1024);
        let location = bench.identified();
        bench.fill(5, 12);
        let mut card = bench.emergency(dma);
        card.prepare(&location).expect("the card is healthy");
        bench.sim.card().set_block_len(1);
        write_crash(&mut card, &bench).expect("it is repaired");
        assert!(crash_is_there(&bench));
        assert_eq!(card.report().steps & step::IDENTIFIED, 0);

        let mut card = bench.card(dma);
        bench
            .sim
            .block_on(card.identify())
            .expect("the card is healthy");
        bench.sim.card().set_block_len(1);
        let written = bench.sim.block_on(card.write(700, &bench.data[..3]));
        assert_eq!(written, Ok(()));
        assert!(bench.holds(700, 3));
        bench.sim.card().set_block_len(1);
        let read = bench.sim.block_on(card.read(700, &bench.back[..3]));
        assert_eq!(read, Ok(()));
        assert!(bench.same(3));
        assert_eq!(card.health().identifications, 1);
    }
}

/// REQ: K3, M5 (PIO as fallback)
#[test]
fn a_transient_fault_is_repaired() {
    let faults = [
        (InjectedFault::NoResponse, ErrorKind::CommandTimeout),
        (InjectedFault::ResponseLost, ErrorKind::CommandTimeout),
        (InjectedFault::ResponseCrc, ErrorKind::CommandCrc),
        (InjectedFault::ResponseEndBit, ErrorKind::CommandEndBit),
        (InjectedFault::ResponseIndex, ErrorKind::CommandIndex),
        (InjectedFault::Ignored, ErrorKind::NoCompletion),
        (InjectedFault::DataCrc(0), ErrorKind::DataCrc),
        (InjectedFault::DataCrc(4), ErrorKind::DataCrc),
        (InjectedFault::DataCrc(8), ErrorKind::DataCrc),
        (InjectedFault::DataEndBit(0), ErrorKind::DataEndBit),
        (InjectedFault::DataTimeout(0), ErrorKind::DataTimeout),
        (InjectedFault::DataTimeout(8), ErrorKind::DataTimeout),
        (InjectedFault::DataStall(3), ErrorKind::DataStalled),
        (InjectedFault::Adma(0), ErrorKind::Adma),
        (InjectedFault::Adma(5), ErrorKind::Adma),
        (InjectedFault::AutoCommand, ErrorKind::AutoCommand),
        (InjectedFault::HangsData, ErrorKind::DataStalled),
    ];
    for (model, blocks) in MODELS {
        for (fault, kind) in faults {
            for dma in [true, false] {
                if !dma && matches!(fault, InjectedFault::Adma(_)) {
                    continue;
                }
                let bench = Bench::of(model, blocks);
                let location = bench.identified();
                bench.sim.fault(FaultPlan::next(25, fault));
                let what = format!("{model:?} {fault:?} dma {dma}");
                if fault == InjectedFault::HangsData {
                    // The transfer ends, but the circuit stays busy, which the next request finds.
                    let found = rescue(&bench, &location, dma, &what);
                    assert_eq!(found.retries, 1, "{what}");
                    continue;
                }
                let found = rescue(&bench, &location, dma, &what);
                assert_eq!(found.retries, 1, "{what}");
                assert_eq!(found.last_error, host(kind, 25).code(), "{what}");
                assert_eq!(found.steps & step::DMA_GIVEN_UP != 0, dma, "{what}");
                bench.assert_clean();
            }
        }
    }
}

/// REQ: K3 (a bounded number of times; the last error is recorded), X13 (in part: all of the time)
#[test]
fn a_permanent_fault_ends_when_the_time_is_up_in_an_error_that_names_it() {
    for (fault, kind) in [
        (InjectedFault::DataCrc(2), ErrorKind::DataCrc),
        (InjectedFault::NoResponse, ErrorKind::CommandTimeout),
        (InjectedFault::DataStall(0), ErrorKind::DataStalled),
    ] {
        let mut bench = Bench::emmc();
        bench.suspend = Suspended::PowerOff;
        let location = bench.identified();
        bench.sim.fault(FaultPlan::always(25, fault));
        let mut card = bench.emergency(true);
        card.prepare(&location).expect("the card answers");
        let start = bench.sim.now_us();
        let failure = card
            .write(400, &bench.data[..9])
            .expect_err("it cannot succeed");
        assert_eq!(
            failure,
            PhaseFailure {
                phase: Phase::Write,
                error: Error::Deadline
            }
        );
        let took_ms = (bench.sim.now_us() - start) / 1_000;
        assert!(
            (1_800..=1_900).contains(&took_ms),
            "{fault:?}: {took_ms} ms"
        );
        let found = card.report();
        assert_eq!(found.last_error, host(kind, 25).code());
        let mut means = step::DMA_GIVEN_UP | step::LINES_RESET | step::IDENTIFIED;
        if fault != InjectedFault::DataStall(0) {
            means |= step::POWER_CYCLED | step::SLOW_CLOCK;
        }
        assert_eq!(found.steps & means, means, "{fault:?}: {:#x}", found.steps);
        assert!(found.retries < 250, "{fault:?}: {}", found.retries);
    }
}

/// Whatever a request needs is found in the end.
///
/// REQ: K3 (in part: retries), X13 (in part: the budget is used)
#[test]
fn a_fault_that_only_a_slow_clock_or_a_power_cycle_ends_is_repaired() {
    for times in [2, 3, 5, 12] {
        let mut bench = Bench::emmc();
        bench.suspend = Suspended::PowerOff;
        let location = bench.identified();
        bench.sim.fault(FaultPlan {
            command: Some(25),
            after: 0,
            times,
            fault: InjectedFault::DataCrc(0),
        });
        let what = format!("{times} times");
        let found = rescue(&bench, &location, true, &what);
        assert_eq!(u32::from(found.retries), times);
        let cycled = found.steps & (step::POWER_CYCLED | step::SLOW_CLOCK);
        assert_eq!(cycled != 0, times > 2, "{what}");
    }
}

/// REQ: M7 (for the card: no command is sent for a block that it does not have)
#[test]
fn addresses_beyond_the_card_are_never_sent() {
    for (model, blocks) in MODELS {
        let bench = Bench::of(model, blocks);
        let location = bench.identified();
        let mut card = bench.emergency(true);
        card.prepare(&location).expect("the card is healthy");
        let _ = bench.sim.commands();
        let blocks = u64::from(blocks);
        for first in [blocks, blocks - 1, u64::MAX, u64::MAX - 1] {
            let write = card
                .write(first, &bench.data[..2])
                .map_err(|failure| failure.error);
            assert_eq!(write, Err(Error::OutOfBounds));
            let read = card
                .read(first, &bench.data[..2])
                .map_err(|failure| failure.error);
            assert_eq!(read, Err(Error::OutOfBounds));
        }
        assert_eq!(bench.sim.commands(), []);
    }
}

#[test]
fn a_request_that_the_card_refuses_is_not_repeated() {
    use drv_mmc::state::StatusError;
    for dma in [true, false] {
        let bench = Bench::emmc();
        bench.sim.card().protected = Some(1000..1100);
        let mut location = bench.identified();
        let mut card = bench.emergency(dma);
        card.prepare(&location).expect("the card is healthy");
        for (first, len, command) in [(1000, 1, 24), (1050, 4, 25), (998, 4, 25)] {
            let _ = bench.sim.commands();
            let failure = card
                .write(first, &bench.data[..len])
                .expect_err("protected");
            let error = Error::Card {
                error: StatusError::WriteProtected,
                command,
            };
            assert_eq!(failure.error, error, "{first}+{len}");
            let sent = bench.sim.commands();
            let tries = sent.iter().filter(|(index, _)| *index == command).count();
            assert_eq!(tries, 1, "{first}+{len}");
        }
        card.write(2000, &bench.data[..3])
            .expect("the card is usable after a refusal");

        location.blocks += 100;
        let mut card = bench.emergency(dma);
        card.prepare(&location).expect("the card is healthy");
        let end = u64::from(location.blocks - 100);
        for (first, len, command) in [(end, 1, 24), (end, 4, 25), (end - 2, 4, 25)] {
            let failure = card
                .write(first, &bench.data[..len])
                .expect_err("beyond the end");
            let error = Error::Card {
                error: StatusError::OutOfRange,
                command,
            };
            assert_eq!(failure.error, error, "{first}+{len}");
        }
        let failure = card
            .read(end, &bench.data[..1])
            .expect_err("beyond the end");
        let error = Error::Card {
            error: StatusError::OutOfRange,
            command: 17,
        };
        assert_eq!(failure.error, error);
        card.write(end - 4, &bench.data[..4])
            .expect("the last blocks are there");
        card.read(end - 4, &bench.back[..4])
            .expect("the last blocks are there");
        assert!(bench.same(4));
    }
}

/// REQ: K1 (each phase has its own deadline and error code)
#[test]
fn phases_have_their_own_deadlines_and_codes() {
    let bench = Bench::emmc();
    let location = bench.identified();
    let mut card = bench.emergency(true);
    card.prepare(&location).expect("the card is healthy");
    bench.sim.card().program_us = 400_000;
    bench.fill(1, 12);
    let start = bench.sim.now_us();
    let mut failure = None;
    for block in 0..10 {
        if let Err(error) = card.write(block, &bench.data[..1]) {
            failure = Some(error);
            break;
        }
    }
    let failure = failure.expect("ten slow writes do not fit");
    assert_eq!(
        failure,
        PhaseFailure {
            phase: Phase::Write,
            error: Error::Deadline
        }
    );
    assert_eq!(failure.code() >> 24, 2);
    let took_ms = (bench.sim.now_us() - start) / 1000;
    assert!((1_830..=1_845).contains(&took_ms), "{took_ms} ms");
    let soon = bench.sim.now_us() + 40_000;
    bench.sim.card().set_busy_until(soon);
    let card_state = card.complete();
    assert!(
        card_state.is_ok(),
        "the last phase has time of its own: {card_state:?}"
    );
}

/// What is written after the last phase has the time of the second one again, and another last
/// phase.
#[test]
fn more_can_be_written_after_the_last_phase() {
    let bench = Bench::emmc();
    let location = bench.identified();
    bench.fill(1, 12);
    let mut card = bench.emergency(true);
    card.prepare(&location).expect("the card is healthy");
    write_crash(&mut card, &bench).expect("the card is healthy");
    assert!(crash_is_there(&bench));
    card.write_again(1_000);
    bench.sim.card().program_us = 400_000;
    card.write(700, &bench.data[..1]).expect("there is time");
    card.write(701, &bench.data[..1]).expect("there is time");
    let failure = (0..10).find_map(|block| card.write(block, &bench.data[..1]).err());
    let failure = failure.expect("ten slow writes do not fit");
    assert_eq!(
        failure,
        PhaseFailure {
            phase: Phase::Write,
            error: Error::Deadline
        }
    );
    bench.sim.card().program_us = 100;
    let soon = bench.sim.now_us() + 40_000;
    bench.sim.card().set_busy_until(soon);
    card.complete().expect("the last phase has its own time");
    assert!(bench.holds(700, 1));
    assert!(crash_is_there(&bench));
}
