//! Generates the recorder's server from its interface, as the task's build script does, and takes
//! what the task does first from its `main.rs`, which is the root of a crate and no module.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::{env, fs};

/// Index of the one task that may erase crashes.
const ERASER: usize = 3;

/// The file with the task's entry point, and the line before it.
const MAIN: &str = "../../task/crashlog/src/main.rs";
const BEFORE_MAIN: &str = "#[unsafe(export_name = \"main\")]\n";

fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    println!("cargo::rerun-if-changed={MAIN}");
    let main = fs::read_to_string(MAIN)?;
    let (_, main) = main
        .split_once(BEFORE_MAIN)
        .ok_or_else(|| format!("{MAIN}: the line {BEFORE_MAIN:?} must precede the entry point"))?;
    let folder = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(folder.join("main.rs"), main)?;

    let allowed = BTreeMap::from([("erase_crash".to_owned(), vec![ERASER])]);
    idol::Generator::new()
        .with_counters(idol::CounterSettings::default().with_client_counters(false))
        .build_restricted_server_support(
            "../../idl/crashlog.idol",
            "server_stub.rs",
            idol::server::ServerStyle::InOrder,
            &allowed,
        )
}
