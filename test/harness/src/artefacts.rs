//! The folder of a run, with everything that the run makes; removed when the run passes.
//!
//! `target/test/<name>/` holds the card image, the bytes of each serial port, the QMP dialogue,
//! QEMU's own messages and its command line. A failed test names the folder.

use crate::paths;
use anyhow::{Context, Result};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// The folder of one run.
pub struct Artefacts {
    dir: PathBuf,
}

impl Artefacts {
    /// Makes an empty folder for the run called `name`, and removes that of an earlier run of that
    /// name.
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

    /// Opens a file of the folder to append to it: a machine that is started twice has one log.
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

    /// Removes the folder.
    pub fn discard(self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}
