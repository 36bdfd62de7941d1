//! `crashlog dump`: the memory of a crash as a file that Humility and gdb open.
//!
//! An ELF core of the whole system or, of an oops, of one task; or the zip file from which
//! `humility hydrate` makes one. Flash is that of the archive, which is in the core byte for byte,
//! except for the initial values of secrets. Memory that is not on the card is not in the file
//! either, and is named.

use crate::archive::{self, Archive};
use crate::archives::Archives;
use crate::card::Card;
use crate::cli::Dump;
use crate::crash::Crash;
use crate::describe::Names;
use crate::output;
use crate::postmortem::{PostMortem, TaskState};
use crate::problem::{Code, Problem};
use crate::show::saved;
use crate::snapshot::Snapshot;
use crate::terminal::{Output, WARN};
use crate::text::count;
use build_core_file::{CoreFile, OneTask, Segment, Thread, cpsr, is_cpsr, xpsr};
use crashlog_format::snapshot::{KERNEL_OWNER, SnapshotKind};
use serde_json::json;
use std::fs;
use std::io::{Cursor, Write};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

/// The number of the kernel's thread in gdb: its task id. Task `n` has number `n + 1`.
const KERNEL_THREAD: u32 = 0xffff;

pub fn run(args: &Dump, out: &mut Output) -> Result<(), Problem> {
    output::check(&args.output, args.force)?;
    output::refuse_input(&args.output, &args.image, "the card")?;
    let archives = Archives::given(&args.archives)?;
    archives.refuse_as_output(&args.output)?;
    let card = Card::open(&args.image, false)?;
    let crash = card.find(args.sequence)?;
    let found = Snapshot::read(&card, &crash)?;
    let mut snapshot = found.map_err(|none| none.problem(&card, &crash))?;
    let what = format!("crash record {}", crash.header.sequence);
    let archive = archives.need(&what, crash.image_id())?;
    if archive.flash().is_empty() {
        return Err(Problem::new(
            Code::Usage,
            format!(
                "{}: has no img/final.elf, the flash of its image, which a dump needs; give the archive as the build made it",
                archive.path().display()
            ),
        ));
    }
    if snapshot.memory.is_empty() {
        return Err(nothing(&card, &crash, &snapshot));
    }
    let post = PostMortem::new(&archive, &crash, &mut snapshot)?;
    let dump = Dumped {
        archive: &archive,
        crash: &crash,
        snapshot: &snapshot,
        post: &post,
    };
    let text = if args.hydrate {
        dump.hydrate(args)?
    } else {
        dump.core(args)?
    };
    writeln!(out, "{}: {text}", args.output.display())?;
    for gap in snapshot.gaps.iter().take(saved::LISTED) {
        writeln!(out, "{WARN}missing{WARN:#} {}", saved::gap(gap, &archive))?;
    }
    let more = snapshot.gaps.len().saturating_sub(saved::LISTED);
    if more > 0 {
        writeln!(
            out,
            "{WARN}missing{WARN:#} {}",
            count(more as u64, "more piece")
        )?;
    }
    out.flush()?;
    let sequence = crash.header.sequence.get();
    saved::check(&Ok(snapshot), &card, sequence, "the rest is in the file")
}

/// Nothing of the snapshot was saved.
fn nothing(card: &Card, crash: &Crash, snapshot: &Snapshot) -> Problem {
    let first = snapshot.gaps.first();
    let why = first.map_or("its tables are empty", |gap| gap.why.text());
    Problem::new(
        Code::Found,
        format!(
            "{}: crash record {} has a snapshot without any memory: {why}; `crashlog show` has the rest of the crash",
            card.partition.path().display(),
            crash.header.sequence
        ),
    )
}

/// What is dumped.
struct Dumped<'a> {
    archive: &'a Archive,
    crash: &'a Crash,
    snapshot: &'a Snapshot,
    post: &'a PostMortem,
}

impl Dumped<'_> {
    /// Writes a core. Returns what is in it.
    fn core(&self, args: &Dump) -> Result<String, Problem> {
        let path = self.archive.path();
        let failed = |cause| Problem::io(path, "read it again", &cause);
        let mut archive = fs::read(path).map_err(failed)?;
        let secrets = self.archive.secrets();
        if !secrets.is_empty() {
            archive = secrets
                .without(&archive, |name| archive::task_name(name).is_some())
                .map_err(|cause| failed(cause.into()))?;
        }
        let segments: Vec<Segment> = self
            .snapshot
            .memory
            .segments()
            .into_iter()
            .map(|(address, bytes)| Segment { address, bytes })
            .collect();
        let is_task = self.snapshot.header.kind() == Ok(SnapshotKind::Task);
        let task = is_task.then(|| OneTask {
            index: self.snapshot.header.task.get(),
            ticks: self.post.ticks,
        });
        let registers = if is_task {
            Vec::new()
        } else {
            self.registers()
        };
        let threads = self.threads();
        let core = CoreFile {
            archive: &archive,
            registers: &registers,
            task,
            threads: &threads,
            segments: &segments,
        };
        core.check().map_err(|why| {
            Problem::new(
                Code::Found,
                format!(
                    "crash record {}: its snapshot cannot be written as a core: it has {why}",
                    self.crash.header.sequence
                ),
            )
        })?;
        output::write(&args.output, args.force, |out| core.write(out))?;
        let what = match task {
            Some(_) => format!("core of task {}", self.name(self.crash.header.task.get())),
            None => format!(
                "core of the system, {}, {}",
                count(threads.len() as u64, "thread"),
                if registers.iter().any(|(number, _)| *number == 15) {
                    "registers"
                } else {
                    "registers without pc, which is in no program"
                }
            ),
        };
        let bytes: usize = segments.iter().map(|segment| segment.bytes.len()).sum();
        let blanked = if secrets.is_empty() {
            ""
        } else {
            "; secrets of tasks are blanked, also in the archive inside"
        };
        Ok(format!(
            "{what}, {bytes} bytes of memory in {}{blanked}",
            count(segments.len() as u64, "piece")
        ))
    }

    fn name(&self, index: u16) -> String {
        crate::text::printable(self.archive.task_or_number(index).as_bytes())
    }

    /// Whether the registers of the snapshot are the kernel's. If the supervisor fails, the kernel
    /// makes the snapshot, with those of the supervisor.
    fn is_of_kernel(&self) -> bool {
        self.snapshot.header.current.get() == KERNEL_OWNER && self.crash.is_of_kernel()
    }

    /// The registers of the core by the numbers of DCRSR (ARMv7-M Architecture Reference Manual,
    /// section C1.6.3): 0 to 18 and 20, as stock Humility writes them. The program counter is left
    /// out if it is in no program: Humility refuses such dumps, and those without one it takes.
    fn registers(&self) -> Vec<(u32, u32)> {
        let header = &self.snapshot.header;
        let current = self.post.current.and_then(|index| self.post.task(index));
        let is_kernel = self.is_of_kernel();
        // If it made the snapshot it ran on meanwhile.
        let maker = current.filter(|task| task.index == header.current.get());
        let now = maker
            .and_then(|task| task.registers)
            .unwrap_or_else(|| header.registers.map(|value| value.get()));
        let [.., sp, _lr, pc, psr] = now;
        let (main, process) = if is_kernel {
            (sp, current.and_then(|task| task.frame).unwrap_or_default())
        } else {
            // While a task runs, the kernel's stack is empty.
            (self.post.kernel_stack.unwrap_or_default(), sp)
        };
        // CONTROL in the highest byte: unprivileged, on PSP. PRIMASK in the lowest.
        let special = match is_kernel {
            true if is_cpsr(psr) => psr >> 7 & 1,
            true => 0,
            false => 3 << 24,
        };
        let status = if is_cpsr(psr) { xpsr(psr) } else { psr };
        let mut all: Vec<(u32, u32)> = (0..).zip(now).take(15).collect();
        if self.is_code(pc) {
            all.push((15, pc));
        }
        all.extend([(16, status), (17, main), (18, process), (20, special)]);
        all
    }

    /// Whether an address is in the code of a program.
    fn is_code(&self, address: u32) -> bool {
        let mut programs = self.post.texts.iter();
        programs.any(|text| text.contains(&(address & !1)))
    }

    /// What crashed is the first thread, which gdb shows.
    fn threads(&self) -> Vec<Thread> {
        let mut threads = Vec::new();
        let header = &self.snapshot.header;
        if self.is_of_kernel() && header.kind() == Ok(SnapshotKind::System) {
            let mut registers = header.registers.map(|value| value.get());
            if !is_cpsr(registers[16]) {
                registers[16] = cpsr(registers[16]);
            }
            threads.push(Thread {
                number: KERNEL_THREAD,
                registers,
            });
        }
        let thread = |task: &TaskState| {
            let mut registers = task.registers?;
            registers[16] = cpsr(registers[16]);
            Some(Thread {
                number: u32::from(task.index) + 1,
                registers,
            })
        };
        let (crashed, others): (Vec<_>, Vec<_>) =
            self.post.tasks.iter().partition(|task| task.is_crashed);
        if self.crash.is_of_kernel() {
            threads.extend(others.into_iter().filter_map(thread));
        } else {
            let kernel = std::mem::take(&mut threads);
            if crashed.is_empty() {
                // Its entry in the table of tasks is missing.
                let mut registers = self.crash.header.registers.map(|value| value.get());
                registers[16] = cpsr(registers[16]);
                let number = u32::from(self.crash.header.task.get()) + 1;
                threads.push(Thread { number, registers });
            }
            threads.extend(crashed.into_iter().filter_map(thread));
            threads.extend(kernel);
            threads.extend(others.into_iter().filter_map(thread));
        }
        threads
    }

    /// Writes the zip file for `humility hydrate`: the memory of the crashed task, and its entry in
    /// the kernel's table. Returns what is in it.
    fn hydrate(&self, args: &Dump) -> Result<String, Problem> {
        let index = self.crash.header.task.get();
        let refuse = |why: &str| {
            Problem::new(
                Code::Usage,
                format!(
                    "--hydrate: crash record {}: {why}; a core has all of it",
                    self.crash.header.sequence
                ),
            )
        };
        if self.crash.is_of_kernel() {
            return Err(refuse("the kernel crashed, and this is for one task"));
        }
        let task = self.post.task(index);
        let task =
            task.ok_or_else(|| refuse("the task's entry in the kernel's table is missing"))?;
        let ranges = task.memory.iter().chain([&task.entry]);
        let mut pieces: Vec<(u32, Vec<u8>)> = Vec::new();
        for range in ranges {
            pieces.extend(self.snapshot.memory.saved_in(range.base, range.size.into()));
        }
        let id = self.crash.image_id().unwrap_or(self.archive.id());
        let revision = self.archive.config.revision.trim();
        let about = json!({
            "format": 1,
            "task_index": index,
            "crash_time": self.crash.header.time.get(),
            "board_name": self.archive.board().unwrap_or_default(),
            "git_commit": revision,
            "archive_id": id.to_string(),
            "fw_version": null,
        });
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        let mut add = |name: &str, bytes: &[u8]| -> zip::result::ZipResult<()> {
            zip.start_file(name, SimpleFileOptions::default())?;
            Ok(zip.write_all(bytes)?)
        };
        let made = add("dump.json", about.to_string().as_bytes()).and_then(|()| {
            pieces
                .iter()
                .try_for_each(|(address, bytes)| add(&format!("{address:#x}.bin"), bytes))
        });
        let made = made.and_then(|()| zip.finish());
        let bytes = made
            .map_err(|cause| Problem::new(Code::Io, format!("cannot make the zip file: {cause}")))?
            .into_inner();
        output::write(&args.output, args.force, |out| out.write_all(&bytes))?;
        let length: usize = pieces.iter().map(|(_, bytes)| bytes.len()).sum();
        Ok(format!(
            "memory of task {} for `humility hydrate`, {length} bytes in {}",
            self.name(index),
            count(pieces.len() as u64, "piece")
        ))
    }
}
