//! The files of the whole image.

use super::{Build, Product};
use crate::archive::{self, Contents};
use crate::elf::Elf;
use crate::image::{self, Flash};
use crate::stamp;
use anyhow::{Context, Result};
use indexmap::IndexMap;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

impl Build {
    /// Joins kernel and tasks, and writes the image, the file for QEMU, and the archive.
    pub(super) fn finish(
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
        let mut sources: BTreeSet<PathBuf> = tasks.keys().map(|name| product.task(name)).collect();
        sources.extend(
            [
                "kernel.orig",
                "kernel",
                "final.elf",
                "final.bin",
                "qemu.elf",
            ]
            .map(|name| directory.join(name)),
        );
        stamp::write(&product.archive, &key, &sources)?;
        Ok(())
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}
