//! Linker scripts with the addresses of a program, and the link

use crate::config::{Config, Task};
use crate::process::capture;
use crate::toolchain::Toolchain;
use anyhow::{Context, Result, bail};
use std::fmt::Write;
use std::fs;
use std::path::Path;

/// A piece of memory.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Range {
    pub base: u32,
    pub size: u32,
}

/// The name of a memory output in linker scripts, where the default RAM is always RAM.
fn script_name(output: &str, ram: &str) -> String {
    if output == ram {
        return "RAM".into();
    }
    let name = symbol_name(output);
    if name == "RAM" || name == "STACK" {
        format!("{name}_OUTPUT")
    } else {
        name
    }
}

fn symbol_name(name: &str) -> String {
    name.to_uppercase().replace('-', "_")
}

/// `MEMORY` of a program with its `outputs`, the stack being at the low end of `ram`.
fn memory(
    outputs: &[&str],
    ram: &str,
    stack: u32,
    place: impl Fn(&str) -> Result<Range>,
) -> Result<String> {
    let mut script = String::from("MEMORY\n{\n");
    for output in outputs {
        let mut range = place(output)?;
        if *output == ram {
            writeln!(
                script,
                "  STACK (rw) : ORIGIN = {:#010x}, LENGTH = {stack:#010x}",
                range.base
            )?;
            range = Range {
                base: range.base + stack,
                size: range.size.saturating_sub(stack),
            };
        }
        let flags = if *output == "flash" { "rx" } else { "rw" };
        let name = script_name(output, ram);
        writeln!(
            script,
            "  {name} ({flags}) : ORIGIN = {:#010x}, LENGTH = {:#010x}",
            range.base, range.size
        )?;
    }
    script.push_str("}\n");
    Ok(script)
}

/// `memory.x` of a task: `place` gives its piece of each of its outputs.
pub fn task_memory(
    config: &Config,
    task: &Task,
    image: &str,
    place: impl Fn(&str) -> Result<Range>,
) -> Result<String> {
    let ram = config.ram_of(task);
    let outputs = config.outputs_of(task);
    let mut script = memory(&outputs, ram, config.stack_of(task), place)?;
    script.push_str(&symbols(
        config,
        image,
        task.extern_regions.iter().map(String::as_str),
    )?);
    for (section, output) in &task.sections {
        let name = script_name(output, ram);
        writeln!(
            script,
            "SECTIONS {{ .{section} (NOLOAD) : ALIGN(4) {{ *(.{section} .{section}.*) }} > {name} }} INSERT AFTER .uninit;"
        )?;
    }
    Ok(script)
}

/// `memory.x` of the kernel, which has its stack at the low end of its RAM as well.
pub fn kernel_memory(
    config: &Config,
    image: &str,
    place: impl Fn(&str) -> Result<Range>,
) -> Result<String> {
    let kernel = &config.app.kernel;
    let outputs: Vec<&str> = kernel.requires.keys().map(String::as_str).collect();
    let mut script = memory(&outputs, config.kernel_ram(), kernel.stacksize, place)?;
    script.push_str("_stack_base = ORIGIN(STACK);\n");
    script.push_str("_stack_start = ORIGIN(STACK) + LENGTH(STACK);\n");
    script.push_str("_HUBRIS_IMAGE_HEADER_ALIGN = 4;\n");
    writeln!(
        script,
        "_HUBRIS_IMAGE_HEADER_SIZE = {};",
        crate::image::HEADER_SIZE
    )?;
    script.push_str(&symbols(
        config,
        image,
        kernel
            .extern_regions
            .iter()
            .map(|entry| entry.region.as_str()),
    )?);
    Ok(script)
}

/// Symbols for the ends of the images and of the regions that are mapped as a whole.
fn symbols<'a>(
    config: &Config,
    image: &str,
    regions: impl Iterator<Item = &'a str>,
) -> Result<String> {
    let mut script = String::new();
    for entry in config.memory.get("flash").into_iter().flatten() {
        let name = symbol_name(&entry.name);
        writeln!(script, "__IMAGE_{name}_BASE = {:#010x};", entry.address)?;
        writeln!(script, "__IMAGE_{name}_END = {:#010x};", entry.end())?;
    }
    writeln!(
        script,
        "__this_image = {:#010x};",
        config.output("flash", image)?.address
    )?;
    for region in regions {
        let output = config.output(region, image)?;
        let name = symbol_name(region);
        writeln!(script, "__REGION_{name}_BASE = {:#010x};", output.address)?;
        writeln!(script, "__REGION_{name}_END = {:#010x};", output.end())?;
    }
    Ok(script)
}

/// Links the relocatable `object` to `output`, by `script` and the `memory` that it includes.
pub fn link(
    toolchain: &Toolchain,
    object: &Path,
    script: &Path,
    memory: &str,
    output: &Path,
) -> Result<()> {
    // Each link has a directory of its own: links run in parallel, and the script includes
    // `memory.x` by name.
    let mut directory = output.as_os_str().to_os_string();
    directory.push(".link");
    let directory = Path::new(&directory);
    fs::create_dir_all(directory)
        .with_context(|| format!("cannot make {}", directory.display()))?;
    let memory_path = directory.join("memory.x");
    fs::write(&memory_path, memory)
        .with_context(|| format!("cannot write {}", memory_path.display()))?;

    let mut command = toolchain.lld();
    command
        .args([
            "-m",
            "armelf",
            "--gc-sections",
            "-z",
            "common-page-size=0x20",
            "-z",
            "max-page-size=0x20",
        ])
        .arg("-L")
        .arg(directory)
        .arg("-T")
        .arg(script)
        .arg(object)
        .arg("-o")
        .arg(output);
    let result = capture(&mut command)?;
    if !result.status.success() {
        let said = String::from_utf8_lossy(&result.stderr).into_owned();
        bail!("{}", summary(&said, object));
    }
    Ok(())
}

/// The linker's first error, on one line.
fn summary(said: &str, object: &Path) -> String {
    let errors: Vec<&str> = said
        .lines()
        .filter_map(|line| line.split_once("error: ").map(|(_, error)| error.trim()))
        .collect();
    let name = object.file_stem().unwrap_or_default().to_string_lossy();
    match errors.as_slice() {
        [] => format!(
            "{name}: the linker failed: {}",
            said.lines().next().unwrap_or_default()
        ),
        [one] => format!("{name}: link: {one}"),
        [first, rest @ ..] => format!("{name}: link: {first} (and {} more)", rest.len()),
    }
}
