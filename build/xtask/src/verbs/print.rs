//! `print` and `task-slots`: facts about the application

use crate::dist::{Build, Product};
use crate::output;
use crate::slots;
use anyhow::{Context, Result};
use build_elf::Elf;
use clap::ValueEnum;

/// A fact.
#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
pub enum Fact {
    /// Path of the build archive
    Archive,
    /// Path of the ELF file that QEMU boots
    QemuElf,
    /// app.toml with everything it inherits from
    ExpandedConfig,
}

/// Prints one fact, once per image.
pub fn print(build: &Build, fact: Fact) -> Result<()> {
    if fact == Fact::ExpandedConfig {
        return output::print(&toml::to_string_pretty(&build.config.manifest)?);
    }
    for image in &build.config.app.image_names {
        let product = build.product(image);
        let path = if fact == Fact::Archive {
            product.archive
        } else {
            product.qemu_elf
        };
        output::print(&format!("{}\n", path.display()))?;
    }
    Ok(())
}

/// Prints which task each slot is bound to in an image that was built.
pub fn task_slots(build: &Build, product: &Product) -> Result<()> {
    for (name, task) in &build.config.app.tasks {
        let elf = Elf::read(&product.task(name))?;
        for slot in slots::parse(elf.section(".task_slot_table")?)? {
            let target = task
                .task_slots
                .get(&slot.name)
                .with_context(|| format!("{name}: no slot {}", slot.name))?;
            let index = build
                .config
                .index_of(target)
                .with_context(|| format!("no task {target}"))?;
            output::print(&format!(
                "{name}: {} is {target}, task {index}, at {:#010x}\n",
                slot.name, slot.address
            ))?;
        }
    }
    Ok(())
}
