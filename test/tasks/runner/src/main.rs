//! Supervisor of the kernel's test image: receives every fault, prints the results.
//!
//! Each case begins with fresh assists. A case ends when the suite says that it passed, when the
//! suite faults, or when its time is up. The last two are failures; the suite is then restarted and
//! asks for the next case. The harness reads these lines:
//!
//! ```text
//! case NAME: ok
//! case NAME: FAILED: WHY
//! finished: N cases
//! ```
//!
//! The `unsafe` blocks claim the UART, and access memory that the suite chooses.

#![no_std]
#![no_main]

use core::fmt::Write;
use core::sync::atomic::{AtomicU32, Ordering};
use drv_ast2600_uart::{UART5_ADDRESS, Uart};
use hubris_num_tasks::Task;
use test_api::{REPORT, WORDS, encode_report, message, runner, words};
use userlib::{
    FaultInfo, PANIC_MESSAGE_MAX_LEN, RecvMessage, SavedExtent, TaskDumpRegion, TaskId, TaskState,
    kipc,
};
use userlib::{set_timer_relative, sys_get_timer, sys_recv_open, sys_reply, sys_set_timer};

// By index: a supervisor never sends, so it has no task slots.
const SUITE: usize = Task::suite as usize;
const FIRST: usize = Task::assist as usize;
const SECOND: usize = Task::second as usize;
const THIRD: usize = Task::third as usize;

/// Time limit of a case in milliseconds.
const LIMIT: u32 = 10_000;

/// Longest name of a case.
const NAME_MAX: usize = 64;

/// Where the kernel saves memory.
static SAVED: [AtomicU32; 1024 + 64] = [const { AtomicU32::new(0) }; 1024 + 64];

/// The retained region, by app.toml and chip/memory.toml.
const RETAINED: u32 = 0x80c0_0000;

/// The faults of an assist in this case.
#[derive(Copy, Clone, Default)]
struct Faults {
    count: u32,
    last: Option<FaultInfo>,
}

/// The number of the assist that has this task index.
fn assist(index: usize) -> Option<usize> {
    [FIRST, SECOND, THIRD]
        .iter()
        .position(|&task| task == index)
}

struct Runner {
    uart: Uart,
    name: [u8; NAME_MAX],
    name_len: usize,
    running: bool,
    next: u32,
    hold: bool,
    /// The faults of the three assists.
    faults: [Faults; 3],
}

#[unsafe(export_name = "main")]
fn main() -> ! {
    // SAFETY: app.toml maps this UART to this task alone, as device memory, and this is the only
    // `Uart` for it.
    let mut uart = unsafe { Uart::new(UART5_ADDRESS) };
    uart.configure(115_200);
    let mut runner = Runner {
        uart,
        name: [0; NAME_MAX],
        name_len: 0,
        running: false,
        next: 0,
        hold: false,
        faults: [Faults::default(); 3],
    };
    let mask = notifications::FAULT_MASK | notifications::TIMER_MASK;
    loop {
        let mut buffer = [0; NAME_MAX];
        let received = sys_recv_open(&mut buffer, mask);
        if received.sender == TaskId::KERNEL {
            if received.operation & notifications::FAULT_MASK != 0 {
                runner.look_for_faults();
            }
            if received.operation & notifications::TIMER_MASK != 0 {
                runner.fail(format_args!("did not end within {LIMIT} ms"));
            }
        } else {
            let length = received.message_len.min(buffer.len());
            runner.answer(&received, buffer.get(..length).unwrap_or(&[]));
        }
    }
}

impl Runner {
    fn answer(&mut self, received: &RecvMessage, bytes: &[u8]) {
        let [a, b, c, d, ..] = words(bytes);
        let mut reply = [0; WORDS * 4];
        let mut length = 0;
        let mut put = |bytes: &[u8]| {
            length = bytes.len().min(received.response_capacity);
            if let (Some(to), Some(from)) = (reply.get_mut(..length), bytes.get(..length)) {
                to.copy_from_slice(from);
            }
        };
        match received.operation as u16 {
            runner::NEXT => put(message([self.next]).as_flattened()),
            runner::BEGIN => self.begin(bytes),
            runner::PASSED => self.passed(),
            runner::FINISHED => {
                let cases = self.next;
                self.say(format_args!("finished: {cases} cases"));
            }
            runner::LAST_FAULT => {
                let faults = assist(a as usize).and_then(|assist| self.faults.get(assist));
                let faults = faults.copied().unwrap_or_default();
                put(&encode_report(faults.count, faults.last));
            }
            runner::HOLD => self.hold = a != 0,
            runner::SOFTWARE_IRQ => kipc::software_irq(a as usize, b),
            runner::REGISTERS => {
                let [.., r11, _, sp, lr, pc, psr] = kipc::read_task_registers(a as usize);
                put(message([r11, sp, lr, pc, psr]).as_flattened());
            }
            runner::READ_DUMP => {
                let mut bytes = [0; REPORT];
                let region = TaskDumpRegion { base: b, size: c };
                let length = kipc::read_task_dump_region(a as usize, region, &mut bytes);
                put(bytes.get(..length).unwrap_or(&bytes));
            }
            runner::SAVE_PLACES => {
                let own = (&raw const SAVED).addr() as u32;
                put(message([own, RETAINED]).as_flattened());
            }
            runner::CHECK_ACCESS => {
                let kind = kipc::check_access(a as usize, b, c);
                put(message([kind as u32]).as_flattened());
            }
            runner::SAVED_MEMORY => {
                let mut ranges = [[[0; 4]; 2]; SavedExtent::MAX_RANGES];
                let bytes = ranges.as_flattened_mut().as_flattened_mut();
                let length = kipc::get_saved_memory(a, bytes);
                let range = ranges.get(b as usize).filter(|_| (b as usize) < length / 8);
                let words = range.map_or([0; 3], |range| {
                    let [base, size] = range.map(u32::from_le_bytes);
                    [1, base, size]
                });
                put(message(words).as_flattened());
            }
            runner::SAVE_MEMORY => {
                let words = match kipc::save_memory(a, b, c, d) {
                    Ok(saved) => {
                        let (low, high) = (saved.sum as u32, (saved.sum >> 32) as u32);
                        [0, saved.map, saved.stored, low, high]
                    }
                    Err(error) => [error as u32, 0, 0, 0, 0],
                };
                put(message(words).as_flattened());
            }
            runner::SAVE_LIST => {
                let words = match kipc::save_memory_list(a, b, c, d) {
                    Ok((done, stored)) => [0, done as u32, stored],
                    Err(error) => [error as u32, 0, 0],
                };
                put(message(words).as_flattened());
            }
            runner::SAVE_AND_RESTART => {
                let copied = kipc::save_and_reinit_task(a as usize, b, c, d);
                put(message([copied]).as_flattened());
            }
            runner::SUITE_RAN => {
                let mut times = [[0; 4]; SUITE + 1];
                kipc::read_run_times(&mut times);
                let [.., ran] = times.map(u32::from_le_bytes);
                let now = sys_get_timer().now as u32;
                put(message([now.wrapping_sub(ran)]).as_flattened());
            }
            runner::TAKE_RETURN => {
                let returned = kipc::take_return(a as usize);
                put(message([returned.into()]).as_flattened());
            }
            runner::READ_DEVICE => {
                let words = match kipc::read_device_word(a as usize, b) {
                    Ok(word) => [0, word],
                    Err(error) => [error as u32, 0],
                };
                put(message(words).as_flattened());
            }
            runner::READ_WORDS => {
                put(message(core::array::from_fn::<_, 8, _>(|index| {
                    place(a, index).load(Ordering::Relaxed)
                }))
                .as_flattened());
            }
            runner::FILL_WORDS => {
                for index in 0..b as usize {
                    place(a, index).store(c, Ordering::Relaxed);
                }
            }
            _ => {
                sys_reply(received.sender, 1, &[]);
                return;
            }
        }
        sys_reply(received.sender, 0, reply.get(..length).unwrap_or(&[]));
    }

    fn begin(&mut self, name: &[u8]) {
        for (to, from) in self.name.iter_mut().zip(name) {
            *to = *from;
        }
        self.name_len = name.len();
        self.running = true;
        self.hold = false;
        for assist in [FIRST, SECOND] {
            kipc::reinit_task(assist, true);
        }
        kipc::reinit_task(THIRD, false);
        self.faults = [Faults::default(); 3];
        set_timer_relative(LIMIT, notifications::TIMER_MASK);
    }

    fn passed(&mut self) {
        if self.running {
            self.end(format_args!("ok"));
        }
    }

    fn fail(&mut self, why: core::fmt::Arguments<'_>) {
        if self.running {
            self.end(format_args!("FAILED: {why}"));
        } else {
            self.say(format_args!("the suite failed outside a case: {why}"));
        }
        kipc::reinit_task(SUITE, true);
    }

    fn end(&mut self, result: core::fmt::Arguments<'_>) {
        sys_set_timer(None, notifications::TIMER_MASK);
        self.running = false;
        self.next += 1;
        let name = self.name;
        let name = name.get(..self.name_len).unwrap_or(&[]);
        self.say(format_args!(
            "case {}: {result}",
            core::str::from_utf8(name).unwrap_or("?")
        ));
    }

    fn look_for_faults(&mut self) {
        let mut from = 1;
        while let Some(task) = kipc::find_faulted_task(from) {
            let task = task.get();
            from = task + 1;
            let TaskState::Faulted { fault, .. } = kipc::read_task_status(task) else {
                continue;
            };
            if task == SUITE {
                let mut buffer = [0; PANIC_MESSAGE_MAX_LEN];
                match kipc::read_panic_message(task, &mut buffer) {
                    Ok(mut chunks) => self.fail(format_args!(
                        "{}",
                        chunks.next().map_or("", |chunk| chunk.valid())
                    )),
                    Err(_) => self.fail(format_args!("{fault:?}")),
                }
                continue;
            }
            let Some(faults) = assist(task).and_then(|assist| self.faults.get_mut(assist)) else {
                self.fail(format_args!("task {task}: {fault:?}"));
                continue;
            };
            // A task on hold is still faulted, so the search finds it at each fault of another
            // task.
            if self.hold && faults.last.is_some() {
                continue;
            }
            faults.count += 1;
            faults.last = Some(fault);
            if !self.hold {
                kipc::reinit_task(task, true);
            }
        }
    }

    /// Prints one line. If it cannot be printed, the harness reports that it is missing.
    fn say(&mut self, text: core::fmt::Arguments<'_>) {
        let _ = OneLine(&mut self.uart).write_fmt(text);
        put(&mut self.uart, b'\r');
        put(&mut self.uart, b'\n');
    }
}

/// Word `index` from `address` on.
fn place(address: u32, index: usize) -> &'static AtomicU32 {
    let address = address as usize + 4 * index;
    // SAFETY: the suite chooses addresses in `SAVED` and in the retained region, of which this task
    // accesses nothing but words. An address elsewhere faults this task.
    unsafe { AtomicU32::from_ptr(core::ptr::with_exposed_provenance_mut(address)) }
}

/// Text without line feeds, which a panic message may have.
struct OneLine<'a>(&'a mut Uart);

impl Write for OneLine<'_> {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        for byte in text.bytes() {
            put(self.0, if byte == b'\n' { b' ' } else { byte });
        }
        Ok(())
    }
}

/// Sends a byte. With counted instructions the machine's time does not depend on how fast the
/// harness reads, so the time limit is longer than the driver's.
fn put(uart: &mut Uart, byte: u8) {
    for _ in 0..1_000 {
        if uart.transmit(byte).is_ok() {
            return;
        }
    }
}

include!(concat!(env!("OUT_DIR"), "/notifications.rs"));
