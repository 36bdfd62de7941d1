//! Turns the application's configuration into the kernel's constant tables.
//!
//! The configuration comes from xtask in `HUBRIS_KCONFIG`.
//!
//! Everything that the kernel needs to know about tasks, regions, priorities and interrupts is
//! decided here, so that the kernel has nothing to search, sort or allocate. A system that violates
//! a rule of protection is not built.

use build_kconfig::{KernelConfig, RegionAttributes, SpecialRole};
use kerncore::arm_a::tables::{PAGE, SECTION};
use kerncore::authority::Authority;
use kerncore::region::{self, RegionAttributes as Bits};
use kerncore::slice::Span;
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt::Write;
use std::{env, fs, path::PathBuf};

/// References to regions in each task descriptor; the null region takes at least one.
const REGIONS_PER_TASK: usize = 8;

/// Longest name of a region for crashes, in bytes.
const REGION_NAME_MAX: usize = 24;

/// ASIDs are 8 bits, and 0 is reserved for the kernel while it switches tables.
const MAX_TASKS: usize = 255;

/// Second-level tables for memory that is not in the application's configuration: the kernel's own
/// (flash and RAM may each lie across two sections), and the devices of the kernel.
const KERNEL_SECTIONS: usize = 8;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-env-changed=HUBRIS_KCONFIG");
    if env::var("CARGO_CFG_TARGET_OS")? != "none" {
        // On a host this crate is empty.
        return Ok(());
    }
    let config = env::var("HUBRIS_KCONFIG")
        .map_err(|_| "HUBRIS_KCONFIG is not set: the kernel is built by `cargo xtask dist`")?;
    let config: KernelConfig = ron::from_str(&config)?;

    let tables = Tables::new(&config)?;
    let mut out = String::new();
    tables.emit(&config, &mut out)?;
    fs::write(PathBuf::from(env::var("OUT_DIR")?).join("kconfig.rs"), out)?;
    Ok(())
}

/// One row of `HUBRIS_REGION_DESCS`.
#[derive(Copy, Clone)]
struct Region {
    base: u32,
    size: u32,
    attributes: Bits,
}

impl Span for Region {
    fn base(&self) -> u32 {
        self.base
    }
    fn size(&self) -> u32 {
        self.size
    }
}

impl region::Region for Region {
    fn attributes(&self) -> Bits {
        self.attributes
    }
}

/// One row of `HUBRIS_TASK_DESCS`.
struct Task {
    regions: [usize; REGIONS_PER_TASK],
    entry_point: u32,
    initial_stack: u32,
}

struct Tables {
    regions: Vec<Region>,
    tasks: Vec<Task>,
}

impl Tables {
    fn new(config: &KernelConfig) -> Result<Self, Box<dyn Error>> {
        if config.tasks.is_empty() || config.tasks.len() > MAX_TASKS {
            return Err(format!(
                "there are {} tasks, not 1 to {MAX_TASKS}",
                config.tasks.len()
            )
            .into());
        }
        let mut regions = vec![Region {
            base: 0,
            size: 32,
            attributes: Bits::empty(),
        }];
        let mut shared = BTreeMap::new();
        for (name, region) in &config.shared_regions {
            shared.insert(name, regions.len());
            regions.push(Region {
                base: region.base,
                size: region.size,
                attributes: attributes(&region.attributes),
            });
        }

        let mut tasks = vec![];
        let mut owned_by_all: Vec<(u32, u32, usize)> = vec![];
        for (index, task) in config.tasks.iter().enumerate() {
            let mut own = vec![];
            for name in &task.shared_regions {
                own.push(
                    *shared
                        .get(name)
                        .ok_or_else(|| format!("task {index}: no region {name:?}"))?,
                );
            }
            for region in task.owned_regions.values() {
                let mut base = region.base;
                for &size in &region.sizes {
                    own.push(regions.len());
                    owned_by_all.push((base, size, index));
                    regions.push(Region {
                        base,
                        size,
                        attributes: attributes(&region.attributes),
                    });
                    base = base.checked_add(size).ok_or("a region wraps")?;
                }
            }
            if own.len() >= REGIONS_PER_TASK {
                return Err(format!(
                    "task {index} has {} regions, at most {} are possible",
                    own.len(),
                    REGIONS_PER_TASK - 1
                )
                .into());
            }
            own.resize(REGIONS_PER_TASK, 0);
            own.sort_by_key(|&region| regions[region].base);

            let address = |what: &build_kconfig::OwnedAddress| -> Result<u32, String> {
                task.owned_regions
                    .get(&what.region_name)
                    .and_then(|region| region.base.checked_add(what.offset))
                    .ok_or_else(|| format!("task {index} does not own {:?}", what.region_name))
            };
            let entry_point = address(&task.entry_point)?;
            let initial_stack = address(&task.initial_stack)?;
            let map = own.iter().map(|&region| &regions[region]);
            region::check(map, PAGE, entry_point, initial_stack)
                .map_err(|error| format!("memory map of task {index}: {error:?}"))?;
            let regions = own.try_into().map_err(|_| "region count")?;
            tasks.push(Task {
                regions,
                entry_point,
                initial_stack,
            });
        }
        check_disjoint(owned_by_all, &regions[1..=shared.len()])?;
        check_kernels(config, &regions)?;
        Ok(Self { regions, tasks })
    }

    fn emit(&self, config: &KernelConfig, out: &mut String) -> Result<(), Box<dyn Error>> {
        let count = self.tasks.len();
        writeln!(
            out,
            "/// Number of tasks.\npub const HUBRIS_TASK_COUNT: usize = {count};"
        )?;
        writeln!(
            out,
            "/// Identity of this image, compared by debuggers. The build system patches it after the link.\n\
             #[unsafe(no_mangle)]\n#[used]\n#[unsafe(link_section = \".hubris_id\")]\n\
             pub static HUBRIS_IMAGE_ID: u64 = 0;"
        )?;

        writeln!(
            out,
            "/// All regions of all tasks; the first is the null region.\n#[unsafe(no_mangle)]\n#[used]\n\
             pub static HUBRIS_REGION_DESCS: [RegionDesc; {}] = [",
            self.regions.len()
        )?;
        for r in &self.regions {
            writeln!(
                out,
                "    RegionDesc::new({:#x}, {:#x}, RegionAttributes::from_bits_truncate({:#x})),",
                r.base,
                r.size,
                r.attributes.bits()
            )?;
        }
        writeln!(out, "];")?;

        writeln!(
            out,
            "/// The tasks by index.\n#[unsafe(no_mangle)]\n#[used]\n\
             pub static HUBRIS_TASK_DESCS: [TaskDesc; {count}] = ["
        )?;
        for (index, (task, source)) in self.tasks.iter().zip(&config.tasks).enumerate() {
            let regions: Vec<_> = task
                .regions
                .iter()
                .map(|region| format!("&HUBRIS_REGION_DESCS[{region}]"))
                .collect();
            writeln!(
                out,
                "    TaskDesc {{ regions: [{}], entry_point: {:#x}, initial_stack: {:#x}, priority: {}, \
                 flags: TaskFlags::from_bits_truncate({}), index: {index} }},",
                regions.join(", "),
                task.entry_point,
                task.initial_stack,
                source.priority,
                u8::from(source.start_at_boot),
            )?;
        }
        writeln!(out, "];")?;
        writeln!(
            out,
            "/// The task table. `MaybeUninit`, so that it costs nothing in flash.\n#[unsafe(no_mangle)]\n\
             pub static mut HUBRIS_TASK_TABLE_SPACE: [MaybeUninit<Task>; {count}] = \
             [const {{ MaybeUninit::uninit() }}; {count}];"
        )?;

        let priorities: Vec<u8> = config.tasks.iter().map(|task| task.priority).collect();
        writeln!(
            out,
            "/// Priorities of the tasks, by index.\npub const PRIORITIES: [u8; {count}] = {priorities:?};"
        )?;
        emit_interrupts(config, out)?;
        emit_authority(config, out)?;
        emit_crash_regions(config, out)?;

        writeln!(
            out,
            "/// Second-level translation tables, at most.\npub const SECOND_LEVEL_TABLES: usize = {};",
            self.second_level_tables(config)
        )?;
        writeln!(
            out,
            "/// Memory outputs that the kernel itself uses.\n\
             pub static KERNEL_EXTERN_REGIONS: [ExternRegion; {}] = [",
            config.extern_regions.len()
        )?;
        for (name, range) in &config.extern_regions {
            let size = range
                .end
                .checked_sub(range.start)
                .ok_or("extern region ends before it starts")?;
            writeln!(
                out,
                "    ExternRegion {{ name: {name:?}, base: {:#x}, size: {size:#x} }},",
                range.start
            )?;
        }
        writeln!(out, "];")?;
        Ok(())
    }

    /// Number of tables: those that the kernel's map needs, and one for each section in which a
    /// task has a page.
    fn second_level_tables(&self, config: &KernelConfig) -> usize {
        let sections = |region: &Region| {
            let last = region.base.saturating_add(region.size.saturating_sub(1));
            region.base / SECTION..=last / SECTION
        };
        let mut kernel: BTreeSet<u32> = self.regions.iter().flat_map(sections).collect();
        for range in config.extern_regions.values() {
            kernel.extend(range.start / SECTION..=range.end / SECTION);
        }
        let tasks: usize = self
            .tasks
            .iter()
            .map(|task| {
                let own: BTreeSet<u32> = task
                    .regions
                    .iter()
                    .flat_map(|&region| sections(&self.regions[region]))
                    .collect();
                own.len()
            })
            .sum();
        KERNEL_SECTIONS + kernel.len() + tasks
    }
}

/// Checks that the kernel and tasks see what they share as memory of one type.
fn check_kernels(config: &KernelConfig, regions: &[Region]) -> Result<(), String> {
    for (name, range) in &config.extern_regions {
        let shares = |region: &&Region| {
            region.base < range.end && range.start < region.base.saturating_add(region.size)
        };
        for region in regions[1..].iter().filter(shares) {
            if !region.attributes.contains(Bits::DMA) {
                return Err(format!(
                    "kernel.extern-regions: {name:?} is DMA memory for the kernel and not for tasks, at {:#x}: \
                     set `dma = true` for it",
                    region.base
                ));
            }
        }
    }
    Ok(())
}

/// Checks that memory which one task owns is in no other region of any task.
fn check_disjoint(mut owned: Vec<(u32, u32, usize)>, shared: &[Region]) -> Result<(), String> {
    owned.sort_unstable();
    for pair in owned.windows(2) {
        let ((base, size, one), (next, _, other)) = (pair[0], pair[1]);
        if next - base < size {
            return Err(format!("tasks {one} and {other} both own {next:#x}"));
        }
    }
    for (i, region) in shared.iter().enumerate() {
        let clash = |other: &&Region| {
            other.base < region.base + region.size && region.base < other.base + other.size
        };
        if let Some(other) = shared[i + 1..].iter().find(clash) {
            return Err(format!(
                "shared regions {:#x} and {:#x} overlap",
                region.base, other.base
            ));
        }
        for &(base, size, task) in &owned {
            if base < region.base + region.size && region.base < base + size {
                return Err(format!(
                    "shared region {:#x} overlaps memory of task {task}",
                    region.base
                ));
            }
        }
    }
    Ok(())
}

fn attributes(from: &RegionAttributes) -> Bits {
    let mut bits = Bits::empty();
    bits.set(Bits::READ, from.read);
    bits.set(Bits::WRITE, from.write);
    bits.set(Bits::EXECUTE, from.execute);
    bits.set(Bits::DEVICE, from.special_role == Some(SpecialRole::Device));
    bits.set(Bits::DMA, from.special_role == Some(SpecialRole::Dma));
    bits
}

/// What each task may do to others by kernel IPC. The supervisor may do all of it.
fn emit_authority(config: &KernelConfig, out: &mut String) -> Result<(), Box<dyn Error>> {
    let callers = &config.allowed_callers;
    let operations = [
        (&callers.reinit_task, Authority::REINIT_TASK),
        (&callers.fault_task, Authority::FAULT_TASK),
        (&callers.reset, Authority::RESET),
    ];
    let mut table = vec![Authority::empty(); config.tasks.len()];
    for (tasks, bit) in operations {
        for &task in [0].iter().chain(tasks) {
            *table
                .get_mut(task)
                .ok_or_else(|| format!("there is no task {task} to allow kernel IPC"))? |= bit;
        }
    }
    if let Some(recorder) = config.recorder {
        *table
            .get_mut(recorder)
            .ok_or_else(|| format!("there is no task {recorder} to be the recorder"))? |=
            Authority::SUPERVISED;
    }
    let rows: Vec<_> = table
        .iter()
        .map(|row| format!("Authority::from_bits_truncate({:#x})", row.bits()))
        .collect();
    writeln!(
        out,
        "/// What each task may do to others by kernel IPC, by index.\n\
         #[unsafe(no_mangle)]\n#[used]\n\
         pub static HUBRIS_TASK_AUTHORITY: [Authority; {}] = [{}];",
        rows.len(),
        rows.join(", ")
    )?;
    Ok(())
}

/// The regions that tasks have registered for crashes, and the memory that must not leave the
/// machine.
fn emit_crash_regions(config: &KernelConfig, out: &mut String) -> Result<(), Box<dyn Error>> {
    let regions = &config.crash_regions;
    writeln!(
        out,
        "/// Regions that tasks have registered for crashes when they were built.\n\
         #[unsafe(no_mangle)]\n#[used]\n\
         pub static HUBRIS_CRASH_REGIONS: [CrashRegionDesc; {}] = [",
        regions.len()
    )?;
    for region in regions {
        let mut name = [0; REGION_NAME_MAX];
        name.get_mut(..region.name.len())
            .ok_or_else(|| format!("the name of region {:?} is too long", region.name))?
            .copy_from_slice(region.name.as_bytes());
        writeln!(
            out,
            "    CrashRegionDesc {{ name: {name:?}, base: {:#x}, size: {:#x}, owner: {} }},",
            region.base, region.size, region.task_index
        )?;
    }
    writeln!(
        out,
        "];\n/// Memory that must not leave the machine, ascending.\n\
         #[unsafe(no_mangle)]\n#[used]\n\
         pub static HUBRIS_SECRETS: [SecretDesc; {}] = [",
        config.secrets.len()
    )?;
    for range in &config.secrets {
        writeln!(
            out,
            "    SecretDesc {{ base: {:#x}, end: {:#x} }},",
            range.start, range.end
        )?;
    }
    writeln!(out, "];")?;
    Ok(())
}

fn emit_interrupts(config: &KernelConfig, out: &mut String) -> Result<(), Box<dyn Error>> {
    let mut owners: BTreeMap<(u32, u32), Vec<u32>> = BTreeMap::new();
    writeln!(
        out,
        "/// The task and the notification of each interrupt.\n\
         pub static HUBRIS_IRQ_TASK_LOOKUP: SortedMap<InterruptNum, InterruptOwner> = SortedMap(&["
    )?;
    for (&irq, target) in &config.irqs {
        if target.task_index >= config.tasks.len() {
            return Err(format!("interrupt {irq}: there is no task {}", target.task_index).into());
        }
        let (task, notification) = (u32::try_from(target.task_index)?, target.notification);
        owners.entry((task, notification)).or_default().push(irq);
        writeln!(
            out,
            "    (InterruptNum({irq}), InterruptOwner {{ task: {task}, notification: {notification:#x} }}),"
        )?;
    }
    writeln!(
        out,
        "]);\n/// The interrupts that post a notification of a task.\n\
         pub static HUBRIS_TASK_IRQ_LOOKUP: SortedMap<InterruptOwner, &[InterruptNum]> = SortedMap(&["
    )?;
    for ((task, notification), irqs) in owners {
        let irqs: Vec<_> = irqs
            .iter()
            .map(|irq| format!("InterruptNum({irq})"))
            .collect();
        writeln!(
            out,
            "    (InterruptOwner {{ task: {task}, notification: {notification:#x} }}, &[{}]),",
            irqs.join(", ")
        )?;
    }
    writeln!(out, "]);")?;
    Ok(())
}
