//! One build at a time in one tree
//!
//! Two builds share Cargo's target folder, in which the same crate with two configurations has one
//! place, and the folder of the application's outputs. So the second waits for the first, whatever
//! applications the two build.

use crate::tree::Tree;
use anyhow::{Context, Result};
use std::fs::{self, File, TryLockError};

/// Nobody else builds firmware in this tree until it is dropped. The system releases it with the
/// process.
pub struct BuildLock {
    _file: File,
}

impl BuildLock {
    /// Waits until no other process builds, and says so if it has to.
    pub fn take(tree: &Tree) -> Result<Self> {
        let folder = tree.firmware();
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let path = folder.join("build.lock");
        let file =
            File::create(&path).with_context(|| format!("cannot make {}", path.display()))?;
        let locked = match file.try_lock() {
            Err(TryLockError::WouldBlock) => {
                eprintln!("waiting for another build in {}", tree.root.display());
                file.lock()
            }
            Err(TryLockError::Error(error)) => Err(error),
            Ok(()) => Ok(()),
        };
        locked.with_context(|| format!("cannot lock {}", path.display()))?;
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    /// Two builds at once failed at the rename of the archive that the other had renamed already.
    #[test]
    fn one_build_at_a_time() {
        let dir = tempfile::tempdir().expect("directory");
        let tree = Tree {
            root: dir.path().to_path_buf(),
            target: dir.path().join("target"),
        };
        let other = || {
            let path: PathBuf = tree.firmware().join("build.lock");
            File::open(path).expect("lock file").try_lock().is_ok()
        };
        let lock = BuildLock::take(&tree).expect("lock");
        assert!(!other(), "a second build may begin");
        drop(lock);
        assert!(other(), "no build may begin");
    }
}
