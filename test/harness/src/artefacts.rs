//! What a run leaves behind: one folder per run, removed when the run went well.
//!
//! `target/test/<name>/` holds the card image, each serial port's bytes, the QMP dialogue, QEMU's own messages and the
//! command line. A failed test says where they are; a test that passed leaves nothing.

use crate::paths;
use anyhow::{Context, Result};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// The folder of one run.
pub struct Artefacts {
    dir: PathBuf,
}

impl Artefacts {
    /// Makes an empty folder for the run called `name`, replacing what an earlier run of that name left.
    pub fn new(name: &str) -> Result<Self> {
        let dir = paths::target().join("test").join(name.replace("::", "/"));
        if dir.exists() {
            fs::remove_dir_all(&dir)
                .with_context(|| format!("cannot clear {}", paths::shown(&dir)))?;
        }
        fs::create_dir_all(&dir)
            .with_context(|| format!("cannot create {}", paths::shown(&dir)))?;
        Ok(Self { dir })
    }

    /// The folder itself.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The path of a file in the folder.
    pub fn path(&self, file: &str) -> PathBuf {
        self.dir.join(file)
    }

    /// Opens a file of the folder for adding to it: a machine that is started twice in a run logs on.
    pub fn append(&self, file: &str) -> Result<File> {
        let path = self.path(file);
        File::options()
            .create(true)
            .append(true)
            .open(&path)
            .with_context(|| format!("cannot open {}", paths::shown(&path)))
    }

    /// Writes a whole file.
    pub fn write(&self, file: &str, contents: &[u8]) -> Result<PathBuf> {
        let path = self.path(file);
        fs::write(&path, contents)
            .with_context(|| format!("cannot write {}", paths::shown(&path)))?;
        Ok(path)
    }

    /// Removes the folder: the run went well and nobody needs it.
    pub fn discard(self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}
