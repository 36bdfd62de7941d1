//! The application's configuration, for build scripts of tasks and kernel
//!
//! xtask passes the configuration in environment variables named `HUBRIS_…`, and only this crate
//! reads them. Each function that reads one also tells Cargo that the script depends on it, so that
//! a change of `app.toml` rebuilds exactly the crates that have read what changed.
//!
//! All functions are for build scripts: they print `cargo::` directives to standard output.

#![forbid(unsafe_code)]

mod de;
mod notifications;
mod problem;
mod suggest;
mod task_ids;

pub use de::from_value;
pub use notifications::build_notifications;
pub use problem::{KeyPath, Problem, Step};
pub use suggest::{hint, nearest};
pub use task_ids::{TaskIds, task_ids};

use anyhow::{Context, Result, anyhow};
use indexmap::IndexMap;
use serde::de::DeserializeOwned;
use std::env;
use std::path::PathBuf;
use toml_task::Task;

/// Reads an environment variable and makes Cargo run the script again when it changes.
///
/// Fails if the variable is absent: the crate is then being built by plain Cargo instead of by
/// xtask.
pub fn env_var(name: &str) -> Result<String> {
    maybe_env_var(name).with_context(|| {
        format!(
            "{name} is not set: build this crate with `cargo xtask dist` or `cargo xtask build`"
        )
    })
}

/// As [`env_var`], for a variable that may be absent.
fn maybe_env_var(name: &str) -> Option<String> {
    println!("cargo::rerun-if-env-changed={name}");
    env::var(name).ok()
}

/// Cargo's directory for generated files of this crate.
///
/// Panics outside a build script.
pub fn out_dir() -> PathBuf {
    PathBuf::from(cargo_var("OUT_DIR"))
}

/// The target triple of the crate being built.
///
/// Panics outside a build script.
pub fn target() -> String {
    cargo_var("TARGET")
}

/// The target's operating system, "none" for firmware.
///
/// Panics outside a build script.
pub fn target_os() -> String {
    cargo_var("CARGO_CFG_TARGET_OS")
}

/// A variable that Cargo sets for every build script.
fn cargo_var(name: &str) -> String {
    match env::var(name) {
        Ok(value) => value,
        Err(_) => panic!("{name} is not set: this is not running in a build script"),
    }
}

/// Name of the task being built, its key in `[tasks]`.
///
/// Panics if the crate is not being built as a task.
pub fn task_name() -> String {
    match env_var("HUBRIS_TASK_NAME") {
        Ok(name) => name,
        Err(error) => panic!("{error}"),
    }
}

/// Whether the crate is built with the Cargo feature `name`.
pub fn has_feature(name: &str) -> bool {
    env::var_os(format!(
        "CARGO_FEATURE_{}",
        name.to_uppercase().replace('-', "_")
    ))
    .is_some()
}

/// Sets cfg `armv6m`, `armv7m` or `armv8m`, whichever the instruction set of the target triple is.
///
/// A target outside the M profile sets none of them.
pub fn expose_m_profile() -> Result<()> {
    println!("cargo::rustc-check-cfg=cfg(armv6m)");
    println!("cargo::rustc-check-cfg=cfg(armv7m)");
    println!("cargo::rustc-check-cfg=cfg(armv8m)");
    let target = target();
    let profile = match target.split('-').next() {
        Some("thumbv6m") => Some("armv6m"),
        Some("thumbv7m" | "thumbv7em") => Some("armv7m"),
        Some("thumbv8m.base" | "thumbv8m.main") => Some("armv8m"),
        Some(other) if other.starts_with("thumbv") && other.contains('m') => {
            return Err(anyhow!("{target}: unknown M-profile target"));
        }
        _ => None,
    };
    if let Some(profile) = profile {
        println!("cargo::rustc-cfg={profile}");
    }
    Ok(())
}

/// Name of the board, if the crate is built for an application.
pub fn target_board() -> Option<String> {
    maybe_env_var("HUBRIS_BOARD")
}

/// Sets cfg `target_board="<board>"`.
pub fn expose_target_board() {
    println!("cargo::rustc-check-cfg=cfg(target_board, values(any()))");
    if let Some(board) = target_board() {
        println!("cargo::rustc-cfg=target_board=\"{board}\"");
    }
}

/// The application's `[config]` table.
pub fn config<T: DeserializeOwned>() -> Result<T> {
    from_env("HUBRIS_APP_CONFIG", &["config"])
}

/// This task's `config` table, which must exist.
pub fn task_config<T: DeserializeOwned>() -> Result<T> {
    task_maybe_config()?.ok_or_else(|| anyhow!("app.toml: tasks.{}.config: missing", task_name()))
}

/// This task's `config` table, if it has one.
pub fn task_maybe_config<T: DeserializeOwned>() -> Result<Option<T>> {
    Ok(task_full_config()?.config)
}

/// This task's whole table, its `config` read as `T`.
pub fn task_full_config<T: DeserializeOwned>() -> Result<Task<T>> {
    from_env("HUBRIS_TASK_CONFIG", &["tasks", &task_name()])
}

/// This task's whole table, its `config` as plain TOML.
pub fn task_full_config_toml() -> Result<Task<toml::Value>> {
    task_full_config()
}

/// The memory outputs that are mapped into this task as a whole, by name.
///
/// `T` is a structure with the fields `address` and `size`, both `u32`, in this order.
pub fn task_extern_regions<T: DeserializeOwned>() -> Result<IndexMap<String, T>> {
    let place = ["tasks", &task_name(), "extern-regions"];
    from_env("HUBRIS_TASK_EXTERN_REGIONS", &place)
}

/// The tables of all tasks in the order of their indices, each `config` read as `T`.
pub fn all_tasks_full_config<T: DeserializeOwned>() -> Result<IndexMap<String, Task<T>>> {
    from_env("HUBRIS_ALL_TASK_CONFIGS", &["tasks"])
}

/// The tables of all tasks in the order of their indices, each `config` as plain TOML.
pub fn all_tasks_full_config_toml() -> Result<IndexMap<String, Task<toml::Value>>> {
    all_tasks_full_config()
}

/// The table of another task, its `config` read as `T`.
pub fn other_task_full_config<T: DeserializeOwned>(name: &str) -> Result<Task<T>> {
    let task = toml::Value::try_from(other_task_full_config_toml(name)?)?;
    from_value(task).map_err(|problem| refused(&problem, &["tasks", name]))
}

/// The table of another task, its `config` as plain TOML.
pub fn other_task_full_config_toml(name: &str) -> Result<Task<toml::Value>> {
    all_tasks_full_config_toml()?
        .swap_remove(name)
        .ok_or_else(|| anyhow!("app.toml: tasks.{name}: no such task"))
}

/// Reads TOML; an error quotes the line it is about.
pub fn toml_from_str<T: DeserializeOwned>(text: &str) -> Result<T> {
    toml::from_str(text).map_err(|error| {
        let line = error.span().and_then(|span| {
            let begin = text.get(..span.start)?.rfind('\n').map_or(0, |at| at + 1);
            text.get(begin..)?.lines().next()
        });
        // On one line, because only the first line of a build script's error is shown.
        let message = error.message().replace('\n', ", ");
        match line {
            Some(line) => anyhow!("`{line}`: {message}"),
            None => anyhow!("{message}"),
        }
    })
}

/// Reads TOML from an environment variable, which has what is at `place` in the application's file.
fn from_env<T: DeserializeOwned>(name: &str, place: &[&str]) -> Result<T> {
    let table: toml::Table =
        toml_from_str(&env_var(name)?).with_context(|| format!("in {name}"))?;
    from_value(toml::Value::Table(table)).map_err(|problem| refused(&problem, place))
}

/// The error for a problem of the table at `place`. xtask replaces the name of the file by its
/// path.
fn refused(problem: &Problem, place: &[&str]) -> anyhow::Error {
    let steps = place.iter().rev().map(|key| Step::Key((*key).to_string()));
    let problem = steps.fold(problem.clone(), Problem::under);
    anyhow!("app.toml: {problem}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "kebab-case", deny_unknown_fields)]
    #[allow(dead_code, reason = "only errors are looked at")]
    struct Config {
        keep_first: u32,
        #[serde(default)]
        limits: Limits,
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(rename_all = "kebab-case", deny_unknown_fields)]
    #[allow(dead_code, reason = "only errors are looked at")]
    struct Limits {
        total: u32,
    }

    fn error(config: &str) -> String {
        let text = format!("name = \"task-net\"\npriority = 1\n{config}");
        let value = toml::from_str(&text).expect("TOML");
        let problem = from_value::<Task<Config>>(value).expect_err("a mistake");
        refused(&problem, &["tasks", "net"]).to_string()
    }

    #[test]
    fn a_mistake_in_a_config_table_is_named_with_its_key() {
        for (config, expected) in [
            (
                "config = { keep-frist = 4 }",
                "app.toml: tasks.net.config.keep-frist: unknown key; did you mean `keep-first`?",
            ),
            (
                "config.keep-first = 4\nconfig.limits = { totl = 1 }",
                "app.toml: tasks.net.config.limits.totl: unknown key; did you mean `total`?",
            ),
            (
                "config.limits = { total = 1 }",
                "app.toml: tasks.net.config.keep-first: missing",
            ),
            (
                "config.keep-first = \"4\"",
                "app.toml: tasks.net.config.keep-first: is string \"4\", must be a number from 0 to 0xffff_ffff",
            ),
        ] {
            assert_eq!(error(config), expected);
        }
    }
}
