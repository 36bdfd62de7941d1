//! Where normal operation is interrupted.

use crate::slot::{Setup, Slot, WORK};
use block_device::{Block, BlockDevice};
use drv_mmc::CardLocation;
use drv_mmc::normal::Suspended;
use drv_sdhci::emergency::EmergencyController;
use drv_sdhci::normal::Wait;
use drv_sdhci::{Bus, Command, Response};
use drv_sdhci_sim::{FaultPlan, InjectedFault, SimCardState, Simulator};
use std::cell::Cell;
use std::rc::Rc;

/// What normal operation is doing when it is interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    /// Nothing yet: no driver has run.
    Nothing,
    /// Identifying the card; `true` if an earlier life has left its location behind.
    Identifying(bool),
    /// Nothing: the card is in transfer state.
    Resting,
    /// Reading so many blocks.
    Reading(usize),
    /// Writing so many blocks.
    Writing(usize),
    /// Writing to a card that takes 5 ms to program.
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
    /// Nothing: the card is erasing blocks that somebody else told it to.
    Erasing,
    /// Nothing: the card is in this state.
    InState(SimCardState),
    /// Nothing: the card programs for half a second.
    BusyLong,
    /// Nothing: somebody else has left the card with blocks of so many bytes (CMD16).
    BlockLength(u32),
}

impl Doing {
    /// Whether the emergency knows the card.
    #[must_use]
    pub fn knows_card(self) -> bool {
        !matches!(self, Self::Nothing | Self::Identifying(false))
    }

    /// Whether it is one point and not one for each register access.
    #[must_use]
    pub fn is_one_point(self) -> bool {
        matches!(
            self,
            Self::Nothing
                | Self::Resting
                | Self::Suspended
                | Self::Erasing
                | Self::InState(_)
                | Self::BusyLong
                | Self::BlockLength(_)
        )
    }
}

/// Brings a new slot to each point of `doing`, one for each `stride`-th register access, and gives a copy of it to
/// `visit`, with what the emergency knows of the card. Returns the number of points.
pub fn visit_each(
    setup: Setup,
    doing: Doing,
    stride: u32,
    visit: impl Fn(&Slot, &CardLocation, u32) + 'static,
) -> u32 {
    let slot = Slot::new(setup);
    let sim = &slot.sim;
    let mut card = slot.normal();
    if doing != Doing::Nothing && doing != Doing::Identifying(false) {
        sim.block_on(card.identify()).expect("the card is healthy");
    }
    let location = *card.location();
    match doing {
        Doing::Identifying(true) => sim.card().power_on(),
        Doing::WritingSlowly => sim.card().program_us = 5_000,
        Doing::Repairing => sim.fault(FaultPlan::next(25, InjectedFault::DataCrc(2))),
        Doing::Flushing => {
            let write = card.write(WORK.into(), &slot.dead[..2]);
            sim.block_on(write).expect("the card is healthy");
        }
        Doing::Suspended | Doing::Resuming => {
            sim.block_on(card.suspend()).expect("the card is healthy");
        }
        Doing::Erasing => erase(&slot, &location),
        Doing::BusyLong => {
            sim.card().set_state(SimCardState::Programming);
            let end = sim.now_us() + 500_000;
            sim.card().set_busy_until(end);
        }
        Doing::BlockLength(bytes) => sim.card().set_block_len(bytes),
        Doing::InState(state) => {
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
    let blocks = |count: usize| -> &[Block] { &slot.dead[..count] };
    let work = async {
        match doing {
            Doing::Identifying(_) => card.identify().await,
            Doing::Reading(count) => card.read(WORK.into(), blocks(count)).await,
            Doing::Writing(count) => card.write(WORK.into(), blocks(count)).await,
            Doing::WritingSlowly | Doing::Repairing => card.write(WORK.into(), blocks(5)).await,
            Doing::WritingReliably => card.write_reliable(WORK.into(), &slot.dead[0]).await,
            Doing::Flushing => card.flush().await,
            Doing::Suspending => card.suspend().await.map(|_: Suspended| ()),
            _ => card.read(WORK.into(), blocks(1)).await,
        }
    };
    sim.block_on(work).expect("the card is healthy");
    sim.watch(None);
    points.get().div_ceil(stride)
}

/// Erases two blocks, as no driver of this project ever does (K6).
fn erase(slot: &Slot, location: &CardLocation) {
    let sim = &slot.sim;
    let board = sim.board(8);
    let mut controller = EmergencyController::new(sim.clone(), board, sim.time(), None, 1 << 18);
    let bus: Bus = location.bus();
    let _ = controller.begin_phase(1_000);
    controller.reset(bus).expect("the controller is healthy");
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
