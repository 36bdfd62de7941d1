//! Rules for board, memory and chip, and for the kernel

use crate::config::{Config, Output, Problem};
use build_util::hint;

pub fn board(config: &Config) -> Result<(), Problem> {
    if config.board.substrate.kernel_target.is_empty() {
        let message = "missing; the board needs the target of the kernel and the region-granule of its memory protection";
        return Err(Problem::at(&["substrate"], message));
    }
    let granule = config.board.substrate.region_granule;
    if !granule.is_power_of_two() || granule < 32 {
        let message = format!("is {granule}, must be a power of two of at least 32");
        return Err(Problem::at(&["substrate", "region-granule"], message));
    }
    Ok(())
}

pub fn memory(config: &Config) -> Result<(), Problem> {
    for required in ["flash", config.app.default_ram.as_str()] {
        if !config.memory.contains_key(required) {
            let message = "missing; the application needs this memory output";
            return Err(Problem::at(&[required], message));
        }
    }
    for (name, entries) in &config.memory {
        for image in &config.app.image_names {
            let count = entries.iter().filter(|entry| entry.name == *image).count();
            if count != 1 {
                let message = format!("has {count} entries for image `{image}`, must have one");
                return Err(Problem::at(&[name], message));
            }
        }
        for entry in entries {
            if entry.size == 0 {
                return Err(Problem::at(&[name], "has size 0"));
            }
            if entry.end() > 1 << 32 {
                return Err(Problem::at(&[name], "ends beyond the 32-bit address space"));
            }
        }
    }
    for image in &config.app.image_names {
        let mut placed: Vec<(&str, u64, u64)> = Vec::new();
        for (name, entries) in &config.memory {
            for entry in entries.iter().filter(|entry| entry.name == *image) {
                let (start, end) = (u64::from(entry.address), entry.end());
                if let Some((other, _, _)) = placed.iter().find(|(_, s, e)| start < *e && *s < end)
                {
                    let message = format!("overlaps `{other}` in image `{image}`");
                    return Err(Problem::at(&[name], message));
                }
                placed.push((name, start, end));
            }
        }
    }
    Ok(())
}

/// What depends on the memory protection of this board: files of other boards are wrong here only.
pub fn memory_granules(config: &Config) -> Result<(), Problem> {
    let granule = config.board.substrate.region_granule;
    for (name, entries) in &config.memory {
        for Output { address, size, .. } in entries {
            if address % granule != 0 || size % granule != 0 {
                let message = format!(
                    "address {address:#x} and size {size:#x} must be multiples of the board's region-granule, {granule:#x}"
                );
                return Err(Problem::at(&[name], message));
            }
        }
    }
    Ok(())
}

/// As [`memory_granules`].
pub fn chip_granules(config: &Config) -> Result<(), Problem> {
    let granule = config.board.substrate.region_granule;
    for (name, peripheral) in &config.chip {
        for (key, value) in [("address", peripheral.address), ("size", peripheral.size)] {
            if value % granule != 0 || (key == "size" && value == 0) {
                let message = format!(
                    "is {value:#x}, must be a multiple of the board's region-granule, {granule:#x}"
                );
                return Err(Problem::at(&[name, key], message));
            }
        }
    }
    Ok(())
}

pub fn kernel(config: &Config) -> Result<(), Problem> {
    let kernel = &config.app.kernel;
    for (output, size) in &kernel.requires {
        if !config.memory.contains_key(output) {
            let hint = hint(output, config.memory.keys().map(String::as_str));
            let message = format!("is not a memory output{hint}");
            return Err(Problem::at(&["kernel", "requires", output], message));
        }
        if size % 4 != 0 {
            let message = format!("is {size}, must be a multiple of 4");
            return Err(Problem::at(&["kernel", "requires", output], message));
        }
    }
    for needed in ["flash", config.kernel_ram()] {
        if !kernel.requires.contains_key(needed) {
            return Err(Problem::at(&["kernel", "requires", needed], "missing"));
        }
    }
    let ram = kernel
        .requires
        .get(config.kernel_ram())
        .copied()
        .unwrap_or_default();
    if !kernel.stacksize.is_multiple_of(8) || kernel.stacksize == 0 || kernel.stacksize > ram {
        let message = format!(
            "is {}, must be a multiple of 8 and fit in kernel.requires.{}",
            kernel.stacksize,
            config.kernel_ram()
        );
        return Err(Problem::at(&["kernel", "stacksize"], message));
    }
    for (index, region) in kernel.extern_regions.iter().enumerate() {
        if !config.memory.contains_key(&region.region) {
            let hint = hint(&region.region, config.memory.keys().map(String::as_str));
            let message = format!(
                "entry {index}: `{}` is not a memory output{hint}",
                region.region
            );
            return Err(Problem::at(&["kernel", "extern-regions"], message));
        }
    }
    Ok(())
}
