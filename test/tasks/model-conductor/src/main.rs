//! Starts the workers for one seed after the other and prints a hash of their log.
//!
//! Commands on the serial line: `run FIRST COUNT MASK` prints a line for each seed,
//! `show SEED 1 MASK` also prints each entry of the log. All numbers are hexadecimal. Lines that
//! the harness reads:
//!
//! ```text
//! entry TASK OPERATION VALUE…
//! seed SEED ID ID ID ID ENTRIES HASH        (the ids of the workers before they were started)
//! done
//! ```
//!
//! `unsafe` for the UART and for the shared log.

#![no_std]
#![no_main]

use core::fmt::Write;
use drv_ast2600_uart::{UART5_ADDRESS, Uart};
use test_model::{Hash, LOG, WORKERS};
use userlib::{Generation, Kipcnum, TaskId, hl, kipc, sys_refresh_task_id, sys_send};

struct Line(Uart);

impl Write for Line {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        for byte in text.bytes() {
            // With counted instructions the machine's time does not depend on how fast the harness
            // reads.
            for _ in 0..1_000 {
                if self.0.transmit(byte).is_ok() {
                    break;
                }
            }
        }
        Ok(())
    }
}

#[unsafe(export_name = "main")]
fn main() -> ! {
    // SAFETY: app.toml maps this UART to this task alone, as device memory, and this is the only
    // `Uart` for it.
    let mut uart = unsafe { Uart::new(UART5_ADDRESS) };
    uart.configure(115_200);
    let mut out = Line(uart);
    let _ = writeln!(out, "ready");
    let mut line = [0_u8; 64];
    let mut length = 0;
    loop {
        let Some(received) = out.0.receive() else {
            hl::sleep_for(1);
            continue;
        };
        if received.byte != b'\n' {
            if let Some(place) = line.get_mut(length) {
                *place = received.byte;
                length += 1;
            }
            continue;
        }
        let text = line.get(..length).unwrap_or(&[]);
        command(core::str::from_utf8(text).unwrap_or(""), &mut out);
        length = 0;
    }
}

fn command(text: &str, out: &mut Line) {
    let mut words = text.split(' ');
    let show = words.next() == Some("show");
    let mut number = || {
        words
            .next()
            .and_then(|word| u64::from_str_radix(word, 16).ok())
    };
    let (Some(first), Some(count), Some(mask)) = (number(), number(), number()) else {
        let _ = writeln!(out, "what is `{text}`?");
        return;
    };
    for seed in first..first.saturating_add(count) {
        perform(seed, mask, show, out);
    }
    let _ = writeln!(out, "done");
}

fn perform(seed: u64, mask: u64, show: bool, out: &mut Line) {
    for (word, value) in [
        (LOG::SEED, seed as u32),
        (LOG::SEED + 1, (seed >> 32) as u32),
        (LOG::MASK, mask as u32),
        (LOG::MASK + 1, (mask >> 32) as u32),
        (LOG::COUNT, 0),
    ] {
        write(word, value);
    }
    for worker in 0..WORKERS {
        write(LOG::LIVES + worker, 0);
    }
    // No waiting task and no notification of the last seed may be left.
    for worker in 1..=WORKERS {
        kipc::reinit_task(worker, false);
    }
    let before: [TaskId; WORKERS] = core::array::from_fn(|worker| current(worker + 1));
    // The program begins just after a tick, so that it is over before the next one.
    hl::sleep_for(1);
    for worker in 1..=WORKERS {
        kipc::reinit_task(worker, true);
    }
    // All workers are more important than this task: when it runs again, none of them can go on.
    hl::sleep_for(1);

    let entries = read(LOG::COUNT) as usize;
    let mut hash = Hash::new();
    hash.add(entries as u32);
    for entry in 0..entries.min(LOG::MAX) {
        let place = LOG::ENTRIES + entry * LOG::ENTRY;
        let values = (read(place + 2) as usize).min(LOG::ENTRY - 3);
        (place..place + 3 + values).for_each(|word| hash.add(read(word)));
        if show {
            let _ = write!(out, "entry {:x} {:x}", read(place), read(place + 1));
            for word in place + 3..place + 3 + values {
                let _ = write!(out, " {:x}", read(word));
            }
            let _ = writeln!(out);
        }
    }
    for worker in 1..=WORKERS {
        hash.add(current(worker).0.into());
        let mut state = [0; 16];
        let request = (worker as u32).to_le_bytes();
        let number = Kipcnum::ReadTaskStatus as u16;
        let (_, length) = sys_send(TaskId::KERNEL, number, &request, &mut state, &[]);
        let state = state.get(..length).unwrap_or(&[]);
        hash.add(test_model::sum(state));
        if show {
            let _ = writeln!(out, "state {worker:x} {:x} {state:x?}", current(worker).0);
        }
    }
    let [a, b, c, d] = before.map(|id| id.0);
    let _ = writeln!(
        out,
        "seed {seed:x} {a:x} {b:x} {c:x} {d:x} {entries:x} {:x}",
        hash.0
    );
}

fn current(task: usize) -> TaskId {
    sys_refresh_task_id(TaskId::for_index_and_gen(task, Generation::ZERO))
}

fn read(word: usize) -> u32 {
    // SAFETY: the region is mapped into this task, and every word of it is a number.
    unsafe { (LOG::BASE as *const u32).add(word).read_volatile() }
}

fn write(word: usize, value: u32) {
    // SAFETY: as above; no Rust value lies in the region.
    unsafe { (LOG::BASE as *mut u32).add(word).write_volatile(value) };
}
