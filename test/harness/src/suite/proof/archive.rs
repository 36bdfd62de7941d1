//! A build archive, unpacked, in which single places can be changed.

use anyhow::{Context, Result, bail};
use object::{Object, ObjectSection, ObjectSymbol};
use std::io::{Read, Write};
use std::path::Path;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

/// An unpacked archive.
#[derive(Clone)]
pub(super) struct Archive {
    comment: String,
    members: Vec<(String, Vec<u8>)>,
}

/// Writes the archive with another image id than `id`.
pub fn change_image(archive: &Path, id: &[u8], to: &Path) -> Result<()> {
    let mut archive = Archive::read(archive)?;
    let image = archive.bytes("img/final.elf")?;
    let at = image.windows(id.len()).position(|window| window == id);
    image[at.context("the image id is not in the image")?] ^= 1;
    archive.write(to)
}

impl Archive {
    pub(super) fn read(path: &Path) -> Result<Self> {
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

    pub(super) fn write(&self, path: &Path) -> Result<()> {
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

    /// Names and contents, in their order.
    pub(super) fn members(&self) -> &[(String, Vec<u8>)] {
        &self.members
    }

    fn bytes(&mut self, name: &str) -> Result<&mut Vec<u8>> {
        let member = self.members.iter_mut().find(|member| member.0 == name);
        member
            .map(|member| &mut member.1)
            .with_context(|| format!("no member {name}"))
    }

    pub(super) fn comment(&mut self, comment: &str) -> Result<()> {
        self.comment = comment.into();
        Ok(())
    }

    pub(super) fn replace(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        *self.bytes(name)? = bytes.to_vec();
        Ok(())
    }

    /// Adds a member at the end, where it does not change the order of the tasks.
    pub(super) fn new_member(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        self.members.push((name.into(), bytes.to_vec()));
        Ok(())
    }

    pub(super) fn remove(&mut self, name: &str) -> Result<()> {
        self.members.retain(|member| member.0 != name);
        Ok(())
    }

    /// Adds a member behind the last task.
    pub(super) fn add(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        let last = self
            .members
            .iter()
            .rposition(|member| member.0.starts_with("elf/task/"));
        let last = last.context("no task")?;
        self.members.insert(last + 1, (name.into(), bytes.to_vec()));
        Ok(())
    }

    pub(super) fn copy(&mut self, from: &str, to: &str) -> Result<()> {
        let bytes = self.bytes(from)?.clone();
        self.add(to, &bytes)
    }

    pub(super) fn reverse_tasks(&mut self) -> Result<()> {
        let is_task = |member: &(String, Vec<u8>)| member.0.starts_with("elf/task/");
        let first = self.members.iter().position(is_task).context("no task")?;
        let last = self.members.iter().rposition(is_task).context("no task")?;
        self.members[first..=last].reverse();
        Ok(())
    }

    pub(super) fn set(&mut self, name: &str, at: usize, bytes: &[u8]) -> Result<()> {
        self.bytes(name)?[at..at + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    /// Changes the flags of the first section that is not empty.
    pub(super) fn image_flags(&mut self) -> Result<()> {
        let bytes = self.bytes("img/final.elf")?;
        let sections = u32::from_le_bytes(bytes[32..36].try_into()?) as usize;
        bytes[sections + 40 + 8] |= 4;
        Ok(())
    }

    /// Replaces each occurrence of a string that is between zeros, or that ends with `(`. The
    /// length stays: `to` is cut.
    pub(super) fn rename(&mut self, name: &str, from: &str, to: &str) -> Result<()> {
        let bytes = self.bytes(name)?;
        // A string that ends with `(` is part of a longer text.
        let ends = |byte: Option<&u8>| byte.is_none_or(|byte| *byte == 0);
        let is_text = from.ends_with('(');
        let mut found = 0;
        for at in 1..bytes.len().saturating_sub(from.len()) {
            let here = bytes[at..].starts_with(from.as_bytes());
            let whole = here && ends(bytes.get(at - 1)) && ends(bytes.get(at + from.len()));
            if whole || here && is_text {
                // The same length, because the offsets of everything behind it must not change.
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

    pub(super) fn text(&mut self, name: &str, from: &str, to: &str) -> Result<()> {
        let text = String::from_utf8(self.bytes(name)?.clone())?;
        if !text.contains(from) {
            bail!("`{from}` is not in {name}");
        }
        *self.bytes(name)? = text.replace(from, to).into_bytes();
        Ok(())
    }

    /// Changes the size of a symbol.
    pub(super) fn size(&mut self, name: &str, symbol: &str, size: u32) -> Result<()> {
        // Elf32_Sym: st_name, st_value, st_size
        self.in_symbol(name, symbol, 8, size)
    }

    /// Gives a symbol the address of another one.
    pub(super) fn same_place(&mut self, name: &str, symbol: &str, other: &str) -> Result<()> {
        let (address, _) = self.place(name, other)?;
        self.in_symbol(name, symbol, 4, address as u32)
    }

    fn in_symbol(&mut self, name: &str, symbol: &str, offset: usize, value: u32) -> Result<()> {
        let bytes = self.bytes(name)?;
        let file = object::File::parse(&**bytes)?;
        let mut symbols = file.symbols();
        let found = symbols.find(|it| it.name().is_ok_and(|name| is_called(name, symbol)));
        let index = found
            .with_context(|| format!("no symbol {symbol}"))?
            .index()
            .0;
        let table = file.section_by_name(".symtab").context("no .symtab")?;
        let start = table.file_range().context("no .symtab")?.0 as usize;
        let at = start + index * 16 + offset;
        bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        Ok(())
    }

    /// Makes the frame of a function that of another one.
    pub(super) fn move_frame(&mut self, name: &str, from: &str, to: &str) -> Result<()> {
        let (frame, _) = self.frame(name, from)?;
        let (address, _) = self.place(name, to)?;
        self.set(name, frame + 8, &(address as u32).to_le_bytes())
    }

    /// Writes a rule over the end of the frame of a function, which is padding.
    pub(super) fn end_of_frame(&mut self, name: &str, function: &str, rule: &[u8]) -> Result<()> {
        let (_, end) = self.frame(name, function)?;
        self.set(name, end - rule.len(), rule)
    }

    /// Offsets in the file of start and end of the frame of a function.
    fn frame(&mut self, name: &str, function: &str) -> Result<(usize, usize)> {
        let (address, _) = self.place(name, function)?;
        let bytes = self.bytes(name)?;
        let file = object::File::parse(&**bytes)?;
        let section = file
            .section_by_name(".debug_frame")
            .context("no .debug_frame")?;
        let (mut at, length) = section.file_range().context("no .debug_frame")?;
        let end = at + length;
        let word = |at: u64| {
            let word = bytes.get(at as usize..).and_then(|rest| rest.first_chunk());
            word.map_or(0, |word| u32::from_le_bytes(*word))
        };
        while at < end {
            let next = at + 4 + u64::from(word(at));
            if word(at + 4) != u32::MAX && u64::from(word(at + 8) & !1) == address {
                return Ok((at as usize, next as usize));
            }
            at = next;
        }
        bail!("{function} has no frame")
    }

    /// Makes the first writable region of a task so large that it overlaps the next one.
    pub(super) fn enlarge_region(&mut self) -> Result<()> {
        const TABLE: &str = "HUBRIS_REGION_DESCS";
        let (_, at) = self.place("elf/kernel", TABLE)?;
        let table = self.bytes("elf/kernel")?.get(at..).context("no table")?;
        // A word of the kernel's own, base, size, attributes: only read and write.
        let mut regions = table.chunks_exact(16);
        let index = regions.position(|region| region[12..] == [3, 0, 0, 0]);
        let index = index.context("no stack")? as u32;
        self.flash(TABLE, 16 * index + 8, &[0, 0, 1, 0])
    }

    /// Takes the last byte from the image: from its section and from its segment.
    pub(super) fn shorten_image(&mut self) -> Result<()> {
        let image = self.bytes("img/final.elf")?;
        let sections = u32::from_le_bytes(image[32..36].try_into()?) as usize;
        // Elf32_Shdr.sh_size of the first section; p_filesz and p_memsz of the program header.
        for at in [sections + 40 + 20, 52 + 16, 52 + 20] {
            let size = u32::from_le_bytes(image[at..at + 4].try_into()?) - 1;
            image[at..at + 4].copy_from_slice(&size.to_le_bytes());
        }
        Ok(())
    }

    /// Writes bytes into the image, at a variable of the kernel.
    pub(super) fn flash(&mut self, symbol: &str, offset: u32, bytes: &[u8]) -> Result<()> {
        let (address, _) = self.place("elf/kernel", symbol)?;
        let image = self.bytes("img/final.elf")?;
        let file = object::File::parse(&**image)?;
        let section = file.section_by_name(".sec1").context("no .sec1")?;
        let start = section.file_range().context("no .sec1")?.0;
        let at = (start + address + u64::from(offset) - section.address()) as usize;
        self.set("img/final.elf", at, bytes)
    }

    /// Writes bytes into the file of a program, at one of its symbols.
    pub(super) fn program(
        &mut self,
        name: &str,
        symbol: &str,
        offset: usize,
        bytes: &[u8],
    ) -> Result<()> {
        let (_, at) = self.place(name, symbol)?;
        self.set(name, at + offset, bytes)
    }

    /// Address of a symbol, by its demangled name, and its offset in the file.
    fn place(&mut self, name: &str, symbol: &str) -> Result<(u64, usize)> {
        let bytes = self.bytes(name)?;
        let file = object::File::parse(&**bytes)?;
        let mut symbols = file.symbols();
        let found = symbols.find(|it| it.name().is_ok_and(|name| is_called(name, symbol)));
        let found = found.with_context(|| format!("no symbol {symbol}"))?;
        let address = found.address() & !1;
        let index = found.section_index().context("a symbol without section")?;
        let section = file.section_by_index(index)?;
        let start = section.file_range().context("a symbol without bytes")?.0;
        Ok((address, (start + address - section.address()) as usize))
    }

    /// Changes the type of a section.
    pub(super) fn section_type(&mut self, name: &str, section: &str, to: u8) -> Result<()> {
        let bytes = self.bytes(name)?;
        let file = object::File::parse(&**bytes)?;
        let found = file
            .section_by_name(section)
            .with_context(|| format!("no {section}"))?;
        let index = found.index().0;
        let headers = u32::from_le_bytes(bytes[32..36].try_into()?) as usize;
        // Elf32_Shdr: sh_name, sh_type
        bytes[headers + 40 * index + 4] = to;
        Ok(())
    }

    /// Changes the DWARF version in the header of the first unit.
    pub(super) fn dwarf_version(&mut self, name: &str, version: u8) -> Result<()> {
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

/// Whether a symbol has this name, or a path that ends with it.
fn is_called(name: &str, symbol: &str) -> bool {
    let demangled = format!("{:#}", rustc_demangle::demangle(name));
    name == symbol || demangled.ends_with(&format!("::{symbol}")) || demangled == symbol
}
