//! `./x gdb`: gdb with the symbols of kernel and tasks, on a dump or on a running machine

use crate::dist::{Build, Product};
use crate::process::{find_in_path, run};
use anyhow::{Context, Result, bail};
use build_archive_check::Report;
use build_archive_check::container::Archive;
use build_core_file::{ARCHIVE, OWNER};
use object::LittleEndian;
use object::elf::FileHeader32;
use object::read::elf::{FileHeader as _, ProgramHeader as _};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs gdb on a `./x qemu -- -s`, with the symbols of what was built.
pub fn on_machine(build: &Build, product: &Product) -> Result<()> {
    let tasks = build.config.app.tasks.keys();
    let tasks: Vec<PathBuf> = tasks.map(|name| product.task(name)).collect();
    start(
        &product.directory.join("kernel"),
        &tasks,
        "target remote :1234",
    )
}

/// Runs gdb on a dump, with the symbols of the archive in it: the firmware may be another than the
/// one that is built here now.
pub fn on_dump(dump: &Path) -> Result<()> {
    if !dump.is_file() {
        bail!(
            "{}: no such file; ./x dump writes one of a running ./x qemu, crashlog dump one of a crash",
            dump.display()
        );
    }
    let file = fs::read(dump).with_context(|| dump.display().to_string())?;
    let folder = tempfile::tempdir().context("no folder for the programs of the dump")?;
    let programs = unpack(&file, folder.path()).with_context(|| format!("{}", dump.display()))?;
    let Some((kernel, tasks)) = programs.split_first() else {
        bail!("{}: the archive in it has no program", dump.display());
    };
    start(kernel, tasks, &format!("core-file {}", dump.display()))
}

/// Writes the programs of the archive in a dump to a folder; the kernel is the first.
fn unpack(dump: &[u8], folder: &Path) -> Result<Vec<PathBuf>> {
    let archive = archive(dump)?;
    let archive = Archive::open(archive.to_vec(), &mut Report::default())?;
    if archive.get("elf/kernel").is_none() {
        bail!("the archive in it has no elf/kernel");
    }
    let names = archive.programs().into_iter().enumerate();
    names
        .map(|(index, name)| {
            // The last part of a name is for the person; it may be any text.
            let last = name.rsplit('/').next().unwrap_or_default();
            let is_plain = |c: &char| c.is_ascii_alphanumeric() || "_-".contains(*c);
            let last: String = last.chars().filter(is_plain).collect();
            let path = folder.join(format!("{index}-{last}"));
            let bytes = archive.get(&name).unwrap_or_default();
            fs::write(&path, bytes).with_context(|| path.display().to_string())?;
            Ok(path)
        })
        .collect()
}

/// The build archive in a dump.
fn archive(dump: &[u8]) -> Result<&[u8]> {
    let endian = LittleEndian;
    let header =
        FileHeader32::<LittleEndian>::parse(dump).context("no dump: no 32-bit ELF file")?;
    for segment in header.program_headers(endian, dump)? {
        let Some(mut notes) = segment.notes(endian, dump)? else {
            continue;
        };
        while let Some(note) = notes.next()? {
            if note.name_bytes() == OWNER && note.n_type(endian).0 == ARCHIVE {
                return Ok(note.desc());
            }
        }
    }
    bail!("no build archive is in it, as in a dump of ./x dump or crashlog dump")
}

fn start(kernel: &Path, tasks: &[PathBuf], target: &str) -> Result<()> {
    let gdb = ["gdb-multiarch", "arm-none-eabi-gdb", "gdb"]
        .into_iter()
        .find_map(find_in_path);
    let Some(gdb) = gdb else {
        bail!("gdb is not on PATH; install gdb-multiarch");
    };
    let mut command = Command::new(gdb);
    command.args(["-q", "-ex", "set confirm off"]).arg(kernel);
    for file in tasks {
        command.args(["-ex", &format!("add-symbol-file {}", file.display())]);
    }
    run(command.args(["-ex", target]), "gdb")
}

#[cfg(test)]
mod tests {
    use super::*;
    use build_core_file::CoreFile;
    use std::io::{Cursor, Write};
    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    fn dump(members: &[(&str, &str)]) -> Vec<u8> {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, content) in members {
            zip.start_file(*name, SimpleFileOptions::default())
                .expect("a member");
            zip.write_all(content.as_bytes()).expect("memory");
        }
        let archive = zip.finish().expect("a zip file").into_inner();
        let core = CoreFile {
            archive: &archive,
            registers: &[(0, 7)],
            task: None,
            threads: &[],
            segments: &[],
        };
        let mut file = Vec::new();
        core.write(&mut file).expect("memory");
        file
    }

    #[test]
    fn symbols_are_those_of_the_dump() {
        let members = [
            ("app.toml", ""),
            ("elf/task/jefe", "the supervisor"),
            ("elf/kernel", "the kernel"),
            ("elf/task/b$../c", "no task"),
            ("other/task/b$c", "another"),
        ];
        let folder = tempfile::tempdir().expect("a folder");
        let paths = unpack(&dump(&members), folder.path()).expect("programs");
        let read = |path: &PathBuf| {
            assert_eq!(path.parent(), Some(folder.path()));
            let name = path.file_name().unwrap_or_default();
            (
                name.display().to_string(),
                fs::read_to_string(path).expect("a file"),
            )
        };
        let files: Vec<(String, String)> = paths.iter().map(read).collect();
        let expected = [
            ("0-kernel", "the kernel"),
            ("1-jefe", "the supervisor"),
            ("2-bc", "another"),
        ];
        assert_eq!(
            files,
            expected.map(|(name, text)| (name.to_owned(), text.to_owned()))
        );
    }

    #[test]
    fn a_dump_without_programs_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let refused = |file: &[u8]| {
            let why = unpack(file, folder.path()).expect_err("no programs");
            format!("{why:#}")
        };
        assert!(refused(b"text").starts_with("no dump: no 32-bit ELF file"));
        assert_eq!(
            refused(&dump(&[("app.toml", "")])),
            "the archive in it has no elf/kernel"
        );
        let mut other = dump(&[]);
        let owner = other.windows(5).rposition(|bytes| bytes == b"Oxide");
        other[owner.expect("the owner of the archive")] = b'o';
        assert!(refused(&other).starts_with("no build archive is in it"));
    }
}
