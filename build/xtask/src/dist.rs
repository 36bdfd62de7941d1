//! `cargo xtask dist`: from `app.toml` to an image and its archive.
//!
//! The order, and why: tasks are compiled first, without addresses, and linked once to measure them; only then is it
//! known where each can be. Linked at their places, they have their slots bound. The kernel comes last, since its
//! tables hold the tasks' places and entry points, and the hash of everything else is its image id.

use crate::allocate::{Allocation, Needs, allocate, check_caps};
use crate::archive::{self, Contents};
use crate::config::{Config, Output, Task};
use crate::elf::Elf;
use crate::firmware::{Compiler, Outcome, Unit};
use crate::hash::Fnv64;
use crate::image::{self, Flash};
use crate::linker::{self, Range};
use crate::progress::Progress;
use crate::toolchain::Toolchain;
use crate::tree::Tree;
use crate::{environment, kconfig, slots, stamp};
use anyhow::{Context, Result, bail};
use indexmap::IndexMap;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// An application, and what it is built with.
pub struct Build {
    pub tree: Tree,
    pub config: Config,
    pub toolchain: Toolchain,
    /// Let paths of this machine be in the image.
    pub skip_path_check: bool,
}

/// What [`Build::dist`] made, for one image.
#[derive(Clone, Debug)]
pub struct Product {
    pub image: String,
    /// Directory of all outputs of this image.
    pub directory: PathBuf,
    pub archive: PathBuf,
    /// Boots with QEMU's `-kernel`.
    pub qemu_elf: PathBuf,
}

impl Build {
    /// Reads the application at `app` and finds a toolchain for it.
    pub fn open(app: &Path) -> Result<Self> {
        let tree = Tree::find()?;
        let path =
            std::path::absolute(app).with_context(|| format!("{}: not a path", app.display()))?;
        let config = Config::load(&tree.root, &path)?;
        let kernel_target = &config.board.substrate.kernel_target;
        let toolchain = Toolchain::find(&[&config.app.target, kernel_target], &tree.firmware())?;
        Ok(Self {
            tree,
            config,
            toolchain,
            skip_path_check: false,
        })
    }

    /// The compiler for this application.
    pub fn compiler(&self) -> Compiler<'_> {
        Compiler {
            tree: &self.tree,
            toolchain: &self.toolchain,
        }
    }

    /// Where `image`'s outputs go.
    pub fn product(&self, image: &str) -> Product {
        let directory = self.tree.dist(&self.config.app.name).join(image);
        let archive = format!("build-{}-image-{image}.zip", self.config.app.name);
        Product {
            image: image.to_string(),
            archive: directory.join(archive),
            qemu_elf: directory.join("qemu.elf"),
            directory,
        }
    }

    /// Makes every image.
    pub fn dist(&self) -> Result<Vec<Product>> {
        let images = &self.config.app.image_names;
        images.iter().map(|image| self.image(image)).collect()
    }

    /// Makes one image.
    fn image(&self, image: &str) -> Result<Product> {
        let product = self.product(image);
        let objects = product.directory.join("objects");
        fs::create_dir_all(&objects)
            .with_context(|| format!("cannot make {}", objects.display()))?;
        let mut progress = Progress::new(self.config.app.tasks.len() + 1);

        let objects = self.compile_tasks(image, &product, &mut progress)?;
        let needs = self.measure(image, &product, &objects)?;
        check_caps(&self.config, &needs)?;
        let allocation = allocate(&self.config, image, &needs)?;
        let tasks = self.link_tasks(image, &product, &objects, &allocation)?;
        let kernel = self.build_kernel(image, &product, &allocation, &tasks, &mut progress)?;
        self.finish(&product, kernel, &tasks)?;
        Ok(product)
    }

    /// How the crate of a task is built.
    pub fn task_unit(&self, name: &str, task: &Task, image: &str) -> Result<Unit> {
        Ok(Unit {
            label: name.to_string(),
            package: task.name.clone(),
            target: self.config.app.target.clone(),
            features: task.features.clone(),
            no_default_features: task.no_default_features,
            env: environment::task(&self.config, name, task, image)?,
            // Unused sections go in the final link, which knows what is used.
            rustc_args: vec!["-Clink-arg=-r".into(), "-Clink-arg=--no-gc-sections".into()],
        })
    }

    /// Compiles all tasks to relocatable objects.
    fn compile_tasks(
        &self,
        image: &str,
        product: &Product,
        progress: &mut Progress,
    ) -> Result<IndexMap<String, PathBuf>> {
        let mut objects = IndexMap::new();
        for (name, task) in &self.config.app.tasks {
            let unit = self.task_unit(name, task, image)?;
            let object = product.directory.join("objects").join(format!("{name}.o"));
            progress.step(&format!("building {name}"));
            self.compiler().build(&unit, &object, progress)?;
            objects.insert(name.clone(), object);
        }
        Ok(objects)
    }

    /// Links every task as if it were alone, and takes its measure.
    fn measure(
        &self,
        image: &str,
        product: &Product,
        objects: &IndexMap<String, PathBuf>,
    ) -> Result<IndexMap<String, Needs>> {
        self.for_each_task(|name, task| {
            let whole = |output: &str| {
                let output = self.config.output(output, image)?;
                Ok(Range {
                    base: output.address,
                    size: output.size,
                })
            };
            let memory = linker::task_memory(&self.config, task, image, whole)?;
            let trial = product.directory.join(format!("{name}.tmp"));
            self.link(name, objects, &memory, &trial, "")?;
            let elf = Elf::read(&trial)?;
            let mut needs = Needs::new();
            for output in self.config.outputs_of(task) {
                let stack = if output == self.config.ram_of(task) {
                    self.config.stack_of(task)
                } else {
                    0
                };
                let used = extent(&elf, self.config.output(output, image)?)?;
                needs.insert(output.to_string(), used.max(stack));
            }
            Ok(needs)
        })
    }

    /// Links every task at its place and binds its slots.
    fn link_tasks(
        &self,
        image: &str,
        product: &Product,
        objects: &IndexMap<String, PathBuf>,
        allocation: &Allocation,
    ) -> Result<IndexMap<String, Elf>> {
        let forbidden = self.forbidden_strings();
        self.for_each_task(|name, task| {
            let place = |output: &str| allocation.of_task(name, output);
            let memory = linker::task_memory(&self.config, task, image, place)?;
            let output = product.directory.join(name);
            let bindings = format!("{:?}\n{:?}", task.task_slots, self.config.app.tasks.keys());
            if self.link(name, objects, &memory, &output, &bindings)? == Outcome::Fresh {
                return Elf::read(&output);
            }
            let mut elf = Elf::read(&output)?;
            slots::bind(&self.config, name, task, &mut elf).inspect_err(|_| forget(&output))?;
            elf.forbid(&forbidden).inspect_err(|_| forget(&output))?;
            elf.write(&output)?;
            Ok(elf)
        })
    }

    /// Links a task's object to `output`, unless that is up to date.
    fn link(
        &self,
        name: &str,
        objects: &IndexMap<String, PathBuf>,
        memory: &str,
        output: &Path,
        bindings: &str,
    ) -> Result<Outcome> {
        let object = objects
            .get(name)
            .with_context(|| format!("task `{name}` was not compiled"))?;
        let script = self.tree.script("task-link.x");
        let key = format!("{}\n{memory}\n{bindings}", self.toolchain.version());
        if stamp::is_fresh(output, &key) {
            return Ok(Outcome::Fresh);
        }
        linker::link(&self.toolchain, object, &script, memory, output)?;
        stamp::write(output, &key, &BTreeSet::from([object.clone(), script]))?;
        Ok(Outcome::Built)
    }

    /// Does `work` for all tasks side by side; results in the order of the tasks, the first error wins.
    fn for_each_task<T: Send>(
        &self,
        work: impl Fn(&str, &Task) -> Result<T> + Sync,
    ) -> Result<IndexMap<String, T>> {
        let work = &work;
        std::thread::scope(|scope| {
            let threads: Vec<_> = self
                .config
                .app
                .tasks
                .iter()
                .map(|(name, task)| (name, scope.spawn(move || work(name, task))))
                .collect();
            let mut results = IndexMap::new();
            for (name, thread) in threads {
                let result = match thread.join() {
                    Ok(result) => result?,
                    Err(_) => bail!("{name}: internal error while linking"),
                };
                results.insert(name.clone(), result);
            }
            Ok(results)
        })
    }

    /// How the kernel is built.
    pub fn kernel_unit(&self, env: Vec<(String, String)>, rustc_args: Vec<String>) -> Unit {
        let kernel = &self.config.app.kernel;
        Unit {
            label: "kernel".into(),
            package: kernel.name.clone(),
            target: self.config.board.substrate.kernel_target.clone(),
            features: kernel.features.clone(),
            no_default_features: kernel.no_default_features,
            env,
            rustc_args,
        }
    }

    /// The environment of the kernel's build scripts.
    pub fn kernel_env(
        &self,
        image: &str,
        allocation: &Allocation,
        tasks: &IndexMap<String, Elf>,
    ) -> Result<Vec<(String, String)>> {
        let entries = tasks
            .iter()
            .map(|(name, elf)| Ok((name.clone(), elf.entry()?)));
        let entries = entries.collect::<Result<BTreeMap<_, _>>>()?;
        let kconfig = ron::to_string(&kconfig::make(&self.config, image, allocation, &entries)?)?;
        let mut id = Fnv64::new();
        id.add(kconfig.as_bytes());
        for elf in tasks.values() {
            for segment in elf.segments()? {
                id.add(&segment.load_address.to_le_bytes());
                id.add(segment.bytes);
            }
        }
        let mut env = environment::common(&self.config)?;
        env.push(("HUBRIS_KCONFIG".into(), kconfig));
        env.push(("HUBRIS_IMAGE_ID".into(), id.finish().to_string()));
        env.push((
            "HUBRIS_FLASH_OUTPUTS".into(),
            ron::to_string(&self.config.memory.get("flash"))?,
        ));
        Ok(env)
    }

    /// Compiles and links the kernel.
    fn build_kernel(
        &self,
        image: &str,
        product: &Product,
        allocation: &Allocation,
        tasks: &IndexMap<String, Elf>,
        progress: &mut Progress,
    ) -> Result<Elf> {
        let memory =
            linker::kernel_memory(&self.config, image, |output| allocation.of_kernel(output))?;
        let script_path = self.tree.script("kernel-link.x");
        let script = fs::read_to_string(&script_path)
            .with_context(|| format!("cannot read {}", script_path.display()))?;
        let directory = product.directory.join("kernel.link");
        fs::create_dir_all(&directory)
            .with_context(|| format!("cannot make {}", directory.display()))?;
        fs::write(directory.join("memory.x"), &memory)?;
        fs::write(directory.join("link.x"), &script)?;

        let mut scripts = Fnv64::new();
        scripts.add(memory.as_bytes());
        scripts.add(script.as_bytes());
        let rustc_args = vec![
            "-Clink-arg=-Tlink.x".into(),
            format!("-Clink-arg=-L{}", directory.display()),
            "-Clink-arg=-zcommon-page-size=0x20".into(),
            "-Clink-arg=-zmax-page-size=0x20".into(),
            // Cargo does not know the linker scripts; a change of theirs has to look like a change of arguments.
            format!("-Cmetadata={:016x}", scripts.finish()),
        ];
        let unit = self.kernel_unit(self.kernel_env(image, allocation, tasks)?, rustc_args);
        let output = product.directory.join("kernel.orig");
        progress.step("building kernel");
        self.compiler().build(&unit, &output, progress)?;
        let elf = Elf::read(&output)?;
        elf.forbid(&self.forbidden_strings())?;
        Ok(elf)
    }

    /// Makes the files of the whole image.
    fn finish(
        &self,
        product: &Product,
        mut kernel: Elf,
        tasks: &IndexMap<String, Elf>,
    ) -> Result<()> {
        let revision = archive::git_revision(&self.tree.root);
        let key = format!(
            "{revision}\n{:?}\n{:?}\n{:?}",
            self.config.manifest, self.config.chip, self.config.memory
        );
        if stamp::is_fresh(&product.archive, &key) {
            return Ok(());
        }
        let mut flash = Flash::default();
        flash.add(&kernel)?;
        for elf in tasks.values() {
            flash.add(elf)?;
        }
        let length = u32::try_from(flash.combine()?.bytes.len())?;
        image::write_header(
            &mut kernel,
            length,
            self.config.app.version,
            self.config.app.epoch,
        )?;
        flash.add(&kernel)?;
        let image = flash.combine()?;
        let entry = u32::try_from(object::Object::entry(&kernel.file()?))?;
        let final_elf = image::final_elf(&image, entry)?;

        let directory = &product.directory;
        kernel.write(&directory.join("kernel"))?;
        write(&directory.join("final.elf"), &final_elf)?;
        write(&directory.join("final.bin"), &image.bytes)?;
        write(&product.qemu_elf, &image::qemu_elf(&image, entry)?)?;
        let contents = Contents {
            image: &product.image,
            git_revision: &revision,
            kernel: &kernel,
            tasks,
            final_elf: &final_elf,
            final_bin: &image.bytes,
        };
        archive::write(&self.config, &contents, &product.archive)?;
        let mut sources: BTreeSet<PathBuf> =
            tasks.keys().map(|name| directory.join(name)).collect();
        sources.insert(directory.join("kernel.orig"));
        sources.insert(product.qemu_elf.clone());
        stamp::write(&product.archive, &key, &sources)?;
        Ok(())
    }

    /// Strings that must not be in a finished program.
    fn forbidden_strings(&self) -> Vec<String> {
        if self.skip_path_check {
            return Vec::new();
        }
        self.compiler().forbidden_strings()
    }
}

/// Bytes of `output` that `elf` uses, from its start to the end of the last thing in it.
fn extent(elf: &Elf, output: &Output) -> Result<u32> {
    let inside = |address: u32| address >= output.address && u64::from(address) < output.end();
    let mut end = u64::from(output.address);
    for segment in elf.segments()? {
        if inside(segment.virtual_address) {
            end = end.max(u64::from(segment.virtual_address) + u64::from(segment.memory_size));
        }
        if inside(segment.load_address) {
            end = end.max(u64::from(segment.load_address) + segment.bytes.len() as u64);
        }
    }
    Ok(u32::try_from(end - u64::from(output.address))?)
}

/// Makes sure that a file which turned out bad is made again next time.
fn forget(output: &Path) {
    let _ = fs::remove_file(output);
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}
