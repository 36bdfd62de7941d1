//! A client of the recorder that works as the harness tells it.
//!
//! After each start it waits until the recorder is ready or has no card, then appends a record and
//! makes it durable. Each boot thereby shows that logging works. Then it calls [`load_ready`],
//! where the harness has a breakpoint, inspects the system and writes the words of [`LOAD_PLAN`].
//! The task does that work, calls [`load_done`], and begins again.
//!
//! [`LOAD_SEEN`] says what the recorder has accepted. The harness reads it at the moment of a crash
//! and compares it with the card afterwards.
//!
//! `unsafe` is used to export these symbols.

#![no_std]
#![no_main]

use core::hint::black_box;
use core::sync::atomic::{AtomicU32, Ordering};
use task_crashlog_api::{
    BootEnding, CrashLog, CrashLogError, Level, PAGE_LEN, RecorderState, RecorderStatus, Stream,
    UnsavedReason,
};
use test_api::ask;
use userlib::{hl, sys_send, task_slot};

task_slot!(CRASHLOG, crashlog);
task_slot!(SABOTEUR, saboteur);
task_slot!(VICTIM, victim);
task_slot!(FATAL, fatal);

/// Written by the harness: the work, ticks until the saboteur strikes (0 is never), arguments of
/// the work.
#[unsafe(no_mangle)]
static LOAD_PLAN: [AtomicU32; 8] = [const { AtomicU32::new(0) }; 8];

/// Read by the harness: sequence number of the last record accepted in this boot; number up to
/// which all are durable; state of the recorder (see [`state`]); crashes on the card; code of the
/// last error, or 0; 1 if the slot is empty.
#[unsafe(no_mangle)]
static LOAD_SEEN: [AtomicU32; 6] = [const { AtomicU32::new(0) }; 6];

/// Number of calls of `status` without a pause in between.
const PATIENCE: u32 = 50;

/// Payload of a record.
const RECORD: usize = 64;

/// Nothing.
const IDLE: u32 = 0;
/// Appends (how many) records, and waits until a page of them is on the card.
const APPEND: u32 = 1;
/// Appends (how many) records, then flushes; the strike is in the flush.
const FLUSH: u32 = 2;
/// Faults a task (0 `victim`, 1 `fatal`) by (operation, three arguments), and waits until an oops
/// is written.
const FAULT: u32 = 3;
/// Reads the description of the first crash, its first bytes, and the newest page of the log.
const READ: u32 = 4;
/// Erases the crash (number).
const ERASE: u32 = 5;
/// Sleeps (milliseconds).
const SLEEP: u32 = 6;
/// Sets the time (low and high half of the milliseconds).
const SET_TIME: u32 = 7;
/// Logs how a boot ended (how many boots ago).
const TELL_END: u32 = 8;

/// The recorder is ready. The harness writes the plan.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn load_ready() {
    black_box(1);
}

/// The work is done, without a crash.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn load_done() {
    // The two functions must differ, or the compiler would merge them.
    black_box(2);
}

#[unsafe(export_name = "main")]
fn main() -> ! {
    let client = Client(CrashLog::from(CRASHLOG.get_task_id()));
    client.wait(|status| status.state != RecorderState::Starting);
    client.append();
    client.flush();
    loop {
        client.look();
        load_ready();
        client.work();
        client.look();
        load_done();
    }
}

fn plan(index: usize) -> u32 {
    LOAD_PLAN
        .get(index)
        .map_or(0, |word| word.load(Ordering::Relaxed))
}

fn seen(index: usize, value: u32) {
    if let Some(word) = LOAD_SEEN.get(index) {
        word.store(value, Ordering::Relaxed);
    }
}

/// Tells the saboteur after how many ticks to strike.
fn arm() {
    sys_send(
        SABOTEUR.get_task_id(),
        1,
        &plan(1).to_le_bytes(),
        &mut [],
        &[],
    );
}

struct Client(CrashLog);

impl Client {
    fn work(&self) {
        match plan(0) {
            IDLE => {}
            APPEND => {
                let before = self.0.status().map_or(0, |status| status.pages_written);
                arm();
                for _ in 0..plan(2) {
                    self.append();
                }
                self.wait(|status| status.pages_written != before || is_ram_only(status));
            }
            FLUSH => {
                for _ in 0..plan(2) {
                    self.append();
                }
                arm();
                self.flush();
            }
            FAULT => {
                let before = self.0.status().map_or(0, |status| status.oopses);
                let task = if plan(2) == 0 { &VICTIM } else { &FATAL };
                arm();
                ask(
                    task.get_task_id(),
                    plan(3) as u16,
                    [plan(4), plan(5), plan(6), 0, 0, 0, 0, 0],
                );
                self.wait(|status| status.oopses != before || is_ram_only(status));
            }
            READ => {
                arm();
                let mut page = [0; PAGE_LEN];
                let first = self.0.crash_info(0);
                let sequence = first.map_or(0, |info| info.sequence);
                note(self.0.read_crash(sequence, 0, 0, &mut page).err());
                let newest = self.0.status().ok().and_then(|status| status.newest_page);
                note(self.0.read_page(newest.unwrap_or(0), &mut page).err());
            }
            ERASE => {
                arm();
                note(self.0.erase_crash(plan(2)).err());
            }
            SLEEP => {
                arm();
                hl::sleep_for(plan(2).into());
            }
            TELL_END => {
                arm();
                match self.0.boot_end(plan(2)) {
                    Ok(end) => self.tell(end),
                    Err(error) => note(Some(error)),
                }
            }
            SET_TIME => {
                arm();
                let utc_ms = u64::from(plan(3)) << 32 | u64::from(plan(2));
                match self.0.set_time(utc_ms) {
                    Ok(sequence) => seen(0, sequence),
                    Err(error) => note(Some(error)),
                }
            }
            _ => userlib::sys_panic(b"the load does not know this work"),
        }
    }

    /// Appends a record that says how a boot ended: `end `, a letter for the kind, a digit for the
    /// task.
    fn tell(&self, end: BootEnding) {
        let (kind, task) = match end {
            BootEnding::NotKnown => (b'n', 0),
            BootEnding::Restart(task) => (b'r', task),
            BootEnding::Crash(task) => (b'c', task),
            BootEnding::Kernel => (b'k', 0),
            BootEnding::Watchdog => (b'w', 0),
            BootEnding::PowerLost => (b'p', 0),
            BootEnding::Outside => (b'o', 0),
        };
        let text = [b'e', b'n', b'd', b' ', kind, b'0' + task as u8, b'\n'];
        match self.0.append(Stream::Console, Level::Info, 0, &text) {
            Ok(sequence) => seen(0, sequence),
            Err(error) => note(Some(error)),
        }
    }

    /// Appends one record, whose bytes are derived from its number.
    fn append(&self) {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.load(Ordering::Relaxed) + 1;
        COUNT.store(number, Ordering::Relaxed);
        let mut payload = [b'x'; RECORD];
        for (digit, byte) in (0..8).zip(&mut payload) {
            *byte = b'a' + (number >> (4 * digit) & 15) as u8;
        }
        match self.0.append(Stream::Console, Level::Info, 0, &payload) {
            Ok(sequence) => seen(0, sequence),
            Err(error) => note(Some(error)),
        }
    }

    fn flush(&self) {
        match self.0.flush() {
            Ok(durable) => seen(1, durable),
            Err(error) => note(Some(error)),
        }
    }

    /// Waits until the status fulfils a condition. At first it asks without a pause, so that the
    /// system is seldom idle when a strike hits it.
    fn wait(&self, done: impl Fn(&RecorderStatus) -> bool) {
        for tries in 0.. {
            if self.0.status().is_ok_and(|status| done(&status)) {
                return;
            }
            if tries > PATIENCE {
                hl::sleep_for(1);
            }
        }
    }

    /// Copies the recorder's status into [`LOAD_SEEN`].
    fn look(&self) {
        if let Ok(status) = self.0.status() {
            seen(2, state(&status.state));
            seen(3, status.crashes);
            let no_card = status.state == RecorderState::RamOnly(UnsavedReason::NoCard);
            seen(5, no_card.into());
        }
    }
}

fn is_ram_only(status: &RecorderStatus) -> bool {
    matches!(status.state, RecorderState::RamOnly(_))
}

/// The state as a number, for the harness.
fn state(state: &RecorderState) -> u32 {
    match state {
        RecorderState::Starting => 1,
        RecorderState::Ready => 2,
        RecorderState::RamOnly(_) | RecorderState::ReadOnly(_) => 3,
        RecorderState::Suspended => 4,
    }
}

fn note(error: Option<CrashLogError>) {
    if let Some(error) = error {
        seen(4, error as u32);
    }
}
