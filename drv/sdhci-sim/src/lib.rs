//! A simulated SD host controller with a card in it, for tests on the host.
//!
//! It stands behind [`Registers`], so the drivers under test are the very ones that run on the target. It follows the
//! SD Host Controller, SD Physical Layer and JESD84 specifications where a driver can notice, and it does what no
//! emulator does: it takes time, is busy, makes CRC errors, goes silent, hangs, loses its card.
//!
//! # Theory of operation
//!
//! A [`Simulator`] is a handle; clones share one world. Time is simulated, in microseconds, and moves for three reasons
//! only: each register access takes [`Timing::access_us`]; [`Simulator::block_on`] skips to the next interrupt, or to
//! the deadline that the driver asked for, when the driver sleeps; and a test may let it pass. So every run is
//! repeatable, and a time-out of seconds takes no time.
//!
//! What happens later (a response arrives, a block has crossed the bus, programming ends) happens at the first access
//! at or after its time, in order.
//!
//! * Faults are planned with [`Simulator::fault`], by command and count, or are switches of [`Controller`] and
//!   [`Card`], reached through [`Simulator::controller`] and [`Simulator::card`].
//! * [`Simulator::crash_after`] ends a driver at its n-th register access, by a panic that [`Simulator::survive`]
//!   catches: the state of controller and card is then what a crash there leaves behind.
//! * Misuse of the hardware is recorded ([`Simulator::violations`]): a command while the line is in use, a clock that is
//!   too fast, the buffer port read while it is empty.
//! * DMA reaches only buffers made by [`Simulator::buffer`]; they have 32-bit bus addresses of their own, whatever the
//!   host's pointers are.

mod bus;
mod card;
mod controller;
mod crash;
mod fault;
mod memory;
mod run;

pub use bus::{Board, Ticks};
pub use card::{Card, Model, State};
pub use controller::{Activity, Controller, Timing};
pub use crash::Crashed;
pub use fault::{Fault, Plan};
pub use memory::Buffer;

use drv_sdhci::Registers;
use std::cell::{Cell, RefCell, RefMut};
use std::rc::Rc;

/// What is called before each register access.
type Watcher = Box<dyn FnMut(&Simulator)>;

/// What is shared by all handles.
struct World {
    controller: RefCell<Controller>,
    /// Register accesses until the driver crashes.
    fuse: Cell<Option<u64>>,
    accesses: Cell<u64>,
    watcher: RefCell<Option<Watcher>>,
    clock: Cell<ClockFault>,
    /// Looks at the clock.
    looks: Cell<u64>,
    /// What a sleeping driver waits for.
    deadline: Cell<Option<u64>>,
}

impl World {
    fn new(controller: Controller) -> Self {
        Self {
            controller: RefCell::new(controller),
            fuse: Cell::new(None),
            accesses: Cell::new(0),
            watcher: RefCell::new(None),
            clock: Cell::new(ClockFault::None),
            looks: Cell::new(0),
            deadline: Cell::new(None),
        }
    }
}

/// How the time source of the drivers fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockFault {
    /// It does not.
    None,
    /// It does not answer.
    Dead,
    /// It always gives this time.
    Frozen(u64),
    /// It leaps by this many milliseconds at every look, in turn forwards and backwards.
    Leaping(u64),
    /// It goes backwards.
    Backwards,
    /// So much slower than time, in turn not answering.
    Slow(u64),
}

/// A handle to a simulated slot.
#[derive(Clone)]
pub struct Simulator(Rc<World>);

impl Simulator {
    /// A slot with a card in it.
    #[must_use]
    pub fn new(card: Card) -> Self {
        Self(Rc::new(World::new(Controller::new(card))))
    }

    /// The controller, for a look or a switch. Not to be held while a driver runs.
    pub fn controller(&self) -> RefMut<'_, Controller> {
        self.0.controller.borrow_mut()
    }

    /// The card in the slot.
    ///
    /// # Panics
    /// If there is none.
    pub fn card(&self) -> RefMut<'_, Card> {
        RefMut::map(self.controller(), |controller| {
            controller
                .card
                .as_mut()
                .expect("there is a card in the slot")
        })
    }

    /// Takes the card out.
    pub fn eject(&self) -> Option<Card> {
        self.controller().card.take()
    }

    /// Puts a card in; it is powered if the slot is.
    pub fn insert(&self, card: Card) {
        self.controller().card = Some(card);
    }

    /// Plans a fault.
    pub fn fault(&self, plan: Plan) {
        self.controller().plans.push(plan);
    }

    /// The plans, as far as they have not been carried out.
    #[must_use]
    pub fn plans(&self) -> Vec<Plan> {
        self.controller().plans.clone()
    }

    /// Drops all planned faults.
    pub fn no_faults(&self) {
        self.controller().plans.clear();
    }

    /// The commands that reached the card since the last call, with their arguments.
    #[must_use]
    pub fn commands(&self) -> Vec<(u8, u32)> {
        std::mem::take(&mut self.controller().log)
    }

    /// What the driver did wrong so far.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        self.controller().violations.clone()
    }

    /// Lets time pass.
    pub fn pass_us(&self, us: u64) {
        self.controller().pass(us);
    }

    /// The simulated time.
    #[must_use]
    pub fn now_us(&self) -> u64 {
        self.controller().now
    }

    /// Register accesses so far.
    #[must_use]
    pub fn accesses(&self) -> u64 {
        self.0.accesses.get()
    }

    /// Another world in the same state: controller, card, buffers, time. What a driver does in one is not seen in the
    /// other.
    #[must_use]
    pub fn fork(&self) -> Self {
        let fork = Self(Rc::new(World::new(self.controller().clone())));
        fork.0.clock.set(self.0.clock.get());
        fork
    }

    /// Calls `watcher` before each register access, until `None` is given. It may fork the simulator, and not touch it.
    pub fn watch(&self, watcher: Option<Watcher>) {
        *self.0.watcher.borrow_mut() = watcher;
    }

    /// Makes the drivers' time source fail.
    pub fn set_clock_fault(&self, fault: ClockFault) {
        self.0.clock.set(fault);
    }

    /// How it fails.
    #[must_use]
    pub fn clock_fault(&self) -> ClockFault {
        self.0.clock.get()
    }

    fn access(&self) -> RefMut<'_, Controller> {
        let watcher = self.0.watcher.borrow_mut().take();
        if let Some(mut watcher) = watcher {
            watcher(self);
            *self.0.watcher.borrow_mut() = Some(watcher);
        }
        self.0.accesses.set(self.0.accesses.get() + 1);
        self.burn_fuse();
        let mut controller = self.controller();
        let us = controller.timing.access_us;
        controller.pass(us);
        controller
    }
}

impl Registers for Simulator {
    fn load(&self, offset: u8) -> u32 {
        self.access().load(offset)
    }

    fn store(&self, offset: u8, value: u32) {
        self.access().store(offset, value);
    }
}

impl std::fmt::Debug for Simulator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Simulator at {} us", self.now_us())
    }
}
