//! The supervisor: restarts tasks, and calls the crash recorder.
//!
//! The kernel posts a notification when a task has faulted. The supervisor finds the task and asks
//! three questions. These functions answer them; the files are in `lib/crashlog-supervisor/src`
//! unless a path is given:
//!
//! | question | function | file |
//! |---|---|---|
//! | What does this fault mean? | `Supervisor::handle_fault` | `disposition.rs` |
//! | Is it a crash loop? Of a reset: | `Supervisor::is_reset_loop` | `loops.rs` |
//! | Of a restart: | `Supervisor::count_fault` | `loops.rs` |
//! | When does it restart? A task: | `Health::fault` | `task/jefe/src/lib.rs` |
//! | The system: | `Supervisor::carry_out` | `emergency.rs` |
//! | A task in the boot after a reset: | `Supervisor::start_delay` | `loops.rs` |
//!
//! A task that holds the processor for too long is faulted by `Supervisor::check_hangs`
//! (`hang.rs`), and that fault is handled as any other.
//!
//! A fault that restarts one task is an *oops*: it is described in retained RAM for the recorder,
//! and the task is restarted. A fault that resets the system is a *panic*, and begins an emergency:
//!
//! | step | function | file |
//! |---|---|---|
//! | The hardware watchdog is armed. | `Supervisor::arm_watchdog_once` | `watchdog.rs` |
//! | The crash is described in retained RAM. | `capture` | `capture.rs` |
//! | The recorder is restarted, at its emergency entry. | `Supervisor::carry_out` | `emergency.rs` |
//! | It is done or its time is up: the system is reset. | `Supervisor::carry_out` | `emergency.rs` |
//!
//! During an emergency no other task is restarted and no request of a debugger is carried out:
//! whatever else ran would delay the emergency write.
//!
//! Where app.toml names no recorder there are only restarts, as in upstream's supervisor (module
//! `no_recorder`).
//!
//! # Configuration
//!
//! `build.rs` reads `[tasks.jefe.config]` and generates module `config`. The table `crash` in it is
//! checked, against the application, by `crashlog_supervisor::tables`
//! (`lib/crashlog-supervisor/src/tables.rs`) and becomes the constant `config::CRASH`. The region
//! that is shared with the recorder is the extern region `crash` of this task.
//!
//! # Messages
//!
//! The supervisor is task 0, more important than all others. It sends to the kernel only, which
//! always answers at once; it never sends to a task, so no task can block it. Tasks send to it by
//! the operations of `idl/jefe.idol`, whose callers app.toml can restrict (module `server`). A
//! debugger controls tasks through words in memory (module `external`).
//!
//! With the feature `dump` a task that faults is also dumped into areas of memory before it is
//! restarted, for the dump agent and a debugger behind it (module `dump`).
//!
//! The kernel handles a fault of the supervisor itself (`sys/kern/src/fail.rs`).

#![no_std]
#![no_main]

#[cfg_attr(not(feature = "dump"), path = "no_dump.rs")]
mod dump;
mod external;
#[cfg_attr(not(recorder), path = "no_recorder.rs")]
mod recorder;
mod server;

use core::mem::MaybeUninit;

use crashlog_supervisor::{BootEnd, Consequence, EmergencyState};
use dump::Dumps;
use hubris_num_tasks::NUM_TASKS;
use idol_runtime::NotificationHandler;
use recorder::CrashSupervisor;
use ringbuf::{counted_ringbuf, ringbuf_entry};
use static_cell::ClaimOnceCell;
use task_jefe::{Health, Verdict};
use task_jefe_api::ResetReason;
use userlib::{
    Generation, NotificationBits, SchedState, TaskId, TaskState, kipc, sys_get_timer, sys_post,
    sys_set_timer,
};

/// Milliseconds between two polls of the debugger's words.
const TIMER_INTERVAL: u64 = 100;

#[derive(Copy, Clone, PartialEq, counters::Count)]
enum Trace {
    #[count(skip)]
    None,
    /// A task faulted; `count`: how often in this boot.
    Fault { task: usize, count: usize },
    /// A faulted task was dumped, into this area and those after it.
    #[cfg(feature = "dump")]
    Dumped { task: usize, area: u8 },
    /// A faulted task was not dumped.
    #[cfg(feature = "dump")]
    NotDumped(#[count(children)] task_jefe_api::DumpAgentError),
    /// A task that faulted is left down.
    LeftDown { task: usize },
    /// A task is left down because it is in a crash loop.
    CrashLoop { task: usize },
    /// A task that has reset the system repeatedly is started later.
    StartsLater { task: usize, until: u64 },
    /// So many boots before this one ended early that the faults of before do not count.
    FaultsSetAside { boots: u32 },
    /// A task was restarted.
    Restarted { task: usize },
    /// A task asked to be restarted.
    RestartMe { task: usize },
    /// The emergency is in this state now.
    Emergency(EmergencyState),
    /// The recorder reports the end of the emergency write, with this outcome.
    EmergencyDone { outcome: u32 },
    /// A task asked for a reset of the system.
    ResetRequested { task: usize },
    /// A task's region was not registered, or its registration not ended.
    RegionRefused {
        task: usize,
        error: task_jefe_api::CrashRegionError,
    },
    /// The system state was set.
    State(u32),
    /// A debugger's request.
    External {
        #[count(children)]
        request: external::Request,
        task: usize,
    },
    /// A debugger's request that does not exist, or not for this task.
    ExternalError { request: u32, task: u32 },
}

counted_ringbuf!(Trace, 32, Trace::None);

/// The supervisor's state.
struct Server {
    /// The system state; its meaning is the application's.
    state: u32,
    reset_reason: ResetReason,
    tasks: [Health; NUM_TASKS],
    fault_counts: [usize; NUM_TASKS],
    crashes: CrashSupervisor,
    dumps: Dumps,
    /// The state of the emergency that was traced last.
    traced: EmergencyState,
    /// When to poll the debugger's words next.
    next_poll: u64,
}

/// Has upstream's name, by which debuggers read it.
static JEFE_SERVER_IMPL: ClaimOnceCell<MaybeUninit<Server>> =
    ClaimOnceCell::new(MaybeUninit::uninit());

#[unsafe(export_name = "main")]
fn main() -> ! {
    let server = start();
    let mut incoming = [0; idl::INCOMING_SIZE];
    loop {
        idol_runtime::dispatch(&mut incoming, server);
    }
}

// Not inlined: its frame, with a whole `Server`, would be on the stack of every emergency.
#[inline(never)]
fn start() -> &'static mut Server {
    let mut tasks = [Health::new(false); NUM_TASKS];
    for &task in config::TASKS_TO_HOLD {
        if let Some(health) = tasks.get_mut(task) {
            health.hold();
        }
    }
    let crashes = recorder::new();
    let server = JEFE_SERVER_IMPL.claim().write(Server {
        state: 0,
        reset_reason: reset_reason(crashes.previous_end()),
        tasks,
        fault_counts: [0; NUM_TASKS],
        crashes,
        dumps: Dumps::new(),
        traced: EmergencyState::Inactive,
        next_poll: TIMER_INTERVAL,
    });
    recorder::set_tables(&mut server.crashes);
    external::set_ready();
    server.delay_starts();
    server.arm_timer();
    server
}

impl NotificationHandler for Server {
    fn current_notification_mask(&self) -> u32 {
        notifications::FAULT_MASK | notifications::TIMER_MASK
    }

    fn handle_notification(&mut self, bits: NotificationBits) {
        let now = sys_get_timer().now;
        if bits.check_notification_mask(notifications::FAULT_MASK) {
            self.handle_faults(now);
        }
        self.crashes.check_deadline(now);
        self.trace_emergency();
        if !self.crashes.in_emergency() {
            external::check(self, now);
            self.restart_due(now);
            let tasks = &self.tasks;
            self.crashes
                .end_healthy_series(now, |task| tasks.get(task)?.running_since());
            self.crashes.check_hangs(now);
            if self.next_poll <= now {
                self.crashes.feed_watchdog();
            }
        }
        while self.next_poll <= now {
            self.next_poll += TIMER_INTERVAL;
        }
        self.arm_timer();
    }
}

impl Server {
    /// Stops tasks that have reset the system repeatedly, before they run for the first time.
    /// [`Self::restart_due`] starts them when their delay is over.
    fn delay_starts(&mut self) {
        let now = sys_get_timer().now;
        let boots = self.crashes.early_boots();
        if boots >= crashlog_retained::Trial::LIMIT {
            ringbuf_entry!(Trace::FaultsSetAside { boots });
        }
        for task in 1..NUM_TASKS {
            let delay = self.crashes.start_delay(task);
            let runs = || {
                matches!(
                    kipc::read_task_status(task),
                    TaskState::Healthy(SchedState::Runnable)
                )
            };
            if delay == 0 || !runs() {
                continue;
            }
            if let Some(health) = self.tasks.get_mut(task) {
                let until = now.saturating_add(delay.into());
                kipc::reinit_task(task, false);
                health.start_later(until);
                ringbuf_entry!(Trace::StartsLater { task, until });
            }
        }
    }

    /// Finds the tasks that have faulted since the last call and handles each new fault.
    fn handle_faults(&mut self, now: u64) {
        let mut any_new = false;
        let mut first = 1;
        while let Some(task) = kipc::find_faulted_task(first) {
            let task = task.get();
            first = task + 1;
            any_new |= self.handle_fault(task, now);
        }
        self.crashes.enter_declared_emergency();
        if any_new && !self.crashes.in_emergency() && cfg!(feature = "fault-notification") {
            post_all(config::ON_TASK_FAULT);
        }
    }

    /// Handles the fault of one task; returns `false` if it was handled before.
    fn handle_fault(&mut self, task: usize, now: u64) -> bool {
        let recorder_at_work = self.crashes.is_recorder_at_work(task);
        let (Some(health), Some(count)) =
            (self.tasks.get_mut(task), self.fault_counts.get_mut(task))
        else {
            return false;
        };
        if !health.is_running() && !recorder_at_work {
            return false;
        }
        let restarts = *count as u32;
        *count = count.saturating_add(1);
        ringbuf_entry!(Trace::Fault {
            task,
            count: *count
        });

        let started = health.running_since().unwrap_or(now);
        let is_held = health.is_held();
        let consequence = self.crashes.handle_fault(task, is_held, restarts, started);
        // An emergency is not delayed by a dump.
        #[cfg(feature = "dump")]
        if consequence != Consequence::Emergency {
            match self.dumps.task(task as u32) {
                Ok(area) => ringbuf_entry!(Trace::Dumped { task, area }),
                Err(error) => ringbuf_entry!(Trace::NotDumped(error)),
            }
        }
        match consequence {
            Consequence::Emergency => {
                health.leave_down();
                return true;
            }
            Consequence::Hold if !health.is_held() => {
                health.hold_in_loop();
                ringbuf_entry!(Trace::CrashLoop { task });
                return true;
            }
            Consequence::Hold | Consequence::Restart => {}
        }
        let verdict = if task == config::LEAST_IMPORTANT {
            health.fault_of_least_important()
        } else {
            health.fault(now, !config::ON_TASK_FAULT.is_empty())
        };
        match verdict {
            Verdict::Restart => self.restart(task, now),
            Verdict::Wait => {}
            Verdict::Leave => ringbuf_entry!(Trace::LeftDown { task }),
        }
        true
    }

    /// Restarts the tasks whose time has come.
    fn restart_due(&mut self, now: u64) {
        for task in 1..NUM_TASKS {
            if self
                .tasks
                .get(task)
                .is_some_and(|health| health.is_due(now))
            {
                self.restart(task, now);
            }
        }
    }

    /// Restarts a task now.
    fn restart(&mut self, task: usize, now: u64) {
        if let Some(health) = self.tasks.get_mut(task) {
            self.crashes.end_regions(task);
            kipc::reinit_task(task, true);
            health.started(now);
            ringbuf_entry!(Trace::Restarted { task });
        }
    }

    /// Traces the state of the emergency when it changes.
    fn trace_emergency(&mut self) {
        let state = self.crashes.emergency_state();
        if state != self.traced {
            self.traced = state;
            ringbuf_entry!(Trace::Emergency(state));
        }
    }

    /// Sets the timer to the earliest time at which there is something to do.
    fn arm_timer(&self) {
        let deadline = if self.crashes.in_emergency() {
            // Not the times of restarts: no task is restarted now, so one that has passed would
            // fire at once each time, and the recorder, which is less important than this task,
            // would never run.
            self.crashes.deadline()
        } else {
            let restarts = self.tasks.iter().filter_map(Health::restart_at);
            Some(restarts.fold(self.next_poll, u64::min))
        };
        sys_set_timer(deadline, notifications::TIMER_MASK);
    }
}

/// Why the system started, by how the boot before ended.
const fn reset_reason(end: BootEnd) -> ResetReason {
    match end {
        BootEnd::NotKnown => ResetReason::Unknown,
        BootEnd::Restart(_) | BootEnd::Crash(_) | BootEnd::Kernel => ResetReason::SystemCall,
        BootEnd::Watchdog => ResetReason::SystemWatchdog,
        BootEnd::PowerLost => ResetReason::PowerOn,
        BootEnd::Outside => ResetReason::Pin,
    }
}

/// Posts notification bits to each task of a list.
fn post_all(list: &[(usize, u32)]) {
    for &(task, bits) in list {
        let id = TaskId::for_index_and_gen(task, Generation::ZERO);
        sys_post(userlib::sys_refresh_task_id(id), bits);
    }
}

/// Generated from `[tasks.jefe.config]`.
mod config {
    include!(concat!(env!("OUT_DIR"), "/config.rs"));
}

/// Generated from `idl/jefe.idol`.
mod idl {
    use task_jefe_api::{CrashRegionError, DumpAgentError, DumpArea, ResetReason};

    include!(concat!(env!("OUT_DIR"), "/server_stub.rs"));
}

include!(concat!(env!("OUT_DIR"), "/notifications.rs"));
