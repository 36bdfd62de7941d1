//! The files of the whole image

use super::{Build, Linked, Product};
use crate::allocate::Allocation;
use crate::archive::{self, Contents};
use crate::config::Problem;
use crate::image::{self, Flash};
use crate::image_id;
use crate::stamp;
use anyhow::{Context, Result};
use build_elf::Elf;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

impl Build {
    /// Joins kernel and tasks, and writes the image, the file for QEMU, and the archive.
    pub(super) fn finish(&self, product: &Product, mut kernel: Elf, linked: &Linked) -> Result<()> {
        let tasks = &linked.tasks;
        let end = self.end_of_regions(&product.image, &linked.allocation)?;
        let key = format!(
            "{}\n{end:#x}\n{:?}\n{:?}\n{:?}",
            self.revision, self.config.manifest, self.config.chip, self.config.memory
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
        image_id::write(&self.config, &mut kernel, tasks)?;
        flash.add(&kernel)?;
        let image = flash.combine()?;
        let entry = u32::try_from(object::Object::entry(&kernel.file()?))?;
        // Only the archive needs the padding; what is loaded has none.
        let final_elf = image::final_elf(&image.padded(end), entry)?;

        let directory = &product.directory;
        kernel.write(&directory.join("kernel"))?;
        write(&directory.join("final.elf"), &final_elf)?;
        write(&directory.join("final.bin"), &image.bytes)?;
        write(&product.qemu_elf, &image::qemu_elf(&image, entry)?)?;
        let files = self.files_for_archive()?;
        let contents = Contents {
            image: &product.image,
            git_revision: &self.revision,
            kernel: &kernel,
            tasks,
            final_elf: &final_elf,
            final_bin: &image.bytes,
            files: &files,
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

impl Build {
    /// The end of the last region of a task that is not writable.
    fn end_of_regions(&self, image: &str, allocation: &Allocation) -> Result<u32> {
        let mut end = 0;
        for (output, piece) in allocation.tasks.values().flatten() {
            if !self.config.output(output, image)?.write {
                end = end.max(piece.base.saturating_add(piece.size));
            }
        }
        Ok(end)
    }

    /// The files of `copy-to-archive`. It names keys of the task's `config`, whose values are
    /// patterns of file names in the folder of its crate.
    fn files_for_archive(&self) -> Result<Vec<(String, String, Vec<u8>)>> {
        let mut files = Vec::new();
        for (name, task) in &self.config.app.tasks {
            for key in &task.copy_to_archive {
                let problem = |message: String| {
                    let at = ["tasks", name, "copy-to-archive"];
                    self.config.files.app.locate(&Problem::at(&at, message))
                };
                let config = task.config.as_ref();
                let pattern = config.and_then(|config| config.get(key)?.as_str());
                let pattern = pattern
                    .ok_or_else(|| problem(format!("`{key}` is no string in the task's config")))?;
                let folder = match self.config.directory_of(task) {
                    Some(folder) => folder,
                    None => self.tree.package(&task.name)?,
                };
                let whole = folder.join(pattern);
                let mut found = 0;
                let matches = glob::glob(&whole.to_string_lossy())
                    .map_err(|cause| problem(format!("`{pattern}`: {cause}")))?;
                for path in matches {
                    let path = path?;
                    let bytes = fs::read(&path)
                        .with_context(|| format!("cannot read {}", path.display()))?;
                    let file = path.strip_prefix(&folder).unwrap_or(&path);
                    files.push((name.clone(), file.display().to_string(), bytes));
                    found += 1;
                }
                if found == 0 {
                    return Err(problem(format!("no file is like {}", whole.display())));
                }
            }
        }
        Ok(files)
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}
