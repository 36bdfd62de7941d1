//! Counts the instructions of each row of the benchmarks, and writes `doc/numbers.md`.

use crate::artefacts::Artefacts;
use crate::build;
use crate::count::{Count, Counter};
use crate::crash_cost::{self, CrashCosts, grouped};
use crate::paths;
use crate::profile;
use crate::qemu::Qemu;
use crate::sizes;
use crate::tool::Tool;
use anyhow::{Context, Result, ensure};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// Rows with a budget of the design: name, instructions, and what comparable systems need.
const BUDGETS: [(&str, u64, &str); 10] = [
    ("IPC round trip, 0 B", 400, "Hubris on Cortex-M4: 978"),
    (
        "IPC round trip, 4 B both ways",
        600,
        "Hubris on Cortex-M4: 1 512",
    ),
    (
        "IPC round trip, 32 B both ways",
        650,
        "Hubris on Cortex-M4: 1 592; Linux pipe ping-pong: 8 700 to 11 600",
    ),
    (
        "IPC round trip, 512 B read lease",
        1_200,
        "Hubris on Cortex-M4: 2 426",
    ),
    (
        "append of 64 B",
        1_200,
        "Linux, 64 B to /dev/kmsg without console: 4 700 to 5 350",
    ),
    (
        "flush of one 64-byte record",
        12_000,
        "Linux ext4, append of 64 B and fdatasync: 100 000 to 125 000",
    ),
    (
        DURABLE,
        25_000,
        "Linux O_DIRECT, O_SYNC write of 4 KiB, no reset, no checksum: 19 000 to 25 800",
    ),
    (TAIL_DURABLE, 25_000, "the same"),
    (
        RESTART,
        40_000,
        "Linux sysrq-c to restart routine, nothing saved: 66 000 to 284 000",
    ),
    (SNAPSHOT, 1_000, "-"),
];

const DURABLE: &str = "emergency write, 4 KiB log tail: fault to durable crash";
const TAIL_DURABLE: &str = "emergency write, 4 KiB log tail: fault to durable log tail";
const RESTART: &str =
    "emergency write, 4 KiB log tail: fault to restart request, snapshot not counted";
const SNAPSHOT: &str = "snapshot of the system: each KiB of memory";
/// Rows that are a number alone, without a profile.
const TOTALS: [&str; 3] = [DURABLE, TAIL_DURABLE, SNAPSHOT];
/// The row above before it is divided: for the profile only.
const WHOLE_SNAPSHOT: &str = "snapshot of the system";
const EMPTY: &str = "nothing";

/// Rows of the kernel, counted until another task has received its notification.
const SWITCH: &str = "context switch: post to a more important task, until it runs";
const INTERRUPT: &str = "interrupt of a device, until the notified task runs";
const FAULT: &str = "fault of a task, until the supervisor runs";

/// The counted rows: name, and the count of each run.
type Rows = Vec<(String, Vec<Count>)>;

/// Counts all rows, prints the document and writes it. With `profile`, prints instead in which
/// functions the instructions are, for each row whose name contains it.
pub fn run(profile: Option<&str>) -> Result<()> {
    let qemu = Qemu::find()?;
    let tool = Tool::build()?;
    let mut rows = Rows::new();
    let mut eight = Rows::new();
    for (app, rows) in [
        ("test/apps/bench/ipc-4.toml", &mut rows),
        ("test/apps/bench/ipc-8.toml", &mut eight),
    ] {
        if profile.is_some_and(|row| !"IPC round trip".contains(row)) {
            break;
        }
        let image = build::dist(app)?;
        let artefacts = Artefacts::new("bench/ipc")?;
        let mut counter = Counter::start(&qemu, &image, None, &artefacts)?;
        ensure!(count_rows(&mut counter, rows)?, "the client did not crash");
        let notified = counter.symbols.address("echo", "echo_notified")?;
        rows.push((FAULT.to_owned(), vec![counter.count_to(notified)?]));
        artefacts.discard();
    }

    let image = build::dist("test/apps/bench/recorder.toml")?;
    let artefacts = Artefacts::new("bench/recorder")?;
    let card = artefacts.path("card.img");
    tool.bytes(
        ["format", "--size", "1G"]
            .map(AsRef::as_ref)
            .into_iter()
            .chain([card.as_os_str()]),
    )?;
    let mut counter = Counter::start(&qemu, &image, Some(&card), &artefacts)?;
    let at_fault = count_rows(&mut counter, &mut rows)?;
    ensure!(at_fault, "the client did not crash");
    let crash = counter.count_to(snapshot_begins(&counter)?)?;
    let snapshot = counter.count_to_reset()?;
    let (durable, tail) = crash.durable()?;
    for (row, total) in [(DURABLE, durable), (TAIL_DURABLE, tail)] {
        let count = Count {
            total,
            ..Count::default()
        };
        rows.push((row.to_owned(), vec![count]));
    }
    rows.push((RESTART.to_owned(), vec![crash]));
    tool.verify(&card)?;
    let saved = saved_kib(&tool, &card)?;
    rows.push((
        SNAPSHOT.to_owned(),
        vec![Count {
            total: snapshot.total / saved,
            ..Count::default()
        }],
    ));
    rows.push((WHOLE_SNAPSHOT.to_owned(), vec![snapshot]));
    let crashes = tool.crashes(&card)?;
    ensure!(
        crashes.len() == 1 && crashes[0]["late"].is_null(),
        "the emergency write did not succeed: {crashes:?}"
    );
    if let Some(row) = profile {
        print!("{}", profiles(&rows, row));
        return Ok(());
    }
    let mount = Counter::start(&qemu, &image, Some(&card), &artefacts)?;
    let finish = mount.symbols.address("bench", "bench_finish")?;
    let mount = mount_reads(mount, finish)?;
    artefacts.discard();
    let empty = least(&rows, EMPTY).cloned().unwrap_or_default();
    let crashes = crash_cost::count(&qemu, &tool, &image, &empty)?;

    let sizes = sizes::measure()?;
    let document = document(&rows, &eight, mount, &crashes, &sizes);
    print!("{document}");
    let path = paths::root().join("doc/numbers.md");
    fs::write(&path, document).with_context(|| format!("cannot write {}", paths::shown(&path)))
}

/// Where the supervisor begins to save the system's memory: the crash is durable then, and nothing
/// but the snapshot is left to do before the restart.
pub fn snapshot_begins(counter: &Counter) -> Result<u32> {
    counter.symbols.like("jefe", &["save_crashed_system"])
}

/// How much memory was saved with the first crash on a card, in KiB, the fill of stacks included.
fn saved_kib(tool: &Tool, card: &Path) -> Result<u64> {
    let crash = tool.crash(card, 1)?;
    let snapshot = &crash["snapshot"];
    ensure!(
        snapshot["whole"] == true && snapshot["damaged"] == false,
        "the snapshot is not whole: {snapshot}"
    );
    let extents = snapshot["saved"]
        .as_array()
        .context("no memory was saved")?;
    let bytes: u64 = extents
        .iter()
        .filter_map(|extent| extent["length"].as_u64())
        .sum();
    ensure!(bytes >= 1024, "hardly any memory was saved: {snapshot}");
    Ok(bytes / 1024)
}

/// Counts each row of the client of a stopped machine. Returns whether it stopped at the client's
/// fault, and not at its end.
fn count_rows(counter: &mut Counter, rows: &mut Rows) -> Result<bool> {
    let symbol = |counter: &Counter, name: &str| counter.symbols.address("bench", name);
    let (begin, end) = (
        symbol(counter, "bench_begin")?,
        symbol(counter, "bench_end")?,
    );
    let finish = symbol(counter, "bench_finish")?;
    let fault = symbol(counter, "bench_fault").ok();
    loop {
        let stops: Vec<u32> = [begin, finish].into_iter().chain(fault).collect();
        let at = counter.run_to(&stops)?;
        if at != begin {
            return Ok(Some(at) == fault);
        }
        let name = counter.text_argument()?;
        let count = if [SWITCH, INTERRUPT].contains(&name.as_str()) {
            let notified = counter.symbols.address("echo", "echo_notified")?;
            counter.count_to(notified)?
        } else {
            counter.count_to(end)?
        };
        match rows.iter_mut().find(|(row, _)| *row == name) {
            Some((_, counts)) => counts.push(count),
            None => rows.push((name, vec![count])),
        }
    }
}

/// Counts the blocks that are read from the card until the client finds the recorder ready.
fn mount_reads(mut counter: Counter, finish: u32) -> Result<u64> {
    Ok(counter.count_to(finish)?.blocks.0)
}

/// The run of a row without a tick in it: the shortest.
fn least<'r>(rows: &'r Rows, name: &str) -> Option<&'r Count> {
    let (_, counts) = rows.iter().find(|(row, _)| row == name)?;
    counts.iter().min_by_key(|count| count.total)
}

/// The shortest count of a row, without what counting itself costs.
fn net(rows: &Rows, name: &str) -> Option<Count> {
    let count = least(rows, name)?;
    if name == SNAPSHOT {
        // A quotient of many thousand instructions, ticks among them.
        return Some(count.clone());
    }
    let empty = least(rows, EMPTY).cloned().unwrap_or_default();
    // These start or end at a breakpoint that is not one of the marks.
    let unmarked = [DURABLE, TAIL_DURABLE, RESTART, SWITCH, INTERRUPT, FAULT].contains(&name);
    let mut net = count.without(&empty, !unmarked);
    if name == INTERRUPT {
        // The client only triggers the device's interrupt.
        let client = net.programs.remove("bench").unwrap_or_default();
        net.total = net.total.saturating_sub(client);
    }
    Some(net)
}

fn document(
    rows: &Rows,
    eight: &Rows,
    mount: u64,
    crashes: &CrashCosts,
    sizes: &[sizes::PathSize],
) -> String {
    let mut text = String::from(
        "# Numbers\n\n\
         Made by `./x bench`; do not edit. The numbers are guest instructions, of all tasks and the kernel: QEMU logs\n\
         every instruction that it executes between two breakpoints. A run is exactly repeatable (`-icount`). Each row\n\
         has the shortest of five runs, because a kernel tick may fall into a run. There are four tasks, unless stated\n\
         otherwise.\n\n\
         | what | budget | counted | for comparison |\n|---|---:|---:|---|\n",
    );
    for (name, budget, reference) in BUDGETS {
        let counted = net(rows, name).map_or_else(|| "-".to_owned(), |count| grouped(count.total));
        let _ = writeln!(
            text,
            "| {name} | {} | {counted} | {reference} |",
            grouped(budget)
        );
    }
    let round_trip = |name: &str| name.starts_with("IPC");
    for (name, _) in eight.iter().filter(|(name, _)| round_trip(name)) {
        let (Some(four), Some(eight)) = (net(rows, name), net(eight, name)) else {
            continue;
        };
        let more = eight.total.saturating_sub(four.total).div_ceil(4);
        let _ = writeln!(
            text,
            "| {name}: each further task | 0 | {} | Hubris: +34 |",
            grouped(more)
        );
    }
    let _ = writeln!(
        text,
        "| mount of a 1 GiB partition, blocks read | 40 | {mount} | pstore/blk: every zone |"
    );

    text.push_str(&crashes.rows());

    text.push_str("\n## Kernel\n\n| what | 4 tasks | 8 tasks |\n|---|---:|---:|\n");
    let tick = |rows: &Rows| least(rows, EMPTY)?.programs.get("kernel").copied();
    let _ = writeln!(
        text,
        "| tick, nothing due | {} | {} |",
        shown(tick(rows)),
        shown(tick(eight))
    );
    for name in [SWITCH, INTERRUPT, FAULT] {
        let total = |rows| net(rows, name).map(|count| count.total);
        let _ = writeln!(
            text,
            "| {name} | {} | {} |",
            shown(total(rows)),
            shown(total(eight))
        );
    }
    text.push_str(&crashes.section());
    text.push_str(&sizes::section(sizes));

    text.push_str("\n## Where the instructions are\n\n");
    let counts: Vec<_> = BUDGETS
        .iter()
        .filter(|(name, ..)| !TOTALS.contains(name))
        .filter_map(|(name, ..)| Some((name, net(rows, name)?)))
        .collect();
    let programs: BTreeSet<_> = counts
        .iter()
        .flat_map(|(_, count)| count.programs.keys())
        .collect();
    let names: Vec<_> = programs.iter().map(|program| program.as_str()).collect();
    let _ = writeln!(
        text,
        "| what | {} | commands to the card | blocks written |",
        names.join(" | ")
    );
    let _ = writeln!(text, "|---|{}---:|---:|", "---:|".repeat(programs.len()));
    for (name, count) in &counts {
        let numbers: Vec<_> = programs
            .iter()
            .map(|program| grouped(count.programs.get(*program).copied().unwrap_or(0)))
            .collect();
        let _ = writeln!(
            text,
            "| {name} | {} | {} | {} |",
            numbers.join(" | "),
            count.commands.len(),
            count.blocks.1
        );
    }
    text
}

/// The profiles of the rows whose name contains `wanted`; of each row that of its shortest run.
fn profiles(rows: &Rows, wanted: &str) -> String {
    rows.iter()
        .filter(|(name, _)| name.contains(wanted) && name != EMPTY && !TOTALS.contains(&&**name))
        .filter_map(|(name, counts)| {
            let count = counts.iter().min_by_key(|count| count.total)?;
            Some(profile::text(name, count))
        })
        .collect()
}

/// A number, or `-` if there is none.
fn shown(number: Option<u64>) -> String {
    number.map_or_else(|| "-".to_owned(), grouped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1 000"),
            (1_234_567, "1 234 567"),
        ] {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn the_empty_row_is_subtracted_from_the_shortest_run() {
        let count = |kernel: u64, bench: u64| Count {
            total: kernel + bench,
            programs: [("kernel".to_owned(), kernel), ("bench".to_owned(), bench)].into(),
            ..Count::default()
        };
        let rows = vec![
            (EMPTY.to_owned(), vec![count(130, 7), count(120, 5)]),
            ("row".to_owned(), vec![count(900, 25), count(500, 25)]),
            (RESTART.to_owned(), vec![count(1_000, 1)]),
        ];
        let total = |name| net(&rows, name).map(|count| count.total);
        assert_eq!(
            (total("row"), total(RESTART), total("none")),
            (Some(400), Some(881), None)
        );
    }
}
