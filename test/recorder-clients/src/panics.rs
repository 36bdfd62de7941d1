//! Panics that are results: what they say is kept instead of printed.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

std::thread_local! {
    static KEEPS: Cell<bool> = const { Cell::new(false) };
    static SAID: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Runs what ends by a panic or by `resume_unwind`, and returns what was thrown; `None` if it has
/// returned.
pub fn catch<T>(run: impl FnOnce() -> T) -> Option<Box<dyn Any + Send>> {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let print = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if KEEPS.get() {
                SAID.set(info.to_string());
            } else {
                print(info);
            }
        }));
    });
    let before = KEEPS.replace(true);
    let result = catch_unwind(AssertUnwindSafe(run));
    KEEPS.set(before);
    result.err()
}

/// What the last panic that was caught has said.
pub fn said() -> String {
    SAID.take()
}
