//! The rules that a configuration has to follow beyond its schema.
//!
//! They are checked before anything is built. Most guard the system at run time: the uphill rule makes deadlock by
//! SEND impossible, the notification names keep an interrupt from looking like a timer, and a task that needs more
//! regions than there are would fault at its first access.

use super::suggest::hint;
use super::{App, Config, Problem, Task};
use anyhow::Result;
use indexmap::IndexMap;
use std::collections::BTreeMap;

/// Regions that a task can have: the kernel keeps eight per task, and one is the null region.
pub const MAX_REGIONS: usize = 7;

/// Bit 31 is userlib's, for its sleep timer.
const MAX_NOTIFICATIONS: usize = 31;

/// Checks every rule; the first that is broken is the error.
pub fn check(config: &Config) -> Result<()> {
    let app = |problem| config.files.app.locate(&problem);
    refused(&config.app).map_err(app)?;
    board(config).map_err(|problem| config.files.board.locate(&problem))?;
    memory(config).map_err(|problem| config.files.memory.locate(&problem))?;
    chip(config).map_err(|problem| config.files.chip.locate(&problem))?;
    kernel(config).map_err(app)?;
    priorities(&config.app.tasks).map_err(app)?;
    for (name, task) in &config.app.tasks {
        let inside = |problem: Problem| app(under_task(problem, name));
        stack(config, task).map_err(inside)?;
        notifications(task).map_err(inside)?;
        slots(&config.app.tasks, name, task).map_err(inside)?;
        interrupts(config, task).map_err(inside)?;
        regions(config, task).map_err(inside)?;
    }
    shared_interrupts(config).map_err(app)
}

/// A problem of a task, seen from the top of the file.
fn under_task(problem: Problem, name: &str) -> Problem {
    use super::error::Step;
    problem
        .under(Step::Key(name.to_string()))
        .under(Step::Key("tasks".to_string()))
}

/// Parts of upstream's schema that need hardware which no board here has.
fn refused(app: &App) -> Result<(), Problem> {
    let parts = [
        (
            "mmio",
            app.mmio.is_some(),
            "no board here has an FPGA with memory-mapped registers",
        ),
        (
            "auxflash",
            app.auxflash.is_some(),
            "no board here has an auxiliary flash",
        ),
        (
            "caboose",
            app.caboose.is_some(),
            "an image that is loaded as an ELF file has no caboose",
        ),
        (
            "signing",
            app.signing.is_some(),
            "no chip here verifies signatures",
        ),
    ];
    for (key, present, why) in parts {
        if present {
            return Err(Problem::at(
                &[key],
                format!("not supported: {why}; remove it"),
            ));
        }
    }
    if app.image_names.is_empty() {
        return Err(Problem::at(
            &["image-names"],
            "is empty; name at least one image",
        ));
    }
    Ok(())
}

fn board(config: &Config) -> Result<(), Problem> {
    let granule = config.board.substrate.region_granule;
    if !granule.is_power_of_two() || granule < 32 {
        let message = format!("is {granule}, must be a power of two of at least 32");
        return Err(Problem::at(&["substrate", "region-granule"], message));
    }
    Ok(())
}

fn memory(config: &Config) -> Result<(), Problem> {
    let granule = u64::from(config.board.substrate.region_granule);
    for required in ["flash", config.app.default_ram.as_str()] {
        if !config.memory.contains_key(required) {
            let message = "missing; the application needs this memory output";
            return Err(Problem::at(&[required], message));
        }
    }
    for (name, entries) in &config.memory {
        for image in &config.app.image_names {
            let count = entries.iter().filter(|entry| entry.name == *image).count();
            if count != 1 {
                let message = format!("has {count} entries for image `{image}`, must have one");
                return Err(Problem::at(&[name], message));
            }
        }
        for entry in entries {
            let (address, size) = (u64::from(entry.address), u64::from(entry.size));
            if address % granule != 0 || size % granule != 0 || size == 0 {
                let message = format!(
                    "address {address:#x} and size {size:#x} must be multiples of the board's region-granule, {granule:#x}"
                );
                return Err(Problem::at(&[name], message));
            }
            if entry.end() > 1 << 32 {
                return Err(Problem::at(&[name], "ends beyond the 32-bit address space"));
            }
        }
    }
    for image in &config.app.image_names {
        let mut placed: Vec<(&str, u64, u64)> = Vec::new();
        for (name, entries) in &config.memory {
            for entry in entries.iter().filter(|entry| entry.name == *image) {
                let (start, end) = (u64::from(entry.address), entry.end());
                if let Some((other, _, _)) = placed.iter().find(|(_, s, e)| start < *e && *s < end)
                {
                    let message = format!("overlaps `{other}` in image `{image}`");
                    return Err(Problem::at(&[name], message));
                }
                placed.push((name, start, end));
            }
        }
    }
    Ok(())
}

fn chip(config: &Config) -> Result<(), Problem> {
    let granule = config.board.substrate.region_granule;
    for (name, peripheral) in &config.chip {
        for (key, value) in [("address", peripheral.address), ("size", peripheral.size)] {
            if value % granule != 0 || (key == "size" && value == 0) {
                let message = format!(
                    "is {value:#x}, must be a multiple of the board's region-granule, {granule:#x}"
                );
                return Err(Problem::at(&[name, key], message));
            }
        }
    }
    Ok(())
}

fn kernel(config: &Config) -> Result<(), Problem> {
    let kernel = &config.app.kernel;
    for (output, size) in &kernel.requires {
        if !config.memory.contains_key(output) {
            let hint = hint(output, config.memory.keys().map(String::as_str));
            let message = format!("is not a memory output{hint}");
            return Err(Problem::at(&["kernel", "requires", output], message));
        }
        if size % 4 != 0 {
            let message = format!("is {size}, must be a multiple of 4");
            return Err(Problem::at(&["kernel", "requires", output], message));
        }
    }
    for needed in ["flash", config.kernel_ram()] {
        if !kernel.requires.contains_key(needed) {
            return Err(Problem::at(&["kernel", "requires", needed], "missing"));
        }
    }
    let ram = kernel
        .requires
        .get(config.kernel_ram())
        .copied()
        .unwrap_or_default();
    if !kernel.stacksize.is_multiple_of(8) || kernel.stacksize == 0 || kernel.stacksize > ram {
        let message = format!(
            "is {}, must be a multiple of 8 and fit in kernel.requires.{}",
            kernel.stacksize,
            config.kernel_ram()
        );
        return Err(Problem::at(&["kernel", "stacksize"], message));
    }
    for (index, region) in kernel.extern_regions.iter().enumerate() {
        if !config.memory.contains_key(&region.region) {
            let hint = hint(&region.region, config.memory.keys().map(String::as_str));
            let message = format!(
                "entry {index}: `{}` is not a memory output{hint}",
                region.region
            );
            return Err(Problem::at(&["kernel", "extern-regions"], message));
        }
    }
    Ok(())
}

/// Priority 0 is the supervisor's, and the idle task comes last.
fn priorities(tasks: &IndexMap<String, Task>) -> Result<(), Problem> {
    if tasks.contains_key("kernel") {
        let message = "this name is reserved; choose another";
        return Err(Problem::at(&["tasks", "kernel"], message));
    }
    let Some((first, supervisor)) = tasks.first() else {
        return Err(Problem::at(
            &["tasks"],
            "is empty; the first task is the supervisor",
        ));
    };
    if supervisor.priority != 0 {
        let message = format!(
            "is {}; the first task is the supervisor and must have priority 0",
            supervisor.priority
        );
        return Err(Problem::at(&["tasks", first, "priority"], message));
    }
    let Some(idle) = tasks.get("idle") else {
        let message = "no task is named `idle`; the kernel needs one that can always run";
        return Err(Problem::at(&["tasks"], message));
    };
    for (name, task) in tasks.iter().skip(1) {
        let key = ["tasks", name.as_str(), "priority"];
        if task.priority == 0 {
            let message = format!("is 0, which is for the supervisor, `{first}`, alone");
            return Err(Problem::at(&key, message));
        }
        if name != "idle" && task.priority >= idle.priority {
            let message = format!(
                "is {}, must be more important (less) than that of `idle`, {}",
                task.priority, idle.priority
            );
            return Err(Problem::at(&key, message));
        }
    }
    Ok(())
}

fn stack(config: &Config, task: &Task) -> Result<(), Problem> {
    let Some(size) = task.stacksize.or(config.app.stacksize) else {
        let message = "missing, and the application has no `stacksize` either";
        return Err(Problem::at(&["stacksize"], message));
    };
    if size == 0 || size % 8 != 0 {
        let message = format!("is {size}, must be a multiple of 8 and not 0");
        return Err(Problem::at(&["stacksize"], message));
    }
    Ok(())
}

fn notifications(task: &Task) -> Result<(), Problem> {
    let names = &task.notifications;
    if names.len() > MAX_NOTIFICATIONS {
        let message = format!(
            "has {} names; there are {MAX_NOTIFICATIONS} bits",
            names.len()
        );
        return Err(Problem::at(&["notifications"], message));
    }
    for (bit, name) in names.iter().enumerate() {
        let legal = name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
        if !legal {
            let message =
                format!("`{name}` does not make a constant; use letters, digits and dashes");
            return Err(Problem::at(&["notifications"], message));
        }
        if names[..bit].contains(name) {
            return Err(Problem::at(
                &["notifications"],
                format!("`{name}` is named twice"),
            ));
        }
    }
    if task.name == "task-jefe" && names.first().is_none_or(|name| name != "fault") {
        let message = "the first must be \"fault\": it is the bit that the kernel posts";
        return Err(Problem::at(&["notifications"], message));
    }
    Ok(())
}

/// The uphill rule: a task sends to tasks that are more important, so that no circle of tasks can wait for itself.
fn slots(tasks: &IndexMap<String, Task>, name: &str, task: &Task) -> Result<(), Problem> {
    for (slot, target) in &task.task_slots {
        let Some(callee) = tasks.get(target) else {
            let hint = hint(target, tasks.keys().map(String::as_str));
            let message = format!("slot `{slot}`: `{target}` is not a task{hint}");
            return Err(Problem::at(&["task-slots"], message));
        };
        if target != name && callee.priority >= task.priority {
            let message = format!(
                "slot `{slot}`: `{target}` (priority {}) must be more important than `{name}` (priority {}); \
                 tasks send uphill only",
                callee.priority, task.priority
            );
            return Err(Problem::at(&["task-slots"], message));
        }
    }
    Ok(())
}

fn interrupts(config: &Config, task: &Task) -> Result<(), Problem> {
    for (source, notification) in &task.interrupts {
        let key = ["interrupts", source.as_str()];
        let Some((peripheral, irq)) = source.split_once('.') else {
            return Err(Problem::at(&key, "must be \"peripheral.interrupt\""));
        };
        let Some(found) = config.chip.get(peripheral) else {
            let hint = hint(peripheral, config.chip.keys().map(String::as_str));
            let message = format!("`{peripheral}` is not a peripheral of the chip{hint}");
            return Err(Problem::at(&key, message));
        };
        if !found.interrupts.contains_key(irq) {
            let hint = hint(irq, found.interrupts.keys().map(String::as_str));
            let message = format!("`{peripheral}` has no interrupt `{irq}`{hint}");
            return Err(Problem::at(&key, message));
        }
        if !task.notifications.contains(notification) {
            let hint = hint(notification, task.notifications.iter().map(String::as_str));
            let message = format!("`{notification}` is not among the task's notifications{hint}");
            return Err(Problem::at(&key, message));
        }
        if !notification.ends_with("-irq") {
            let message = format!(
                "`{notification}` is posted by an interrupt, so its name must end in `-irq`"
            );
            return Err(Problem::at(&key, message));
        }
    }
    Ok(())
}

/// An interrupt has one owner.
fn shared_interrupts(config: &Config) -> Result<(), Problem> {
    let mut owners: BTreeMap<u32, &str> = BTreeMap::new();
    for (name, task) in &config.app.tasks {
        for source in task.interrupts.keys() {
            let Some(number) = config.irq_number(source) else {
                continue;
            };
            if let Some(other) = owners.insert(number, name) {
                let message = format!("interrupt {number} belongs to task `{other}` already");
                return Err(Problem::at(&["tasks", name, "interrupts", source], message));
            }
        }
    }
    Ok(())
}

/// What is mapped into the task exists, and fits in the regions that it can have.
fn regions(config: &Config, task: &Task) -> Result<(), Problem> {
    for (index, name) in task.uses.iter().enumerate() {
        if !config.chip.contains_key(name) && !config.app.extratext.contains_key(name) {
            let known = config.chip.keys().chain(config.app.extratext.keys());
            let hint = hint(name, known.map(String::as_str));
            let message = format!("`{name}` is neither a peripheral nor extra text{hint}");
            return Err(Problem::at(&["uses"], message));
        }
        if task.uses[..index].contains(name) {
            return Err(Problem::at(&["uses"], format!("`{name}` is named twice")));
        }
    }
    let is_output = |key: &str, name: &str| {
        if config.memory.contains_key(name) {
            return Ok(());
        }
        let hint = hint(name, config.memory.keys().map(String::as_str));
        Err(Problem::at(
            &[key],
            format!("`{name}` is not a memory output{hint}"),
        ))
    };
    is_output("default-ram", config.ram_of(task))?;
    for name in &task.extern_regions {
        is_output("extern-regions", name)?;
        if config.allocated().any(|output| output == name) {
            let message =
                format!("`{name}` is divided among the tasks, so none can have it as a whole");
            return Err(Problem::at(&["extern-regions"], message));
        }
    }
    let kernels = &config.app.kernel.extern_regions;
    for name in &task.extern_regions {
        if kernels
            .iter()
            .any(|region| region.region == *name && !region.shared)
        {
            let message =
                format!("`{name}` is the kernel's; its entry there needs `shared = true`");
            return Err(Problem::at(&["extern-regions"], message));
        }
    }
    for name in task.max_sizes.keys() {
        is_output("max-sizes", name)?;
    }
    for name in task.sections.values() {
        is_output("sections", name)?;
    }
    let owned = config.outputs_of(task).len();
    let count = owned + task.extern_regions.len() + task.uses.len();
    if count > MAX_REGIONS {
        let message = format!(
            "the task needs {count} regions ({owned} of its own, {} extern-regions, {} peripherals); there are {MAX_REGIONS}",
            task.extern_regions.len(),
            task.uses.len()
        );
        return Err(Problem::at(&["uses"], message));
    }
    Ok(())
}

impl Config {
    /// The memory outputs that `task` gets a piece of: flash, its RAM, and those of its additional sections.
    pub fn outputs_of<'a>(&'a self, task: &'a Task) -> Vec<&'a str> {
        let mut outputs = vec!["flash", self.ram_of(task)];
        for output in task.sections.values() {
            if !outputs.contains(&output.as_str()) {
                outputs.push(output);
            }
        }
        outputs
    }

    /// The memory outputs that are divided among kernel and tasks.
    fn allocated(&self) -> impl Iterator<Item = &str> {
        let kernel = self.app.kernel.requires.keys().map(String::as_str);
        let tasks = self
            .app
            .tasks
            .values()
            .flat_map(|task| self.outputs_of(task));
        kernel.chain(tasks)
    }

    /// The number of the interrupt that `"peripheral.interrupt"` names.
    pub fn irq_number(&self, source: &str) -> Option<u32> {
        let (peripheral, irq) = source.split_once('.')?;
        self.chip.get(peripheral)?.interrupts.get(irq).copied()
    }
}
