//! The kernel: its configuration and its link

use super::{Build, Linked, Product};
use crate::firmware::Unit;
use crate::hash::Fnv64;
use crate::progress::Progress;
use crate::{crash_regions, environment, kconfig, linker, secrets};
use anyhow::{Context, Result};
use build_elf::Elf;
use std::collections::BTreeMap;
use std::fs;

impl Build {
    /// Compiles and links the kernel.
    pub(super) fn build_kernel(
        &self,
        product: &Product,
        linked: &Linked,
        progress: &mut Progress,
    ) -> Result<Elf> {
        let place = |output: &str| linked.allocation.of_kernel(output);
        let memory = linker::kernel_memory(&self.config, &product.image, place)?;
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
        let mut unit = self.kernel_unit(product, linked)?;
        unit.rustc_args = vec![
            "-Clink-arg=-Tlink.x".into(),
            format!("-Clink-arg=-L{}", directory.display()),
            "-Clink-arg=-zcommon-page-size=0x20".into(),
            "-Clink-arg=-zmax-page-size=0x20".into(),
            // Cargo does not know the linker scripts. Their hash in an argument makes it build
            // again if they change.
            format!("-Cmetadata={:016x}", scripts.finish()),
        ];
        let output = product.directory.join("kernel.orig");
        progress.step("building kernel");
        self.compiler().build(&unit, &output, progress)?;
        let elf = Elf::read(&output)?;
        elf.forbid(&self.forbidden_strings())?;
        Ok(elf)
    }

    /// The unit of the kernel's crate, for clippy. The tasks must have been built.
    pub fn finished_kernel_unit(&self, product: &Product) -> Result<Unit> {
        // Links nothing if the tasks are up to date, and shows progress otherwise.
        let linked = self.linked(product, &mut Progress::new(self.config.app.tasks.len()))?;
        self.kernel_unit(product, &linked)
    }

    fn kernel_unit(&self, product: &Product, linked: &Linked) -> Result<Unit> {
        let kernel = &self.config.app.kernel;
        Ok(Unit {
            label: "kernel".into(),
            package: kernel.name.clone(),
            directory: None,
            target: self.config.board.substrate.kernel_target.clone(),
            features: kernel.features.clone(),
            no_default_features: kernel.no_default_features,
            env: self.kernel_env(product, linked)?,
            rustc_args: Vec::new(),
        })
    }

    /// The environment of the kernel's build scripts.
    fn kernel_env(&self, product: &Product, linked: &Linked) -> Result<Vec<(String, String)>> {
        let entries = linked
            .tasks
            .iter()
            .map(|(name, elf)| Ok((name.clone(), elf.entry()?)));
        let entries = entries.collect::<Result<BTreeMap<_, _>>>()?;
        let mut kconfig =
            kconfig::make(&self.config, &product.image, &linked.allocation, &entries)?;
        kconfig.crash_regions = crash_regions::registered(
            &self.config,
            &product.image,
            &linked.allocation,
            &linked.tasks,
        )?;
        kconfig.secrets = secrets::ranges(linked.tasks.values())?;
        let kconfig = ron::to_string(&kconfig)?;
        let mut env = environment::common(&self.config)?;
        env.push(("HUBRIS_KCONFIG".into(), kconfig));
        env.push((
            "HUBRIS_FLASH_OUTPUTS".into(),
            ron::to_string(&self.config.memory.get("flash"))?,
        ));
        Ok(env)
    }
}
