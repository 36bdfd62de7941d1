//! Reading finished ELF files, and replacing loaded bytes in them

use anyhow::{Context, Result, anyhow, bail};
use object::elf::{FileHeader32, PT_LOAD, SHF_ALLOC, SHT_NOBITS};
use object::read::elf::{ElfFile32, FileHeader, ProgramHeader, SectionHeader};
use object::{LittleEndian, Object, ObjectSection, ObjectSymbol};
use std::fs;
use std::path::{Path, PathBuf};

/// A 32-bit little-endian ELF file in memory.
#[derive(Clone, Debug)]
pub struct Elf {
    path: PathBuf,
    data: Vec<u8>,
}

/// Bytes that are loaded.
#[derive(Copy, Clone, Debug)]
pub struct Segment<'a> {
    /// Address at which the program uses them.
    pub virtual_address: u32,
    /// Address that they are loaded to.
    pub load_address: u32,
    /// The bytes.
    pub bytes: &'a [u8],
    /// Length in memory, at least that of `bytes`; the rest is zeros.
    pub memory_size: u32,
}

impl Elf {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self> {
        let data = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(path, data)
    }

    /// Checks that `data` is such a file. `path` is for messages.
    pub fn parse(path: &Path, data: Vec<u8>) -> Result<Self> {
        let elf = Self {
            path: path.to_path_buf(),
            data,
        };
        elf.file()?;
        Ok(elf)
    }

    /// Writes the file, changed or not, to `path`.
    pub fn write(&self, path: &Path) -> Result<()> {
        fs::write(path, &self.data).with_context(|| format!("cannot write {}", path.display()))
    }

    /// The file's bytes.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// The parsed file.
    pub fn file(&self) -> Result<ElfFile32<'_, LittleEndian>> {
        ElfFile32::parse(&*self.data)
            .map_err(|error| anyhow!("{}: not a 32-bit ELF file: {error}", self.path.display()))
    }

    /// Address of the first instruction, without the Thumb bit.
    pub fn entry(&self) -> Result<u32> {
        Ok(u32::try_from(self.file()?.entry())? & !1)
    }

    /// The PT_LOAD segments that are not empty.
    pub fn segments(&self) -> Result<Vec<Segment<'_>>> {
        let endian = LittleEndian;
        let header = FileHeader32::<LittleEndian>::parse(&*self.data)?;
        let mut segments = Vec::new();
        for program in header.program_headers(endian, &*self.data)? {
            if program.p_type(endian) != PT_LOAD || program.p_memsz(endian) == 0 {
                continue;
            }
            let bytes = program.data(endian, &*self.data).map_err(|()| {
                anyhow!("{}: a segment lies outside the file", self.path.display())
            })?;
            segments.push(Segment {
                virtual_address: program.p_vaddr(endian),
                load_address: program.p_paddr(endian),
                bytes,
                memory_size: program.p_memsz(endian),
            });
        }
        Ok(segments)
    }

    /// Content of a section; empty if there is no such section.
    pub fn section(&self, name: &str) -> Result<&[u8]> {
        let file = self.file()?;
        let Some(section) = file.section_by_name(name) else {
            return Ok(&[]);
        };
        let Some((start, size)) = section.file_range() else {
            return Ok(&[]);
        };
        let (start, size) = (usize::try_from(start)?, usize::try_from(size)?);
        self.data.get(start..start + size).with_context(|| {
            format!(
                "{}: section {name} lies outside the file",
                self.path.display()
            )
        })
    }

    /// Value of the symbol of this name, if there is one.
    pub fn symbol(&self, name: &str) -> Result<Option<u32>> {
        let file = self.file()?;
        let symbol = file.symbol_by_name(name);
        Ok(symbol
            .map(|symbol| u32::try_from(symbol.address()))
            .transpose()?)
    }

    /// Replaces loaded bytes at `address`.
    pub fn patch(&mut self, address: u32, bytes: &[u8]) -> Result<()> {
        let offset = self.offset_of(address, bytes.len())?;
        self.data[offset..offset + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    /// Offset in the file of `len` loaded bytes at `address`.
    fn offset_of(&self, address: u32, len: usize) -> Result<usize> {
        let endian = LittleEndian;
        let header = FileHeader32::<LittleEndian>::parse(&*self.data)?;
        for section in header.sections(endian, &*self.data)?.iter() {
            let (start, size) = (section.sh_addr(endian), section.sh_size(endian));
            let loaded = section.sh_flags(endian).contains(SHF_ALLOC)
                && section.sh_type(endian) != SHT_NOBITS;
            let inside = address >= start
                && u64::from(address) + len as u64 <= u64::from(start) + u64::from(size);
            if loaded && inside {
                return Ok(usize::try_from(
                    section.sh_offset(endian) + (address - start),
                )?);
            }
        }
        bail!("{}: nothing is loaded at {address:#x}", self.path.display())
    }

    /// An error if one of `strings` occurs anywhere in the file.
    pub fn forbid(&self, strings: &[String]) -> Result<()> {
        for string in strings {
            let Some(at) = memchr::memmem::find(&self.data, string.as_bytes()) else {
                continue;
            };
            let printable = self.data[at..]
                .iter()
                .take(120)
                .take_while(|byte| (32..127).contains(*byte));
            let found: Vec<u8> = printable.copied().collect();
            bail!(
                "{}: contains a path of this machine, {}; remap it or pass --dangerously-skip-path-check",
                self.path.display(),
                String::from_utf8_lossy(&found)
            );
        }
        Ok(())
    }
}
