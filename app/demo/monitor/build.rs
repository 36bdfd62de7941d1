//! Generates a constant with the name of the recorder's partition.

use serde::Deserialize;

/// The key of `[tasks.crashlog.config]` that the monitor prints.
#[derive(Deserialize)]
struct Recorder {
    partition: String,
}

fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let recorder = build_util::other_task_full_config::<Recorder>("crashlog")?.config;
    let Some(Recorder { partition }) = recorder else {
        return Err("app.toml: tasks.crashlog.config: missing".into());
    };
    std::fs::write(
        build_util::out_dir().join("recorder.rs"),
        format!(
            "/// Name of the recorder's partition.\npub const PARTITION: &str = {partition:?};\n"
        ),
    )?;
    Ok(())
}
