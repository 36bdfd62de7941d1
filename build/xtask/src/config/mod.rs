//! The application's configuration
//!
//! It is read from `app.toml` and from the chip, memory and board files that it names. The schema
//! is upstream's (kebab case, unknown keys refused), with one table of our own in the board file,
//! [`Substrate`]. A [`Config`] exists only if all rules of [`check`] hold: `Config::load` ends with
//! them.

pub mod check;
mod error;
mod inherit;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod tests;

pub use error::{Problem, Sources, shown};

use anyhow::{Result, anyhow, bail};
use indexmap::IndexMap;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// A task's table.
pub type Task = toml_task::Task<Value>;

/// `app.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct App {
    /// Name of the application: of its output directory and its archive.
    pub name: String,
    /// Target triple of the tasks.
    pub target: String,
    /// The file `boards/<board>.toml`.
    pub board: String,
    /// Directory of `chip.toml` and the memory file, relative to `app.toml`.
    pub chip: String,
    /// Name of the memory file.
    #[serde(default = "default_memory")]
    pub memory: String,
    /// Memory output that holds data and stacks.
    #[serde(default = "default_ram")]
    pub default_ram: String,
    /// Stack of a task that names none, bytes.
    pub stacksize: Option<u32>,
    /// One image is made for each; they differ in the addresses of the memory file.
    #[serde(default = "default_images")]
    pub image_names: Vec<String>,
    /// Anti-rollback epoch, for the image header.
    #[serde(default)]
    pub epoch: u32,
    /// Version, for the image header.
    #[serde(default)]
    pub version: u32,
    /// The kernel.
    pub kernel: Kernel,
    /// The tasks, in the order of their indices.
    pub tasks: IndexMap<String, Task>,
    /// Passed unchanged to all build scripts.
    pub config: Option<Value>,
    /// Regions that are shared, read and executed.
    #[serde(default)]
    pub extratext: IndexMap<String, Peripheral>,
    mmio: Option<Value>,
    auxflash: Option<Value>,
    caboose: Option<Value>,
    signing: Option<Value>,
}

impl App {
    /// Replaces `ram` in `requires` and `max-sizes` by the name of the default RAM.
    fn name_ram(&mut self) {
        let rename = |sizes: &mut IndexMap<String, u32>, to: &str| {
            if to != "ram"
                && let Some(size) = sizes.shift_remove("ram")
            {
                sizes.insert(to.to_string(), size);
            }
        };
        let default = self.default_ram.as_str();
        let kernels = self.kernel.default_ram.as_deref().unwrap_or(default);
        rename(&mut self.kernel.requires, kernels);
        for task in self.tasks.values_mut() {
            let own = task.default_ram.as_deref().unwrap_or(default);
            rename(&mut task.max_sizes, own);
        }
    }
}

/// `[kernel]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Kernel {
    /// Name of the crate and of the binary in it.
    pub name: String,
    /// Memory output to the bytes that the kernel takes of it.
    pub requires: IndexMap<String, u32>,
    /// The kernel's own stack, bytes.
    #[serde(default = "default_kernel_stack")]
    pub stacksize: u32,
    /// Cargo features of the crate.
    #[serde(default)]
    pub features: Vec<String>,
    /// Build the crate without its default Cargo features.
    #[serde(default)]
    pub no_default_features: bool,
    /// Memory outputs that the kernel uses as a whole.
    #[serde(default)]
    pub extern_regions: Vec<KernelRegion>,
    /// Memory output that holds the kernel's data and stack.
    pub default_ram: Option<String>,
    /// Tasks that may use operations of kernel IPC, beside the supervisor.
    #[serde(default)]
    pub allowed_callers: KernelCallers,
}

/// `[kernel.allowed-callers]`, our addition to upstream's schema: operation of kernel IPC to the
/// names of the tasks that may use it. Not named means nobody but the supervisor.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KernelCallers {
    /// Restart or stop a task.
    #[serde(default)]
    pub reinit_task: Vec<String>,
    /// Fault a task.
    #[serde(default)]
    pub fault_task: Vec<String>,
    /// Reset the system.
    #[serde(default)]
    pub reset: Vec<String>,
}

impl KernelCallers {
    /// Each operation with its tasks.
    pub fn operations(&self) -> [(&'static str, &[String]); 3] {
        [
            ("reinit_task", &self.reinit_task),
            ("fault_task", &self.fault_task),
            ("reset", &self.reset),
        ]
    }
}

/// A memory output that the kernel uses as a whole.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct KernelRegion {
    /// Name of the memory output.
    pub region: String,
    /// Tasks may name it in their `extern-regions` too.
    #[serde(default)]
    pub shared: bool,
}

/// A peripheral of `chip.toml`, or a region of `extratext`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Peripheral {
    /// Address of its first register.
    pub address: u32,
    /// Bytes of address space.
    pub size: u32,
    /// Name of an interrupt to its number.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub interrupts: IndexMap<String, u32>,
}

/// A piece of memory, for one image.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Output {
    /// The image that it is for.
    #[serde(default = "default_image")]
    pub name: String,
    /// Address of its first byte.
    pub address: u32,
    /// Its length in bytes.
    pub size: u32,
    #[serde(default)]
    pub read: bool,
    #[serde(default)]
    pub write: bool,
    #[serde(default)]
    pub execute: bool,
    /// A bus master other than the core accesses it, so it is not cached.
    #[serde(default)]
    pub dma: bool,
}

impl Output {
    /// Address just after its last byte.
    pub fn end(&self) -> u64 {
        u64::from(self.address) + u64::from(self.size)
    }
}

/// `boards/<board>.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Board {
    /// For a debug probe.
    pub probe_rs: Option<ProbeRs>,
    /// For the build and the emulator. A board of upstream's has none, which is said last.
    #[serde(default)]
    pub substrate: Substrate,
}

/// `[probe-rs]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ProbeRs {
    /// The name that probe-rs has for the chip.
    pub chip_name: String,
}

/// `[substrate]`, our addition to upstream's board file. Upstream derives these from the target
/// triple of the tasks, because there kernel and tasks have the same target.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Substrate {
    /// Target triple of the kernel; empty if the table is missing.
    pub kernel_target: String,
    /// Regions begin and end at multiples of this many bytes, a power of two.
    pub region_granule: u32,
    /// Arguments of `qemu-system-arm` that make the board.
    #[serde(default)]
    pub qemu: Vec<String>,
    /// The `index` that QEMU's `-drive if=sd` has for the recorder's card.
    #[serde(default)]
    pub qemu_card: u32,
}

fn default_memory() -> String {
    "memory.toml".into()
}

fn default_ram() -> String {
    "ram".into()
}

fn default_image() -> String {
    "default".into()
}

fn default_images() -> Vec<String> {
    vec![default_image()]
}

fn default_kernel_stack() -> u32 {
    1024
}

/// The configuration that was read and checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// Absolute path of `app.toml`.
    pub path: PathBuf,
    /// `app.toml`.
    pub app: App,
    /// `app.toml` with what it inherits from merged in.
    pub manifest: Table,
    /// Peripherals by name.
    pub chip: IndexMap<String, Peripheral>,
    /// Memory outputs by name, one entry per image.
    pub memory: IndexMap<String, Vec<Output>>,
    /// The board.
    pub board: Board,
    /// The files of each, for error messages.
    pub files: Files,
}

/// The files that a configuration was read from.
#[derive(Clone, Debug, Default)]
pub struct Files {
    pub app: Sources,
    pub chip: Sources,
    pub memory: Sources,
    pub board: Sources,
}

impl Config {
    /// Reads and checks `app.toml` at `path`; boards are looked for in `boards` of the tree that
    /// `root` is the top of.
    pub fn load(root: &Path, path: &Path) -> Result<Self> {
        if !path.is_file() {
            bail!(
                "{}: no such file; name the app.toml to build",
                path.display()
            );
        }
        let mut files = Files::default();
        let (manifest, sources) = inherit::load(path)?;
        files.app = sources;
        let mut app: App = read(manifest.clone(), &files.app)?;
        app.name_ram();

        let chip_dir = path.parent().unwrap_or(Path::new("")).join(&app.chip);
        let (chip, sources) = inherit::load(&chip_dir.join("chip.toml")).map_err(|error| {
            files
                .app
                .locate(&Problem::at(&["chip"], format!("{error:#}")))
        })?;
        files.chip = sources;
        let (memory, sources) = inherit::load(&chip_dir.join(&app.memory)).map_err(|error| {
            files
                .app
                .locate(&Problem::at(&["memory"], format!("{error:#}")))
        })?;
        files.memory = sources;

        // An application may bring boards of its own.
        let boards = root.join("boards");
        let own = path.parent().unwrap_or(Path::new("")).join("boards");
        let file = format!("{}.toml", app.board);
        let board_path = [&own, &boards].map(|folder| folder.join(&file));
        let board_path = board_path.into_iter().find(|path| path.is_file());
        let Some(board_path) = board_path else {
            let known = toml_stems(&boards);
            let hint = build_util::hint(&app.board, known.iter().map(String::as_str));
            let message = format!("no file boards/{}.toml{hint}", app.board);
            return Err(files.app.locate(&Problem::at(&["board"], message)));
        };
        let (board, sources) = inherit::load(&board_path)?;
        files.board = sources;

        let config = Self {
            path: path.to_path_buf(),
            app,
            manifest,
            chip: read(chip, &files.chip)?,
            memory: read(memory, &files.memory)?,
            board: read(board, &files.board)?,
            files,
        };
        check::check(&config)?;
        Ok(config)
    }

    /// The memory output `name` in `image`. [`check`] ensures that it exists.
    pub fn output(&self, name: &str, image: &str) -> Result<&Output> {
        self.memory
            .get(name)
            .and_then(|entries| entries.iter().find(|entry| entry.name == image))
            .ok_or_else(|| anyhow!("memory output `{name}` has no entry for image `{image}`"))
    }

    /// Memory output that holds the data and stack of `task`.
    pub fn ram_of<'a>(&'a self, task: &'a Task) -> &'a str {
        task.default_ram.as_deref().unwrap_or(&self.app.default_ram)
    }

    /// Memory output that holds the data and stack of the kernel.
    pub fn kernel_ram(&self) -> &str {
        self.app
            .kernel
            .default_ram
            .as_deref()
            .unwrap_or(&self.app.default_ram)
    }

    /// Bytes of stack of `task`. [`check`] ensures that it is configured.
    pub fn stack_of(&self, task: &Task) -> u32 {
        task.stacksize.or(self.app.stacksize).unwrap_or_default()
    }

    /// Folder of the crate of `task`, if `path` names one.
    pub fn directory_of(&self, task: &Task) -> Option<PathBuf> {
        let folder = self.path.parent().unwrap_or(Path::new(""));
        let path = folder.join(task.path.as_ref()?);
        Some(path.canonicalize().unwrap_or(path))
    }

    /// Index of a task.
    pub fn index_of(&self, task: &str) -> Option<usize> {
        self.app.tasks.get_index_of(task)
    }

    /// Index of the crash recorder, if the supervisor's configuration names one.
    pub fn recorder(&self) -> Option<usize> {
        let (_, supervisor) = self.app.tasks.first()?;
        let crash = supervisor.config.as_ref()?.get("crash")?;
        self.index_of(crash.get("recorder")?.as_str()?)
    }

    /// The memory outputs that `task` gets a piece of: flash, its RAM, and those of its additional
    /// sections.
    pub fn outputs_of<'a>(&'a self, task: &'a Task) -> Vec<&'a str> {
        let mut outputs = vec!["flash", self.ram_of(task)];
        for output in task.sections.values() {
            if !outputs.contains(&output.as_str()) {
                outputs.push(output);
            }
        }
        outputs
    }

    /// The memory outputs that are divided among kernel and tasks.
    pub fn allocated(&self) -> impl Iterator<Item = &str> {
        let kernel = self.app.kernel.requires.keys().map(String::as_str);
        let tasks = self
            .app
            .tasks
            .values()
            .flat_map(|task| self.outputs_of(task));
        kernel.chain(tasks)
    }

    /// The number of the interrupt that `"peripheral.interrupt"` names.
    pub fn irq_number(&self, source: &str) -> Option<u32> {
        let (peripheral, irq) = source.split_once('.')?;
        self.chip.get(peripheral)?.interrupts.get(irq).copied()
    }
}

/// Reads a whole file's table.
fn read<T: DeserializeOwned>(table: Table, sources: &Sources) -> Result<T> {
    build_util::from_value(Value::Table(table)).map_err(|problem| sources.locate(&problem))
}

/// The names, without the ending, of the TOML files in `dir`.
fn toml_stems(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "toml"))
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_string()))
        .collect();
    names.sort();
    names
}
