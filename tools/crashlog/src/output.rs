//! Files that the tool writes: never over another one without being told to, and whole or not at
//! all.

use crate::problem::{Code, Problem};
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

/// Refuses what cannot be written, and a file that exists unless `force`. To be called before long
/// work.
pub fn check(path: &Path, force: bool) -> Result<(), Problem> {
    let refused = |why: &str| {
        let text = format!("{}: {why}", path.display());
        Err(Problem::new(Code::Usage, text))
    };
    match path.metadata() {
        Ok(found) if found.is_dir() => return refused("is a folder; name a file"),
        Ok(found) if found.file_type().is_block_device() => {
            return refused("is a block device; name a file");
        }
        _ => {}
    }
    match path.symlink_metadata() {
        Ok(_) if !force => return refused("exists already; --force overwrites it"),
        Ok(found) if found.is_symlink() && !path.exists() => {
            return refused("is a link to a file that does not exist; name that file");
        }
        _ => {}
    }
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
        let text = format!(
            "{}: cannot write it: there is no folder {}",
            path.display(),
            folder.display()
        );
        return Err(Problem::new(Code::Io, text));
    }
    Ok(())
}

/// Refuses a file that is read as the output, even if other files may be overwritten. `what` says
/// what it is.
pub fn refuse_input(path: &Path, input: &Path, what: &str) -> Result<(), Problem> {
    let same = path
        .canonicalize()
        .is_ok_and(|path| input.canonicalize().is_ok_and(|input| path == input));
    if same {
        return Err(Problem::new(
            Code::Usage,
            format!("{}: is {what}; name another file", path.display()),
        ));
    }
    Ok(())
}

/// Writes a file by `fill`. It gets its name when it is whole; a device is written directly, and a
/// link stays one.
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
    let target = path.canonicalize();
    let target = target.as_deref().unwrap_or(path);
    let partial = partial(target);
    let file = File::create_new(&partial).map_err(failed)?;
    let written = filled(file, fill).and_then(|()| fs::rename(&partial, target));
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
