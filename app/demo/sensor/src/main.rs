//! Sends a board's measurements to the recorder as typed events.
//!
//! One step of the [`Board`] each `period-ms`: a reading or an error count,
//! and now and then a crossed limit, each a value of [`SensorEvent`] in the
//! event stream. A step that the recorder has no room for is dropped; the log
//! says how many were, and the task is never late.

#![no_std]
#![no_main]

use ringbuf::{counted_ringbuf, ringbuf_entry};
use task_crashlog_api::{Level, Logger, event};
use task_sensor::{Board, SensorEvent};
use userlib::{sys_get_timer, sys_recv_notification, sys_set_timer, task_slot};

task_slot!(CRASHLOG, crashlog);

task_config::task_config! {
    period_ms: u32,
}

#[derive(Copy, Clone, PartialEq, counters::Count)]
enum Trace {
    #[count(skip)]
    None,
    Reading {
        sensor: u8,
        centidegrees: i32,
    },
    LimitCrossed {
        sensor: u8,
        above: bool,
    },
    ErrorCount(u32),
    /// The recorder had no room; this many records in a row are lost so far.
    Dropped(u16),
}

counted_ringbuf!(Trace, 16, Trace::None);

#[unsafe(export_name = "main")]
fn main() -> ! {
    let log = Logger::new(CRASHLOG.get_task_id());
    let mut board = Board::new();
    let mut due = sys_get_timer().now;
    loop {
        let report = board.step();
        send(&log, Level::Info, report.measured);
        if let Some(crossed) = report.crossed {
            send(&log, Level::Warn, crossed);
        }

        // From due time to due time, so that the period does not drift; but
        // what was missed is not caught up with.
        due = (due + u64::from(TASK_CONFIG.period_ms)).max(sys_get_timer().now);
        sys_set_timer(Some(due), notifications::TIMER_MASK);
        sys_recv_notification(notifications::TIMER_MASK);
    }
}

/// Sends one event and leaves a trace of it.
fn send(log: &Logger, level: Level, event: SensorEvent) {
    ringbuf_entry!(match event {
        SensorEvent::Reading {
            sensor,
            centidegrees,
        } => Trace::Reading {
            sensor,
            centidegrees,
        },
        SensorEvent::LimitCrossed { sensor, above, .. } => Trace::LimitCrossed { sensor, above },
        SensorEvent::ErrorCount { errors, .. } => Trace::ErrorCount(errors),
    });
    event!(log, level, event);
    if log.lost() > 0 {
        ringbuf_entry!(Trace::Dropped(log.lost()));
    }
}

include!(concat!(env!("OUT_DIR"), "/notifications.rs"));
