//! Writes the number of tasks, and their enumeration.

use anyhow::Result;
use std::fmt::Write;

fn main() -> Result<()> {
    let ids = build_util::task_ids();
    let mut code = String::new();
    writeln!(code, "/// Number of tasks in the application.")?;
    writeln!(
        code,
        "pub const NUM_TASKS: usize = {};",
        ids.names().count()
    )?;
    if build_util::has_feature("task-enum") {
        writeln!(
            code,
            "/// The tasks of the application; the discriminant is the task's index."
        )?;
        writeln!(code, "#[allow(non_camel_case_types, missing_docs)]")?;
        writeln!(code, "#[derive(Copy, Clone)]")?;
        writeln!(code, "pub enum Task {{")?;
        for (index, name) in ids.names().enumerate() {
            writeln!(code, "    {} = {index},", name.replace('-', "_"))?;
        }
        writeln!(code, "}}")?;
    }
    std::fs::write(build_util::out_dir().join("tasks.rs"), code)?;
    Ok(())
}
