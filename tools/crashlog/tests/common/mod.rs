//! Cards for the tests, and running the tool.
//!
//! The cards are made of the structures of the format, without the store, so that the tests compare
//! the tool with the format.

#![allow(dead_code, reason = "each test uses a part of it")]

pub mod archive;
pub mod golden;
pub mod report;
pub mod snapshot;

use crashlog_format::crash::{CrashHeader, Name, Segment, SegmentKind, signature};
use crashlog_format::ledger::{CrashSummary, Ledger};
use crashlog_format::page::{CAPACITY, HEADER_LEN, LogHeader, PageHeader};
use crashlog_format::{
    BLOCK_LEN, BootEnds, BootRecord, CrashReason, Crc32c, EmergencyStep, FormatId, Geometry,
    LastRan, Level, Outcome, OutcomePhase, Stream, Superblock, TaskEntry,
};
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;
use zerocopy::IntoBytes;

/// A folder for one test.
pub struct Bench {
    dir: TempDir,
}

impl Bench {
    pub fn new() -> Self {
        Self {
            dir: tempfile::tempdir().expect("temporary folder"),
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A file of zeros.
    pub fn zeros(&self, name: &str, bytes: u64) -> PathBuf {
        let path = self.path(name);
        File::create(&path)
            .and_then(|file| file.set_len(bytes))
            .expect("file of zeros");
        path
    }

    /// A card that the tool formatted.
    pub fn formatted(&self) -> PathBuf {
        let path = self.path("card.img");
        ok(["format", "--size", "8M", path.to_str().expect("path")]);
        path
    }

    /// A card of 4 MiB, most of it slots: its ring is soon in its second lap.
    pub fn with_short_ring(&self) -> PathBuf {
        let path = self.path("card.img");
        let name = path.to_str().expect("path");
        let [slots, length] = [["--slots", "22"], ["--slot-size", "60K"]];
        ok([
            &["format", "--size", "4M"],
            &slots[..],
            &length[..],
            &[name],
        ]
        .concat());
        path
    }
}

/// Runs the tool.
pub fn crashlog<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Output {
    Command::new(env!("CARGO_BIN_EXE_crashlog"))
        .args(arguments)
        .stdin(Stdio::null())
        .env_remove("NO_COLOR")
        .env_remove("CRASHLOG_ARCHIVES")
        .output()
        .expect("the tool runs")
}

/// Runs the tool, which has to succeed; returns what it printed.
pub fn ok<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> String {
    let output = crashlog(arguments);
    let (text, said) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{:?}: {said}{text}", output.status);
    assert_eq!(said, "", "nothing is on standard error after a success");
    text.into_owned()
}

/// Runs the tool, which has to fail with this code and one line; returns the line.
pub fn fails<S: AsRef<OsStr>>(code: i32, arguments: impl IntoIterator<Item = S>) -> String {
    let output = crashlog(arguments);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert_eq!(said.lines().count(), 1, "one line: {said}");
    assert!(
        said.starts_with("crashlog: ") && !said.contains("panicked") && !said.contains("os error"),
        "{said}"
    );
    said
}

/// Runs the tool; returns its exit code, and what it printed. After an error there is one line on
/// standard error.
pub fn shown<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> (i32, String) {
    let output = crashlog(arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    let code = output.status.code().expect("an exit code");
    assert_eq!(said.lines().count(), usize::from(code != 0), "{said}");
    (code, String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The partition of a card, opened for writing.
pub struct Partition {
    file: File,
    first: u64,
    pub format: FormatId,
    pub geometry: Geometry,
    pub ledger: Ledger,
    /// The image of the crashes that are written next; 0: not known.
    pub image_id: u64,
    /// The index of the task that the crashes that are written next are of; 65535: the kernel.
    pub task: u16,
    /// The table of tasks of the crashes that are written next; empty: they have none.
    pub tasks: Vec<TaskEntry>,
    /// The registers of the crashes that are written.
    pub registers: [u32; 17],
    /// The number after that of the last page of the log of the crashes that are written next.
    pub log_page: u32,
    next_page: u32,
    next_record: [u32; 8],
}

impl Partition {
    /// Opens the partition of a card that the tool made: it begins at 1 MiB.
    pub fn open(path: &Path) -> Self {
        let file = File::options()
            .read(true)
            .write(true)
            .open(path)
            .expect("card");
        let first = 2048;
        let card = file.metadata().expect("length").len() / BLOCK_LEN as u64;
        let mut block = [0; BLOCK_LEN];
        file.read_exact_at(&mut block, first * BLOCK_LEN as u64)
            .expect("superblock");
        let content = (1..64)
            .find_map(|tail| Superblock::parse(&block, card - first - tail).ok())
            .expect("the card is sound");
        let (format, geometry) = (content.format, content.geometry);
        let ledger = Ledger::new(format, &geometry);
        Self {
            file,
            first,
            format,
            geometry,
            ledger,
            image_id: 0,
            task: 6,
            tasks: Vec::new(),
            registers: core::array::from_fn(|n| 0x8080_0000 + 4 * n as u32),
            log_page: 0,
            next_page: 0,
            next_record: [1; 8],
        }
    }

    pub fn read(&self, block: u32) -> [u8; BLOCK_LEN] {
        let mut bytes = [0; BLOCK_LEN];
        self.file
            .read_exact_at(
                &mut bytes,
                (self.first + u64::from(block)) * BLOCK_LEN as u64,
            )
            .expect("read");
        bytes
    }

    pub fn write(&self, block: u32, bytes: &[u8]) {
        self.file
            .write_all_at(bytes, (self.first + u64::from(block)) * BLOCK_LEN as u64)
            .expect("write");
    }

    /// Changes one bit of a block.
    pub fn damage(&self, block: u32, byte: usize) {
        let mut bytes = self.read(block);
        bytes[byte] ^= 0x10;
        self.write(block, &bytes);
    }

    /// Notes in the ledger that the newest crash has a snapshot.
    pub fn note_snapshot(&mut self) {
        let newest = (0..).map_while(|index| self.ledger.by_age(index)).last();
        let sequence = newest.expect("a crash").1.sequence.get();
        assert!(self.ledger.note_snapshot(sequence));
        self.write_ledger();
    }

    /// Notes in the ledger that all pages so far are written.
    pub fn note_pages(&mut self, boot: u32) {
        self.ledger.note_page(self.next_page, boot);
        self.write_ledger();
    }

    /// Seals the ledger and writes it over its older copy.
    pub fn write_ledger(&mut self) {
        self.ledger.seal(self.format);
        self.write(
            self.geometry.ledger(self.ledger.generation()),
            self.ledger.as_bytes(),
        );
    }

    /// Skips page numbers, as if pages had not been written.
    pub fn skip_pages(&mut self, count: u32) {
        self.next_page += count;
    }

    /// Writes one page with these records of a boot; returns its block.
    pub fn page(&mut self, boot: u32, records: &[(LogHeader, &[u8])]) -> u32 {
        let mut body = Vec::new();
        for (header, payload) in records {
            body.extend(header.to_bytes(payload.len() as u16));
            body.extend(*payload);
            body.resize(body.len().next_multiple_of(4), 0);
        }
        assert!(body.len() <= CAPACITY);
        let first = &mut self.next_record[boot as usize];
        let crc = Crc32c::new().bytes(&body).value();
        let header = PageHeader::new(
            self.format,
            self.next_page,
            boot,
            *first,
            body.len() as u16,
            crc,
        );
        *first += records.len() as u32;
        let block = self.geometry.page(self.next_page);
        self.next_page += 1;
        let mut bytes = header.as_bytes().to_vec();
        assert_eq!(bytes.len(), HEADER_LEN);
        bytes.extend(body);
        bytes.resize(BLOCK_LEN, 0);
        self.write(block, &bytes);
        block
    }

    /// Writes one page with the boot record of a boot of this image, task 1.
    pub fn boot_record(&mut self, boot: u32, image_id: u64) -> u32 {
        self.boot_record_after(boot, image_id, BootEnds::NONE)
    }

    /// The same, which says how the boots before ended.
    pub fn boot_record_after(&mut self, boot: u32, image_id: u64, ends: BootEnds) -> u32 {
        self.boot_record_with(boot, image_id, ends, None)
    }

    /// The same, which also says who ran last in the boot before.
    pub fn boot_record_with(
        &mut self,
        boot: u32,
        image_id: u64,
        ends: BootEnds,
        last_ran: Option<LastRan>,
    ) -> u32 {
        let record = BootRecord {
            image_id,
            version: 3,
            epoch: 0,
            app: "test-app",
            image: "default",
            board: "bench",
            commit: "2cf33c0f7280bf4b8391227169654265a2864fee-dirty",
            ends,
            last_ran,
        };
        let mut payload = [0; 256];
        let length = record.encode(&mut payload).expect("it fits");
        self.page(
            boot,
            &[(header(Stream::Boot, Level::Info, 1, 2), &payload[..length])],
        )
    }

    /// Skips record numbers, as if records were missing.
    pub fn skip_records(&mut self, boot: u32, count: u32) {
        self.next_record[boot as usize] += count;
    }

    /// Writes and commits a crash of the task `name`, with a panic message and a stack. Returns the
    /// block of its header.
    pub fn crash(&mut self, boot: u32, fault: &[u8], name: &str) -> u32 {
        self.write_crash(CrashReason::Panic, boot, fault, name)
    }

    /// Commits the newest crash once more, in this boot.
    pub fn repeat(&mut self, boot: u32) {
        let newest = (0..).map_while(|index| self.ledger.by_age(index)).last();
        let crash = CrashSummary {
            reason: CrashReason::Panic,
            late: false,
            signature: newest.expect("a crash").1.signature.get(),
            boot,
            time: 3_012,
        };
        let plan = self.ledger.plan(&crash, 4).expect("a number is left");
        assert_eq!(plan.writes(), None, "it is a repetition");
        self.ledger.commit(plan, &crash);
        self.write_ledger();
    }

    /// Writes and commits an oops: only the task was restarted.
    pub fn oops(&mut self, boot: u32, fault: &[u8], name: &str) -> u32 {
        self.write_crash(CrashReason::Oops, boot, fault, name)
    }

    /// Writes and commits a failure of the kernel or the supervisor.
    pub fn failure(&mut self, boot: u32, fault: &[u8], name: &str) -> u32 {
        self.write_crash(CrashReason::Kernel, boot, fault, name)
    }

    /// Writes and commits a self-test.
    pub fn self_test(&mut self, boot: u32) -> u32 {
        self.write_crash(CrashReason::SelfTest, boot, &[u8::MAX], "crashlog")
    }

    fn write_crash(&mut self, reason: CrashReason, boot: u32, fault: &[u8], name: &str) -> u32 {
        let message: &[u8] = b"index out of bounds: the len is 4 but the index is 7";
        let stack: Vec<u8> = (0..64).collect();
        let registers = self.registers;
        let signature = signature(6, fault, &registers, boot);
        let crash = CrashSummary {
            reason,
            late: false,
            signature,
            boot,
            time: 3_012,
        };
        let plan = self.ledger.plan(&crash, 4).expect("a number is left");
        let sequence = self.ledger.commit(plan, &crash);
        self.ledger.seal(self.format);

        let mut header = CrashHeader::new(reason, None, fault);
        header.sequence = sequence.into();
        header.boot = boot.into();
        header.task = self.task.into();
        header.time = 3_012.into();
        header.name = Name::new(name);
        header.registers = registers.map(Into::into);
        header.signature = signature.into();
        header.counters = *self.ledger.counters();
        header.log_page = self.log_page.into();
        header.log_record = (self.next_record[boot as usize] - 1).into();
        let mut outcome = Outcome::default();
        outcome.enter(OutcomePhase::Write);
        outcome.finish(EmergencyStep::ControllerReset);
        outcome.finish(EmergencyStep::CardReady);
        header.outcome = outcome;
        header.image_id = self.image_id.into();
        let tasks = self.tasks.as_bytes();
        let mut segments = vec![
            Segment::new(
                SegmentKind::Message,
                1,
                message.len() as u32,
                80,
                0,
                Crc32c::new().bytes(message).value(),
            ),
            Segment::new(
                SegmentKind::Stack,
                2,
                64,
                64,
                0x8082_0100,
                Crc32c::new().bytes(&stack).value(),
            ),
        ];
        if !tasks.is_empty() {
            let (length, crc) = (tasks.len() as u32, Crc32c::new().bytes(tasks).value());
            segments.push(Segment::new(SegmentKind::Tasks, 3, length, length, 0, crc));
        }
        header.set_segments(segments.len());
        let slot = plan.slot();
        let block = self.geometry.slot(slot).expect("slot");
        let mut bytes = header.as_bytes().to_vec();
        bytes.extend(segments.as_bytes());
        // The checksum does not cover the first two words: magic and checksum.
        let words = bytes[8..].chunks(4).map(|word| {
            word.iter()
                .rev()
                .fold(0, |value, &byte| value << 8 | u32::from(byte))
        });
        let crc = CrashHeader::checksum_of(self.format, words);
        bytes[4..8].copy_from_slice(&crc.to_le_bytes());
        bytes.resize(BLOCK_LEN, 0);
        self.write(block, &bytes);
        for (offset, body) in [(1, message), (2, &stack), (3, tasks)] {
            let mut bytes = body.to_vec();
            bytes.resize(bytes.len().next_multiple_of(BLOCK_LEN), 0);
            for (block, bytes) in (block + offset..).zip(bytes.chunks(BLOCK_LEN)) {
                self.write(block, bytes);
            }
        }
        self.write(
            self.geometry.ledger(self.ledger.generation()),
            self.ledger.as_bytes(),
        );
        block
    }
}

/// The header of a log record.
pub fn header(stream: Stream, level: Level, task: u16, time: u64) -> LogHeader {
    LogHeader {
        stream,
        level,
        task,
        lost: 0,
        time,
    }
}

/// The fault of a write to 0xdeadbee0, as the kernel reports it.
pub const STRAY_WRITE: &[u8] = &[0, 1, 0xe0, 0xbe, 0xad, 0xde, 0];
