//! Generates the server, and the table of regions that dump areas can be in.

use std::fmt::Write;

use anyhow::{Context, Result};
use serde::Deserialize;

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
    idol::Generator::new()
        .with_counters(idol::CounterSettings::default().with_client_counters(false))
        .build_server_support(
            "../../idl/dump-agent.idol",
            "server_stub.rs",
            idol::server::ServerStyle::InOrder,
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
