//! The kernel's configuration: the tasks, their regions, and the interrupts

use crate::allocate::Allocation;
use crate::config::{Config, Output, Task};
use anyhow::{Context, Result};
use build_kconfig::{
    AllowedCallers, InterruptConfig, KernelConfig, MultiRegionConfig, OwnedAddress,
    RegionAttributes, RegionConfig, SpecialRole, TaskConfig,
};
use std::collections::{BTreeMap, BTreeSet};

/// The kernel's configuration for `image`. `entries` gives the address of each task's first
/// instruction.
pub fn make(
    config: &Config,
    image: &str,
    allocation: &Allocation,
    entries: &BTreeMap<String, u32>,
) -> Result<KernelConfig> {
    let mut kernel = KernelConfig {
        features: config.app.kernel.features.clone(),
        allowed_callers: allowed_callers(config),
        recorder: config.recorder(),
        ..KernelConfig::default()
    };
    for region in &config.app.kernel.extern_regions {
        let output = config.output(&region.region, image)?;
        kernel.extern_regions.insert(
            region.region.clone(),
            output.address..u32::try_from(output.end())?,
        );
    }
    for (index, (name, task)) in config.app.tasks.iter().enumerate() {
        let entry = entries
            .get(name)
            .copied()
            .with_context(|| format!("task `{name}` was not linked"))?;
        kernel
            .tasks
            .push(one_task(config, image, allocation, name, task, entry)?);
        for region in task.uses.iter().chain(&task.extern_regions) {
            kernel
                .shared_regions
                .insert(region.clone(), shared(config, image, region)?);
        }
        for (source, notification) in &task.interrupts {
            let number = config
                .irq_number(source)
                .with_context(|| format!("no interrupt `{source}`"))?;
            let bit = task
                .notifications
                .iter()
                .position(|name| name == notification);
            let notification =
                1 << bit.with_context(|| format!("no notification `{notification}`"))?;
            kernel.irqs.insert(
                number,
                InterruptConfig {
                    task_index: index,
                    notification,
                },
            );
        }
    }
    Ok(kernel)
}

/// Who may restart, fault and reset. The names have been checked.
fn allowed_callers(config: &Config) -> AllowedCallers {
    let indices = |names: &[String]| {
        let indices = names.iter().filter_map(|name| config.index_of(name));
        indices.collect::<BTreeSet<_>>()
    };
    let names = &config.app.kernel.allowed_callers;
    AllowedCallers {
        reinit_task: indices(&names.reinit_task),
        fault_task: indices(&names.fault_task),
        reset: indices(&names.reset),
    }
}

fn one_task(
    config: &Config,
    image: &str,
    allocation: &Allocation,
    name: &str,
    task: &Task,
    entry: u32,
) -> Result<TaskConfig> {
    let mut owned_regions = BTreeMap::new();
    for output in config.outputs_of(task) {
        let range = allocation.of_task(name, output)?;
        let attributes = attributes_of(config.output(output, image)?);
        owned_regions.insert(
            output.to_string(),
            MultiRegionConfig {
                base: range.base,
                sizes: vec![range.size],
                attributes,
            },
        );
    }
    let flash = allocation.of_task(name, "flash")?;
    Ok(TaskConfig {
        owned_regions,
        shared_regions: task
            .uses
            .iter()
            .chain(&task.extern_regions)
            .cloned()
            .collect::<BTreeSet<_>>(),
        entry_point: OwnedAddress {
            region_name: "flash".into(),
            offset: entry - flash.base,
        },
        initial_stack: OwnedAddress {
            region_name: config.ram_of(task).into(),
            offset: config.stack_of(task),
        },
        priority: task.priority,
        start_at_boot: task.start,
    })
}

/// A peripheral, a piece of extra text, or a memory output mapped as a whole.
fn shared(config: &Config, image: &str, name: &str) -> Result<RegionConfig> {
    if let Some(peripheral) = config.chip.get(name) {
        let attributes = RegionAttributes {
            read: true,
            write: true,
            execute: false,
            special_role: Some(SpecialRole::Device),
        };
        return Ok(RegionConfig {
            base: peripheral.address,
            size: peripheral.size,
            attributes,
        });
    }
    if let Some(text) = config.app.extratext.get(name) {
        let attributes = RegionAttributes {
            read: true,
            write: false,
            execute: true,
            special_role: None,
        };
        return Ok(RegionConfig {
            base: text.address,
            size: text.size,
            attributes,
        });
    }
    let output = config.output(name, image)?;
    Ok(RegionConfig {
        base: output.address,
        size: output.size,
        attributes: attributes_of(output),
    })
}

fn attributes_of(output: &Output) -> RegionAttributes {
    RegionAttributes {
        read: output.read,
        write: output.write,
        execute: output.execute,
        special_role: output.dma.then_some(SpecialRole::Dma),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::allocate::{Needs, allocate};
    use crate::testing::Files;
    use indexmap::IndexMap;

    #[test]
    fn tells_the_kernel_where_everything_is() {
        let mut files = Files::good();
        files.app = files
            .app
            .replace("name = \"kern\"", "name = \"kern\"\nfeatures = [\"dump\"]");
        files.app += "[tasks.jefe.config.crash]\nrecorder = \"net\"\n\
                      [kernel.allowed-callers]\nfault_task = [\"idle\", \"net\"]\n";
        let config = files.load().expect("good");
        let of = |task: &str| {
            Needs::from([
                ("flash".into(), 100),
                ("ram".into(), if task == "net" { 5000 } else { 1024 }),
            ])
        };
        let needs: IndexMap<String, Needs> = ["jefe", "net", "idle"]
            .iter()
            .map(|name| (name.to_string(), of(name)))
            .collect();
        let allocation = allocate(&config, "default", &needs).expect("fits");
        let entries = needs.keys().map(|name| {
            (
                name.clone(),
                allocation.of_task(name, "flash").expect("a piece").base,
            )
        });
        let kernel = make(&config, "default", &allocation, &entries.collect()).expect("made");

        let net = &kernel.tasks[1];
        assert_eq!(net.owned_regions["ram"].base, 0x2000_3000);
        assert_eq!(net.owned_regions["ram"].sizes, [0x2000]);
        assert_eq!(
            net.entry_point,
            OwnedAddress {
                region_name: "flash".into(),
                offset: 0
            }
        );
        assert_eq!(
            net.initial_stack,
            OwnedAddress {
                region_name: "ram".into(),
                offset: 2048
            }
        );
        assert_eq!((net.priority, net.start_at_boot), (2, false));
        assert_eq!(net.shared_regions, BTreeSet::from(["eth".to_string()]));
        assert_eq!(
            kernel.irqs[&61],
            InterruptConfig {
                task_index: 1,
                notification: 0b10
            }
        );
        assert_eq!(
            kernel.shared_regions.keys().collect::<Vec<_>>(),
            ["crash", "eth"]
        );
        assert_eq!(
            kernel.shared_regions["eth"].attributes.special_role,
            Some(SpecialRole::Device)
        );
        assert_eq!(
            kernel.shared_regions["crash"].attributes.special_role,
            Some(SpecialRole::Dma)
        );
        assert!(net.owned_regions["flash"].attributes.execute);
        assert_eq!(kernel.recorder, Some(1));
        let callers = &kernel.allowed_callers;
        assert_eq!(callers.fault_task, BTreeSet::from([1, 2]));
        assert!(callers.reinit_task.is_empty() && callers.reset.is_empty());

        let text = ron::to_string(&kernel).expect("RON");
        assert_eq!(
            ron::from_str::<KernelConfig>(&text).expect("reads back"),
            kernel
        );
    }
}
