//! A stand-in for Humility, for the tests of the scripts in `humility-scripts`.
//!
//! What the scripts decode themselves, memory and files of the archive, comes from the dump. What
//! they only format is fixed text, in the form that Humility's documentation shows, with the
//! numbers of a dump of the demo.

use crate::core_dump::CoreDump;
use anyhow::{Context, Result, bail};
use std::io::{Cursor, Read, Write};
use std::path::Path;

/// `tasks -sl`
pub const TASKS: &str = "\
system time = 9231
ID TASK            GEN PRI STATE
 0 jefe              0   0 recv, notif: fault timer(T+69)
   |
   +--->  0x80840778 0x801100b2 userlib::sys_recv_stub()
          0x80840790 0x80111970 userlib::syscalls::receive()
                     @ sys/userlib/src/syscalls.rs:102
          0x80840800 0x80111970 task_jefe::main()
                     @ task/jefe/src/main.rs:148
 1 crashlog          0   1 recv, notif: sdhci-irq(irq43) timer oops
   |
   +--->  0x80844f10 0x8011509e userlib::sys_recv_stub()
          0x80845888 0x8011f368 idol_runtime::dispatch::dispatch<task_crashlog::server::Server, CrashLogOperation>()
                     @ lib/idol-runtime/src/dispatch.rs:58
          0x80845c00 0x8011f368 task_crashlog::normal::serve()
                     @ task/crashlog/src/normal.rs:66
 5 worker            2   6 FAULT: mem fault; addr=0xdeadbee0 (was: ready)
   |
   +--->  0x8084a5c8 0x801301ca task_worker::deliver()
                     @ app/demo/worker/src/main.rs:153
          0x8084a800 0x8013075a task_worker::main()
                     @ app/demo/worker/src/main.rs:74
 7 idle              0   9 RUNNING
   |
   +--->  0x8084e100 0x80134094 main()
";

/// `stackmargin`
pub const STACKS: &str = "\
ID TASK                STACKBASE  STACKSIZE   MAXDEPTH     MARGIN
 0 jefe               0x80840000       2048        856       1192
 1 crashlog           0x80842000      15360       4520      10840
 5 worker             0x8084a000       2048       1928        120
 7 idle               0x8084e000        256        112        144
";

/// `ringbuf crashlog`
pub const RING: &str = "\
ADDR        NDX LINE      GEN    COUNT PAYLOAD
0x80845db4    0  115        1        1 Started { pages: 0x0, damaged: 0x0 }
0x80845dcc    1   87        1        1 Mounted { next_page: 0x26 }
0x80845de4    2  143        1        3 Wrote { first_page: 0x26, count: 0x3 }
0x80845dfc    3  212        1        1 Refused(Full)
0x80845e14    4   61        1        1 Failed(DeviceFailure { step: WritePages, code: 0x12 })
";

/// `ringbuf jefe`
pub const JEFE: &str = "\
ADDR        NDX LINE      GEN    COUNT PAYLOAD
0x80840e14    0  201        1        1 Fault { task: 0x5, count: 0x1 }
0x80840e2c    1  238        1        1 Restarted { task: 0x5 }
";

/// `counters`
pub const COUNTERS: &str = "\
console
 |
 +---> task_crashlog_api::__CRASHLOG_CLIENT_COUNTERS:
 |       577 append(Ok)
 +---> task_console::__RINGBUF:
         577 Line
crashlog
 |
 +---> task_crashlog::__RINGBUF:
           1 Started
          14 Refused(Full)
 +---> task_jefe_api::__JEFE_CLIENT_COUNTERS:
       <no counts recorded>
worker
 |
 +---> task_crashlog_api::__CRASHLOG_CLIENT_COUNTERS:
          63 append(Ok)
          14 append(Err(Full))
";

/// Answers like Humility with these arguments.
///
/// # Errors
/// If Humility has no such command, or the dump cannot be read.
pub fn run(arguments: &[String]) -> Result<()> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut out = std::io::stdout().lock();
    match words.as_slice() {
        ["-d", dump, "extract", member] => extract(Path::new(dump), member, &mut out),
        ["-d", dump, "readmem", "-w", address, length] => {
            read_memory(Path::new(dump), number(address)?, number(length)?, &mut out)
        }
        [_, _, "tasks", "-sl"] | [_, _, "tasks", "-slr", _] => Ok(out.write_all(TASKS.as_bytes())?),
        [_, _, "stackmargin"] => Ok(out.write_all(STACKS.as_bytes())?),
        [_, _, "ringbuf", "crashlog"] => Ok(out.write_all(RING.as_bytes())?),
        [_, _, "ringbuf", "jefe"] => Ok(out.write_all(JEFE.as_bytes())?),
        [_, _, "counters"] => Ok(out.write_all(COUNTERS.as_bytes())?),
        // Commands that a script or `./x humility` only passes on.
        [.., "map"] | [.., "-l"] | [.., "list"] | [.., "version"] => {
            Ok(writeln!(out, "{}", words.join(" "))?)
        }
        _ => bail!("humility has no such command: {}", words.join(" ")),
    }
}

fn number(text: &str) -> Result<u32> {
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.with_context(|| format!("`{text}` is not a number"))
}

fn extract(dump: &Path, member: &str, out: &mut impl Write) -> Result<()> {
    let mut zip = zip::ZipArchive::new(Cursor::new(CoreDump::read(dump)?.archive))?;
    let mut text = Vec::new();
    zip.by_name(member)?.read_to_end(&mut text)?;
    eprintln!("humility: attached to dump");
    eprintln!("humility: extracting {member} to stdout");
    Ok(out.write_all(&text)?)
}

/// Prints memory as `readmem -w` does: four words a line, and their characters.
fn read_memory(dump: &Path, address: u32, length: u32, out: &mut impl Write) -> Result<()> {
    let dump = CoreDump::read(dump)?;
    let found = dump.segments.iter().find_map(|(start, bytes)| {
        let at = address.checked_sub(*start)? as usize;
        bytes.get(at..at.checked_add(length as usize)?)
    });
    let memory = found
        .with_context(|| format!("read at {address:#x} for {length} bytes is not in the dump"))?;
    eprintln!("humility: attached to dump");
    writeln!(out, "                   \\/        4        8        c")?;
    for (line, bytes) in (0..).zip(memory.chunks(16)) {
        let words: Vec<String> = bytes
            .chunks_exact(4)
            .map(|word| {
                format!(
                    "{:08x}",
                    u32::from_le_bytes([word[0], word[1], word[2], word[3]])
                )
            })
            .collect();
        let shown = |byte: &u8| {
            if byte.is_ascii_graphic() || *byte == b' ' {
                char::from(*byte)
            } else {
                '.'
            }
        };
        let letters: String = bytes.iter().map(shown).collect();
        writeln!(
            out,
            "{:#010x} | {} | {letters}",
            address + 16 * line,
            words.join(" ")
        )?;
    }
    Ok(())
}
