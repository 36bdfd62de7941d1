//! Tells a human on the serial line how the recorder is.
//!
//! Asks the recorder for its [`Status`] each `poll-ms` and prints a line when
//! something changed that a human wants to know: whether crashes are being
//! saved, and why not; what crashed before; what was lost. The wording is in
//! `report`, what counts as a change here.
//!
//! It never floods: a line is printed only for a change, and log losses, which
//! may go on for long, at most each `loss-ms`. It has the least to do with the
//! work of the system of all tasks, so it is nearly the least important one,
//! and printing by polling does no harm.

#![no_std]
#![no_main]

mod report;

use core::fmt::Write;

use drv_ast2600_uart::{UART5_ADDRESS, Uart};
use ringbuf::{counted_ringbuf, ringbuf_entry};
use task_crashlog_api::{CrashLog, CrashLogError, Failure, State, Status};
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
    /// The recorder's state is another one.
    State(State),
    /// The card holds another number of records.
    Records(u32),
    /// The recorder refused to say.
    Refused(#[count(children)] CrashLogError),
    /// The serial line does not take text; what was to be printed is lost.
    LineStuck,
}

counted_ringbuf!(Trace, 16, Trace::None);

#[unsafe(export_name = "main")]
fn main() -> ! {
    // SAFETY: app.toml maps UART5's page into this task and no other, and this
    // is the only place that makes a `Uart` of it.
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

/// What has been printed already.
#[derive(Default)]
struct Known {
    /// `None` until the recorder has said for the first time whether it saves.
    state: Option<State>,
    records: u32,
    newest_record: Option<u32>,
    lost: u32,
    /// When losses were last printed, milliseconds since boot.
    lost_at: u64,
    last_failure: Option<Failure>,
    late_record: Option<u32>,
    unsaved: bool,
    /// Polls in a row for which an emergency write was not possible.
    defenceless: u32,
}

/// Polls after which it is no longer a passing condition that an emergency
/// write is not possible.
const DEFENCELESS_POLLS: u32 = 4;

struct Monitor {
    uart: Uart,
    recorder: CrashLog,
    known: Known,
    /// The last answer, if it was an error.
    refused: Option<CrashLogError>,
}

impl Monitor {
    /// Asks once and prints what has changed.
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

    fn changes(&mut self, status: &Status) -> core::fmt::Result {
        // Nothing is known yet while the recorder looks for its card. That ends by itself, one way or the other.
        if status.state == State::Starting && self.known.state.is_none() {
            return Ok(());
        }
        // Sleeping and waking is business as usual.
        let state = match status.state {
            State::Suspended => State::Ready,
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
        if status.newest_record != self.known.newest_record
            || (status.records != self.known.records && !first)
        {
            self.known.newest_record = status.newest_record;
            self.known.records = status.records;
            ringbuf_entry!(Trace::Records(status.records));
            self.newest(status)?;
        }
        self.known.records = status.records;
        if status.late_record != self.known.late_record {
            self.known.late_record = status.late_record;
            if let Some(sequence) = status.late_record {
                writeln!(
                    self.uart,
                    "crashlog: record {sequence} was written late, out of retained RAM"
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

    /// Says when crashes cannot be written although the log can, and when that is over.
    fn defence(&mut self, state: State, ready: bool) -> core::fmt::Result {
        if ready || state != State::Ready {
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

    /// Describes the newest record on the card.
    fn newest(&mut self, status: &Status) -> core::fmt::Result {
        let Some(last) = status.records.checked_sub(1) else {
            return writeln!(self.uart, "crashlog: no record on the card");
        };
        match self.recorder.record_info(last) {
            Ok(record) => report::record(&mut self.uart, status.records, &record),
            Err(error) => {
                ringbuf_entry!(Trace::Refused(error));
                writeln!(
                    self.uart,
                    "crashlog: {} on the card; the newest cannot be read",
                    report::Records(status.records)
                )
            }
        }
    }
}
