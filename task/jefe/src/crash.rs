//! What the supervisor does for the flight recorder: [`crashlog_supervisor`] on this chip.

use crashlog_retained::Region;
use crashlog_supervisor::{Disposition, Kipc, Supervisor, WatchdogTimer};
use drv_ast2600_wdt::Watchdog;
use userlib::UnwrapLite;

use crate::config;

/// The emergency sequence, with the kernel and the watchdog.
pub type Crash = Supervisor<'static, Kipc<Wdt>>;

/// The hardware watchdog.
pub struct Wdt(Watchdog);

impl WatchdogTimer for Wdt {
    fn arm(&mut self, budget_ms: u32) {
        self.0.arm(budget_ms);
    }
}

/// As the system starts. To be called once.
pub fn new() -> Crash {
    // SAFETY: app.toml maps the watchdog's page into this task and no other,
    // and this is the only place that makes a `Watchdog` of it.
    let watchdog = unsafe { Watchdog::wdt0() };
    // SAFETY: the build maps the region of this address and size into this
    // task for reading and writing, and this is the only place in this task
    // that claims it. The recorder, which has it too, accesses it by whole words.
    let region = unsafe { Region::claim(config::RETAINED_ADDRESS, config::RETAINED_SIZE) };
    // The build script has checked address and size.
    let region = region.unwrap_lite();
    Supervisor::new(config::CRASH, Kipc::new(Wdt(watchdog)), region)
}

/// Is this the task that writes crash records?
pub fn is_recorder(task: usize) -> bool {
    task == config::CRASH.recorder
}

/// What a fault of this task means.
pub fn disposition(task: usize) -> Disposition {
    config::CRASH.task(task).disposition
}
