//! The configuration files: app.toml, chip.toml, memory.toml, patches.toml

use super::container::Archive;
use super::{Report, Topic};
use toml::{Table, Value};

/// Checks the configuration.
pub fn check(archive: &Archive, report: &mut Report) {
    app(archive, report);
    memory(archive, report);
    patches(archive, report);
}

fn is_u32(value: Option<&Value>) -> bool {
    value
        .and_then(Value::as_integer)
        .is_some_and(|number| u32::try_from(number).is_ok())
}

fn app(archive: &Archive, report: &mut Report) {
    let app = &archive.app;
    let mut add = |what: String| report.add("app.toml", Topic::Configuration, what);
    for key in ["target", "name", "board"] {
        if !app.get(key).is_some_and(Value::is_str) {
            add(format!("has no string `{key}`"));
        }
    }
    for key in ["kernel", "tasks"] {
        if !app.get(key).is_some_and(Value::is_table) {
            add(format!("has no table `{key}`"));
        }
    }
    let kernel = app.get("kernel").and_then(Value::as_table);
    if kernel
        .and_then(|kernel| kernel.get("features"))
        .is_some_and(|list| !is_strings(list))
    {
        add("kernel.features: is no list of strings".into());
    }
    if app.get("chip").is_some_and(|chip| !chip.is_str()) {
        add("chip: is no string".into());
    }
    let empty = Table::new();
    let tasks = app.get("tasks").and_then(Value::as_table).unwrap_or(&empty);
    let members: Vec<String> = archive
        .tasks()
        .iter()
        .filter_map(|name| name.rsplit('/').next().map(String::from))
        .collect();
    let named: Vec<&String> = tasks.keys().collect();
    if members.iter().collect::<Vec<_>>() != named {
        add(format!(
            "its tasks are {named:?} and the members {members:?}; they must be the same and in the same order, since \
             Humility takes a member's position for the task's index"
        ));
    }
    let peripherals = peripherals(archive);
    for (name, task) in tasks {
        for problem in task_problems(task, &peripherals) {
            add(format!("tasks.{name}: {problem}"));
        }
    }
    if let Some(flash) = app.get("config").and_then(|config| config.get("auxflash")) {
        let known = |key: &String| key == "memory-size" || key == "slot-count";
        if !flash
            .as_table()
            .is_some_and(|table| table.keys().all(known))
        {
            add("config.auxflash: only memory-size and slot-count are allowed".into());
        }
    }
    for (name, peripheral) in &peripherals {
        let irqs = peripheral.get("interrupts").map(Value::as_table);
        let sound = is_u32(peripheral.get("address"))
            && is_u32(peripheral.get("size"))
            && irqs.is_none_or(|irqs| {
                irqs.is_some_and(|irqs| irqs.values().all(|irq| is_u32(Some(irq))))
            });
        if !sound {
            report.add(
                "chip.toml",
                Topic::Configuration,
                format!("{name} needs address and size, and interrupts as numbers"),
            );
        }
    }
}

fn peripherals(archive: &Archive) -> Table {
    if let Some(own) = archive.app.get("peripherals").and_then(Value::as_table) {
        return own.clone();
    }
    let chip = archive
        .app
        .get("chip")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let last = chip.rsplit('/').next().unwrap_or_default();
    let name = if last.ends_with(".toml") {
        last
    } else {
        "chip.toml"
    };
    archive
        .get(name)
        .and_then(|bytes| std::str::from_utf8(bytes).ok()?.parse().ok())
        .unwrap_or_default()
}

/// What Humility would not accept in the table of one task.
fn task_problems(task: &Value, peripherals: &Table) -> Vec<String> {
    let mut problems = Vec::new();
    let strings = |key: &str| -> Option<Vec<&str>> {
        let Some(list) = task.get(key) else {
            return Some(Vec::new());
        };
        list.as_array()?.iter().map(Value::as_str).collect()
    };
    for key in ["features", "extern-regions", "notifications"] {
        if strings(key).is_none() {
            problems.push(format!("`{key}` is no list of strings"));
        }
    }
    let notifications = strings("notifications").unwrap_or_default();
    let irqs = task.get("interrupts").and_then(Value::as_table);
    if task.get("interrupts").is_some() && irqs.is_none() {
        problems.push("`interrupts` is no table of interrupts".into());
    }
    for (irq, to) in irqs.into_iter().flatten() {
        let known = irq.parse::<u32>().is_ok()
            || irq.split_once('.').is_some_and(|(peripheral, name)| {
                peripherals
                    .get(peripheral)
                    .and_then(|it| it.get("interrupts")?.get(name))
                    .is_some()
            });
        if !known {
            problems.push(format!(
                "interrupt `{irq}` is not in chip.toml; Humility refuses the archive"
            ));
        }
        let resolved = match to {
            Value::Integer(_) => is_u32(Some(to)),
            Value::String(name) => notifications.contains(&name.as_str()),
            _ => false,
        };
        if !resolved {
            problems.push(format!(
                "interrupt `{irq}` is bound to {to}, which is no notification of the task"
            ));
        }
    }
    problems
}

fn memory(archive: &Archive, report: &mut Report) {
    let Some(memory) = archive.table("memory.toml", report) else {
        return;
    };
    for (name, list) in &memory {
        let sound = list.as_array().is_some_and(|list| {
            list.iter()
                .all(|entry| entry.is_table() && is_u32(entry.get("address")))
        });
        if !sound {
            report.add(
                "memory.toml",
                Topic::Configuration,
                format!(
                    "`{name}` is no list of tables with an address; Humility refuses the archive"
                ),
            );
        }
    }
    let tasks = archive.app.get("tasks").and_then(Value::as_table);
    for (task, table) in tasks.into_iter().flatten() {
        let regions = table.get("extern-regions").and_then(Value::as_array);
        for region in regions.into_iter().flatten().filter_map(Value::as_str) {
            if !memory.contains_key(region) {
                report.add(
                    "memory.toml",
                    Topic::Configuration,
                    format!("has no `{region}`, which task {task} has as an extern-region"),
                );
            }
        }
    }
}

/// Checks patches.toml. Humility refuses unknown keys, and tasks that do not exist.
fn patches(archive: &Archive, report: &mut Report) {
    let name = "patches.toml";
    if archive.get(name).is_none() {
        return;
    }
    let Some(patches) = archive.table(name, report) else {
        return;
    };
    let mut add = |what: String| report.add(name, Topic::Configuration, what);
    let mut keys: Vec<&str> = patches.keys().map(String::as_str).collect();
    keys.sort_unstable();
    if keys != ["features", "name"] {
        add(format!(
            "has the keys {keys:?}; it must have `name` and `features` and no other"
        ));
    }
    if patches.get("name").is_some_and(|name| !name.is_str()) {
        add("its `name` is no string".into());
    }
    let tasks = archive.app.get("tasks").and_then(Value::as_table);
    let Some(features) = patches.get("features").and_then(Value::as_table) else {
        add("its `features` is no table".into());
        return;
    };
    for (task, list) in features {
        if !tasks.is_some_and(|tasks| tasks.contains_key(task)) {
            add(format!(
                "has features of `{task}`, which is no task; Humility panics"
            ));
        }
        if !is_strings(list) {
            add(format!("its features of `{task}` are no list of strings"));
        }
    }
}

fn is_strings(value: &Value) -> bool {
    value
        .as_array()
        .is_some_and(|list| list.iter().all(Value::is_str))
}
