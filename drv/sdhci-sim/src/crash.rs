//! Ending a driver in the middle.

use crate::Simulator;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any, resume_unwind};

/// The payload of the panic that ends a driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crashed;

impl Simulator {
    /// The driver crashes at its `accesses`-th register access from now on, before the access has any effect.
    pub fn crash_after(&self, accesses: u64) {
        self.0.fuse.set(Some(accesses));
    }

    /// Runs a driver that may crash. The fuse is out afterwards.
    ///
    /// # Errors
    /// [`Crashed`] if it did.
    pub fn survive<T>(&self, run: impl FnOnce() -> T) -> Result<T, Crashed> {
        // A crash is the purpose: nothing to report.
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !info.payload().is::<Crashed>() {
                eprintln!("{info}");
            }
        }));
        let result = catch_unwind(AssertUnwindSafe(run));
        std::panic::set_hook(hook);
        self.0.fuse.set(None);
        self.0.deadline.set(None);
        match result {
            Ok(value) => Ok(value),
            Err(payload) if payload.is::<Crashed>() => Err(Crashed),
            Err(payload) => resume_unwind(payload),
        }
    }

    pub(crate) fn burn_fuse(&self) {
        match self.0.fuse.get() {
            Some(0) => {
                self.0.fuse.set(None);
                panic_any(Crashed)
            }
            Some(left) => self.0.fuse.set(Some(left - 1)),
            None => {}
        }
    }
}
