//! Prints the recorder's state on a serial line.
//!
//! The task asks the recorder for its [`RecorderStatus`] every `poll-ms` milliseconds and prints a
//! line for each change: whether crashes are being saved, and why not; what has crashed; what was
//! lost. Module `report` has the wording, this one decides what is a change.
//!
//! Lost log records may increase all the time, so a line about them is printed at most every
//! `loss-ms` milliseconds. The task waits for the UART by polling. That delays only less important
//! tasks, and nearly all are more important.

#![no_std]
#![no_main]

mod report;

use core::fmt::Write;

#[cfg(not(feature = "imx6ul"))]
use drv_ast2600_uart::{UART5_ADDRESS, Uart};
#[cfg(feature = "imx6ul")]
use drv_imx_uart::{UART5_ADDRESS, Uart};
use ringbuf::{counted_ringbuf, ringbuf_entry};
use task_crashlog_api::{CrashLog, CrashLogError, DeviceFailure, RecorderState, RecorderStatus};
use userlib::{hl, sys_get_timer, task_slot};

task_slot!(CRASHLOG, crashlog);

task_config::task_config! {
    baud: u32,
    poll_ms: u32,
    loss_ms: u32,
}

#[derive(Copy, Clone, PartialEq, counters::Count)]
enum Trace {
    #[count(skip)]
    None,
    /// The recorder's state has changed to this one.
    State(RecorderState),
    /// The number of crashes on the card has changed to this one.
    Crashes(u32),
    /// The recorder returned this error.
    Refused(#[count(children)] CrashLogError),
    /// The UART took no byte within its time limit; the rest of the line is lost.
    LineStuck,
}

counted_ringbuf!(Trace, 16, Trace::None);

#[unsafe(export_name = "main")]
fn main() -> ! {
    // SAFETY: app.toml maps UART5's page into this task and no other, and this is the only `Uart`
    // for it.
    let mut uart = unsafe { Uart::new(UART5_ADDRESS) };
    uart.configure(TASK_CONFIG.baud);
    let mut monitor = Monitor {
        uart,
        recorder: CrashLog::from(CRASHLOG.get_task_id()),
        known: Known::default(),
        refused: None,
    };
    loop {
        monitor.poll();
        hl::sleep_for(u64::from(TASK_CONFIG.poll_ms));
    }
}

/// What was printed last.
#[derive(Default)]
struct Known {
    /// `None` until the recorder has located its log, or failed to, for the first time.
    state: Option<RecorderState>,
    crashes: u32,
    newest_crash: Option<u32>,
    lost: u32,
    /// When lost records were last printed, milliseconds since boot.
    lost_at: u64,
    last_failure: Option<DeviceFailure>,
    late_crash: Option<u32>,
    unsaved: bool,
    /// Number of consecutive polls at which an emergency write was not possible.
    defenceless: u32,
}

/// Number of such polls after which a line is printed. Fewer are normal while the log is being
/// located.
const DEFENCELESS_POLLS: u32 = 4;

struct Monitor {
    uart: Uart,
    recorder: CrashLog,
    known: Known,
    /// The last reply, if it was an error.
    refused: Option<CrashLogError>,
}

impl Monitor {
    /// Asks for the status once and prints what has changed.
    fn poll(&mut self) {
        match self.recorder.status() {
            Ok(status) => {
                self.refused = None;
                if self.changes(&status).is_err() {
                    ringbuf_entry!(Trace::LineStuck);
                }
            }
            Err(error) => {
                if self.refused != Some(error) {
                    self.refused = Some(error);
                    ringbuf_entry!(Trace::Refused(error));
                }
            }
        }
    }

    /// Prints a line for each difference between `status` and what was printed last.
    fn changes(&mut self, status: &RecorderStatus) -> core::fmt::Result {
        // The recorder is still locating its log. This state ends within the time limits of its
        // driver.
        if status.state == RecorderState::Starting && self.known.state.is_none() {
            return Ok(());
        }
        // Suspending and resuming the card is normal operation.
        let state = match status.state {
            RecorderState::Suspended => RecorderState::Ready,
            state => state,
        };
        let first = self.known.state.is_none();
        if self.known.state != Some(state) {
            self.known.state = Some(state);
            ringbuf_entry!(Trace::State(state));
            report::state(&mut self.uart, status)?;
        }
        self.defence(state, status.emergency_ready)?;
        if status.unsaved.is_some() != self.known.unsaved {
            self.known.unsaved = status.unsaved.is_some();
            report::unsaved(&mut self.uart, status.unsaved)?;
        }
        if status.newest_crash != self.known.newest_crash
            || (status.crashes != self.known.crashes && !first)
        {
            self.known.newest_crash = status.newest_crash;
            self.known.crashes = status.crashes;
            ringbuf_entry!(Trace::Crashes(status.crashes));
            self.newest(status)?;
        }
        self.known.crashes = status.crashes;
        if status.late_crash != self.known.late_crash {
            self.known.late_crash = status.late_crash;
            if let Some(sequence) = status.late_crash {
                writeln!(
                    self.uart,
                    "crashlog: crash {sequence} was written late, out of retained RAM"
                )?;
            }
        }
        if status.last_failure != self.known.last_failure {
            self.known.last_failure = status.last_failure;
            if let Some(failure) = status.last_failure {
                report::failure(&mut self.uart, failure)?;
            }
        }
        let now = sys_get_timer().now;
        if status.lost > self.known.lost
            && now >= self.known.lost_at + u64::from(TASK_CONFIG.loss_ms)
        {
            writeln!(
                self.uart,
                "crashlog: {} log records lost in this boot",
                status.lost
            )?;
            self.known.lost = status.lost;
            self.known.lost_at = now;
        }
        Ok(())
    }

    /// Prints a line when the recorder is ready but an emergency write is not possible, and another
    /// when that is over.
    fn defence(&mut self, state: RecorderState, ready: bool) -> core::fmt::Result {
        if ready || state != RecorderState::Ready {
            if self.known.defenceless >= DEFENCELESS_POLLS && ready {
                writeln!(self.uart, "crashlog: an emergency write is possible again")?;
            }
            self.known.defenceless = 0;
        } else {
            self.known.defenceless = self.known.defenceless.saturating_add(1);
            if self.known.defenceless == DEFENCELESS_POLLS {
                writeln!(
                    self.uart,
                    "crashlog: an emergency write is not possible now; a crash would stay in retained RAM"
                )?;
            }
        }
        Ok(())
    }

    /// Prints a description of the newest crash on the card.
    fn newest(&mut self, status: &RecorderStatus) -> core::fmt::Result {
        let Some(last) = status.crashes.checked_sub(1) else {
            return writeln!(self.uart, "crashlog: no crash on the card");
        };
        match self.recorder.crash_info(last) {
            Ok(crash) => report::crash(&mut self.uart, status.crashes, &crash),
            Err(error) => {
                ringbuf_entry!(Trace::Refused(error));
                writeln!(
                    self.uart,
                    "crashlog: {} on the card; the newest cannot be read",
                    report::Crashes(status.crashes)
                )
            }
        }
    }
}
