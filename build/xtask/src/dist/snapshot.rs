//! Whether a crash slot has room for the memory of this application
//!
//! A snapshot of the system has a table of everything that belongs into it and the memory itself,
//! the crashed task's first. What does not fit is left out. So a slot has to hold crash, tables and
//! the largest task; how much the whole system takes is printed by `./x sizes`.

use crate::allocate::Allocation;
use crate::config::{Config, Problem};
use anyhow::Result;
use build_elf::Elf;
use object::{Object, ObjectSection, SectionKind};
use std::collections::BTreeMap;

/// Length of a block of the card, and of the header of a crash or snapshot.
const BLOCK: u64 = 512;
/// Blocks of a crash before its snapshot, and the header of that.
const HEADERS: u64 = 4;
/// Longest extent in bytes of memory.
const EXTENT: u64 = 4096;
/// Bytes of an extent in the table.
const ENTRY: u64 = 24;
/// Length of a crash slot in KiB, if the recorder's configuration has no `slot-kib`.
const DEFAULT_SLOT: i64 = 256;

/// The bytes that a crash with a snapshot takes at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotNeeds {
    /// Of the whole system.
    pub whole: u64,
    /// Of the task that has most memory alone.
    pub largest: u64,
    /// The name of that task.
    pub task: String,
    /// Length of a crash slot, as the application expects it.
    pub slot: u64,
}

impl SnapshotNeeds {
    /// What the memory of this application needs; `None` if it has no recorder, or takes no
    /// snapshots.
    pub fn of(config: &Config, allocation: &Allocation, kernel: &Elf) -> Result<Option<Self>> {
        let Some(recorder) = recorder(config) else {
            return Ok(None);
        };
        let tasks = task_memory(config, allocation);
        let Some((task, most)) = tasks.iter().max_by_key(|(_, bytes)| **bytes) else {
            return Ok(None);
        };
        let kernel = kernel_memory(kernel)? + u64::from(config.app.kernel.stacksize);
        let extents = |bytes: u64| bytes.div_ceil(EXTENT) + 1;
        let entries = extents(kernel) + tasks.values().map(|bytes| extents(*bytes)).sum::<u64>();
        let tables = (HEADERS * BLOCK + entries * ENTRY).next_multiple_of(BLOCK);
        Ok(Some(Self {
            whole: tables + kernel + tasks.values().sum::<u64>(),
            largest: tables + most,
            task: (*task).to_string(),
            slot: slot(config, &recorder) * 1024,
        }))
    }

    /// Refuses a slot in which crash and largest task have no room.
    pub fn check(&self, config: &Config) -> Result<()> {
        if self.largest <= self.slot {
            return Ok(());
        }
        let recorder = recorder(config).unwrap_or_default();
        let message = format!(
            "{} KiB cannot hold a crash of `{}` with its memory, which takes {} KiB; the whole system \
             takes {} KiB",
            self.slot / 1024,
            self.task,
            self.largest.div_ceil(1024),
            self.whole.div_ceil(1024),
        );
        let keys = ["tasks", &recorder, "config", "slot-kib"];
        Err(config.files.app.locate(&Problem::at(&keys, message)))
    }
}

/// The recorder's name, if the supervisor has one and lets snapshots be made.
fn recorder(config: &Config) -> Option<String> {
    let crash = config
        .app
        .tasks
        .get("jefe")?
        .config
        .as_ref()?
        .get("crash")?;
    let is_off = crash.get("snapshot").and_then(|value| value.as_str()) == Some("none");
    let name = crash.get("recorder")?.as_str()?;
    (!is_off).then(|| name.to_string())
}

fn slot(config: &Config, recorder: &str) -> u64 {
    let key = || {
        let task = config.app.tasks.get(recorder)?;
        task.config.as_ref()?.get("slot-kib")?.as_integer()
    };
    u64::try_from(key().unwrap_or(DEFAULT_SLOT)).unwrap_or(0)
}

/// The writable memory of each task that is neither for DMA nor shared.
fn task_memory<'a>(config: &Config, allocation: &'a Allocation) -> BTreeMap<&'a str, u64> {
    let belongs = |output: &str| {
        config
            .memory
            .get(output)
            .and_then(|outputs| outputs.first())
            .is_some_and(|output| output.write && !output.dma)
    };
    let of = |(name, pieces): (&'a String, &BTreeMap<String, crate::linker::Range>)| {
        let own = pieces.iter().filter(|(output, _)| belongs(output));
        let bytes = own.map(|(_, range)| u64::from(range.size)).sum();
        (name.as_str(), bytes)
    };
    allocation.tasks.iter().map(of).collect()
}

/// The bytes of the kernel's data.
fn kernel_memory(kernel: &Elf) -> Result<u64> {
    let file = kernel.file()?;
    let data = file.sections().filter(|section| {
        matches!(
            section.kind(),
            SectionKind::Data | SectionKind::UninitializedData
        )
    });
    Ok(data.map(|section| section.size()).sum())
}

#[cfg(test)]
mod tests {
    use super::SnapshotNeeds;
    use crate::testing::Files;

    /// An application whose recorder is `net`, with these keys beside its name.
    fn files(crash: &str) -> Files {
        let mut files = Files::good();
        files.app = files
            .app
            .replace("requires = {", "features = [\"dump\"]\nrequires = {");
        files.app +=
            "\n[tasks.net.config]\nslot-kib = 4\n[tasks.jefe.config.crash]\nrecorder = \"net\"\n";
        files.app += crash;
        files
    }

    #[test]
    fn a_slot_that_is_too_short_is_named_with_what_it_needs() {
        let config = files("").load().expect("the application is sound");
        let needs = SnapshotNeeds {
            whole: 40_000,
            largest: 5_000,
            task: "net".into(),
            slot: super::slot(&config, "net") * 1024,
        };
        let said = needs.check(&config).unwrap_err().to_string();
        let (_, said) = said.split_once("app.toml").expect("the file is named");
        assert_eq!(
            said,
            ":35: tasks.net.config.slot-kib: 4 KiB cannot hold a crash of `net` with its \
             memory, which takes 5 KiB; the whole system takes 40 KiB"
        );
        let enough = SnapshotNeeds {
            largest: 4_096,
            ..needs
        };
        assert!(enough.check(&config).is_ok());
    }

    #[test]
    fn without_snapshots_nothing_is_needed() {
        for files in [Files::good(), files("snapshot = \"none\"\n")] {
            assert_eq!(super::recorder(&files.load().expect("sound")), None);
        }
    }
}
