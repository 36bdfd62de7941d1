//! The application's tasks, regions and interrupts, for the kernel's build script
//!
//! xtask decides which tasks there are and where their memory is, and passes the result to the
//! build script of the kernel as RON, in the environment variable `HUBRIS_KCONFIG`. The script
//! generates the kernel's constant tables from it. Both sides use these types.
//!
//! All addresses and sizes are bytes of the target's address space.

#![forbid(unsafe_code)]

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// The whole application, as the kernel sees it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct KernelConfig {
    /// Cargo features that the kernel crate is built with.
    pub features: Vec<String>,
    /// Memory outputs that the kernel itself may use, by name.
    pub extern_regions: BTreeMap<String, Range<u32>>,
    /// The tasks, in the order of their indices.
    pub tasks: Vec<TaskConfig>,
    /// Regions that tasks refer to by name, and of which the kernel makes one descriptor each:
    /// peripherals, extra text, memory outputs mapped as a whole.
    pub shared_regions: BTreeMap<String, RegionConfig>,
    /// Interrupt number to the task and notification that it posts.
    pub irqs: BTreeMap<u32, InterruptConfig>,
    /// The regions that tasks have registered for crashes when they were built, by task.
    pub crash_regions: Vec<CrashRegionConfig>,
    /// Memory of tasks that must not leave the machine, ascending and without overlaps.
    pub secrets: Vec<Range<u32>>,
    /// The tasks that may use operations of kernel IPC by which a task ends another, or the system.
    pub allowed_callers: AllowedCallers,
    /// The crash recorder: only the supervisor may restart or fault it, whoever else is allowed to.
    pub recorder: Option<usize>,
}

/// Indices of the tasks that may use an operation of kernel IPC. The supervisor may use all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct AllowedCallers {
    /// Restart or stop a task.
    pub reinit_task: BTreeSet<usize>,
    /// Fault a task.
    pub fault_task: BTreeSet<usize>,
    /// Reset the system.
    pub reset: BTreeSet<usize>,
}

/// A region that a task has registered for crashes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct CrashRegionConfig {
    /// The task.
    pub task_index: usize,
    /// The name that it gave the region: 1 to 24 bytes of printable ASCII.
    pub name: String,
    /// Address of its first byte.
    pub base: u32,
    /// Its length.
    pub size: u32,
}

/// One task.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct TaskConfig {
    /// Memory that belongs to this task alone, by the name of the memory output that it was taken
    /// from.
    pub owned_regions: BTreeMap<String, MultiRegionConfig>,
    /// Keys of [`KernelConfig::shared_regions`] that are mapped into this task.
    pub shared_regions: BTreeSet<String>,
    /// First instruction, without the bit that selects Thumb state.
    pub entry_point: OwnedAddress,
    /// Initial stack pointer: the end of the stack, which grows down. A multiple of 8.
    pub initial_stack: OwnedAddress,
    /// Scheduling priority, 0 the most important.
    pub priority: u8,
    /// Runnable at boot.
    pub start_at_boot: bool,
}

/// An address inside memory that a task owns.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct OwnedAddress {
    /// Key of [`TaskConfig::owned_regions`].
    pub region_name: String,
    /// Distance from the base of that region.
    pub offset: u32,
}

/// A contiguous piece of memory.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct RegionConfig {
    /// Address of its first byte.
    pub base: u32,
    /// Its length.
    pub size: u32,
    /// Its permissions and kind.
    pub attributes: RegionAttributes,
}

/// A contiguous piece of memory that takes several protection regions to describe.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct MultiRegionConfig {
    /// Address of the first byte of the first chunk.
    pub base: u32,
    /// Lengths of the chunks, which follow one another without a gap.
    pub sizes: Vec<u32>,
    /// Permissions and kind of all of them.
    pub attributes: RegionAttributes,
}

/// Permissions and kind of a region.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct RegionAttributes {
    /// Loads are allowed.
    pub read: bool,
    /// Stores are allowed.
    pub write: bool,
    /// Instruction fetches are allowed.
    pub execute: bool,
    /// `Some` if the region is not ordinary memory.
    pub special_role: Option<SpecialRole>,
}

/// Why a region is not ordinary memory. The kernel copies messages neither from nor to such
/// regions.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum SpecialRole {
    /// Registers of a peripheral: strongly ordered, accesses have effects.
    Device,
    /// Memory that a bus master other than the core accesses: not cached.
    Dma,
}

/// What an interrupt does.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct InterruptConfig {
    /// The task that it notifies.
    pub task_index: usize,
    /// The notification bits that it posts.
    pub notification: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The RON that xtask writes parses to the same value.
    #[test]
    fn survives_ron() {
        let attributes = RegionAttributes {
            read: true,
            write: true,
            execute: false,
            special_role: Some(SpecialRole::Dma),
        };
        let config = KernelConfig {
            features: vec!["dump".into()],
            extern_regions: BTreeMap::from([("crash".into(), 0x80c0_0000..0x80d0_0000)]),
            tasks: vec![TaskConfig {
                owned_regions: BTreeMap::from([(
                    "ram".into(),
                    MultiRegionConfig {
                        base: 0x8081_0000,
                        sizes: vec![4096, 8192],
                        attributes,
                    },
                )]),
                shared_regions: BTreeSet::from(["crash".into()]),
                entry_point: OwnedAddress {
                    region_name: "flash".into(),
                    offset: 0,
                },
                initial_stack: OwnedAddress {
                    region_name: "ram".into(),
                    offset: 2048,
                },
                priority: 0,
                start_at_boot: true,
            }],
            shared_regions: BTreeMap::from([(
                "crash".into(),
                RegionConfig {
                    base: 0x80c0_0000,
                    size: 0x10_0000,
                    attributes,
                },
            )]),
            irqs: BTreeMap::from([(
                47,
                InterruptConfig {
                    task_index: 0,
                    notification: 1,
                },
            )]),
            crash_regions: vec![CrashRegionConfig {
                task_index: 0,
                name: "fan-state".into(),
                base: 0x8081_0800,
                size: 12,
            }],
            secrets: vec![0x8081_1000..0x8081_1010, 0x8081_2000..0x8081_2004],
            allowed_callers: AllowedCallers {
                reinit_task: BTreeSet::from([1, 4]),
                ..AllowedCallers::default()
            },
            recorder: Some(1),
        };
        let text = ron::to_string(&config).expect("writes");
        assert_eq!(ron::from_str::<KernelConfig>(&text).expect("reads"), config);
    }
}
