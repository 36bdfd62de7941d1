//! Both drivers with the simulated controller and a card that is in transfer state.

use block_device::Block;
use drv_sdhci::adma2::MAX_BLOCKS;
use drv_sdhci::emergency::EmergencyController;
use drv_sdhci::normal::NormalController;
use drv_sdhci::{AutoCommand, BlockLen, Bus, Command, Data, Direction, Error, ErrorKind, Response};
use drv_sdhci_sim::{
    Buffer, FaultPlan, InjectedFault, Model, SimBoard, SimCard, SimCardState, SimTime, Simulator,
};

const BUS: Bus = Bus {
    clock_hz: 25_000_000,
    lines: 1,
    high_speed: false,
    dual_rate: false,
};
const REFUSAL: u32 = 0xFC00_0000;

fn command(index: u8, argument: u32) -> Command {
    let refusal = if matches!(index, 17 | 18 | 24 | 25) {
        REFUSAL
    } else {
        0
    };
    Command {
        index,
        argument,
        response: Response::R1,
        refusal,
    }
}

/// A slot with a card that waits for data commands.
struct Slot {
    sim: Simulator,
    board: SimBoard,
    table: Buffer,
}

enum Either<'a> {
    Normal(NormalController<'a, Simulator, SimBoard, SimTime>),
    Emergency(EmergencyController<'a, Simulator, SimBoard, SimTime>),
}

/// One of the two drivers, behind one interface for these tests.
struct Driver<'a> {
    sim: Simulator,
    either: Either<'a>,
}

impl Slot {
    fn new() -> Self {
        let sim = Simulator::new(SimCard::new(Model::EmmcSector, 8 * 1024 * 1024));
        let board = sim.board(1);
        let table = sim.buffer(1);
        Self { sim, board, table }
    }

    fn drivers(&self, dma: bool) -> [Driver<'_>; 2] {
        let table = dma.then_some(&self.table[0]);
        let (sim, board, ticks) = (&self.sim, &self.board, self.sim.time());
        let normal = NormalController::new(sim.clone(), board.clone(), ticks.clone(), table, 2);
        let emergency = EmergencyController::new(sim.clone(), board.clone(), ticks, table, 1 << 20);
        [Either::Normal(normal), Either::Emergency(emergency)].map(|either| Driver {
            sim: sim.clone(),
            either,
        })
    }
}

impl Driver<'_> {
    /// Resets the controller. The card, which may lose its power in the reset, is put into transfer
    /// state.
    fn reset(&mut self) -> Result<(), Error> {
        let result = match &mut self.either {
            Either::Normal(controller) => self.sim.block_on(controller.reset(BUS)),
            Either::Emergency(controller) => {
                controller.begin_try(10_000);
                controller.begin_phase(0);
                controller.reset(BUS, 0)
            }
        };
        if self.sim.controller().has_card() {
            self.sim.card().set_state(SimCardState::Transfer);
        }
        result
    }

    fn command(&mut self, command: &Command) -> Result<u32, Error> {
        match &mut self.either {
            Either::Normal(controller) => self.sim.block_on(controller.command(command)),
            Either::Emergency(controller) => controller.command(command),
        }
    }

    fn transfer(&mut self, command: &Command, data: &Data<'_>) -> Result<u32, Error> {
        match &mut self.either {
            Either::Normal(controller) => self.sim.block_on(controller.transfer(command, data)),
            Either::Emergency(controller) => controller.transfer(command, data),
        }
    }

    fn reset_lines(&mut self) -> Result<(), Error> {
        match &mut self.either {
            Either::Normal(controller) => self.sim.block_on(controller.reset_lines()),
            Either::Emergency(controller) => controller.reset_lines(),
        }
    }
}

fn multiple(direction: Direction, blocks: &[Block]) -> Data<'_> {
    let auto = AutoCommand::Cmd12(REFUSAL);
    Data {
        direction,
        blocks,
        block_len: BlockLen::FULL,
        multiple: true,
        auto,
    }
}

fn number(blocks: &[Block], seed: u32) {
    for (block, number) in blocks.iter().zip(0u32..) {
        block.fill(seed << 16 | number);
    }
}

#[test]
fn transfers_of_every_length_arrive() {
    for dma in [true, false] {
        let slot = Slot::new();
        let (data, back) = (slot.sim.buffer(MAX_BLOCKS), slot.sim.buffer(MAX_BLOCKS));
        for (mut driver, seed) in slot.drivers(dma).into_iter().zip(1..) {
            driver.reset().expect("the slot is healthy");
            let lengths = if dma {
                [1, 63, 64, 65, 129, MAX_BLOCKS]
            } else {
                [1, 2, 3, 4, 5, 70]
            };
            for len in lengths {
                number(&data[..len], seed);
                let write = multiple(Direction::Write, &data[..len]);
                driver
                    .transfer(&command(25, 1000), &write)
                    .expect("the slot is healthy");
                while driver.command(&command(13, 1 << 16)).expect("healthy") >> 9 & 0xF != 4 {}
                back.iter().for_each(|block| block.fill(0));
                let read = multiple(Direction::Read, &back[..len]);
                driver
                    .transfer(&command(18, 1000), &read)
                    .expect("the slot is healthy");
                for (block, number) in back[..len].iter().zip(0u32..) {
                    assert_eq!(
                        block.word(0),
                        seed << 16 | number,
                        "{len} blocks, dma {dma}"
                    );
                    assert_eq!(block.word(127), seed << 16 | number);
                }
            }
            assert!(!slot.sim.controller().signals_enabled());
        }
        assert_eq!(slot.sim.violations(), Vec::<String>::new());
    }
}

/// REQ: M5 (PIO where DMA cannot go)
#[test]
fn blocks_that_dma_cannot_reach_go_through_the_buffer_port() {
    let slot = Slot::new();
    let blocks: Vec<Block> = (0..3).map(|_| Block::zeroed()).collect();
    for mut driver in slot.drivers(true) {
        driver.reset().expect("the slot is healthy");
        number(&blocks, 9);
        let write = multiple(Direction::Write, &blocks);
        driver
            .transfer(&command(25, 50), &write)
            .expect("the slot is healthy");
        assert_eq!(slot.sim.card().block(52)[5], 9 << 16 | 2);
        slot.sim.pass_us(10_000);
    }
}

/// A register of the card may be shorter than a block: all of it arrives, and nothing behind it
/// changes.
#[test]
fn blocks_of_every_length_arrive_whole() {
    let slot = Slot::new();
    let stored: Vec<u32> = (1..=128).collect();
    let back = slot.sim.buffer(1);
    for dma in [true, false] {
        for mut driver in slot.drivers(dma) {
            driver.reset().expect("the slot is healthy");
            slot.sim.card().preset(7, &stored);
            for block_len in (0..=512).filter_map(BlockLen::new) {
                back[0].fill(0);
                let read = Data {
                    block_len,
                    multiple: false,
                    auto: AutoCommand::None,
                    ..multiple(Direction::Read, &back)
                };
                driver
                    .transfer(&command(17, 7), &read)
                    .expect("the slot is healthy");
                let words = usize::from(block_len.bytes()) / 4;
                let arrived: Vec<u32> = (0..128).map(|word| back[0].word(word)).collect();
                assert_eq!(arrived[..words], stored[..words], "{block_len:?} dma {dma}");
                assert!(arrived[words..].iter().all(|word| *word == 0));
            }
        }
    }
    assert_eq!(slot.sim.violations(), Vec::<String>::new());
}

#[test]
fn requests_without_blocks_or_with_too_many_are_not_sent() {
    let slot = Slot::new();
    let data = slot.sim.buffer(MAX_BLOCKS + 1);
    for mut driver in slot.drivers(true) {
        driver.reset().expect("the slot is healthy");
        let _ = slot.sim.commands();
        for blocks in [&data[..0], &data[..]] {
            let error = driver.transfer(&command(25, 0), &multiple(Direction::Write, blocks));
            assert_eq!(
                error,
                Err(Error {
                    kind: ErrorKind::BadRequest,
                    command: 25
                })
            );
        }
        assert_eq!(slot.sim.commands(), []);
    }
}

#[test]
fn every_fault_is_named_by_both_drivers() {
    let cases = [
        (InjectedFault::Ignored, ErrorKind::NoCompletion),
        (InjectedFault::NoResponse, ErrorKind::CommandTimeout),
        (InjectedFault::ResponseCrc, ErrorKind::CommandCrc),
        (InjectedFault::ResponseEndBit, ErrorKind::CommandEndBit),
        (InjectedFault::ResponseIndex, ErrorKind::CommandIndex),
        (InjectedFault::Refused(1 << 26), ErrorKind::Refused),
        (InjectedFault::DataCrc(2), ErrorKind::DataCrc),
        (InjectedFault::DataEndBit(0), ErrorKind::DataEndBit),
        (InjectedFault::DataTimeout(1), ErrorKind::DataTimeout),
        (InjectedFault::DataStall(3), ErrorKind::DataStalled),
        (InjectedFault::Adma(3), ErrorKind::Adma),
        (InjectedFault::AutoCommand, ErrorKind::AutoCommand),
        (InjectedFault::Removed, ErrorKind::CardGone),
        (InjectedFault::HangsCommand, ErrorKind::InhibitStuck),
        (InjectedFault::HangsData, ErrorKind::InhibitStuck),
    ];
    for (fault, kind) in cases {
        for direction in [Direction::Read, Direction::Write] {
            for which in [0, 1] {
                let slot = Slot::new();
                let data = slot.sim.buffer(4);
                let [normal, emergency] = slot.drivers(true);
                let mut driver = if which == 0 { normal } else { emergency };
                driver.reset().expect("the slot is healthy");
                let index = if direction == Direction::Read { 18 } else { 25 };
                slot.sim.fault(FaultPlan::next(index, fault));
                let request = multiple(direction, &data);
                let mut result = driver.transfer(&command(index, 8), &request);
                if kind == ErrorKind::InhibitStuck && result.is_ok() {
                    result = driver.transfer(&command(index, 8), &request);
                }
                let what = format!("{fault:?} {direction:?} driver {which}");
                assert_eq!(
                    result,
                    Err(Error {
                        kind,
                        command: index
                    }),
                    "{what}"
                );
                if fault != InjectedFault::Removed {
                    assert_eq!(driver.reset_lines(), Ok(()), "{what}");
                    slot.sim.card().set_state(SimCardState::Transfer);
                    slot.sim.pass_us(1_000_000);
                    assert!(
                        driver.transfer(&command(index, 8), &request).is_ok(),
                        "{what}"
                    );
                }
            }
        }
    }
}

#[test]
fn both_drivers_wait_while_the_card_is_busy_after_a_command() {
    let slot = Slot::new();
    for mut driver in slot.drivers(true) {
        driver.reset().expect("the slot is healthy");
        slot.sim
            .fault(FaultPlan::next(6, InjectedFault::Busy(150_000)));
        let start = slot.sim.now_us();
        let switch = Command {
            response: Response::R1b,
            ..command(6, 0x03B9_0100)
        };
        driver.command(&switch).expect("the card is only busy");
        assert!(slot.sim.now_us() - start >= 150_000);
        slot.sim
            .fault(FaultPlan::next(6, InjectedFault::Busy(u64::MAX / 2)));
        let error = driver.command(&switch).expect_err("the card stays busy");
        // Whichever ends first: the driver's patience, or the time-out of the controller.
        let kinds = [ErrorKind::BusyStuck, ErrorKind::DataTimeout];
        assert!(kinds.contains(&error.kind), "{error:?}");
        assert_eq!(error.command, 6);
        slot.sim.card().set_state(SimCardState::Transfer);
    }
}

#[test]
fn without_card_detect_a_slot_that_seems_empty_is_tried() {
    let mut slot = Slot::new();
    slot.board = slot.sim.board(1).without_card_detect();
    let card = slot.sim.eject().expect("there was one");
    for mut driver in slot.drivers(true) {
        assert_eq!(driver.reset(), Ok(()));
        let error = driver.command(&command(13, 1 << 16));
        assert_eq!(
            error,
            Err(Error {
                kind: ErrorKind::CommandTimeout,
                command: 13
            })
        );
    }
    slot.sim.insert(card);
}

#[test]
fn stale_status_bits_do_not_disturb_a_request() {
    let slot = Slot::new();
    for mut driver in slot.drivers(true) {
        driver.reset().expect("the slot is healthy");
        slot.sim.controller().force_status(0x03FF_0003);
        assert_eq!(
            driver
                .command(&command(13, 1 << 16))
                .map(|status| status >> 9 & 0xF),
            Ok(4)
        );
    }
}
