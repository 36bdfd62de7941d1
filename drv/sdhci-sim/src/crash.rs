//! Crashing a driver in the middle of its work.

use crate::Simulator;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any, resume_unwind};

/// The payload of the panic that ends a driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crashed;

impl Simulator {
    /// The driver crashes at its `accesses`-th register access from now on, before the access has
    /// any effect.
    pub fn crash_after(&self, accesses: u64) {
        self.0.crash_after.set(Some(accesses));
    }

    /// Runs a driver that may crash. A crash that is still planned afterwards is dropped.
    ///
    /// # Errors
    /// [`Crashed`] if it did.
    pub fn survive<T>(&self, run: impl FnOnce() -> T) -> Result<T, Crashed> {
        // A planned crash is not an error: its panic is not printed.
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !info.payload().is::<Crashed>() {
                eprintln!("{info}");
            }
        }));
        let result = catch_unwind(AssertUnwindSafe(run));
        std::panic::set_hook(hook);
        self.0.crash_after.set(None);
        self.0.deadline.set(None);
        match result {
            Ok(value) => Ok(value),
            Err(payload) if payload.is::<Crashed>() => Err(Crashed),
            Err(payload) => resume_unwind(payload),
        }
    }

    pub(crate) fn count_access_to_crash(&self) {
        match self.0.crash_after.get() {
            Some(0) => {
                self.0.crash_after.set(None);
                panic_any(Crashed)
            }
            Some(left) => self.0.crash_after.set(Some(left - 1)),
            None => {}
        }
    }
}
