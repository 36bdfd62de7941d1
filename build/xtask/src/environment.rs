//! The environment variables that describe the application to build scripts
//!
//! `build-util` reads them.

use crate::config::{Config, Task};
use anyhow::{Context, Result};
use indexmap::IndexMap;
use toml::{Table, Value};

/// The variable with the path of a file that holds the commit of the sources, as in the archive.
pub const REVISION_FILE: &str = "HUBRIS_GIT_REV_FILE";

/// For every crate of the application.
pub fn common(config: &Config) -> Result<Vec<(String, String)>> {
    let app = &config.app;
    let tasks: Vec<&str> = app.tasks.keys().map(String::as_str).collect();
    let mut env = vec![
        ("HUBRIS_TASKS".to_string(), tasks.join(",")),
        ("HUBRIS_BUILD_VERSION".to_string(), app.version.to_string()),
        ("HUBRIS_BUILD_EPOCH".to_string(), app.epoch.to_string()),
        ("HUBRIS_BOARD".to_string(), app.board.clone()),
        (
            "HUBRIS_APP_TOML".to_string(),
            config.path.display().to_string(),
        ),
    ];
    if let Some(value) = &app.config {
        env.push(("HUBRIS_APP_CONFIG".to_string(), to_toml(value)?));
    }
    Ok(env)
}

/// For the crates of one task, in one image.
pub fn task(
    config: &Config,
    name: &str,
    task: &Task,
    image: &str,
) -> Result<Vec<(String, String)>> {
    let mut env = common(config)?;
    let mut regions = IndexMap::new();
    for region in &task.extern_regions {
        let output = config.output(region, image)?;
        regions.insert(region.as_str(), [output.address, output.size]);
    }
    env.push(("HUBRIS_TASK_NAME".to_string(), name.to_string()));
    env.push(("HUBRIS_APP_NAME".to_string(), config.app.name.clone()));
    env.push(("HUBRIS_IMAGE_NAME".to_string(), image.to_string()));
    env.push((
        "HUBRIS_TASK_CONFIG".to_string(),
        to_toml(&table(config, name)?)?,
    ));
    env.push((
        "HUBRIS_ALL_TASK_CONFIGS".to_string(),
        to_toml(&all(config)?)?,
    ));
    env.push(("HUBRIS_TASK_EXTERN_REGIONS".to_string(), to_toml(&regions)?));
    Ok(env)
}

/// The variable with the path of a binary that a task embeds.
pub fn bindep(name: &str) -> String {
    format!("XTASK_BIN_FILE_{}", name.to_uppercase().replace('-', "_"))
}

/// `[tasks]` as in the file.
fn all(config: &Config) -> Result<Table> {
    match config.manifest.get("tasks") {
        Some(Value::Table(tasks)) => Ok(tasks.clone()),
        _ => anyhow::bail!("app.toml has no [tasks]"),
    }
}

/// `[tasks.<name>]` as in the file.
fn table(config: &Config, name: &str) -> Result<Value> {
    all(config)?
        .remove(name)
        .with_context(|| format!("app.toml has no [tasks.{name}]"))
}

fn to_toml<T: serde::Serialize>(value: &T) -> Result<String> {
    toml::to_string(value).context("cannot write a part of app.toml as TOML")
}

#[cfg(test)]
mod tests {
    #[test]
    fn embedded_binaries() {
        assert_eq!(super::bindep("rot-boot"), "XTASK_BIN_FILE_ROT_BOOT");
    }
}
