//! Constants for the notification bits of all tasks

use anyhow::{Context, Result, bail};
use std::fmt::Write;
use std::fs;

/// Bit 31 belongs to userlib's sleep timer, so a task names at most this many notifications.
const MAX_NOTIFICATIONS: usize = 31;

/// Writes `notifications.rs` to the output directory, for the task to include:
///
/// ```text
/// include!(concat!(env!("OUT_DIR"), "/notifications.rs"));
/// ```
///
/// It holds `mod notifications` with `X_BIT: u8` and `X_MASK: u32` for each of the task's
/// notifications, and a module of the same kind for every task of the application.
pub fn build_notifications() -> Result<()> {
    let task = crate::task_full_config_toml()?;
    if task.name == "task-jefe"
        && task
            .notifications
            .first()
            .is_none_or(|first| first != "fault")
    {
        bail!(
            "app.toml: tasks.{}.notifications: the first must be \"fault\", which the kernel posts",
            crate::task_name()
        );
    }

    let mut code = String::new();
    writeln!(code, "/// Notification bits, from `app.toml`.")?;
    writeln!(code, "#[allow(dead_code, missing_docs)]")?;
    writeln!(code, "pub mod notifications {{")?;
    write_constants(&mut code, "    ", &crate::task_name(), &task.notifications)?;
    for (name, task) in crate::all_tasks_full_config_toml()? {
        writeln!(code, "    pub mod {} {{", name.replace('-', "_"))?;
        write_constants(&mut code, "        ", &name, &task.notifications)?;
        writeln!(code, "    }}")?;
    }
    writeln!(code, "}}")?;

    let path = crate::out_dir().join("notifications.rs");
    fs::write(&path, code).with_context(|| format!("cannot write {}", path.display()))
}

/// The two constants of each notification of `task`.
fn write_constants(
    code: &mut String,
    indent: &str,
    task: &str,
    notifications: &[String],
) -> Result<()> {
    if notifications.len() > MAX_NOTIFICATIONS {
        bail!("app.toml: tasks.{task}.notifications: more than {MAX_NOTIFICATIONS}");
    }
    for (bit, name) in notifications.iter().enumerate() {
        let name = name.to_uppercase().replace('-', "_");
        writeln!(code, "{indent}pub const {name}_BIT: u8 = {bit};")?;
        writeln!(
            code,
            "{indent}pub const {name}_MASK: u32 = 1 << {name}_BIT;"
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn position_is_bit() {
        let mut code = String::new();
        write_constants(&mut code, "", "net", &["timer".into(), "eth-irq".into()]).expect("fits");
        assert_eq!(
            code,
            "pub const TIMER_BIT: u8 = 0;\npub const TIMER_MASK: u32 = 1 << TIMER_BIT;\n\
             pub const ETH_IRQ_BIT: u8 = 1;\npub const ETH_IRQ_MASK: u32 = 1 << ETH_IRQ_BIT;\n"
        );
    }

    #[test]
    fn bit_31_is_reserved() {
        let names: Vec<String> = (0..32).map(|i| format!("n{i}")).collect();
        assert!(write_constants(&mut String::new(), "", "net", &names).is_err());
    }
}
