//! Writes the table of task names.

use anyhow::Result;
use std::fmt::Write;

fn main() -> Result<()> {
    let ids = build_util::task_ids();
    let mut code = String::new();
    writeln!(code, "/// Name of each task, by index.")?;
    writeln!(
        code,
        "pub static TASK_NAMES: [&str; {}] = [",
        ids.names().count()
    )?;
    for name in ids.names() {
        writeln!(code, "    {name:?},")?;
    }
    writeln!(code, "];")?;
    writeln!(code, "/// Length of the longest name, in bytes.")?;
    writeln!(
        code,
        "pub const MAX_TASK_NAME: usize = {};",
        ids.names().map(str::len).max().unwrap_or(0)
    )?;
    std::fs::write(build_util::out_dir().join("names.rs"), code)?;
    Ok(())
}
