//! Sends a board's measurements to the recorder as typed events.
//!
//! Every `period-ms` milliseconds the task does one step of the [`Board`] and appends its events: a
//! reading or an error count, and sometimes a crossed limit, each a value of [`SensorEvent`] in the
//! event stream. If the recorder has no room, an event is dropped, and the next record says how
//! many were. The task never waits for the recorder to have room.
//!
//! The board is saved with every crash: the task registers it with the supervisor.

#![no_std]
#![no_main]

use ringbuf::{counted_ringbuf, ringbuf_entry};
use task_crashlog_api::{Level, Logger, event};
use task_jefe_api::{CrashRegionError, Jefe, REGION_NAME_MAX, region_name};
use task_sensor::{Board, SensorEvent};
use userlib::{sys_get_timer, sys_recv_notification, sys_set_timer, task_slot};

task_slot!(CRASHLOG, crashlog);
task_slot!(JEFE, jefe);

/// What the board is called in a crash.
const BOARD: [u8; REGION_NAME_MAX] = region_name("board");

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
    /// The board will not be saved with a crash.
    NotRegistered(#[count(children)] CrashRegionError),
    /// The recorder had no room; this many consecutive events were dropped so far.
    Dropped(u16),
}

counted_ringbuf!(Trace, 16, Trace::None);

#[unsafe(export_name = "main")]
fn main() -> ! {
    let log = Logger::new(CRASHLOG.get_task_id());
    let mut board = Board::new();
    // It is on the stack, so its address is not known before.
    let place = (&raw mut board).expose_provenance() as u32;
    let jefe = Jefe::from(JEFE.get_task_id());
    if let Err(error) = jefe.register_crash_region(place, size_of::<Board>() as u32, &BOARD) {
        ringbuf_entry!(Trace::NotRegistered(error));
    }
    let mut due = sys_get_timer().now;
    loop {
        let report = board.step();
        send(&log, Level::Info, report.measured);
        if let Some(crossed) = report.crossed {
            send(&log, Level::Warn, crossed);
        }

        // From one due time to the next, so that the period does not drift. Missed steps are not
        // made up for.
        due = (due + u64::from(TASK_CONFIG.period_ms)).max(sys_get_timer().now);
        sys_set_timer(Some(due), notifications::TIMER_MASK);
        sys_recv_notification(notifications::TIMER_MASK);
    }
}

/// Appends one event and traces it.
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
