//! `cargo xtask dist`: makes an image and its archive from `app.toml`
//!
//! 1. The tasks are compiled to relocatable objects, without addresses.
//! 2. Each is linked once to measure it. Only with all sizes can memory be divided.
//! 3. Each is linked at its addresses, and its task slots are bound.
//! 4. The kernel is built. It comes last, because its tables contain the tasks' addresses and entry
//!    points.
//! 5. The image id, a hash of all that, is written into the kernel, kernel and tasks are joined to
//!    the image, and the archive is written.
//!
//! Each step writes a stamp beside its output ([`crate::stamp`]) and is skipped if nothing of that
//! has changed.

mod finish;
mod kernel;
mod lock;
mod snapshot;
mod tasks;

use crate::allocate::{Allocation, Needs, allocate, check_caps};
use crate::archive;
use crate::config::Config;
use crate::firmware::Compiler;
use crate::progress::Progress;
use crate::toolchain::Toolchain;
use crate::tree::Tree;
use anyhow::{Context, Result};
use build_elf::Elf;
use indexmap::IndexMap;
pub use lock::BuildLock;
pub use snapshot::SnapshotNeeds;
use std::fs;
use std::path::{Path, PathBuf};
use tasks::Objects;

/// An application, and the toolchain that it is built with.
pub struct Build {
    pub tree: Tree,
    pub config: Config,
    pub toolchain: Toolchain,
    /// The commit of the sources; see [`archive::git_revision`].
    pub revision: String,
    /// Allow paths of this machine in the image.
    pub skip_path_check: bool,
}

/// The outputs of [`Build::dist`] for one image.
#[derive(Clone, Debug)]
pub struct Product {
    pub image: String,
    /// Directory of all outputs of this image.
    pub directory: PathBuf,
    pub archive: PathBuf,
    /// Boots with QEMU's `-kernel`.
    pub qemu_elf: PathBuf,
}

impl Product {
    /// The socket at which `./x qemu` offers the monitor of the machine that runs this image, for
    /// `./x dump`.
    pub fn qmp_socket(&self) -> PathBuf {
        self.directory.join("qmp")
    }
}

/// The tasks of one image, linked at their addresses.
struct Linked {
    allocation: Allocation,
    tasks: IndexMap<String, Elf>,
}

impl Build {
    /// Reads the application at `app` and finds a toolchain for it.
    pub fn open(app: &Path) -> Result<Self> {
        let tree = Tree::find()?;
        let path =
            std::path::absolute(app).with_context(|| format!("{}: not a path", app.display()))?;
        let config = Config::load(&tree.root, &path)?;
        let kernel_target = &config.board.substrate.kernel_target;
        let bindeps = config.app.tasks.values().flat_map(|task| &task.bindeps);
        let mut targets = vec![config.app.target.as_str(), kernel_target.as_str()];
        targets.extend(bindeps.map(|binary| binary.target.as_str()));
        let toolchain = Toolchain::find(&targets, &tree.firmware())?;
        let revision = archive::git_revision(&tree.root);
        Ok(Self {
            tree,
            config,
            toolchain,
            revision,
            skip_path_check: false,
        })
    }

    /// Waits until no other process builds in this tree, and keeps others waiting.
    pub fn lock(&self) -> Result<BuildLock> {
        BuildLock::take(&self.tree)
    }

    /// The compiler for this application.
    pub fn compiler(&self) -> Compiler<'_> {
        let crates = self.config.app.tasks.values();
        Compiler {
            tree: &self.tree,
            toolchain: &self.toolchain,
            outside: crates
                .filter_map(|task| self.config.directory_of(task))
                .filter(|path| !path.starts_with(&self.tree.root))
                .collect(),
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

    /// Where the outputs of the first image go.
    pub fn first_product(&self) -> Result<Product> {
        let image = self
            .config
            .app
            .image_names
            .first()
            .context("the application has no image")?;
        Ok(self.product(image))
    }

    /// Makes every image.
    pub fn dist(&self) -> Result<Vec<Product>> {
        let images = &self.config.app.image_names;
        images.iter().map(|image| self.image(image)).collect()
    }

    /// Makes one image.
    fn image(&self, image: &str) -> Result<Product> {
        let _lock = self.lock()?;
        let product = self.product(image);
        // One step per task, and the kernel.
        let mut progress = Progress::new(self.config.app.tasks.len() + 1);
        let linked = self.linked(&product, &mut progress)?;
        let kernel = self.build_kernel(&product, &linked, &mut progress)?;
        if let Some(needs) = SnapshotNeeds::of(&self.config, &linked.allocation, &kernel)? {
            needs.check(&self.config)?;
        }
        self.finish(&product, kernel, &linked)?;
        Ok(product)
    }

    /// Compiles and links the tasks.
    fn linked(&self, product: &Product, progress: &mut Progress) -> Result<Linked> {
        let (objects, needs) = self.measure_tasks(product, progress)?;
        check_caps(&self.config, &needs)?;
        let allocation = allocate(&self.config, &product.image, &needs)?;
        let tasks = self.link_tasks(product, &objects, &allocation)?;
        Ok(Linked { allocation, tasks })
    }

    /// What a snapshot of this image needs; `None` if it has no recorder, or takes no snapshots.
    pub fn snapshot_needs(&self, product: &Product) -> Result<Option<SnapshotNeeds>> {
        let _lock = self.lock()?;
        let mut progress = Progress::new(self.config.app.tasks.len() + 1);
        let linked = self.linked(product, &mut progress)?;
        let kernel = self.build_kernel(product, &linked, &mut progress)?;
        SnapshotNeeds::of(&self.config, &linked.allocation, &kernel)
    }

    /// The compiled tasks, and the memory that each needs.
    pub fn measured(
        &self,
        product: &Product,
        progress: &mut Progress,
    ) -> Result<(Objects, IndexMap<String, Needs>)> {
        let _lock = self.lock()?;
        self.measure_tasks(product, progress)
    }

    fn measure_tasks(
        &self,
        product: &Product,
        progress: &mut Progress,
    ) -> Result<(Objects, IndexMap<String, Needs>)> {
        let directory = product.directory.join("objects");
        fs::create_dir_all(&directory)
            .with_context(|| format!("cannot make {}", directory.display()))?;
        let objects = self.compile_tasks(product, progress)?;
        let needs = self.measure(product, &objects)?;
        Ok((objects, needs))
    }

    /// Strings that must not be in a finished program.
    fn forbidden_strings(&self) -> Vec<String> {
        if self.skip_path_check {
            return Vec::new();
        }
        self.compiler().forbidden_strings()
    }
}
