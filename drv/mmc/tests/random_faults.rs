//! Random faults after a crash at a random point: the emergency path ends in time, reports the
//! truth, and changes no other block.

mod common;

use block_device::BlockDevice;
use common::{Bench, MODELS, crash_is_there, write_crash};
use drv_sdhci_sim::{FaultPlan, InjectedFault};
use proptest::prelude::*;

fn faults() -> impl Strategy<Value = InjectedFault> {
    prop_oneof![
        Just(InjectedFault::Ignored),
        Just(InjectedFault::NoResponse),
        Just(InjectedFault::ResponseLost),
        Just(InjectedFault::ResponseCrc),
        Just(InjectedFault::ResponseEndBit),
        Just(InjectedFault::ResponseIndex),
        (15u32..32).prop_map(|bit| InjectedFault::Refused(1 << bit)),
        (0u16..12).prop_map(InjectedFault::DataCrc),
        (0u16..12).prop_map(InjectedFault::DataEndBit),
        (0u16..12).prop_map(InjectedFault::DataTimeout),
        (0u16..12).prop_map(InjectedFault::DataStall),
        (0u16..12).prop_map(InjectedFault::Adma),
        Just(InjectedFault::AutoCommand),
        (0u64..2_000_000).prop_map(InjectedFault::Busy),
        Just(InjectedFault::Forgets),
        Just(InjectedFault::Removed),
        Just(InjectedFault::HangsCommand),
        Just(InjectedFault::HangsData),
    ]
}

fn plans() -> impl Strategy<Value = FaultPlan> {
    let command = proptest::option::of(prop_oneof![
        Just(13u8),
        Just(24),
        Just(25),
        Just(23),
        Just(12),
        Just(7),
        Just(0),
        Just(1)
    ]);
    (
        command,
        0u32..4,
        prop_oneof![Just(1u32), Just(2), Just(u32::MAX)],
        faults(),
    )
        .prop_map(|(command, after, times, fault)| FaultPlan {
            command,
            after,
            times,
            fault,
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn the_emergency_path_ends_in_time_and_reports_the_truth(
        model in 0usize..5,
        dma in any::<bool>(),
        crash_after in 0u64..400,
        early in proptest::collection::vec(plans(), 0..2),
        late in proptest::collection::vec(plans(), 0..4),
        powers_card in any::<bool>(),
    ) {
        let (model, blocks) = MODELS[model];
        let bench = Bench::of(model, blocks);
        bench.sim.controller().powers_card = powers_card;
        let location = bench.identified();
        // These blocks must keep their content: nothing that follows writes them.
        bench.fill(77, 20);
        let mut card = bench.card(true);
        bench.sim.block_on(card.identify()).expect("the card is healthy");
        bench.sim.block_on(card.write(420, &bench.data[..20])).expect("the card is healthy");

        early.into_iter().for_each(|plan| bench.sim.fault(plan));
        bench.sim.crash_after(crash_after);
        let _ = bench.sim.survive(|| {
            let _ = bench.sim.block_on(card.write(2000, &bench.back[..8]));
            let _ = bench.sim.block_on(card.read(2000, &bench.back[..8]));
        });
        bench.sim.no_faults();
        late.into_iter().for_each(|plan| bench.sim.fault(plan));

        bench.fill(0xC0FFEE, 12);
        let start = bench.sim.now_us();
        let mut card = bench.emergency(dma);
        let result = card.prepare(&location).and_then(|_| write_crash(&mut card, &bench));
        let took_ms = (bench.sim.now_us() - start) / 1000;
        prop_assert!(took_ms < 2_000, "took {} ms: {:?}", took_ms, result);
        prop_assert!(!bench.sim.controller().signals_enabled());
        if result.is_ok() {
            prop_assert!(crash_is_there(&bench), "{:?}", card.report());
        } else {
            prop_assert_ne!(card.report().last_error, 0);
        }
        if bench.sim.controller().has_card() {
            bench.fill(77, 20);
            prop_assert!(bench.holds(420, 20), "blocks that were not written have changed");
        }
    }
}
