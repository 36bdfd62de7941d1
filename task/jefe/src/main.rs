//! The supervisor: restarts tasks, and calls the flight recorder.
//!
//! The kernel posts a notification when a task has faulted. The supervisor
//! finds out which, and what a fault of that task means:
//!
//! * An *oops*: the fault goes to the recorder as a note in retained RAM, and
//!   the task is restarted, not too often (the policy is in the library of
//!   this crate).
//! * A *panic*: nothing is restarted but the recorder, at its emergency entry,
//!   with the hardware watchdog running; when it is done, or its time is up,
//!   the system is reset. The sequence is [`crashlog_supervisor`]'s.
//!
//! Where app.toml names no recorder there are only restarts, as in upstream's
//! supervisor (module `no_recorder`).
//!
//! While there is an emergency the supervisor restarts no other task and
//! obeys no debugger: nothing may come between the crash and its record.
//!
//! # Who is asked for what
//!
//! The supervisor is task 0, more important than all others. It sends to the
//! kernel alone, which always answers at once; it never sends to a task, so
//! that no task can block it. Tasks send to it by the operations of
//! `idl/jefe.idol`, whose callers app.toml can restrict.
//!
//! With the feature `dump` a task that faults is also dumped into areas of
//! memory, for the dump agent and a debugger behind it, before it is restarted
//! (module `dump`).
//!
//! Its own fault is the kernel's to handle.

#![no_std]
#![no_main]

#[cfg_attr(not(recorder), path = "no_recorder.rs")]
mod crash;
#[cfg_attr(not(feature = "dump"), path = "no_dump.rs")]
mod dump;
mod external;
mod server;

use core::mem::MaybeUninit;

use crash::Crash;
use crashlog_supervisor::{Consequence, Disposition, Phase};
use dump::Dumps;
use hubris_num_tasks::NUM_TASKS;
use idol_runtime::NotificationHandler;
use ringbuf::{counted_ringbuf, ringbuf_entry};
use static_cell::ClaimOnceCell;
use task_jefe::{Health, Verdict};
use task_jefe_api::ResetReason;
use userlib::{
    Generation, NotificationBits, SchedState, TaskId, TaskState, kipc, sys_get_timer, sys_post,
    sys_set_timer,
};

/// Milliseconds between two looks at the debugger's words.
const TIMER_INTERVAL: u64 = 100;

#[derive(Copy, Clone, PartialEq, counters::Count)]
enum Trace {
    #[count(skip)]
    None,
    /// A task faulted, for the n-th time in this boot.
    Fault { task: usize, count: usize },
    /// A faulted task was dumped, from this area on.
    #[cfg(feature = "dump")]
    Dumped { task: usize, area: u8 },
    /// It was not, for this reason.
    #[cfg(feature = "dump")]
    NotDumped(#[count(children)] task_jefe_api::DumpAgentError),
    /// A task that faulted is left down.
    LeftDown { task: usize },
    /// The same fault of a task came again and again: it is left down.
    CrashLoop { task: usize },
    /// A task that took the system down again and again is started later.
    StartsLater { task: usize, until: u64 },
    /// A task was restarted.
    Restarted { task: usize },
    /// A task asked to be restarted.
    RestartMe { task: usize },
    /// The emergency has come to this phase.
    Emergency(Phase),
    /// The recorder has ended with this outcome.
    EmergencyDone { outcome: u32 },
    /// A task asked for a reset of the system.
    ResetRequested { task: usize },
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
    /// The system state, whatever the application means by it.
    state: u32,
    reset_reason: ResetReason,
    tasks: [Health; NUM_TASKS],
    fault_counts: [usize; NUM_TASKS],
    crash: Crash,
    dumps: Dumps,
    /// The last phase of an emergency in the trace.
    traced: Phase,
    /// When to look at the debugger's words again.
    next_look: u64,
}

/// Named as upstream's, for those who look at it by name.
static JEFE_SERVER_IMPL: ClaimOnceCell<MaybeUninit<Server>> =
    ClaimOnceCell::new(MaybeUninit::uninit());

#[unsafe(export_name = "main")]
fn main() -> ! {
    let mut tasks = [Health::new(false); NUM_TASKS];
    for &task in config::TASKS_TO_HOLD {
        if let Some(health) = tasks.get_mut(task) {
            health.hold();
        }
    }
    let server = JEFE_SERVER_IMPL.claim().write(Server {
        state: 0,
        reset_reason: ResetReason::Unknown,
        tasks,
        fault_counts: [0; NUM_TASKS],
        crash: crash::new(),
        dumps: Dumps::new(),
        traced: Phase::Normal,
        next_look: TIMER_INTERVAL,
    });
    external::set_ready();
    server.put_off_starts();
    server.arm_timer();

    let mut incoming = [0; idl::INCOMING_SIZE];
    loop {
        idol_runtime::dispatch(&mut incoming, server);
    }
}

impl NotificationHandler for Server {
    fn current_notification_mask(&self) -> u32 {
        notifications::FAULT_MASK | notifications::TIMER_MASK
    }

    fn handle_notification(&mut self, bits: NotificationBits) {
        let now = sys_get_timer().now;
        if bits.check_notification_mask(notifications::FAULT_MASK) {
            self.judge_faults(now);
        }
        self.crash.time(now);
        self.trace_phase();
        if !self.crash.in_emergency() {
            external::check(self, now);
            self.restart_due(now);
            let tasks = &self.tasks;
            self.crash
                .look_for_health(now, |task| tasks.get(task)?.running_since());
        }
        while self.next_look <= now {
            self.next_look += TIMER_INTERVAL;
        }
        self.arm_timer();
    }
}

impl Server {
    /// Stops the tasks that took the system down again and again, before they
    /// run for the first time; their timers start them.
    fn put_off_starts(&mut self) {
        let now = sys_get_timer().now;
        for task in 1..NUM_TASKS {
            let delay = self.crash.start_delay(task);
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

    /// Finds the tasks that have faulted since the last time and does for each
    /// what its fault means.
    fn judge_faults(&mut self, now: u64) {
        let mut news = false;
        let mut first = 1;
        while let Some(task) = kipc::find_faulted_task(first) {
            let task = task.get();
            first = task + 1;
            news |= self.judge_fault(task, now);
        }
        self.crash.settle();
        if news && !self.crash.in_emergency() && cfg!(feature = "fault-notification") {
            post_all(config::ON_TASK_FAULT);
        }
    }

    /// Judges one task; `false` if its fault is an old one.
    fn judge_fault(&mut self, task: usize, now: u64) -> bool {
        // The recorder was restarted, by the emergency.
        let recorder_at_work =
            matches!(self.crash.phase(), Phase::Writing(_)) && crash::is_recorder(task);
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

        // A task that a human holds is evidence already; it takes nothing down with it.
        let disposition = if health.is_held() {
            Disposition::Restart
        } else {
            crash::disposition(task)
        };
        let started = health.running_since().unwrap_or(now);
        let consequence = self.crash.fault(task, disposition, restarts, started);
        // Nothing comes between a crash and its record.
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
                health.break_loop();
                ringbuf_entry!(Trace::CrashLoop { task });
                return true;
            }
            Consequence::Hold | Consequence::Restart => {}
        }
        let verdict = if task == config::LEAST_IMPORTANT {
            health.fault_of_last()
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
            kipc::reinit_task(task, true);
            health.started(now);
            ringbuf_entry!(Trace::Restarted { task });
        }
    }

    /// Leaves a trace of the emergency's progress.
    fn trace_phase(&mut self) {
        let phase = self.crash.phase();
        if phase != self.traced {
            self.traced = phase;
            ringbuf_entry!(Trace::Emergency(phase));
        }
    }

    /// Wakes for whatever is next.
    fn arm_timer(&self) {
        let deadline = if self.crash.in_emergency() {
            // No task is restarted now. The time of a restart that has passed would fire again and again, and the
            // recorder, which is less important than this task, would never run.
            self.crash.deadline()
        } else {
            let restarts = self.tasks.iter().filter_map(Health::restart_at);
            Some(restarts.fold(self.next_look, u64::min))
        };
        sys_set_timer(deadline, notifications::TIMER_MASK);
    }
}

/// Posts to each task of a mailing list.
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
    use task_jefe_api::{DumpAgentError, DumpArea, ResetReason};

    include!(concat!(env!("OUT_DIR"), "/server_stub.rs"));
}

include!(concat!(env!("OUT_DIR"), "/notifications.rs"));
