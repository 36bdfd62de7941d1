//! In place of the client of the supervisor's interface: calls the supervisor of this thread.

use std::cell::{Cell, RefCell};

use userlib::TaskId;

/// What the supervisor does when the recorder reports the end of an emergency write.
pub type EmergencyDone = Box<dyn FnMut(u32) -> bool>;

/// Most reports since the supervisor began. In an emergency there are two, and two more after the
/// recorder's second try.
const MOST_REPORTS: u32 = 8;

std::thread_local! {
    static REPORTS: Cell<u32> = const { Cell::new(0) };
    static DONE: RefCell<Option<EmergencyDone>> = const { RefCell::new(None) };
}

/// Makes `done` the supervisor's reply.
pub fn install(done: EmergencyDone) {
    DONE.set(Some(done));
    REPORTS.set(0);
}

/// The supervisor's interface.
#[derive(Clone, Copy, Debug)]
pub struct Jefe(());

impl From<TaskId> for Jefe {
    fn from(_: TaskId) -> Self {
        Self(())
    }
}

impl Jefe {
    /// Reports the end of an emergency write.
    ///
    /// # Panics
    /// If there is no supervisor, and if the recorder reports without end.
    #[must_use]
    pub fn emergency_done(&self, outcome: u32) -> bool {
        REPORTS.set(REPORTS.get() + 1);
        assert!(REPORTS.get() <= MOST_REPORTS, "reports without end");
        DONE.with_borrow_mut(|done| done.as_mut().expect("a supervisor is installed")(outcome))
    }
}
