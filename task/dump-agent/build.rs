//! Generates the server, and the table of regions that dump areas can be in.

use std::collections::BTreeMap;
use std::fmt::Write;

use anyhow::{Context, Result};
use serde::Deserialize;

/// Operations that show or change what the memory of tasks is dumped into: closed unless the
/// configuration says who may use them.
const CLOSED: [&str; 8] = [
    "read_dump",
    "read_dump_into",
    "initialize_dump",
    "add_dump_segment",
    "take_dump",
    "dump_task",
    "dump_task_region",
    "reinitialize_dump_from",
];

/// `[tasks.dump_agent.config]`, which is optional.
#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Config {
    /// Operation to the names of the tasks that may use it. Of those that are not listed,
    /// [`CLOSED`] are closed, and every task may use the others.
    #[serde(default)]
    allowed_callers: BTreeMap<String, Vec<String>>,
}

/// An extern region: a memory output that is mapped as a whole.
#[derive(Deserialize)]
struct ExternRegion {
    address: u32,
    size: u32,
}

fn main() {
    // On a host the workspace is checked without an application.
    if build_util::target_os() != "none" {
        return;
    }
    if let Err(error) = generate() {
        println!("cargo::error={error:#}");
    }
}

fn generate() -> Result<()> {
    if !build_util::has_feature("no-rot") {
        println!(
            "cargo::error=app.toml: tasks.{}.features: must name \"no-rot\": no board here has a processor that could dump \
             the whole system",
            build_util::task_name()
        );
    }
    let config: Config = build_util::task_maybe_config()?.unwrap_or_default();
    let mut callers = config.allowed_callers;
    for operation in CLOSED {
        callers.entry(operation.to_string()).or_default();
    }
    let callers = build_util::task_ids()
        .remap_allowed_caller_names_to_ids(&callers)
        .with_context(|| {
            format!(
                "app.toml: tasks.{}.config.allowed-callers",
                build_util::task_name()
            )
        })?;
    idol::Generator::new()
        .with_counters(idol::CounterSettings::default().with_client_counters(false))
        .build_restricted_server_support(
            "../../idl/dump-agent.idol",
            "server_stub.rs",
            idol::server::ServerStyle::InOrder,
            &callers,
        )
        .map_err(|error| anyhow::anyhow!("{error}"))?;

    let regions = build_util::task_extern_regions::<ExternRegion>()?;
    let mut rust = format!(
        "/// Memory that dumps can be in.\npub const REGIONS: [humpty::DumpAreaRegion; {}] = [\n",
        regions.len()
    );
    for ExternRegion { address, size } in regions.values() {
        writeln!(
            rust,
            "    humpty::DumpAreaRegion {{ address: {address:#x}, length: {size:#x} }},"
        )?;
    }
    rust += "];\n";
    let path = build_util::out_dir().join("regions.rs");
    std::fs::write(&path, rust).with_context(|| format!("cannot write {}", path.display()))
}
