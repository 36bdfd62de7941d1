//! Divides each memory output among the kernel and the tasks
//!
//! The kernel's piece comes first, then those of the tasks in the order of their indices. Each is
//! rounded up to the board's region granule, and there are no other gaps. A task has one piece of
//! each output: regions need only begin and end at a granule, so splitting one would save nothing.

use crate::config::{Config, Output, Problem};
use crate::linker::Range;
use anyhow::{Context, Result};
use indexmap::IndexMap;
use std::collections::BTreeMap;

/// Bytes that a task needs of each output.
pub type Needs = BTreeMap<String, u32>;

/// The pieces of the kernel and of each task.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allocation {
    /// The kernel's piece of each output.
    pub kernel: BTreeMap<String, Range>,
    /// The pieces of each task.
    pub tasks: IndexMap<String, BTreeMap<String, Range>>,
}

impl Allocation {
    /// The piece of `output` that `task` has.
    pub fn of_task(&self, task: &str, output: &str) -> Result<Range> {
        let piece = self
            .tasks
            .get(task)
            .and_then(|pieces| pieces.get(output))
            .copied();
        piece.with_context(|| format!("task `{task}` has no piece of `{output}`"))
    }

    /// The piece of `output` that the kernel has.
    pub fn of_kernel(&self, output: &str) -> Result<Range> {
        self.kernel
            .get(output)
            .copied()
            .with_context(|| format!("the kernel has no piece of `{output}`"))
    }
}

/// One output while it is being divided.
struct Remaining<'a> {
    output: &'a Output,
    next: u64,
}

/// Places everything in `image`.
pub fn allocate(
    config: &Config,
    image: &str,
    needs: &IndexMap<String, Needs>,
) -> Result<Allocation> {
    let granule = u64::from(config.board.substrate.region_granule);
    let mut remaining = BTreeMap::new();
    for name in config.memory.keys() {
        let output = config.output(name, image)?;
        remaining.insert(
            name.as_str(),
            Remaining {
                output,
                next: u64::from(output.address),
            },
        );
    }
    let mut take = |name: &str, size: u32| {
        let piece = remaining
            .get_mut(name)
            .with_context(|| format!("`{name}` is not a memory output"))?;
        let size = u64::from(size).next_multiple_of(granule);
        let base = piece.next;
        piece.next += size;
        Ok::<_, anyhow::Error>(Range {
            base: u32::try_from(base)?,
            size: u32::try_from(size)?,
        })
    };

    let mut allocation = Allocation::default();
    for (output, size) in &config.app.kernel.requires {
        allocation
            .kernel
            .insert(output.clone(), take(output, *size)?);
    }
    for (task, needs) in needs {
        let mut pieces = BTreeMap::new();
        for (output, size) in needs {
            pieces.insert(output.clone(), take(output, *size)?);
        }
        allocation.tasks.insert(task.clone(), pieces);
    }

    for (name, piece) in &remaining {
        if piece.next > piece.output.end() {
            let message = format!(
                "image `{image}` needs {} bytes of this memory, there are {}",
                piece.next - u64::from(piece.output.address),
                piece.output.size
            );
            return Err(config.files.memory.locate(&Problem::at(&[name], message)));
        }
    }
    Ok(allocation)
}

/// Refuses a task that needs more than its `max-sizes`.
pub fn check_caps(config: &Config, needs: &IndexMap<String, Needs>) -> Result<()> {
    for (name, task) in &config.app.tasks {
        for (output, cap) in &task.max_sizes {
            let need = needs
                .get(name)
                .and_then(|needs| needs.get(output))
                .copied()
                .unwrap_or_default();
            if need > *cap {
                let message = format!("is {cap}, but the task needs {need} bytes");
                let key = ["tasks", name.as_str(), "max-sizes", output.as_str()];
                return Err(config.files.app.locate(&Problem::at(&key, message)));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Files;

    fn needs(list: &[(&str, u32, u32)]) -> IndexMap<String, Needs> {
        let of = |flash, ram| Needs::from([("flash".to_string(), flash), ("ram".to_string(), ram)]);
        list.iter()
            .map(|(name, flash, ram)| (name.to_string(), of(*flash, *ram)))
            .collect()
    }

    #[test]
    fn everything_follows_the_kernel_in_granules() {
        let config = Files::good().load().expect("good");
        let needs = needs(&[("jefe", 4097, 1), ("net", 100, 4096), ("idle", 92, 256)]);
        let allocation = allocate(&config, "default", &needs).expect("fits");
        let piece = |task, output| allocation.of_task(task, output).expect("a piece");
        assert_eq!(
            allocation.of_kernel("flash").expect("a piece"),
            Range {
                base: 0x0800_0000,
                size: 0x8000
            }
        );
        assert_eq!(
            piece("jefe", "flash"),
            Range {
                base: 0x0800_8000,
                size: 0x2000
            }
        );
        assert_eq!(
            piece("net", "flash"),
            Range {
                base: 0x0800_a000,
                size: 0x1000
            }
        );
        assert_eq!(
            piece("jefe", "ram"),
            Range {
                base: 0x2000_2000,
                size: 0x1000
            }
        );
        assert_eq!(
            piece("net", "ram"),
            Range {
                base: 0x2000_3000,
                size: 0x1000
            }
        );
        assert_eq!(
            piece("idle", "ram"),
            Range {
                base: 0x2000_4000,
                size: 0x1000
            }
        );
    }

    #[test]
    fn too_much_is_named() {
        let config = Files::good().load().expect("good");
        let needs = needs(&[("jefe", 0x6000, 1), ("net", 0x2001, 1)]);
        let error = allocate(&config, "default", &needs)
            .expect_err("does not fit")
            .to_string();
        assert!(
            error.ends_with("memory.toml:1: flash: image `default` needs 69632 bytes of this memory, there are 65536"),
            "{error}"
        );
    }

    #[test]
    fn caps_are_kept() {
        let mut files = Files::good();
        files.app = files
            .app
            .replace("priority = 2", "priority = 2\nmax-sizes = { flash = 8192 }");
        let config = files.load().expect("good");
        assert!(check_caps(&config, &needs(&[("net", 8192, 1)])).is_ok());
        let error = check_caps(&config, &needs(&[("net", 8193, 1)]))
            .expect_err("too large")
            .to_string();
        assert!(
            error.ends_with(
                "app.toml:21: tasks.net.max-sizes.flash: is 8192, but the task needs 8193 bytes"
            ),
            "{error}"
        );
    }
}
