//! Generates the server and the tables of the supervisor from `[tasks.jefe.config]`.

use std::collections::BTreeMap;
use std::fmt::Write;

use anyhow::{Context, Result, bail, ensure};
use crashlog_supervisor::tables::{App, AppTask, Crash};
use serde::Deserialize;
use toml_task::Task;

/// The operation that belongs to the recorder alone.
const EMERGENCY_DONE: &str = "emergency_done";

/// `[tasks.jefe.config]`, which need not be there.
#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Config {
    /// Task to its notification, posted when the system state changes.
    #[serde(default)]
    on_state_change: BTreeMap<String, String>,
    /// Task to its notification, posted when a task has faulted.
    #[serde(default)]
    on_task_fault: BTreeMap<String, String>,
    /// Operation to the tasks that may use it; every task if it is not listed.
    #[serde(default)]
    allowed_callers: BTreeMap<String, Vec<String>>,
    /// Tasks that are left down when they fault, until a debugger releases them.
    #[serde(default)]
    tasks_to_hold: Vec<String>,
    /// What the flight recorder needs to know, if the application has one.
    crash: Option<Crash>,
}

/// Memory that is mapped as a whole.
#[derive(Clone, Deserialize)]
struct Region {
    address: u32,
    size: u32,
}

/// The memory output that is shared with the recorder.
const RETAINED: &str = "crash";

/// Bytes of an area for dumps (`humpty::DUMP_AREA_SIZE`).
const AREA_SIZE: u32 = 0x1000;

fn main() -> Result<()> {
    // The library's host tests have no application around them.
    if build_util::target_os() != "none" {
        return Ok(());
    }
    if let Err(error) = generate() {
        // One line for a human; a failing build script would wrap it in a backtrace of Cargo's making.
        println!("cargo::error={error:#}");
    }
    Ok(())
}

fn generate() -> Result<()> {
    build_util::build_notifications().map_err(|error| anyhow::anyhow!("{error:#}"))?;
    let supervisor = build_util::task_name();
    let config: Config = build_util::task_maybe_config()?.unwrap_or_default();
    let tasks = build_util::all_tasks_full_config_toml()?;
    let file = file_name()?;
    let place = |key: &str| format!("{file}: tasks.{supervisor}.config.{key}");

    let recorder: Vec<_> = config.crash.iter().map(|it| it.recorder.clone()).collect();
    let mut callers = config.allowed_callers;
    let done = callers
        .entry(EMERGENCY_DONE.to_string())
        .or_insert_with(|| recorder.clone());
    ensure!(
        *done == recorder,
        "{} = {done:?}: must be the recorder alone, {recorder:?}",
        place("allowed-callers.emergency_done")
    );
    let callers = build_util::task_ids()
        .remap_allowed_caller_names_to_ids(&callers)
        .with_context(|| place("allowed-callers"))?;
    idol::Generator::new()
        .with_counters(idol::CounterSettings::default().with_client_counters(false))
        .build_restricted_server_support(
            "../../idl/jefe.idol",
            "server_stub.rs",
            idol::server::ServerStyle::InOrder,
            &callers,
        )
        .map_err(|error| anyhow::anyhow!("{error}"))?;

    let mut rust = String::new();
    println!("cargo::rustc-check-cfg=cfg(recorder)");
    if let Some(crash) = &config.crash {
        println!("cargo::rustc-cfg=recorder");
        recorder_tables(&mut rust, crash, &file, &tasks)?;
    }
    if build_util::has_feature("dump") {
        dump_regions(&mut rust, config.crash.is_some(), &file)?;
    }
    // Of several that are equally unimportant any will do: one is left that can run.
    let last = tasks.values().map(|task| task.priority).enumerate();
    let last = last.max_by_key(|(_, priority)| *priority);
    writeln!(
        rust,
        "/// The least important task, normally the one that runs when nobody else has anything to do.\n\
         pub const LEAST_IMPORTANT: usize = {};",
        last.map_or(0, |(index, _)| index)
    )?;
    mailing_list(
        &mut rust,
        "ON_STATE_CHANGE",
        &config.on_state_change,
        &tasks,
        &place("on-state-change"),
    )?;
    mailing_list(
        &mut rust,
        "ON_TASK_FAULT",
        &config.on_task_fault,
        &tasks,
        &place("on-task-fault"),
    )?;
    ensure!(
        config.on_task_fault.is_empty() || build_util::has_feature("fault-notification"),
        "{}: needs the feature `fault-notification`",
        place("on-task-fault")
    );
    writeln!(
        rust,
        "/// Tasks that are left down when they fault.\npub const TASKS_TO_HOLD: &[usize] = &["
    )?;
    for name in &config.tasks_to_hold {
        let index = index(&tasks, name, &place("tasks-to-hold"))?;
        ensure!(
            index != 0,
            "{} = {name:?}: the supervisor cannot hold itself",
            place("tasks-to-hold")
        );
        writeln!(rust, "    {index},")?;
    }
    writeln!(rust, "];")?;
    std::fs::write(build_util::out_dir().join("config.rs"), rust)?;
    Ok(())
}

/// What the recorder needs: who it is, what a fault of each task means, and where the region is that they share.
fn recorder_tables(
    rust: &mut String,
    crash: &Crash,
    file: &str,
    tasks: &indexmap::IndexMap<String, Task<toml::Value>>,
) -> Result<()> {
    let app = App {
        file: file.to_string(),
        tasks: tasks
            .iter()
            .map(|(name, task)| AppTask {
                name: name.clone(),
                priority: task.priority,
                notifications: task.notifications.clone(),
                stack: task.stacksize.unwrap_or(0),
            })
            .collect(),
    };
    *rust += &crash.check(&app)?.to_rust();

    let regions = build_util::task_extern_regions::<Region>()?;
    let Some(region) = regions.get(RETAINED) else {
        bail!(
            "{file}: tasks.{}.extern-regions: must name {RETAINED:?}, the memory shared with the recorder",
            build_util::task_name()
        );
    };
    ensure!(
        region.size as usize >= crashlog_retained::Region::MIN_LEN
            && region.address != 0
            && region.address.is_multiple_of(4),
        "memory output {RETAINED:?} has {} bytes at {:#x}: must be aligned to 4 and have {} or more",
        region.size,
        region.address,
        crashlog_retained::Region::MIN_LEN
    );
    write!(
        rust,
        "/// Where the retained region begins.\n\
         pub const RETAINED_ADDRESS: usize = {:#x};\n\
         /// How many bytes it has.\n\
         pub const RETAINED_SIZE: usize = {:#x};\n",
        region.address, region.size
    )?;
    Ok(())
}

/// What dumps are made in: all extern regions, but that which is shared with the recorder.
fn dump_regions(rust: &mut String, has_recorder: bool, file: &str) -> Result<()> {
    let shared = build_util::task_extern_regions::<Region>()?;
    let mut areas = shared.clone();
    if has_recorder {
        areas.shift_remove(RETAINED);
    }
    ensure!(
        areas.values().any(|region| region.size >= AREA_SIZE),
        "{file}: tasks.{}.extern-regions: feature `dump` needs memory for dumps, {AREA_SIZE:#x} bytes or more",
        build_util::task_name()
    );
    writeln!(
        rust,
        "/// What dumps are made in.\npub const DUMP_REGIONS: [humpty::DumpAreaRegion; {}] = [",
        areas.len()
    )?;
    for Region { address, size } in areas.values() {
        writeln!(
            rust,
            "    humpty::DumpAreaRegion {{ address: {address:#x}, length: {size:#x} }},"
        )?;
    }
    writeln!(
        rust,
        "];\n/// All extern regions: address and size.\npub const SHARED: &[(u32, u32)] = &["
    )?;
    for Region { address, size } in shared.values() {
        writeln!(rust, "    ({address:#x}, {size:#x}),")?;
    }
    writeln!(rust, "];")?;
    Ok(())
}

/// The configuration file, as messages name it.
fn file_name() -> Result<String> {
    let path = build_util::env_var("HUBRIS_APP_TOML")?;
    let name = std::path::Path::new(&path).file_name();
    Ok(name.map_or(path.clone(), |name| name.to_string_lossy().into_owned()))
}

/// Writes a table of task indices and notification masks.
fn mailing_list(
    rust: &mut String,
    constant: &str,
    list: &BTreeMap<String, String>,
    tasks: &indexmap::IndexMap<String, Task<toml::Value>>,
    place: &str,
) -> Result<()> {
    writeln!(
        rust,
        "/// Tasks to tell, by index, and the notification bits to do it with.\n\
         pub const {constant}: &[(usize, u32)] = &["
    )?;
    for (name, notification) in list {
        let index = index(tasks, name, place)?;
        let names = &tasks[index].notifications;
        let Some(bit) = names.iter().position(|known| known == notification) else {
            bail!(
                "{place}.{name} = {notification:?}: no such notification; there are {}",
                names.join(", ")
            );
        };
        writeln!(rust, "    ({index}, {:#x}),", 1_u32 << bit)?;
    }
    writeln!(rust, "];")?;
    Ok(())
}

/// Index of a task.
fn index(
    tasks: &indexmap::IndexMap<String, Task<toml::Value>>,
    name: &str,
    place: &str,
) -> Result<usize> {
    tasks.get_index_of(name).with_context(|| {
        let names: Vec<_> = tasks.keys().map(String::as_str).collect();
        format!(
            "{place}: {name:?} is not a task; there are {}",
            names.join(", ")
        )
    })
}
