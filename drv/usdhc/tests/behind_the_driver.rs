//! Both drivers on a simulated uSDHC.

mod common;

use block_device::{BlockDevice, PolledDevice};
use common::{Board, Model};
use drv_mmc::emergency::{EmergencyCard, Settings};
use drv_mmc::normal::NormalCard;
use drv_mmc::{CardKind, CardLocation};
use drv_sdhci::Registers;
use drv_sdhci::normal::NormalController;
use drv_sdhci::registers::{FORCE_EVENT, INTERRUPT_STATUS, INTERRUPT_STATUS_ENABLE};
use drv_sdhci_sim::{
    Buffer, FaultPlan, InjectedFault, Model as CardModel, SimCard, SimCardState, SimTime,
};
use drv_usdhc::Usdhc;

const CARDS: [(CardModel, u32); 3] = [
    (CardModel::EmmcSector, 8 * 1024 * 1024),
    (CardModel::SdStandard, 128 * 1024),
    (CardModel::SdHighCapacity, 16 * 1024 * 1024),
];

type Normal<'a> = NormalCard<'a, NormalController<'a, Usdhc<Model>, Board, SimTime>>;
type Emergency<'a> = EmergencyCard<'a, Usdhc<Model>, Board, SimTime>;

/// A slot, and buffers that its DMA can reach.
struct Bench {
    model: Model,
    table: Buffer,
    scratch: Buffer,
    data: Buffer,
    back: Buffer,
}

impl Bench {
    fn new(card: CardModel, blocks: u32) -> Self {
        let model = Model::new(SimCard::new(card, blocks));
        let [table, scratch] = [model.sim.buffer(1), model.sim.buffer(1)];
        let [data, back] = [model.sim.buffer(20), model.sim.buffer(20)];
        for (number, block) in (0..).zip(data.iter()) {
            for word in 0..128 {
                block.set_word(word, number << 16 | word as u32);
            }
        }
        Self {
            model,
            table,
            scratch,
            data,
            back,
        }
    }

    fn normal(&self, dma: bool) -> Normal<'_> {
        let host = NormalController::new(
            Usdhc::new(self.model.clone()),
            Board(self.model.sim.board(4)),
            self.model.sim.time(),
            dma.then_some(&self.table[0]),
            4,
        );
        NormalCard::new(host, &self.scratch[0], CardKind::Sd, false)
    }

    fn emergency(&self, dma: bool) -> Emergency<'_> {
        EmergencyCard::new(
            Usdhc::new(self.model.clone()),
            Board(self.model.sim.board(4)),
            self.model.sim.time(),
            (dma.then_some(&self.table[0]), &self.scratch[0]),
            Settings {
                first: CardKind::Sd,
                try_ms: 1_900,
                polls_without_time: 1 << 18,
            },
        )
    }

    /// Does the card hold the first `blocks` blocks of the data at `first`?
    fn holds(&self, first: u32, blocks: usize) -> bool {
        let card = self.model.sim.card();
        (first..).zip(&self.data[..blocks]).all(|(number, block)| {
            let stored = card.block(number);
            (0..128).all(|word| stored[word] == block.word(word))
        })
    }

    fn same(&self, blocks: usize) -> bool {
        let mut pairs = self.data[..blocks].iter().zip(&self.back[..blocks]);
        pairs.all(|(one, other)| (0..128).all(|word| one.word(word) == other.word(word)))
    }

    fn assert_clean(&self) {
        assert_eq!(self.model.violations(), Vec::<String>::new());
    }
}

#[test]
fn the_normal_path_writes_and_reads() {
    for (card, blocks) in CARDS {
        for dma in [true, false] {
            let bench = Bench::new(card, blocks);
            let mut device = bench.normal(dma);
            let sim = &bench.model.sim;
            sim.block_on(device.identify()).expect("identified");
            sim.block_on(device.write(100, &bench.data[..20]))
                .expect("written");
            sim.block_on(device.write(200, &bench.data[..1]))
                .expect("written");
            sim.block_on(device.flush()).expect("flushed");
            assert!(bench.holds(100, 20) && bench.holds(200, 1), "{card:?}");
            sim.block_on(device.read(100, &bench.back[..20]))
                .expect("read");
            assert!(bench.same(20), "{card:?}, DMA {dma}");
            bench.assert_clean();
        }
    }
}

#[test]
fn the_emergency_path_takes_over_and_writes() {
    for (card, blocks) in CARDS {
        for dma in [true, false] {
            for known in [true, false] {
                let bench = Bench::new(card, blocks);
                let mut location = CardLocation::default();
                if known {
                    let mut device = bench.normal(true);
                    let sim = &bench.model.sim;
                    sim.block_on(device.identify()).expect("identified");
                    location = *device.location();
                }
                let mut device = bench.emergency(dma);
                device.prepare(&location).expect("prepared");
                device.write(400, &bench.data[..9]).expect("written");
                device.flush().expect("flushed");
                device
                    .write_reliable(600, &bench.data[0])
                    .expect("committed");
                let report = device.complete().expect("complete");
                assert!(bench.holds(400, 9) && bench.holds(600, 1), "{card:?}");
                assert_eq!(report.retries, 0, "{card:?}");
                bench.assert_clean();
            }
        }
    }
}

/// The uSDHC reports no end of busy, so a driver that waited for an interrupt would wait for the
/// end of its limit, ten seconds.
#[test]
fn the_end_of_busy_is_noticed_soon() {
    const BUSY_US: u64 = 90_000;
    // The rest of an identification: the supply alone takes some 50 ms.
    const SLACK_US: u64 = 100_000;
    let bench = Bench::new(CardModel::EmmcSector, 8 * 1024 * 1024);
    let sim = &bench.model.sim;
    let mut device = bench.normal(true);
    sim.block_on(device.identify()).expect("identified");
    // The first CMD6 of an identification.
    sim.fault(FaultPlan::next(6, InjectedFault::Busy(BUSY_US)));
    let start = sim.now_us();
    sim.block_on(device.identify()).expect("identified");
    let took = sim.now_us() - start;
    assert!((BUSY_US..BUSY_US + SLACK_US).contains(&took), "{took} us");

    let location = *device.location();
    sim.card().set_state(SimCardState::Receiving);
    sim.fault(FaultPlan::next(12, InjectedFault::Busy(BUSY_US)));
    let start = sim.now_us();
    bench.emergency(true).prepare(&location).expect("prepared");
    let took = sim.now_us() - start;
    assert!((BUSY_US..BUSY_US + SLACK_US).contains(&took), "{took} us");
    bench.assert_clean();
}

/// DMAE is another bit than SDHCI's ADMA Error, and there is no bit that says that an error is set.
#[test]
fn errors_are_those_of_sdhci() {
    let bench = Bench::new(CardModel::SdHighCapacity, 16 * 1024 * 1024);
    let sim = &bench.model.sim;
    let registers = Usdhc::new(bench.model.clone());
    registers.set(INTERRUPT_STATUS_ENABLE, !0);
    // There is no bit for the current limit.
    for error in (16..=25).filter(|&bit| bit != 23) {
        sim.set(FORCE_EVENT, 1 << error);
        assert_eq!(registers.load(0x30), 1 << error | 1 << 15, "bit {error}");
        registers.set(INTERRUPT_STATUS, !0);
        assert_eq!(registers.load(0x30), 0, "bit {error}");
    }
    bench.assert_clean();
}

/// A driver that gives DMA up has moved its data through the buffer port.
#[test]
fn a_failure_of_dma_is_noticed() {
    let bench = Bench::new(CardModel::SdHighCapacity, 16 * 1024 * 1024);
    let sim = &bench.model.sim;
    let mut device = bench.normal(true);
    sim.block_on(device.identify()).expect("identified");
    sim.fault(FaultPlan::next(24, InjectedFault::Adma(0)));
    sim.block_on(device.write(5, &bench.data[..1]))
        .expect("written");
    assert!(bench.holds(5, 1));
    assert_eq!(bench.model.watermark() & 0xFF, 128);
    bench.assert_clean();
}

#[test]
fn a_missing_card_is_noticed() {
    let bench = Bench::new(CardModel::SdHighCapacity, 16 * 1024 * 1024);
    let sim = &bench.model.sim;
    drop(sim.eject());
    assert!(sim.block_on(bench.normal(true).identify()).is_err());
    let prepared = bench.emergency(true).prepare(&CardLocation::default());
    assert!(prepared.is_err());
}
