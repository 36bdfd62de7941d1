//! The output file of the report.

use crate::problem::{Code, Problem};
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::Path;

/// Where the report is to be written.
pub struct Target<'a> {
    path: &'a Path,
    force: bool,
}

impl<'a> Target<'a> {
    /// Checks, before any work is done, that `path` may be written. A file that exists is refused
    /// without `force`, the card itself in any case.
    pub fn check(path: &'a Path, card: &Path, force: bool) -> Result<Self, Problem> {
        let refused = |why: &str| Problem::new(Code::Usage, format!("{}: {why}", path.display()));
        // A name whose place is unknown does not exist, so it is no other file's.
        let same = fs::canonicalize(path)
            .is_ok_and(|path| fs::canonicalize(card).is_ok_and(|card| path == card));
        if same {
            return Err(refused(
                "is the card; give another name for the output file",
            ));
        }
        if path.is_dir() {
            return Err(refused(
                "is a directory; give the name of a file for the output",
            ));
        }
        if !force && fs::symlink_metadata(path).is_ok() {
            return Err(refused("exists already; use --force to overwrite it"));
        }
        Ok(Self { path, force })
    }

    /// Writes the file. Nothing is left of a new file that could not be written.
    pub fn write(&self, bytes: &[u8]) -> Result<(), Problem> {
        let created = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(self.path);
        let (mut file, is_new) = match created {
            Ok(file) => (file, true),
            Err(cause) if self.force && cause.kind() == ErrorKind::AlreadyExists => (
                File::create(self.path).map_err(|cause| self.failed("open it", &cause))?,
                false,
            ),
            Err(cause) => return Err(self.failed("create it", &cause)),
        };
        file.write_all(bytes).map_err(|cause| {
            if is_new {
                // The error of writing is the one to report.
                let _ = fs::remove_file(self.path);
            }
            self.failed("write it", &cause)
        })
    }

    fn failed(&self, doing: &str, cause: &std::io::Error) -> Problem {
        Problem::io(self.path, doing, cause)
    }
}
