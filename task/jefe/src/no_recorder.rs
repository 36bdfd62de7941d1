//! In place of module `crash` where the application has no flight recorder: every fault restarts its task, and there
//! are no emergencies.

use crashlog_supervisor::{Consequence, Disposition, Phase};

/// What [`crashlog_supervisor::Supervisor`] does, without a recorder.
pub struct Crash;

/// As the system starts.
pub fn new() -> Crash {
    Crash
}

/// No task writes crash records.
pub fn is_recorder(_task: usize) -> bool {
    false
}

/// What a fault of this task means.
pub fn disposition(_task: usize) -> Disposition {
    Disposition::Restart
}

/// The functions of a supervisor with a recorder, as they are in normal operation.
impl Crash {
    pub fn fault(
        &mut self,
        _task: usize,
        _disposition: Disposition,
        _restarts: u32,
        _started: u64,
    ) -> Consequence {
        Consequence::Restart
    }

    pub fn look_for_health(&mut self, _now: u64, _started: impl Fn(usize) -> Option<u64>) {}

    pub fn start_delay(&self, _task: usize) -> u32 {
        0
    }

    pub fn forgive(&mut self, _task: usize) {}

    pub fn settle(&mut self) {}

    pub fn time(&mut self, _now: u64) {}

    pub fn done(&mut self, _caller: usize) {}

    pub fn deadline(&self) -> Option<u64> {
        None
    }

    pub fn in_emergency(&self) -> bool {
        false
    }

    pub fn phase(&self) -> Phase {
        Phase::Normal
    }
}
