//! What the supervisor does about crashes: [`crashlog_supervisor`] on this chip.

use crashlog_retained::Region;
use crashlog_supervisor::{CrashRegion, CrashRegions, HangWatch, Kipc, Supervisor, WatchdogTimer};
#[cfg(not(feature = "imx6ul"))]
use drv_ast2600_wdt::Watchdog;
#[cfg(feature = "imx6ul")]
use drv_imx_wdog::Watchdog;
use hubris_num_tasks::NUM_TASKS;
use static_cell::ClaimOnceCell;
use userlib::UnwrapLite;

use crate::config;

/// Decides about faults and carries out emergencies, with the kernel and the chip's watchdog.
pub type CrashSupervisor = Supervisor<'static, Kipc<ChipWatchdog>>;

/// The memory that tasks want saved with a crash. A name that debuggers can look for.
static CRASH_REGIONS: ClaimOnceCell<CrashRegions<[Option<CrashRegion>; config::REGIONS_TOTAL]>> =
    ClaimOnceCell::new(CrashRegions::new(
        config::REGIONS_PER_TASK,
        config::REGION_BYTES_PER_TASK,
    ));

/// When each task last ran, and for how long it has held the processor.
static RUN_TIMES: ClaimOnceCell<[[u8; 4]; NUM_TASKS]> = ClaimOnceCell::new([[0; 4]; NUM_TASKS]);
static HELD_MS: ClaimOnceCell<[u32; NUM_TASKS]> = ClaimOnceCell::new([0; NUM_TASKS]);
/// For how long each task has shown no sign of life.
static AWAY_MS: ClaimOnceCell<[u32; NUM_TASKS]> = ClaimOnceCell::new([0; NUM_TASKS]);

/// The chip's watchdogs.
pub struct ChipWatchdog {
    /// Armed in an emergency.
    emergency: Watchdog,
    /// Fed in normal operation.
    normal: Watchdog,
}

impl WatchdogTimer for ChipWatchdog {
    fn arm(&mut self, budget_ms: u32) {
        self.emergency.arm(budget_ms);
    }

    fn feed(&mut self, milliseconds: u32) {
        self.normal.feed(milliseconds);
    }
}

/// Begins the boot in retained RAM. To be called once, before any other task runs.
pub fn new() -> CrashSupervisor {
    // SAFETY: app.toml maps the watchdogs' pages into this task and no other, and this is the only
    // place that makes a `Watchdog` of either.
    #[cfg(not(feature = "imx6ul"))]
    let (emergency, normal) = unsafe { (Watchdog::wdt0(), Watchdog::wdt1()) };
    // SAFETY: as above.
    #[cfg(feature = "imx6ul")]
    let (emergency, normal) = unsafe { (Watchdog::wdog1(), Watchdog::wdog3()) };
    let watchdog = ChipWatchdog { emergency, normal };
    // SAFETY: the build maps the region of this address and size into this task for reading and
    // writing, and this is the only place in this task that claims it. The recorder, which has it
    // too, accesses it by whole words.
    let region = unsafe { Region::claim(config::RETAINED_ADDRESS, config::RETAINED_SIZE) };
    // The build script has checked address and size.
    let region = region.unwrap_lite();
    Supervisor::new(config::CRASH, Kipc::new(watchdog), region)
}

/// Gives it the registry of regions, with those of the build, and what it needs to find hangs. To
/// be called once.
pub fn set_tables(crashes: &mut CrashSupervisor) {
    crashes.set_regions(CRASH_REGIONS.claim());
    let hangs = HangWatch::new(RUN_TIMES.claim(), HELD_MS.claim(), AWAY_MS.claim());
    crashes.set_hang_watch(hangs);
}
