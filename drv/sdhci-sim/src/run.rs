//! Running an asynchronous driver.

use crate::Simulator;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

impl Simulator {
    /// Runs a future to its end. When it sleeps, the time advances to the interrupt, or to the
    /// deadline that it asked for.
    ///
    /// # Panics
    /// If the future waits for anything but this simulator.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        loop {
            if let Poll::Ready(output) = self.poll(&mut future) {
                return output;
            }
            assert!(
                self.wake(),
                "the future waits for something that never comes"
            );
        }
    }

    /// Polls a future once.
    pub fn poll<F: Future>(&self, future: &mut Pin<&mut F>) -> Poll<F::Output> {
        future
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
    }

    /// Advances the time to the controller's next interrupt, at most to `deadline`, in
    /// microseconds. Returns whether the controller interrupts.
    pub fn sleep_until_us(&self, deadline: u64) -> bool {
        let mut controller = self.controller();
        controller.sleep_until(deadline);
        controller.interrupts()
    }

    /// Advances the time to where the sleeping driver is to be woken; false if none sleeps.
    pub fn wake(&self) -> bool {
        let Some(deadline) = self.0.deadline.take() else {
            return false;
        };
        self.controller().sleep_until(deadline);
        true
    }
}
