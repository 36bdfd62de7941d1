//! A simulated SD host controller with a card, for tests on the host.
//!
//! It implements [`Registers`], so the drivers under test are the ones that run on the target. It
//! follows the SD Host Controller, SD Physical Layer and JESD84 specifications where a driver can
//! notice a difference. Unlike an emulator it takes time, is busy, makes CRC errors, stops
//! answering, hangs, and loses its card.
//!
//! # Theory of operation
//!
//! A [`Simulator`] is a handle; clones share one world. Time is simulated, in microseconds, and
//! advances for three reasons only: each register access takes [`Timing::access_us`];
//! [`Simulator::block_on`] advances it to the next interrupt, or to the deadline that the driver
//! asked for, when the driver sleeps; and a test may advance it. So every run is repeatable, and a
//! time-out of seconds costs the test no time.
//!
//! An event (a response arrives, a block has crossed the bus, programming ends) happens at the
//! first access at or after its time, in order.
//!
//! * Faults are planned with [`Simulator::fault`], by command and count, or are switches of
//!   [`SimController`] and [`SimCard`], reached through [`Simulator::controller`] and
//!   [`Simulator::card`].
//! * [`Simulator::crash_after`] ends a driver at its n-th register access, by a panic that
//!   [`Simulator::survive`] catches: controller and card are then in the state that a crash at this
//!   point leaves behind.
//! * Misuse of the hardware is refused as hardware refuses it, or recorded
//!   ([`Simulator::violations`]): a command while the line is in use, a clock that is too fast, the
//!   buffer port read while it is empty. The folder `rules` has a file for each subject. A test in
//!   which something was recorded fails, unless it has called [`Simulator::allow_violations`].
//! * DMA reaches only buffers made by [`Simulator::buffer`]. They have 32-bit bus addresses of
//!   their own, independent of the host's pointers. It sees what the driver has written before its
//!   last [`Registers::barrier`], and the driver sees what DMA has written after the next.

mod bus;
mod card;
mod controller;
mod crash;
mod fault;
mod memory;
mod rules;
mod run;

pub use bus::{SimBoard, SimTime};
pub use card::{Habits, Model, SimCard, SimCardState};
pub use controller::{ControllerActivity, SimController, Timing};
pub use crash::Crashed;
pub use fault::{FaultPlan, InjectedFault};
pub use memory::Buffer;

use drv_sdhci::Registers;
use std::cell::{Cell, RefCell, RefMut};
use std::rc::Rc;

/// Called before each register access.
type Watcher = Box<dyn FnMut(&Simulator)>;

/// The state that all handles share.
struct World {
    controller: RefCell<SimController>,
    /// Register accesses until the driver crashes.
    crash_after: Cell<Option<u64>>,
    accesses: Cell<u64>,
    watcher: RefCell<Option<Watcher>>,
    clock: Cell<ClockFault>,
    /// Readings of the time source by the emergency driver.
    clock_readings: Cell<u64>,
    /// When the sleeping driver is to be woken, if one sleeps.
    deadline: Cell<Option<u64>>,
    /// Violations do not fail the test.
    allows_violations: Cell<bool>,
}

impl Drop for World {
    fn drop(&mut self) {
        let violations = &self.controller.get_mut().violations;
        if !self.allows_violations.get() && !std::thread::panicking() {
            assert!(violations.is_empty(), "{violations:#?}");
        }
    }
}

impl World {
    fn new(controller: SimController) -> Self {
        Self {
            controller: RefCell::new(controller),
            crash_after: Cell::new(None),
            accesses: Cell::new(0),
            watcher: RefCell::new(None),
            clock: Cell::new(ClockFault::None),
            clock_readings: Cell::new(0),
            deadline: Cell::new(None),
            allows_violations: Cell::new(false),
        }
    }
}

/// How the time source of the drivers fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockFault {
    /// It works.
    None,
    /// It does not answer.
    Dead,
    /// It always gives this time.
    Frozen(u64),
    /// It jumps by this many milliseconds at every reading, in turn forwards and backwards.
    Jumping(u64),
    /// It goes backwards.
    Backwards,
    /// It is slower than the time by this factor, and answers only every second reading.
    Slow(u64),
}

/// A handle to a simulated slot.
#[derive(Clone)]
pub struct Simulator(Rc<World>);

impl Simulator {
    /// A slot with a card in it.
    #[must_use]
    pub fn new(card: SimCard) -> Self {
        Self(Rc::new(World::new(SimController::new(card))))
    }

    /// The controller, to inspect or to change it. The borrow must end before a driver runs.
    pub fn controller(&self) -> RefMut<'_, SimController> {
        self.0.controller.borrow_mut()
    }

    /// The card in the slot.
    ///
    /// # Panics
    /// If there is none.
    pub fn card(&self) -> RefMut<'_, SimCard> {
        RefMut::map(self.controller(), |controller| {
            controller
                .card
                .as_mut()
                .expect("there is a card in the slot")
        })
    }

    /// Takes the card out.
    pub fn eject(&self) -> Option<SimCard> {
        self.controller().card.take()
    }

    /// Puts a card in; it is powered if the slot is.
    pub fn insert(&self, card: SimCard) {
        self.controller().insert(card);
    }

    /// Plans a fault; plans are independent of each other.
    pub fn fault(&self, plan: FaultPlan) {
        self.controller().plans.push(plan);
    }

    /// The plans, with what is left of their counts.
    #[must_use]
    pub fn plans(&self) -> Vec<FaultPlan> {
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

    /// How the driver has misused the hardware so far.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        self.controller().violations.clone()
    }

    /// Lets a test go on that misuses the hardware on purpose.
    pub fn allow_violations(&self) {
        self.0.allows_violations.set(true);
    }

    /// Advances the time.
    pub fn pass_us(&self, us: u64) {
        self.controller().pass(us);
    }

    /// The simulated time, microseconds.
    #[must_use]
    pub fn now_us(&self) -> u64 {
        self.controller().now
    }

    /// Register accesses so far.
    #[must_use]
    pub fn accesses(&self) -> u64 {
        self.0.accesses.get()
    }

    /// Copies the world: controller, card, buffers, time. The copy and the original are independent
    /// from then on.
    #[must_use]
    pub fn fork(&self) -> Self {
        let fork = Self(Rc::new(World::new(self.controller().clone())));
        fork.0.clock.set(self.0.clock.get());
        // The original reports what happened before.
        fork.controller().violations.clear();
        fork
    }

    /// Calls `watcher` before each register access, until `None` is given. It may fork the
    /// simulator, and must not change it.
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

    fn access(&self) -> RefMut<'_, SimController> {
        let watcher = self.0.watcher.borrow_mut().take();
        if let Some(mut watcher) = watcher {
            watcher(self);
            *self.0.watcher.borrow_mut() = Some(watcher);
        }
        self.0.accesses.set(self.0.accesses.get() + 1);
        self.count_access_to_crash();
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

    fn barrier(&self) {
        self.controller().barrier();
    }
}

impl std::fmt::Debug for Simulator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Simulator at {} us", self.now_us())
    }
}
