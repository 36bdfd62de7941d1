//! In place of module `recorder` where the application has no crash recorder.
//!
//! Every fault restarts its task, and there are no emergencies.

use crashlog_supervisor::{BootEnd, Consequence, EmergencyState, REGION_NAME_MAX, RegionRefusal};
use userlib::TaskId;

/// Has the functions of [`crashlog_supervisor::Supervisor`], and does what that does without
/// emergencies.
pub struct CrashSupervisor;

/// To be called once.
pub fn new() -> CrashSupervisor {
    CrashSupervisor
}

/// Nothing is saved, and no hangs are found.
pub fn set_tables(_crashes: &mut CrashSupervisor) {}

impl CrashSupervisor {
    pub fn handle_fault(
        &mut self,
        _task: usize,
        _is_held: bool,
        _restarts: u32,
        _started: u64,
    ) -> Consequence {
        Consequence::Restart
    }

    pub fn note_restart(&mut self, _task: usize) {}

    pub fn previous_end(&self) -> BootEnd {
        BootEnd::NotKnown
    }

    pub fn enter_declared_emergency(&mut self) {}

    pub fn check_deadline(&mut self, _now: u64) {}

    pub fn emergency_done(&mut self, _caller: usize) -> bool {
        false
    }

    pub fn deadline(&self) -> Option<u64> {
        None
    }

    pub fn in_emergency(&self) -> bool {
        false
    }

    pub fn emergency_state(&self) -> EmergencyState {
        EmergencyState::Inactive
    }

    pub fn is_recorder_at_work(&self, _task: usize) -> bool {
        false
    }

    pub fn end_healthy_series(&mut self, _now: u64, _started: impl Fn(usize) -> Option<u64>) {}

    pub fn alive(&mut self, _task: usize) {}

    pub fn check_hangs(&mut self, _now: u64) {}

    pub fn early_boots(&self) -> u32 {
        0
    }

    pub fn end_trial(&mut self) {}

    pub fn feed_watchdog(&mut self) {}

    pub fn start_delay(&self, _task: usize) -> u32 {
        0
    }

    pub fn forget_series(&mut self, _task: usize) {}

    pub fn register_region(
        &mut self,
        _caller: TaskId,
        _name: &[u8; REGION_NAME_MAX],
        _address: u32,
        _length: u32,
    ) -> Result<(), RegionRefusal> {
        Err(RegionRefusal::RegistryFull)
    }

    pub fn unregister_region(
        &mut self,
        _caller: TaskId,
        _name: &[u8; REGION_NAME_MAX],
    ) -> Result<(), RegionRefusal> {
        Err(RegionRefusal::RegistryFull)
    }

    pub fn end_regions(&mut self, _task: usize) {}
}
