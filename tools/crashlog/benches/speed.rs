//! How fast the tool reads a large card, beside `sha256sum` of the same bytes, in one run.
//!
//! `cargo bench -p crashlog --bench speed` makes a card of 2 GiB in the target directory, whose log
//! is full, and removes it at the end, unless `CRASHLOG_BENCH_KEEP` is set;
//! `CRASHLOG_BENCH_SIZE=8G` makes a larger one. A figure is that of one run whose output goes
//! nowhere, after the card was read once: the time, the time of a processor that it took, and the
//! most memory that it had.

#[path = "../tests/common/mod.rs"]
mod common;

use common::{Partition, STRAY_WRITE, header, ok};
use crashlog_format::page::{CAPACITY, LogHeader, PageHeader};
use crashlog_format::{BLOCK_LEN, BootEnds, BootRecord, Crc32c, Level, Stream, TimeAnchor};
use std::fs;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};
use zerocopy::IntoBytes;

/// Boots of the log. Each has a crash, up to the last.
const BOOTS: u32 = 7;
/// Pages that are written at once.
const PIECE: u32 = 2048;
/// 2026-11-28 09:40:00 UTC.
const MORNING: u64 = 1_795_858_800_000;

fn main() -> ExitCode {
    let size = std::env::var("CRASHLOG_BENCH_SIZE").unwrap_or_else(|_| "2G".to_owned());
    let card = Path::new(env!("CARGO_TARGET_TMPDIR")).join("speed.img");
    let _ = fs::remove_file(&card);
    let path = card.to_str().expect("a path of UTF-8");
    ok(["format", "--size", &size, path]);
    let pages = fill(&card);
    println!("card of {size}, {pages} pages of log in {BOOTS} boots");
    println!(
        "{:<44} {:>8} {:>8} {:>12} {:>9}",
        "", "seconds", "CPU s", "x sha256sum", "peak MiB"
    );
    run(Command::new("sha256sum").arg(&card));
    let reference = run(Command::new("sha256sum").arg(&card));
    let row = |name: &str, run: &Run| {
        println!(
            "{name:<44} {:>8.2} {:>8.2} {:>12.2} {:>9.1}",
            run.seconds,
            run.processor,
            run.seconds / reference.seconds,
            run.memory as f64 / 1024.0
        );
    };
    row("sha256sum", &reference);
    for arguments in [
        &["log"][..],
        &["log", "--json"],
        &["log", "--raw"],
        &["log", "--stream", "fault"],
        &["verify"],
        &["boots"],
        &["list"],
        &["show"],
        &["show", "--json"],
        &["log", "--last", "50"],
        &["log", "--boot", "4", "--last", "50"],
        &["log", "--since", "2026-12-28", "--last", "50"],
    ] {
        let mut tool = Command::new(env!("CARGO_BIN_EXE_crashlog"));
        let run = run(tool.args(arguments).arg(&card));
        row(&format!("crashlog {}", arguments.join(" ")), &run);
    }
    if std::env::var_os("CRASHLOG_BENCH_KEEP").is_none() {
        fs::remove_file(&card).expect("the card is removed");
    }
    ExitCode::SUCCESS
}

/// One run of a program.
struct Run {
    seconds: f64,
    /// Seconds of a processor.
    processor: f64,
    /// The most memory that it had, in KiB.
    memory: u64,
}

/// Runs a program.
fn run(command: &mut Command) -> Run {
    let before = processor();
    let begun = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("the program runs");
    let mut memory = 0;
    let status = loop {
        memory = memory.max(peak(&child).unwrap_or(0));
        if let Some(status) = child.try_wait().expect("the program ends") {
            break status;
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    assert!(status.success(), "{command:?}: {status}");
    Run {
        seconds: begun.elapsed().as_secs_f64(),
        processor: processor() - before,
        memory,
    }
}

/// Seconds of a processor that the programs took that have ended by now.
fn processor() -> f64 {
    /// Of Linux, on all machines of today.
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = fs::read_to_string("/proc/self/stat").expect("the state of this program");
    // The name, in parentheses, may have spaces; `cutime` and `cstime` are fields 16 and 17.
    let (_, behind) = stat.rsplit_once(')').expect("its name");
    let ticks = behind.split_whitespace().skip(13).take(2);
    ticks
        .map(|ticks| ticks.parse::<f64>().expect("ticks"))
        .sum::<f64>()
        / TICKS_PER_SECOND
}

/// The most memory that a program has had by now, in KiB.
fn peak(child: &Child) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Fills the log for a lap and a quarter; returns the number of pages. What the second lap
/// overwrites is not written first.
fn fill(card: &Path) -> u32 {
    let mut partition = Partition::open(card);
    for boot in 1..=BOOTS {
        partition.task = 5 + boot as u16;
        partition.crash(boot, STRAY_WRITE, "worker");
    }
    let file = fs::File::options().write(true).open(card).expect("card");
    let ring = partition.geometry.ring_pages();
    let (first, end) = (ring / 4, ring + ring / 4);
    let mut writer = Writer::default();
    let mut bytes = Vec::new();
    let mut at = first;
    for number in first..end {
        let boot =
            1 + u32::try_from(u64::from(number - first) * u64::from(BOOTS) / u64::from(ring))
                .expect("a boot");
        bytes.extend(writer.page(&partition, number, boot));
        let next = number + 1;
        let is_at_end = next % ring == 0 || next == end;
        if is_at_end || bytes.len() == PIECE as usize * BLOCK_LEN {
            let block = 2048 + u64::from(partition.geometry.page(at));
            use std::os::unix::fs::FileExt;
            file.write_all_at(&bytes, block * BLOCK_LEN as u64)
                .expect("write");
            bytes.clear();
            at = next;
        }
    }
    file.sync_all().expect("the card is written");
    ring
}

/// Makes the pages of a log.
#[derive(Default)]
struct Writer {
    boot: u32,
    record: u32,
    time: u64,
}

impl Writer {
    fn page(&mut self, partition: &Partition, number: u32, boot: u32) -> Vec<u8> {
        let mut body = Vec::with_capacity(CAPACITY);
        let first = if self.boot == boot { self.record } else { 1 };
        let mut add = |record: LogHeader, payload: &[u8]| {
            let length = crashlog_format::page::record_len(payload.len());
            if body.len() + length > CAPACITY {
                return false;
            }
            body.extend(record.to_bytes(payload.len() as u16));
            body.extend(payload);
            body.resize(body.len().next_multiple_of(4), 0);
            true
        };
        if self.boot != boot {
            *self = Self {
                boot,
                record: 1,
                time: 2,
            };
            let mut payload = [0; 256];
            let length = build().encode(&mut payload).expect("it fits");
            add(
                header(Stream::Boot, Level::Info, 1, self.time),
                &payload[..length],
            );
            let day = MORNING + u64::from(boot) * 7 * 86_400_000;
            let anchor = TimeAnchor::new(day).expect("a time").to_bytes();
            add(header(Stream::Boot, Level::Info, 1, self.time), &anchor);
            self.record += 2;
        }
        loop {
            let number = self.record;
            let record = |stream, level, task| header(stream, level, task, self.time);
            let fits = match number % 8 {
                0 => add(
                    record(Stream::Event, Level::Debug, 6),
                    &[&b"\x15SensorEvent::Reading "[..], &number.to_le_bytes()].concat(),
                ),
                1 => add(
                    record(Stream::Event, Level::Info, 8),
                    format!("\0job {number} done, sum {:#010x}", number.wrapping_mul(0x9e37_79b1))
                        .as_bytes(),
                ),
                2 if number % 4096 == 2 => add(
                    record(Stream::Fault, Level::Error, 8),
                    b"task worker accessed memory that it may not access, at 0xdeadbee0",
                ),
                _ => add(
                    record(Stream::Console, Level::Info, 2),
                    format!(
                        "2026-09-22 04:50:08 status half-installed \"package-{}\" 1:19.1.7-3~deb12u1\r\n",
                        number % 1000
                    )
                    .as_bytes(),
                ),
            };
            if !fits {
                break;
            }
            self.record += 1;
            self.time += 3;
        }
        let crc = Crc32c::new().bytes(&body).value();
        let header = PageHeader::new(
            partition.format,
            number,
            boot,
            first,
            body.len() as u16,
            crc,
        );
        let mut page = header.as_bytes().to_vec();
        page.extend(body);
        page.resize(BLOCK_LEN, 0);
        page
    }
}

fn build() -> BootRecord<'static> {
    BootRecord {
        image_id: 0xac7f_1045_79de_0074,
        version: 3,
        epoch: 0,
        app: "demo",
        image: "default",
        board: "bench",
        commit: "2cf33c0f7280bf4b8391227169654265a2864fee",
        ends: BootEnds::NONE,
        last_ran: None,
    }
}
