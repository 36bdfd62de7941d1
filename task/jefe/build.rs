//! Reads the supervisor's configuration, and generates its server and tables.
//!
//! The configuration is `[tasks.jefe.config]`. The table `crash` in it is checked by
//! `crashlog_supervisor::tables` (`lib/crashlog-supervisor/src/tables.rs`), which also has the
//! defaults of its keys.

use std::collections::BTreeMap;
use std::fmt::Write;

use anyhow::{Context, Result, bail, ensure};
use crashlog_supervisor::tables::{App, AppTask, CrashTable};
use serde::Deserialize;
use toml_task::Task;

/// The operation that only the recorder may use.
const EMERGENCY_DONE: &str = "emergency_done";

/// Operations by which a task ends or changes what others do, or gets at their memory: closed
/// unless the configuration says who may use them.
const CLOSED: [&str; 3] = ["set_state", "request_reset", "set_reset_reason"];

/// As [`CLOSED`]: dumps. Open to the task `dump_agent`, if there is one.
const DUMPS: [&str; 5] = [
    "reinitialize_dump_areas",
    "claim_dump_area",
    "dump_task",
    "dump_task_region",
    "reinitialize_dump_from",
];

/// `[tasks.jefe.config]`, which is optional.
#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Config {
    /// Task name to the name of its notification that is posted when the system state changes.
    #[serde(default)]
    on_state_change: BTreeMap<String, String>,
    /// Task name to the name of its notification that is posted when a task has faulted.
    #[serde(default)]
    on_task_fault: BTreeMap<String, String>,
    /// Operation to the names of the tasks that may use it. Of those that are not listed,
    /// [`CLOSED`] and [`DUMPS`] are closed, and every task may use the others.
    #[serde(default)]
    allowed_callers: BTreeMap<String, Vec<String>>,
    /// Names of tasks that are held: they are left down when they fault, until a debugger releases
    /// them.
    #[serde(default)]
    tasks_to_hold: Vec<String>,
    /// What has to be known about crashes, if the application has a recorder.
    crash: Option<CrashTable>,
}

/// An extern region: a memory output that is mapped as a whole.
#[derive(Clone, Deserialize)]
struct ExternRegion {
    address: u32,
    size: u32,
}

/// The memory output that is shared with the recorder.
const RETAINED: &str = "crash";

/// Bytes of an area for dumps (`humpty::DUMP_AREA_SIZE`).
const AREA_SIZE: u32 = 0x1000;

fn main() -> Result<()> {
    // The host tests of the library are built without an application.
    if build_util::target_os() != "none" {
        return Ok(());
    }
    if let Err(error) = generate() {
        // An error in one line: of a build script that fails, Cargo prints the whole output.
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
    for operation in CLOSED {
        callers.entry(operation.to_string()).or_default();
    }
    let agent = tasks.keys().filter(|name| *name == "dump_agent");
    let agent: Vec<_> = agent.cloned().collect();
    for operation in DUMPS {
        let callers = callers.entry(operation.to_string());
        callers.or_insert_with(|| agent.clone());
    }
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
    // If several have the lowest priority, any of them will do: it can always run.
    let last = tasks.values().map(|task| task.priority).enumerate();
    let last = last.max_by_key(|(_, priority)| *priority);
    writeln!(
        rust,
        "/// The least important task, normally the idle task.\n\
         pub const LEAST_IMPORTANT: usize = {};",
        last.map_or(0, |(index, _)| index)
    )?;
    notification_list(
        &mut rust,
        "ON_STATE_CHANGE",
        &config.on_state_change,
        &tasks,
        &place("on-state-change"),
    )?;
    notification_list(
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
        "/// Tasks that are held: left down when they fault.\npub const TASKS_TO_HOLD: &[usize] = &["
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

/// Constants about the recorder: its index, what a fault of each task means, and the region that it
/// shares with the supervisor.
fn recorder_tables(
    rust: &mut String,
    crash: &CrashTable,
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
    write!(
        rust,
        "/// How many regions all tasks together may have registered.\n\
         pub const REGIONS_TOTAL: usize = {};\n\
         /// How many regions a task may have registered.\n\
         pub const REGIONS_PER_TASK: u32 = {};\n\
         /// How many bytes they may have together.\n\
         pub const REGION_BYTES_PER_TASK: u32 = {};\n",
        crash.regions.total, crash.regions.per_task, crash.regions.bytes_per_task
    )?;

    let regions = build_util::task_extern_regions::<ExternRegion>()?;
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

/// Where dumps are made: in all extern regions but the one that is shared with the recorder.
fn dump_regions(rust: &mut String, has_recorder: bool, file: &str) -> Result<()> {
    let shared = build_util::task_extern_regions::<ExternRegion>()?;
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
        "/// Where dumps are made.\npub const DUMP_REGIONS: [humpty::DumpAreaRegion; {}] = [",
        areas.len()
    )?;
    for ExternRegion { address, size } in areas.values() {
        writeln!(
            rust,
            "    humpty::DumpAreaRegion {{ address: {address:#x}, length: {size:#x} }},"
        )?;
    }
    writeln!(
        rust,
        "];\n/// All extern regions: address and size.\npub const SHARED: &[(u32, u32)] = &["
    )?;
    for ExternRegion { address, size } in shared.values() {
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

/// Writes a table of task indices and the notification mask for each.
fn notification_list(
    rust: &mut String,
    constant: &str,
    list: &BTreeMap<String, String>,
    tasks: &indexmap::IndexMap<String, Task<toml::Value>>,
    place: &str,
) -> Result<()> {
    writeln!(
        rust,
        "/// Tasks to notify, by index, and the notification bits to post to each.\n\
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
