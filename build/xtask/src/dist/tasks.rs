//! The tasks: compiled, measured, and linked at their addresses

use super::{Build, Product};
use crate::allocate::{Allocation, Needs};
use crate::config::{Output, Problem, Task};
use crate::firmware::{Outcome, Unit};
use crate::linker::{self, Range};
use crate::progress::Progress;
use crate::{environment, slots, stamp};
use anyhow::{Context, Result, bail};
use build_elf::Elf;
use build_stack_depth as stack;
use indexmap::IndexMap;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use toml_task::BinDep;

/// The relocatable object of each task.
pub type Objects = IndexMap<String, PathBuf>;

impl Build {
    /// How the crate of a task is built.
    pub fn task_unit(&self, name: &str, image: &str) -> Result<Unit> {
        let task = self.task(name)?;
        let mut env = environment::task(&self.config, name, task, image)?;
        env.push((
            environment::REVISION_FILE.to_string(),
            self.revision_file(image)?.display().to_string(),
        ));
        for binary in &task.bindeps {
            let path = self.product(image).bindep(name, &binary.name);
            env.push((
                environment::bindep(&binary.name),
                path.display().to_string(),
            ));
        }
        Ok(Unit {
            label: name.to_string(),
            package: task.name.clone(),
            directory: self.config.directory_of(task),
            target: self.config.app.target.clone(),
            features: task.features.clone(),
            no_default_features: task.no_default_features,
            env,
            // Unused sections are removed in the final link; here all may be used.
            rustc_args: vec!["-Clink-arg=-r".into(), "-Clink-arg=--no-gc-sections".into()],
        })
    }

    /// The file with the commit of the sources, for build scripts. It is a file and no variable of
    /// the environment, because every commit changes it: only those crates are built again that
    /// read it. It is written only if its content changes.
    fn revision_file(&self, image: &str) -> Result<PathBuf> {
        let directory = self.product(image).directory;
        let path = directory.join("git-rev");
        if fs::read(&path).is_ok_and(|content| content == self.revision.as_bytes()) {
            return Ok(path);
        }
        fs::create_dir_all(&directory)
            .and_then(|()| fs::write(&path, &self.revision))
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }

    /// The table of a task.
    fn task(&self, name: &str) -> Result<&Task> {
        self.config
            .app
            .tasks
            .get(name)
            .with_context(|| format!("`{name}` is not a task"))
    }

    /// How a binary that a task embeds is built: in the workspace of the task, as a program of its
    /// own.
    pub fn bindep_unit(&self, name: &str, binary: &BinDep) -> Result<Unit> {
        Ok(Unit {
            label: name.to_string(),
            package: binary.name.clone(),
            directory: self.config.directory_of(self.task(name)?),
            target: binary.target.clone(),
            features: binary.features.clone(),
            no_default_features: false,
            env: environment::common(&self.config)?,
            rustc_args: Vec::new(),
        })
    }

    /// Builds the binaries that a task embeds, which its crate needs to compile.
    pub fn build_bindeps(
        &self,
        product: &Product,
        name: &str,
        progress: &mut Progress,
    ) -> Result<()> {
        for binary in &self.task(name)?.bindeps {
            let unit = self.bindep_unit(name, binary)?;
            let output = product.bindep(name, &binary.name);
            if let Some(folder) = output.parent() {
                fs::create_dir_all(folder)
                    .with_context(|| format!("cannot make {}", folder.display()))?;
            }
            self.compiler().build(&unit, &output, progress)?;
        }
        Ok(())
    }

    /// Compiles all tasks to relocatable objects.
    pub(super) fn compile_tasks(
        &self,
        product: &Product,
        progress: &mut Progress,
    ) -> Result<Objects> {
        let mut objects = Objects::new();
        for name in self.config.app.tasks.keys() {
            let unit = self.task_unit(name, &product.image)?;
            let object = product.object(name);
            progress.step(&format!("building {name}"));
            self.build_bindeps(product, name, progress)?;
            self.compiler().build(&unit, &object, progress)?;
            objects.insert(name.clone(), object);
        }
        Ok(objects)
    }

    /// Links every task alone, to measure it.
    pub(super) fn measure(
        &self,
        product: &Product,
        objects: &Objects,
    ) -> Result<IndexMap<String, Needs>> {
        self.for_each_task(|name, task| {
            let whole = |output: &str| {
                let output = self.config.output(output, &product.image)?;
                Ok(Range {
                    base: output.address,
                    size: output.size,
                })
            };
            let memory = linker::task_memory(&self.config, task, &product.image, whole)?;
            self.link(name, objects, &memory, &product.trial(name), "")?;
            self.needs(product, name)
        })
    }

    /// The bytes of each output that the trial link of a task uses.
    fn needs(&self, product: &Product, name: &str) -> Result<Needs> {
        let task = self.task(name)?;
        let trial = Elf::read(&product.trial(name))?;
        let mut needs = Needs::new();
        for output in self.config.outputs_of(task) {
            let in_ram = output == self.config.ram_of(task);
            let stack = if in_ram {
                self.config.stack_of(task)
            } else {
                0
            };
            let used = extent(&trial, self.config.output(output, &product.image)?)?;
            needs.insert(output.to_string(), used.max(stack));
        }
        Ok(needs)
    }

    /// Links every task at its addresses, binds its slots, and checks the result.
    pub(super) fn link_tasks(
        &self,
        product: &Product,
        objects: &Objects,
        allocation: &Allocation,
    ) -> Result<IndexMap<String, Elf>> {
        self.for_each_task(|name, task| {
            let place = |output: &str| allocation.of_task(name, output);
            let memory = linker::task_memory(&self.config, task, &product.image, place)?;
            let output = product.directory.join(name);
            let finishing = format!(
                "{:?}\n{:?}\n{}",
                task.task_slots,
                self.config.app.tasks.keys(),
                self.skip_path_check
            );
            if self.link(name, objects, &memory, &output, &finishing)? == Outcome::Fresh {
                return Elf::read(&output);
            }
            let mut elf = Elf::read(&output)?;
            let checked = slots::bind(&self.config, name, task, &mut elf)
                .and_then(|()| self.check_stack(name, task, &elf))
                .and_then(|()| elf.forbid(&self.forbidden_strings()))
                .and_then(|()| elf.write(&output));
            if checked.is_err() {
                // An output that failed a check must not count as up to date.
                let _ = fs::remove_file(&output);
            }
            checked.map(|()| elf)
        })
    }

    /// Refuses a stack that is too small for the deepest chain of direct calls.
    fn check_stack(&self, name: &str, task: &Task, elf: &Elf) -> Result<()> {
        let bound = stack::bound(elf)?;
        let available = self.config.stack_of(task);
        if bound.direct <= available {
            return Ok(());
        }
        let message = format!(
            "is {available}, but `{name}` needs {} bytes ({} of them for an interrupt); \
             `cargo xtask sizes --stack {name}` shows the calls",
            bound.direct,
            stack::EXCEPTION_FRAME,
        );
        Err(self
            .config
            .files
            .app
            .locate(&Problem::at(&["tasks", name, "stacksize"], message)))
    }

    /// Links a task's object to `output`, unless that is up to date. `finishing` stands for what
    /// else the output depends on.
    fn link(
        &self,
        name: &str,
        objects: &Objects,
        memory: &str,
        output: &Path,
        finishing: &str,
    ) -> Result<Outcome> {
        let object = objects
            .get(name)
            .with_context(|| format!("task `{name}` was not compiled"))?;
        let script = self.tree.script("task-link.x");
        let key = format!("{}\n{memory}\n{finishing}", self.toolchain.version());
        if stamp::is_fresh(output, &key) {
            return Ok(Outcome::Fresh);
        }
        linker::link(&self.toolchain, object, &script, memory, output)?;
        stamp::write(output, &key, &BTreeSet::from([object.clone(), script]))?;
        Ok(Outcome::Built)
    }

    /// Does `work` for all tasks in parallel. Returns the results in the order of the tasks, or the
    /// first error.
    fn for_each_task<T: Send>(
        &self,
        work: impl Fn(&str, &Task) -> Result<T> + Sync,
    ) -> Result<IndexMap<String, T>> {
        let work = &work;
        std::thread::scope(|scope| {
            let tasks = self.config.app.tasks.iter();
            let threads: Vec<_> = tasks
                .map(|(name, task)| (name, scope.spawn(move || work(name, task))))
                .collect();
            let mut results = IndexMap::new();
            for (name, thread) in threads {
                let Ok(result) = thread.join() else {
                    bail!("{name}: internal error while linking");
                };
                results.insert(name.clone(), result?);
            }
            Ok(results)
        })
    }
}

impl Product {
    /// The relocatable object of a task.
    pub fn object(&self, task: &str) -> PathBuf {
        self.directory.join("objects").join(format!("{task}.o"))
    }

    /// A binary that a task embeds.
    pub fn bindep(&self, task: &str, name: &str) -> PathBuf {
        self.directory
            .join("objects")
            .join(format!("{task}.{name}"))
    }

    /// The trial link of a task.
    pub fn trial(&self, task: &str) -> PathBuf {
        self.directory.join(format!("{task}.tmp"))
    }

    /// A finished task.
    pub fn task(&self, task: &str) -> PathBuf {
        self.directory.join(task)
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
