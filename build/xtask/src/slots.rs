//! Binds task slots: writes the indices of tasks into the linked program
//!
//! `.task_slot_table` is a sequence of
//! `{ address of the slot: u32, length of its name: u32, name }` without padding. A slot is a
//! `u16`. All numbers are little-endian.

use crate::config::{Config, Problem, Task};
use anyhow::{Context, Result};
use build_elf::Elf;
use build_util::hint;

/// One entry of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Address of the slot.
    pub address: u32,
    /// Name of the slot, which `task-slots` binds to a task.
    pub name: String,
}

/// Reads the table.
pub fn parse(mut table: &[u8]) -> Result<Vec<Slot>> {
    let mut slots = Vec::new();
    while !table.is_empty() {
        let (slot, rest) = parse_one(table).context(".task_slot_table is cut short")?;
        slots.push(slot);
        table = rest;
    }
    Ok(slots)
}

fn parse_one(table: &[u8]) -> Option<(Slot, &[u8])> {
    let (address, rest) = table.split_first_chunk()?;
    let (length, rest) = rest.split_first_chunk()?;
    let (name, rest) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
    let slot = Slot {
        address: u32::from_le_bytes(*address),
        name: String::from_utf8_lossy(name).into_owned(),
    };
    Some((slot, rest))
}

/// Binds every slot of `elf` as in `task-slots` of `task`.
pub fn bind(config: &Config, name: &str, task: &Task, elf: &mut Elf) -> Result<()> {
    for slot in parse(elf.section(".task_slot_table")?)? {
        let Some(target) = task.task_slots.get(&slot.name) else {
            let hint = hint(&slot.name, task.task_slots.keys().map(String::as_str));
            let message = format!(
                "the crate {} wants a slot `{}`, which is not bound{hint}",
                task.name, slot.name
            );
            return Err(config
                .files
                .app
                .locate(&Problem::at(&["tasks", name, "task-slots"], message)));
        };
        let index = config
            .index_of(target)
            .with_context(|| format!("`{target}` is not a task"))?;
        elf.patch(slot.address, &u16::try_from(index)?.to_le_bytes())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_entries_back_to_back() {
        let mut table = Vec::new();
        for (address, name) in [(0x8010_0100u32, "jefe"), (0x8010_0102, "net")] {
            table.extend_from_slice(&address.to_le_bytes());
            table.extend_from_slice(&u32::try_from(name.len()).expect("short").to_le_bytes());
            table.extend_from_slice(name.as_bytes());
        }
        let slots = parse(&table).expect("well formed");
        assert_eq!(
            slots[1],
            Slot {
                address: 0x8010_0102,
                name: "net".into()
            }
        );
        assert_eq!(slots.len(), 2);
        table.pop();
        assert!(parse(&table).is_err());
    }
}
