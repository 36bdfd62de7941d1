//! The points at which the normal path is interrupted.

use crate::setup::Setup;
use crate::slot::{Slot, WORK};
use block_device::{Block, BlockDevice};
use drv_mmc::CardLocation;
use drv_mmc::normal::Suspended;
use drv_sdhci::emergency::EmergencyController;
use drv_sdhci::normal::Wait;
use drv_sdhci::{Bus, Command, Response};
use drv_sdhci_sim::{FaultPlan, InjectedFault, SimCardState, Simulator};
use std::cell::Cell;
use std::rc::Rc;

/// What the normal path is doing when it is interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DriverActivity {
    /// Nothing yet: no driver has run.
    Nothing,
    /// Identifying the card; `true` if an earlier run has left its location in retained memory.
    Identifying(bool),
    /// Nothing: the card is in transfer state.
    Idle,
    /// Reading so many blocks.
    Reading(usize),
    /// Writing so many blocks.
    Writing(usize),
    /// Writing to a card that programs a block for 5 ms.
    WritingSlowly,
    /// Writing one block reliably.
    WritingReliably,
    /// Flushing the card's cache, two blocks in it.
    Flushing,
    /// Suspending.
    Suspending,
    /// Suspended.
    Suspended,
    /// Resuming, by a read.
    Resuming,
    /// Repairing a write whose third block was damaged.
    Repairing,
    /// Nothing: the card is erasing blocks, by a command that none of these drivers sends.
    Erasing,
    /// Nothing: the card is in this state.
    InState(SimCardState),
    /// Nothing: the card programs for half a second.
    BusyLong,
    /// Nothing: other software has left the card with blocks of so many bytes (CMD16).
    BlockLength(u32),
}

impl DriverActivity {
    /// Whether the emergency path knows the location of the card.
    #[must_use]
    pub fn knows_card(self) -> bool {
        !matches!(self, Self::Nothing | Self::Identifying(false))
    }

    /// Whether it has one point, and not one for each register access.
    #[must_use]
    pub fn is_one_point(self) -> bool {
        matches!(
            self,
            Self::Nothing
                | Self::Idle
                | Self::Suspended
                | Self::Erasing
                | Self::InState(_)
                | Self::BusyLong
                | Self::BlockLength(_)
        )
    }
}

/// Brings a new slot to each point of `doing`, one for each `stride`-th register access, and gives
/// a copy of it to `visit`, with the location of the card as the emergency path knows it. Returns
/// the number of points.
pub fn visit_each(
    setup: Setup,
    doing: DriverActivity,
    stride: u32,
    visit: impl Fn(&Slot, &CardLocation, u32) + 'static,
) -> u32 {
    let slot = Slot::new(setup);
    let sim = &slot.sim;
    let mut card = slot.normal();
    if doing != DriverActivity::Nothing && doing != DriverActivity::Identifying(false) {
        sim.block_on(card.identify()).expect("the card is healthy");
    }
    let location = *card.location();
    match doing {
        DriverActivity::Identifying(true) => sim.card().power_on(),
        DriverActivity::WritingSlowly => sim.card().program_us = 5_000,
        DriverActivity::Repairing => sim.fault(FaultPlan::next(25, InjectedFault::DataCrc(2))),
        DriverActivity::Flushing => {
            let write = card.write(WORK.into(), &slot.normal_data[..2]);
            sim.block_on(write).expect("the card is healthy");
        }
        DriverActivity::Suspended | DriverActivity::Resuming => {
            sim.block_on(card.suspend()).expect("the card is healthy");
        }
        DriverActivity::Erasing => erase(&slot, &location),
        DriverActivity::BusyLong => {
            sim.card().set_state(SimCardState::Programming);
            let end = sim.now_us() + 500_000;
            sim.card().set_busy_until(end);
        }
        DriverActivity::BlockLength(bytes) => sim.card().set_block_len(bytes),
        DriverActivity::InState(state) => {
            sim.card().program_us = 2_000;
            sim.card().set_state(state);
            let soon = sim.now_us() + 3_000;
            if matches!(
                state,
                SimCardState::Programming | SimCardState::Disconnected
            ) {
                sim.card().set_busy_until(soon);
            }
        }
        _ => {}
    }
    if doing.is_one_point() {
        visit(&slot, &location, 0);
        return 1;
    }

    let points = Rc::new(Cell::new(0u32));
    let count = Rc::clone(&points);
    let watcher = move |sim: &Simulator| {
        let point = count.get();
        count.set(point + 1);
        if point.is_multiple_of(stride) {
            visit(&Slot::over(sim.fork(), setup), &location, point);
        }
    };
    sim.watch(Some(Box::new(watcher)));
    let blocks = |count: usize| -> &[Block] { &slot.normal_data[..count] };
    let work = async {
        match doing {
            DriverActivity::Identifying(_) => card.identify().await,
            DriverActivity::Reading(count) => card.read(WORK.into(), blocks(count)).await,
            DriverActivity::Writing(count) => card.write(WORK.into(), blocks(count)).await,
            DriverActivity::WritingSlowly | DriverActivity::Repairing => {
                card.write(WORK.into(), blocks(5)).await
            }
            DriverActivity::WritingReliably => {
                card.write_reliable(WORK.into(), &slot.normal_data[0]).await
            }
            DriverActivity::Flushing => card.flush().await,
            DriverActivity::Suspending => card.suspend().await.map(|_: Suspended| ()),
            _ => card.read(WORK.into(), blocks(1)).await,
        }
    };
    sim.block_on(work).expect("the card is healthy");
    sim.watch(None);
    points.get().div_ceil(stride)
}

/// Makes the card erase two blocks. The drivers never do that (K6).
fn erase(slot: &Slot, location: &CardLocation) {
    let sim = &slot.sim;
    let board = sim.board(8);
    let mut controller = EmergencyController::new(sim.clone(), board, sim.time(), None, 1 << 18);
    let bus: Bus = location.bus();
    controller.begin_try(1_000);
    let _ = controller.begin_phase(0);
    controller.reset(bus, 0).expect("the controller is healthy");
    let first = location
        .address(WORK.into(), 1)
        .expect("a block of the card");
    for (index, argument) in [(35, first), (36, first), (38, 0)] {
        let command = Command {
            index,
            argument,
            response: Response::R1,
            refusal: 0,
        };
        controller.command(&command).expect("the card is healthy");
    }
    assert!(sim.time().now() < 1_000);
    assert_eq!(sim.card().state(), SimCardState::Programming);
}
