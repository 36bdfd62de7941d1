//! Files that the tool writes: never over another one without being told to, and whole or not at
//! all.

use crate::problem::{Code, Problem};
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Refuses a file that exists, unless `force`. To be called before long work.
pub fn check(path: &Path, force: bool) -> Result<(), Problem> {
    if path.is_dir() {
        return Err(Problem::new(
            Code::Usage,
            format!("{}: is a folder; name a file", path.display()),
        ));
    }
    if !force && path.symlink_metadata().is_ok() {
        return Err(Problem::new(
            Code::Usage,
            format!("{}: exists already; --force overwrites it", path.display()),
        ));
    }
    Ok(())
}

/// Refuses the card itself as the output, even if another file may be overwritten.
pub fn refuse_card(path: &Path, card: &Path) -> Result<(), Problem> {
    let same = path
        .canonicalize()
        .is_ok_and(|path| card.canonicalize().is_ok_and(|card| path == card));
    if same {
        return Err(Problem::new(
            Code::Usage,
            format!("{}: is the card; name another file", path.display()),
        ));
    }
    Ok(())
}

/// Writes a file by `fill`. It gets its name when it is whole; a device is written directly.
pub fn write(
    path: &Path,
    force: bool,
    fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), Problem> {
    check(path, force)?;
    let failed = |cause: io::Error| Problem::io(path, "write it", &cause);
    let is_device = path.metadata().is_ok_and(|found| !found.is_file());
    if is_device {
        let file = File::options().write(true).open(path).map_err(failed)?;
        return filled(file, fill).map_err(failed);
    }
    let partial = partial(path);
    let written = File::create(&partial)
        .and_then(|file| filled(file, fill))
        .and_then(|()| fs::rename(&partial, path));
    if written.is_err() {
        // The problem is the one of writing.
        let _ = fs::remove_file(&partial);
    }
    written.map_err(failed)
}

fn filled(file: File, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut out = BufWriter::new(file);
    fill(&mut out)?;
    out.flush()
}

/// The name under which a file is written: beside its own, so that both are on one file system.
fn partial(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".partial-{}", std::process::id()));
    name.into()
}
