//! The crash recorder's part of this supervisor.

use crashlog_retained::Region;
use crashlog_supervisor::{Kipc, SupervisorGuard, WatchdogTimer};
use drv_ast2600_wdt::Watchdog;
use hubris_num_tasks::NUM_TASKS;
use userlib::UnwrapLite;

pub type Crashes = SupervisorGuard<'static, Kipc<ChipWatchdog>, NUM_TASKS>;

/// The chip's watchdog.
pub struct ChipWatchdog(Watchdog);

impl WatchdogTimer for ChipWatchdog {
    fn arm(&mut self, budget_ms: u32) {
        self.0.arm(budget_ms);
    }

    // With `watchdog-ms` only, which needs a kernel of crashlog's own.
    fn feed(&mut self, _milliseconds: u32) {}
}

/// To be called once, first of all.
pub fn new() -> Crashes {
    // SAFETY: app.toml maps the watchdog into this task alone, which makes no other of it.
    let watchdog = unsafe { ChipWatchdog(Watchdog::wdt0()) };
    let [address, size] = config::REGION;
    // SAFETY: the build maps the region into this task, for reading and writing, and this is the
    // only place that claims it.
    let region = unsafe { Region::claim(address, size) };
    SupervisorGuard::new(config::CRASH, Kipc::new(watchdog), region.unwrap_lite())
}

mod config {
    include!(concat!(env!("OUT_DIR"), "/crash.rs"));
}
