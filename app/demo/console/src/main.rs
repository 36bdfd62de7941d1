//! Records another processor's serial console.
//!
//! The UART interrupts when bytes are waiting. Each notification drains a
//! bounded number of them into a [`Collector`], which cuts them into records of
//! the console stream: lines, pieces of very long lines, and what stands there
//! after some silence.
//!
//! # Nothing is lost
//!
//! A record leaves the collector only when the recorder has accepted it. Until
//! then the task reads no further byte: it leaves the interrupt masked, tries
//! again by timer, and the bytes wait in the UART, whose flow control (in QEMU,
//! the character device) holds back the sender. The recorder answers at once
//! whether it has room or not, so the task is never blocked by a slow card.
//!
//! Where the line has no flow control the UART may overrun meanwhile. That is
//! counted, and the next record carries it as a loss.
//!
//! # Restart
//!
//! The UART keeps its bytes over a restart of the task. Switching the FIFO on
//! clears it, and a byte that comes in at that moment is gone. Where the line
//! has flow control nothing is gained by the FIFO, so `fifo` is off there and
//! no byte is lost, whenever the sender begins; a line without needs it on.

#![no_std]
#![no_main]

use drv_ast2600_uart::{FIFO_DEPTH, UART1_ADDRESS, Uart};
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

/// Bytes taken off the line for one notification. The interrupt is a level: if
/// more are waiting when it is enabled again it fires again, and less important
/// tasks and timers get their turn in between.
const DRAIN_MAX: usize = 4 * FIFO_DEPTH;

#[derive(Copy, Clone, PartialEq, counters::Count)]
enum Trace {
    #[count(skip)]
    None,
    /// The task began.
    Started,
    /// A record of this many bytes was accepted.
    Accepted { len: u16 },
    /// The recorder has no room: the line is held.
    Held,
    /// The recorder could not take the record for another reason: the line is held.
    Refused(#[count(children)] CrashLogError),
    /// The held record was accepted; the line is read again.
    Resumed,
    /// The receiver lost bytes.
    Overrun,
    /// A byte came with a parity or framing error, or is a break.
    LineError,
}

counted_ringbuf!(Trace, 32, Trace::None);

#[unsafe(export_name = "main")]
fn main() -> ! {
    // SAFETY: app.toml maps UART1's page into this task and no other, and this
    // is the only place that makes a `Uart` of it.
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
    /// A record waits for the recorder; the line is not read.
    held: bool,
}

impl Console {
    /// Completes a line that has been silent for long enough.
    fn tick(&mut self) {
        self.collector
            .tick(sys_get_timer().now, u64::from(TASK_CONFIG.silence_ms));
    }

    /// Hands over what is complete and takes up to `limit` bytes off the line,
    /// as long as the recorder accepts what they make.
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
            // `deliver` left no complete record behind, so there is room.
            let _ = self.collector.push(received.byte, now);
            if !self.deliver() {
                return;
            }
        }
    }

    /// Gives the complete record, if any, to the recorder; `false` if it has to
    /// wait.
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

    /// Says what to wake for: bytes on the line and the end of a silence, or,
    /// while the line is held, only the next try.
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
