//! The regions that tasks register for crashes when they are built
//!
//! `.crash_regions` of a task is a sequence of `{ address: u32, length: u32, name: [u8; 24] }`, a
//! name being padded with zeros (`crash_region!` in `task/crashlog-api`). All numbers are
//! little-endian. The kernel gets the entries of all tasks as a constant table.

use crate::allocate::Allocation;
use crate::config::{Config, Problem, Task};
use anyhow::{Context, Result};
use build_elf::Elf;
use build_kconfig::CrashRegionConfig;
use crashlog_supervisor::tables::RegionLimits;
use indexmap::IndexMap;
use serde::Deserialize;

/// Length of an entry.
const ENTRY: usize = 32;

/// The section.
const SECTION: &str = ".crash_regions";

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    name: String,
    address: u32,
    length: u32,
}

/// The regions of all tasks, in the order of the tasks.
pub fn registered(
    config: &Config,
    image: &str,
    allocation: &Allocation,
    elves: &IndexMap<String, Elf>,
) -> Result<Vec<CrashRegionConfig>> {
    let limits = limits(config);
    let mut regions = Vec::new();
    for (index, (name, task)) in config.app.tasks.iter().enumerate() {
        let elf = elves
            .get(name)
            .with_context(|| format!("task `{name}` was not linked"))?;
        let entries = parse(elf.section(SECTION)?).with_context(|| format!("{name}: {SECTION}"))?;
        let problem = |message: String| {
            let at = Problem::at(&["tasks", name], message);
            config.files.app.locate(&at)
        };
        within_limits(&entries, &limits).map_err(problem)?;
        for entry in entries {
            in_memory(config, image, allocation, name, task, &entry)?.map_err(problem)?;
            regions.push(CrashRegionConfig {
                task_index: index,
                name: entry.name,
                base: entry.address,
                size: entry.length,
            });
        }
    }
    let total = limits.total as usize;
    if regions.len() > total {
        let message = format!(
            "is {total}, but the tasks register {} regions when they are built; raise it",
            regions.len()
        );
        return Err(config.files.app.locate(&at_limit(config, "total", message)));
    }
    Ok(regions)
}

/// The limits, whose values the supervisor's build script has checked already.
fn limits(config: &Config) -> RegionLimits {
    let table = config.app.tasks.values().next().and_then(|supervisor| {
        let table = supervisor.config.as_ref()?.get("crash")?.get("regions")?;
        RegionLimits::deserialize(table.clone()).ok()
    });
    table.unwrap_or_default()
}

/// A problem with a key of the limits, which need not be in the file.
fn at_limit(config: &Config, key: &str, message: String) -> Problem {
    let supervisor = config.app.tasks.keys().next();
    let supervisor = supervisor.map_or("jefe", String::as_str);
    Problem::at(
        &["tasks", supervisor, "config", "crash", "regions", key],
        message,
    )
}

fn parse(table: &[u8]) -> Result<Vec<Entry>> {
    let (entries, rest) = table.as_chunks::<ENTRY>();
    anyhow::ensure!(rest.is_empty(), "is cut short");
    entries.iter().map(parse_one).collect()
}

fn parse_one(entry: &[u8; ENTRY]) -> Result<Entry> {
    let word = |at: usize| {
        let [a, b, c, d] = [0, 1, 2, 3].map(|byte| entry[at + byte]);
        u32::from_le_bytes([a, b, c, d])
    };
    let name = entry[8..].split(|byte| *byte == 0).next();
    let name = String::from_utf8_lossy(name.unwrap_or_default()).into_owned();
    anyhow::ensure!(
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic()),
        "{name:?} is no name of a region: it must have 1 to 24 printable ASCII characters, without spaces"
    );
    Ok(Entry {
        name,
        address: word(0),
        length: word(4),
    })
}

/// Checks what does not depend on addresses: names are unique, and few and short enough regions.
fn within_limits(entries: &[Entry], limits: &RegionLimits) -> Result<(), String> {
    for (index, entry) in entries.iter().enumerate() {
        if entries[..index]
            .iter()
            .any(|other| other.name == entry.name)
        {
            return Err(format!(
                "registers two regions called {:?}; give each a name of its own",
                entry.name
            ));
        }
    }
    let bytes: u64 = entries.iter().map(|entry| u64::from(entry.length)).sum();
    for (what, has, key, limit) in [
        ("regions", entries.len() as u64, "per-task", limits.per_task),
        (
            "bytes in regions",
            bytes,
            "bytes-per-task",
            limits.bytes_per_task,
        ),
    ] {
        if has > u64::from(limit) {
            return Err(format!(
                "registers {has} {what} when it is built, at most {limit} are allowed; register less or raise `{key}` in `[tasks.jefe.config.crash.regions]`"
            ));
        }
    }
    Ok(())
}

/// Checks that a region is in memory that the task alone has, and no other bus master.
fn in_memory(
    config: &Config,
    image: &str,
    allocation: &Allocation,
    name: &str,
    task: &Task,
    entry: &Entry,
) -> Result<Result<(), String>> {
    for output in config.outputs_of(task) {
        // The kernel does not copy from memory that another bus master accesses.
        if config.output(output, image)?.dma {
            continue;
        }
        let range = allocation.of_task(name, output)?;
        let inside = entry.address >= range.base
            && u64::from(entry.address) + u64::from(entry.length)
                <= u64::from(range.base) + u64::from(range.size);
        if inside {
            return Ok(Ok(()));
        }
    }
    Ok(Err(format!(
        "registers region {:?}, {} bytes at {:#x}, which is not in its own memory; register a static of the task",
        entry.name, entry.length, entry.address
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::allocate::{Needs, allocate};
    use crate::testing::Files;
    use std::path::Path;

    fn entry(name: &str, address: u32, length: u32) -> [u8; ENTRY] {
        let mut entry = [0; ENTRY];
        entry[..4].copy_from_slice(&address.to_le_bytes());
        entry[4..8].copy_from_slice(&length.to_le_bytes());
        entry[8..8 + name.len()].copy_from_slice(name.as_bytes());
        entry
    }

    /// A program with this section and nothing else.
    fn program(table: &[u8]) -> Elf {
        use object::write::Object;
        use object::{Architecture, BinaryFormat, Endianness, SectionKind};
        let mut object = Object::new(BinaryFormat::Elf, Architecture::Arm, Endianness::Little);
        let section = object.add_section(Vec::new(), SECTION.into(), SectionKind::Other);
        object.append_section_data(section, table, 4);
        Elf::parse(Path::new("net"), object.write().expect("ELF")).expect("ELF")
    }

    /// What becomes of an application whose task `net` has these entries; its RAM is 0x2000 bytes
    /// at 0x20003000, of which 2048 are stack. `limits`: the supervisor's table of limits.
    fn result(entries: &[[u8; ENTRY]], limits: &str) -> Result<Vec<CrashRegionConfig>, String> {
        let mut files = Files::good();
        // The supervisor reads memory of crashed tasks, so the kernel has to give it out.
        files.app = files
            .app
            .replace("name = \"kern\"", "name = \"kern\"\nfeatures = [\"dump\"]");
        let supervisor = "[tasks.jefe.config.crash.regions]\n";
        files.app = files
            .app
            .replace("[tasks.net]", &format!("{supervisor}{limits}\n[tasks.net]"));
        let config = files.load().expect("good");
        let needs: IndexMap<String, Needs> = ["jefe", "net", "idle"]
            .into_iter()
            .map(|name| {
                let ram = if name == "net" { 0x2000 } else { 1024 };
                let needs = Needs::from([("flash".into(), 100), ("ram".into(), ram)]);
                (name.to_string(), needs)
            })
            .collect();
        let allocation = allocate(&config, "default", &needs).expect("fits");
        let elves: IndexMap<String, Elf> = needs
            .keys()
            .map(|name| {
                let table = if name == "net" {
                    entries.as_flattened()
                } else {
                    &[]
                };
                (name.clone(), program(table))
            })
            .collect();
        registered(&config, "default", &allocation, &elves).map_err(|error| {
            let text = format!("{error:#}");
            let at = text.find("app.toml").unwrap_or(0);
            text[at..].to_string()
        })
    }

    /// REQ: D1 (in part)
    #[test]
    fn the_kernel_is_told_the_regions_of_each_task() {
        let entries = [
            entry("fan-state", 0x2000_3800, 12),
            entry("a-name-of-24-characters!", 0x2000_4fff, 1),
        ];
        let regions = result(&entries, "").expect("good");
        let of = |name: &str, base, size| CrashRegionConfig {
            task_index: 1,
            name: name.into(),
            base,
            size,
        };
        assert_eq!(
            regions,
            [
                of("fan-state", 0x2000_3800, 12),
                of("a-name-of-24-characters!", 0x2000_4fff, 1)
            ]
        );
        assert_eq!(result(&[], ""), Ok(Vec::new()));
    }

    /// REQ: D1 (in part)
    #[test]
    fn regions_that_break_a_rule_are_refused() {
        let good = entry("a", 0x2000_3800, 12);
        let other = entry("b", 0x2000_3800, 12);
        let of_net = |message: &str| Err(format!("app.toml:21: tasks.net: {message}"));
        assert_eq!(
            result(&[good, good], ""),
            of_net("registers two regions called \"a\"; give each a name of its own")
        );
        for (address, length) in [
            (0x2000_4fff, 2),
            (0x2000_2ffc, 8),
            (0x4000_0000, 4),
            (0xffff_fff0, 0x20),
        ] {
            assert_eq!(
                result(&[entry("a", address, length)], ""),
                of_net(&format!(
                    "registers region \"a\", {length} bytes at {address:#x}, which is not in its own memory; register a static of the task"
                ))
            );
        }
        assert_eq!(
            result(&[good, other], "per-task = 1"),
            of_net(
                "registers 2 regions when it is built, at most 1 are allowed; register less or raise `per-task` in `[tasks.jefe.config.crash.regions]`"
            )
        );
        assert_eq!(
            result(&[good, other], "bytes-per-task = 23"),
            of_net(
                "registers 24 bytes in regions when it is built, at most 23 are allowed; register less or raise `bytes-per-task` in `[tasks.jefe.config.crash.regions]`"
            )
        );
        assert_eq!(
            result(&[good, other], "total = 1"),
            Err("app.toml:20: tasks.jefe.config.crash.regions.total: is 1, but the tasks register 2 regions when they are built; raise it".into())
        );
        assert_eq!(
            result(&[entry("a b", 0x2000_3800, 12)], ""),
            Err("net: .crash_regions: \"a b\" is no name of a region: it must have 1 to 24 printable ASCII characters, without spaces".into())
        );
        assert!(parse(&good[1..]).is_err());
    }
}
