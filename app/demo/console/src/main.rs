//! Records another processor's serial console.
//!
//! The UART interrupts when bytes are waiting. At each notification the task reads a bounded number
//! of them into a [`Collector`], which cuts them into records of the console stream: lines, parts
//! of very long lines, and incomplete lines after some silence.
//!
//! # Flow control
//!
//! A record leaves the collector only when the recorder has accepted it. Until then the task reads
//! no byte: it leaves the interrupt masked and tries again by timer. Bytes wait in the UART, whose
//! flow control (in QEMU, that of the character device) stops the sender. The recorder replies at
//! once whether it has room or not, so a slow card never blocks this task. With flow control no
//! byte is lost.
//!
//! Without flow control the UART may overrun meanwhile. Overruns are counted, and the next record
//! reports them as lost.
//!
//! # Restart
//!
//! The UART keeps its bytes over a restart of the task, but enabling the FIFO clears it. A line
//! with flow control does not need the FIFO, so `fifo` is off and no byte is lost. A line without
//! flow control needs it, and may lose a byte that arrives at that moment.

#![no_std]
#![no_main]

#[cfg(not(feature = "imx6ul"))]
use drv_ast2600_uart::{FIFO_DEPTH, UART1_ADDRESS, Uart};
#[cfg(feature = "imx6ul")]
use drv_imx_uart::{FIFO_DEPTH, UART1_ADDRESS, Uart};
use ringbuf::{counted_ringbuf, ringbuf_entry};
use task_console::Collector;
use task_crashlog_api::{CrashLogError, Level, Logger, Stream};
use userlib::{sys_get_timer, sys_irq_control, sys_recv_notification, sys_set_timer, task_slot};

task_slot!(CRASHLOG, crashlog);

task_config::task_config! {
    baud: u32,
    silence_ms: u32,
    retry_ms: u32,
    fifo: bool,
}

/// Most bytes that are read for one notification. The interrupt is level-triggered: if more are
/// waiting when it is enabled, it fires again. In between, the timer and less important tasks are
/// served.
const DRAIN_MAX: usize = 4 * FIFO_DEPTH;

#[derive(Copy, Clone, PartialEq, counters::Count)]
enum Trace {
    #[count(skip)]
    None,
    /// The task began.
    Started,
    /// A record of this many bytes was accepted.
    Accepted { len: u16 },
    /// The recorder has no room; the line is not read.
    Held,
    /// The recorder returned another error; the line is not read.
    Refused(#[count(children)] CrashLogError),
    /// The held record was accepted; the line is read again.
    Resumed,
    /// The receiver lost bytes.
    Overrun,
    /// A byte had a parity or framing error, or was a break.
    LineError,
}

counted_ringbuf!(Trace, 32, Trace::None);

#[unsafe(export_name = "main")]
fn main() -> ! {
    // SAFETY: app.toml maps UART1's page into this task and no other, and this is the only `Uart`
    // for it.
    let uart = unsafe { Uart::new(UART1_ADDRESS) };
    let mut console = Console {
        uart,
        log: Logger::new(CRASHLOG.get_task_id()),
        collector: Collector::new(),
        held: false,
    };
    ringbuf_entry!(Trace::Started);
    console.uart.configure(TASK_CONFIG.baud);
    if TASK_CONFIG.fifo {
        console.uart.enable_fifos();
    }
    console.uart.enable_receive_interrupt();

    loop {
        console.tick();
        console.drain(DRAIN_MAX);
        console.arm();
        sys_recv_notification(notifications::UART1_IRQ_MASK | notifications::TIMER_MASK);
    }
}

struct Console {
    uart: Uart,
    log: Logger,
    collector: Collector,
    /// The complete record was refused; the line is not read until it is accepted.
    held: bool,
}

impl Console {
    /// Completes a record after enough silence.
    fn tick(&mut self) {
        self.collector
            .tick(sys_get_timer().now, u64::from(TASK_CONFIG.silence_ms));
    }

    /// Delivers a complete record, then reads up to `limit` bytes and delivers the records that
    /// they make. Stops when the recorder refuses one.
    fn drain(&mut self, limit: usize) {
        if !self.deliver() {
            return;
        }
        let now = sys_get_timer().now;
        for _ in 0..limit {
            let Some(received) = self.uart.receive() else {
                return;
            };
            if received.overrun {
                ringbuf_entry!(Trace::Overrun);
                self.log.dropped();
            }
            if received.line_error {
                ringbuf_entry!(Trace::LineError);
            }
            // There is room: `deliver` has emptied the collector.
            let _ = self.collector.push(received.byte, now);
            if !self.deliver() {
                return;
            }
        }
    }

    /// Appends the complete record, if there is one; `false` if the recorder refused it.
    fn deliver(&mut self) -> bool {
        let Some(record) = self.collector.record() else {
            return true;
        };
        match self.log.append(Stream::Console, Level::Info, record) {
            Ok(_) => {
                ringbuf_entry!(Trace::Accepted {
                    len: record.len() as u16
                });
                if self.held {
                    self.held = false;
                    ringbuf_entry!(Trace::Resumed);
                }
                self.collector.taken();
                true
            }
            Err(error) => {
                if !self.held {
                    self.held = true;
                    ringbuf_entry!(match error {
                        CrashLogError::Full => Trace::Held,
                        error => Trace::Refused(error),
                    });
                }
                false
            }
        }
    }

    /// Prepares the wait: for bytes and for the end of a silence, or, while a record was refused,
    /// only for the next attempt.
    fn arm(&mut self) {
        let deadline = if self.held {
            Some(sys_get_timer().now + u64::from(TASK_CONFIG.retry_ms))
        } else {
            sys_irq_control(notifications::UART1_IRQ_MASK, true);
            self.collector.deadline(u64::from(TASK_CONFIG.silence_ms))
        };
        sys_set_timer(deadline, notifications::TIMER_MASK);
    }
}

include!(concat!(env!("OUT_DIR"), "/notifications.rs"));
