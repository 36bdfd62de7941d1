//! Damages an archive in one place at a time, and holds what `check-archive` says against what it should.

use super::check_archive;
use crate::suite::Cases;
use anyhow::{Context, Result, bail};
use object::{Object, ObjectSection, ObjectSymbol};
use std::io::{Read, Write};
use std::path::Path;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

/// An archive, unpacked.
#[derive(Clone)]
struct Archive {
    comment: String,
    members: Vec<(String, Vec<u8>)>,
}

/// What is done to the archive, and what must be said about it.
type Damage = (&'static str, fn(&mut Archive) -> Result<()>, &'static str);

const DAMAGES: [Damage; 24] = [
    (
        "comment",
        |a| a.comment("hubris build archive v11\n"),
        "it must be `hubris build archive v11`",
    ),
    (
        "version",
        |a| a.comment("hubris build archive v12"),
        "has version 12",
    ),
    (
        "no image",
        |a| a.remove("img/final.elf"),
        "has no member img/final.elf",
    ),
    ("order", |a| a.reverse_tasks(), "in the same order"),
    (
        "junk",
        |a| a.add("elf/task/notes", b"junk"),
        "elf/task/notes: is no 32-bit ELF file",
    ),
    (
        "a task twice",
        |a| a.copy("elf/task/idle", "elf/task/idle2"),
        "its .text is where that of idle is",
    ),
    (
        "image flags",
        |a| a.image_flags(),
        "other flags than WRITE and ALLOC",
    ),
    (
        "machine",
        |a| a.set("elf/task/idle", 18, &[3]),
        "its machine is not EM_ARM",
    ),
    (
        "no frames",
        |a| a.rename("elf/task/idle", ".debug_frame", ".debug_fname"),
        "has no section .debug_frame",
    ),
    (
        "no lines",
        |a| a.rename("elf/task/jefe", ".debug_line", ".debug_lane"),
        "has .debug_info but no .debug_line",
    ),
    (
        "current task",
        |a| a.size("elf/kernel", "CURRENT_TASK_PTR", 8),
        "`CURRENT_TASK_PTR` must be there, with 4 bytes",
    ),
    (
        "image id",
        |a| a.size("elf/kernel", "HUBRIS_IMAGE_ID", 0),
        "`HUBRIS_IMAGE_ID` must be there",
    ),
    (
        "task table",
        |a| a.size("elf/kernel", "HUBRIS_TASK_TABLE_SPACE", 12),
        "`HUBRIS_TASK_TABLE_SPACE` has Some(12) bytes",
    ),
    (
        "odd function",
        |a| a.size("elf/task/idle", "_start", 7),
        "function `_start` has the odd size 7",
    ),
    (
        "kernel stack",
        |a| a.rename("elf/kernel", "_stack_base", "_stack_bose"),
        "symbols `_stack_base`",
    ),
    (
        "variant",
        |a| a.rename("elf/kernel", "InRecv", "InRecw"),
        "enum `SchedState` must have the variants",
    ),
    (
        "member",
        |a| a.rename("elf/kernel", "to_post", "to_past"),
        "structure `Task`: member `timer`",
    ),
    (
        "descriptor",
        |a| a.rename("elf/kernel", "entry_point", "entry_paint"),
        "structure `TaskDesc` must have",
    ),
    (
        "another Task",
        |a| a.rename("elf/task/jefe", "TaskDumpRegion", "Task\0DumpRegio"),
        "differs from another one called `Task`",
    ),
    (
        "ring buffer",
        |a| a.rename("elf/task/crashlog", "generation", "generotion"),
        "`generation` of an entry must be a u16",
    ),
    (
        "version of DWARF",
        |a| a.dwarf_version("elf/task/crashlog", 5),
        "DWARF version 5",
    ),
    (
        "interface",
        |a| a.rename("elf/task/crashlog", "Interface(", "Interfoce("),
        "section .idolatry",
    ),
    (
        "interrupt",
        |a| a.text("app.toml", "\"sdhci.irq\"", "\"sdhci.iry\""),
        "is not in chip.toml",
    ),
    (
        "memory",
        |a| a.text("memory.toml", "[[crash]]", "[crash]"),
        "is no list of tables",
    ),
];

/// One case for each damage.
pub fn run(archive: &Path) -> Result<Cases> {
    let whole = Archive::read(archive)?;
    let folder = tempfile::tempdir().context("no folder for archives")?;
    let mut cases = Cases::default();
    for (name, damage, expected) in DAMAGES {
        let mut damaged = whole.clone();
        damage(&mut damaged).with_context(|| format!("cannot damage the archive: {name}"))?;
        let path = folder.path().join("damaged.zip");
        damaged.write(&path)?;
        match check_archive(&path)? {
            Err(said) if said.contains(expected) => cases.passed += 1,
            Err(said) => cases
                .failed
                .push(format!("{name}: `{expected}` is not in: {said}")),
            Ok(()) => cases.failed.push(format!("{name}: not found")),
        }
    }
    Ok(cases)
}

/// Writes the archive with another image id, of which `id` are the bytes.
pub fn change_image(archive: &Path, id: &[u8], to: &Path) -> Result<()> {
    let mut archive = Archive::read(archive)?;
    let image = archive.bytes("img/final.elf")?;
    let at = image.windows(id.len()).position(|window| window == id);
    image[at.context("the image id is not in the image")?] ^= 1;
    archive.write(to)
}

impl Archive {
    fn read(path: &Path) -> Result<Self> {
        let file = std::fs::File::open(path).with_context(|| path.display().to_string())?;
        let mut zip = ZipArchive::new(file)?;
        let comment = String::from_utf8(zip.comment().to_vec())?;
        let mut members = Vec::new();
        for index in 0..zip.len() {
            let mut file = zip.by_index(index)?;
            let mut bytes = Vec::new();
            let name = file.name()?.into_owned();
            file.read_to_end(&mut bytes)?;
            members.push((name, bytes));
        }
        Ok(Self { comment, members })
    }

    fn write(&self, path: &Path) -> Result<()> {
        let mut zip = ZipWriter::new(std::fs::File::create(path)?);
        zip.set_comment(self.comment.as_str())?;
        let stored = SimpleFileOptions::DEFAULT.compression_method(CompressionMethod::Stored);
        for (name, bytes) in &self.members {
            zip.start_file(name.as_str(), stored)?;
            zip.write_all(bytes)?;
        }
        zip.finish()?;
        Ok(())
    }

    fn bytes(&mut self, name: &str) -> Result<&mut Vec<u8>> {
        let member = self.members.iter_mut().find(|member| member.0 == name);
        member
            .map(|member| &mut member.1)
            .with_context(|| format!("no member {name}"))
    }

    fn comment(&mut self, comment: &str) -> Result<()> {
        self.comment = comment.into();
        Ok(())
    }

    fn remove(&mut self, name: &str) -> Result<()> {
        self.members.retain(|member| member.0 != name);
        Ok(())
    }

    /// Behind the last task.
    fn add(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        let last = self
            .members
            .iter()
            .rposition(|member| member.0.starts_with("elf/task/"));
        let last = last.context("no task")?;
        self.members.insert(last + 1, (name.into(), bytes.to_vec()));
        Ok(())
    }

    fn copy(&mut self, from: &str, to: &str) -> Result<()> {
        let bytes = self.bytes(from)?.clone();
        self.add(to, &bytes)
    }

    fn reverse_tasks(&mut self) -> Result<()> {
        let is_task = |member: &(String, Vec<u8>)| member.0.starts_with("elf/task/");
        let first = self.members.iter().position(is_task).context("no task")?;
        let last = self.members.iter().rposition(is_task).context("no task")?;
        self.members[first..=last].reverse();
        Ok(())
    }

    fn set(&mut self, name: &str, at: usize, bytes: &[u8]) -> Result<()> {
        self.bytes(name)?[at..at + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    /// The flags of the first section that is not empty.
    fn image_flags(&mut self) -> Result<()> {
        let bytes = self.bytes("img/final.elf")?;
        let sections = u32::from_le_bytes(bytes[32..36].try_into()?) as usize;
        bytes[sections + 40 + 8] |= 4;
        Ok(())
    }

    /// A string that stands between zeros, or that is just text, wherever it occurs.
    fn rename(&mut self, name: &str, from: &str, to: &str) -> Result<()> {
        let bytes = self.bytes(name)?;
        // Whole strings alone, but for text.
        let ends = |byte: Option<&u8>| byte.is_none_or(|byte| *byte == 0);
        let is_text = from.ends_with('(');
        let mut found = 0;
        for at in 1..bytes.len().saturating_sub(from.len()) {
            let here = bytes[at..].starts_with(from.as_bytes());
            let whole = here && ends(bytes.get(at - 1)) && ends(bytes.get(at + from.len()));
            if whole || here && is_text {
                // A longer name would move what follows; the last letter is changed instead.
                let to = &to.as_bytes()[..from.len()];
                bytes[at..at + from.len()].copy_from_slice(to);
                found += 1;
            }
        }
        if found == 0 {
            bail!("`{from}` is not in {name}");
        }
        Ok(())
    }

    fn text(&mut self, name: &str, from: &str, to: &str) -> Result<()> {
        let text = String::from_utf8(self.bytes(name)?.clone())?;
        if !text.contains(from) {
            bail!("`{from}` is not in {name}");
        }
        *self.bytes(name)? = text.replace(from, to).into_bytes();
        Ok(())
    }

    /// The size of a symbol.
    fn size(&mut self, name: &str, symbol: &str, size: u32) -> Result<()> {
        let bytes = self.bytes(name)?;
        let file = object::File::parse(&**bytes)?;
        let found = file.symbols().find(|it| it.name() == Ok(symbol));
        let index = found
            .with_context(|| format!("no symbol {symbol}"))?
            .index()
            .0;
        let table = file.section_by_name(".symtab").context("no .symtab")?;
        let start = table.file_range().context("no .symtab")?.0 as usize;
        // Elf32_Sym: st_name, st_value, st_size
        let at = start + index * 16 + 8;
        bytes[at..at + 4].copy_from_slice(&size.to_le_bytes());
        Ok(())
    }

    /// The version in the head of the first unit.
    fn dwarf_version(&mut self, name: &str, version: u8) -> Result<()> {
        let bytes = self.bytes(name)?;
        let file = object::File::parse(&**bytes)?;
        let section = file
            .section_by_name(".debug_info")
            .context("no .debug_info")?;
        let start = section.file_range().context("no .debug_info")?.0 as usize;
        bytes[start + 4] = version;
        Ok(())
    }
}
