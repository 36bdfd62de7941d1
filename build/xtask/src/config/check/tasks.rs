//! Rules for the tasks

use crate::config::{App, Config, Problem, Task};
use build_util::hint;
use indexmap::IndexMap;
use std::collections::BTreeMap;

/// Checks the folder of a crate outside the workspace, and embedded binaries.
pub fn sources(config: &Config, task: &Task) -> Result<(), Problem> {
    if let (Some(path), Some(folder)) = (&task.path, config.directory_of(task))
        && !folder.join("Cargo.toml").is_file()
    {
        let message = format!("`{path}` has no Cargo.toml; it is relative to app.toml");
        return Err(Problem::at(&["path"], message));
    }
    if task.bindeps.iter().any(|binary| binary.name == task.name) {
        return Err(Problem::at(&["bindeps"], "a task cannot embed itself"));
    }
    Ok(())
}

/// Regions that a task can have: the kernel keeps eight per task, and one is the null region.
const MAX_REGIONS: usize = 7;

/// Bit 31 is userlib's, for its sleep timer.
const MAX_NOTIFICATIONS: usize = 31;

/// Checks that priority 0 is the supervisor's alone, and that the idle task has the least important
/// one.
pub fn priorities(tasks: &IndexMap<String, Task>) -> Result<(), Problem> {
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

pub fn stack(config: &Config, task: &Task) -> Result<(), Problem> {
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

pub fn notifications(task: &Task) -> Result<(), Problem> {
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

/// Checks the uphill rule: a task sends only to more important tasks, so that no tasks can wait for
/// each other in a circle.
pub fn slots(tasks: &IndexMap<String, Task>, name: &str, task: &Task) -> Result<(), Problem> {
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

pub fn interrupts(config: &Config, task: &Task) -> Result<(), Problem> {
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

/// Checks that the tasks that may restart, fault and reset exist.
pub fn kernel_callers(app: &App) -> Result<(), Problem> {
    for (operation, callers) in app.kernel.allowed_callers.operations() {
        for (index, caller) in callers.iter().enumerate() {
            let key = ["kernel", "allowed-callers", operation];
            if !app.tasks.contains_key(caller) {
                let hint = hint(caller, app.tasks.keys().map(String::as_str));
                return Err(Problem::at(&key, format!("`{caller}` is not a task{hint}")));
            }
            if callers[..index].contains(caller) {
                return Err(Problem::at(&key, format!("`{caller}` is named twice")));
            }
        }
    }
    Ok(())
}

/// Checks that supervisor and kernel make the dumps that the dump agent hands out.
pub fn dump_agent(config: &Config) -> Result<(), Problem> {
    let tasks = &config.app.tasks;
    let Some(agent) = tasks.get("dump_agent") else {
        return Ok(());
    };
    let refuse = |key: &str, message: String| {
        let message = format!("{message}, or `dump_agent` has nothing to read");
        Err(Problem::at(&["tasks", "dump_agent", key], message))
    };
    if agent.extern_regions.is_empty() {
        return refuse("extern-regions", "must name the memory for dumps".into());
    }
    if agent.task_slots.get("jefe").is_none_or(|to| to != "jefe") {
        return refuse("task-slots", "must have `jefe`".into());
    }
    let has_dump = |features: &[String]| features.iter().any(|feature| feature == "dump");
    let jefe = tasks.get("jefe");
    if !jefe.is_some_and(|jefe| has_dump(&jefe.features)) {
        return refuse("name", "needs task `jefe` with the feature `dump`".into());
    }
    let records = jefe.and_then(|jefe| jefe.config.as_ref()?.get("crash"));
    if records.is_some() && agent.extern_regions.iter().any(|region| region == "crash") {
        let message = "`crash` is for the supervisor and the recorder alone; name memory for dumps";
        return Err(Problem::at(
            &["tasks", "dump_agent", "extern-regions"],
            message,
        ));
    }
    for region in &agent.extern_regions {
        if !jefe.is_some_and(|jefe| jefe.extern_regions.contains(region)) {
            let message = format!("`{region}` must be in those of `jefe` too");
            return refuse("extern-regions", message);
        }
    }
    if !has_dump(&config.app.kernel.features) {
        return refuse("name", "needs the kernel's feature `dump`".into());
    }
    Ok(())
}

/// Checks that the kernel has `dump` if the supervisor records crashes. The supervisor reads the
/// memory of a crashed task, and a kernel without that feature would fault it.
pub fn supervisors_kernel(config: &Config) -> Result<(), Problem> {
    let dumps = config.app.kernel.features.iter().any(|it| it == "dump");
    let reads = |task: &Task| {
        let records = task
            .config
            .as_ref()
            .and_then(|it| it.get("crash"))
            .is_some();
        let memory = !task.no_default_features || task.features.iter().any(|it| it == "memory");
        task.name == "task-jefe" && records && memory
    };
    if !dumps && config.app.tasks.values().any(reads) {
        let message = "must have \"dump\": task-jefe reads the memory of crashed tasks, by its default feature `memory`";
        return Err(Problem::at(&["kernel", "features"], message));
    }
    Ok(())
}

/// Checks that each interrupt belongs to one task.
pub fn shared_interrupts(config: &Config) -> Result<(), Problem> {
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

/// Checks that everything that is mapped into the task exists, and fits into the number of regions.
pub fn regions(config: &Config, task: &Task) -> Result<(), Problem> {
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
