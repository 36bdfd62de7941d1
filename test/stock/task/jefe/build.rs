//! Reads `[tasks.jefe.config]` and generates what the supervisor knows of crashes.

use anyhow::{Context, Result};
use crashlog_supervisor::tables::{App, AppTask, CrashTable};
use serde::Deserialize;

#[derive(Deserialize)]
struct Config {
    crash: CrashTable,
}

/// An extern region, as xtask tells it.
#[derive(Deserialize)]
struct ExternRegion {
    address: u32,
    size: u32,
}

fn main() -> Result<()> {
    build_util::build_notifications().map_err(|error| anyhow::anyhow!("{error:#}"))?;
    crash_tables()
}

fn crash_tables() -> Result<()> {
    let config: Config = build_util::task_config()?;
    let tasks = build_util::all_tasks_full_config_toml()?;
    let app = App {
        file: "app.toml".to_string(),
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
    let mut rust = config.crash.check(&app)?.to_rust();
    let regions = build_util::task_extern_regions::<ExternRegion>()?;
    let region = regions
        .get("crash")
        .context("app.toml: tasks.jefe.extern-regions: must name crash, the recorder's memory")?;
    rust += &format!(
        "pub const REGION: [usize; 2] = [{}, {}];",
        region.address, region.size
    );
    std::fs::write(build_util::out_dir().join("crash.rs"), rust)?;
    Ok(())
}
