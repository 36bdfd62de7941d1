//! One ELF file of the archive: the kernel or a task

use super::container::Archive;
use super::frames;
use super::{Report, Topic};
use anyhow::Result;
use build_elf::Elf;
use object::elf::{EM_ARM, PT_LOAD, SHF_ALLOC, SHF_COMPRESSED, SHN_ABS};
use object::read::elf::{ElfFile32, FileHeader, ProgramHeader, SectionHeader, Sym};
use object::{LittleEndian, Object, ObjectSection, ObjectSymbol, SymbolKind};
use std::collections::{BTreeMap, BTreeSet};

/// A program of the archive.
#[derive(Debug)]
pub struct Program {
    /// Member of the archive.
    pub member: String,
    /// Name of the task, or `kernel`.
    pub name: String,
    /// The file.
    pub elf: Elf,
    /// Those with a name.
    pub symbols: Vec<Symbol>,
    /// First address of `.text`, and the one behind its end.
    pub text: (u32, u32),
}

/// A symbol with a name.
#[derive(Clone, Debug)]
pub struct Symbol {
    /// As it was linked, mangled.
    pub name: String,
    /// Without the Thumb bit, if it is a function.
    pub address: u32,
    /// In bytes.
    pub size: u32,
    /// It is code.
    pub function: bool,
    /// It is a number, and not an address in a section.
    pub absolute: bool,
    /// Name of its section, if that is allocated.
    pub section: Option<String>,
    /// Its section has bytes in the file.
    pub bytes: bool,
}

impl Program {
    /// Reads a member and checks it; `None` if it is not a program at all.
    pub fn read(archive: &Archive, member: &str, report: &mut Report) -> Result<Option<Self>> {
        let data = archive.get(member).unwrap_or(&[]).to_vec();
        let Ok(elf) = Elf::parse(member.as_ref(), data) else {
            report.add(
                member,
                Topic::Archive,
                "is no 32-bit ELF file; Humility refuses the archive",
            );
            return Ok(None);
        };
        let file = elf.file()?;
        let symbols = symbols(&file)?;
        let text = file.section_by_name(".text").map(|section| {
            let start = section.address() as u32;
            (start, start + section.size() as u32)
        });
        check_sections(&file, member, report)?;
        let name = member.rsplit('/').next().unwrap_or_default().to_string();
        let program = Self {
            member: member.into(),
            name,
            elf,
            symbols,
            text: text.unwrap_or_default(),
        };
        let file = program.file()?;
        let stubs = check_functions(&program, &file, report)?;
        frames::check(&program, &file, &stubs, report)?;
        Ok(Some(program))
    }

    /// The parsed file.
    pub fn file(&self) -> Result<ElfFile32<'_, LittleEndian>> {
        self.elf.file()
    }

    /// The initial value of a variable of 4 bytes, if the file has it.
    pub fn initial_word(&self, name: &str) -> Option<u32> {
        let symbol = self.symbol(name)?;
        let file = self.file().ok()?;
        let section = file.section_by_name(symbol.section.as_deref()?)?;
        let at = u64::from(symbol.address).checked_sub(section.address())? as usize;
        let bytes = section.data().ok()?.get(at..at + 4)?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?))
    }

    /// The symbol of this name.
    pub fn symbol(&self, name: &str) -> Option<&Symbol> {
        self.symbols.iter().find(|symbol| symbol.name == name)
    }
}

fn symbols(file: &ElfFile32<'_, LittleEndian>) -> Result<Vec<Symbol>> {
    let endian = LittleEndian;
    let mut symbols = Vec::new();
    for symbol in file.symbols() {
        let name = symbol.name().unwrap_or_default().to_string();
        if name.is_empty() {
            continue;
        }
        let section = match symbol.section_index() {
            Some(index) => Some(file.section_by_index(index)?),
            None => None,
        };
        let header = section.as_ref().map(|section| section.elf_section_header());
        let allocated = header.is_some_and(|it| it.sh_flags(endian).contains(SHF_ALLOC));
        let function = symbol.kind() == SymbolKind::Text;
        let address = symbol.address() as u32;
        symbols.push(Symbol {
            name,
            address: if function { address & !1 } else { address },
            size: symbol.size() as u32,
            function,
            absolute: symbol.elf_symbol().st_shndx(endian) == SHN_ABS,
            bytes: section.as_ref().is_some_and(|it| it.file_range().is_some()),
            section: section
                .filter(|_| allocated)
                .and_then(|it| it.name().ok().map(String::from)),
        });
    }
    Ok(symbols)
}

fn check_sections(
    file: &ElfFile32<'_, LittleEndian>,
    member: &str,
    report: &mut Report,
) -> Result<()> {
    let endian = LittleEndian;
    let mut add = |what: String| report.add(member, Topic::Program, what);
    if file.elf_header().e_machine(endian) != EM_ARM {
        add("its machine is not EM_ARM; Humility refuses it".into());
    }
    for needed in [".text", ".debug_frame"] {
        if file.section_by_name(needed).is_none() {
            add(format!("has no section {needed}; Humility refuses it"));
        }
    }
    if file.section_by_name(".debug_info").is_some() {
        for needed in [".debug_abbrev", ".debug_line", ".debug_str"] {
            if file.section_by_name(needed).is_none() {
                add(format!(
                    "has .debug_info but no {needed}, to which that refers"
                ));
            }
        }
    }
    if file.symbol_table().is_none() {
        add("has no .symtab; do not strip it".into());
    }
    for section in file.sections() {
        let name = section.name()?;
        let flags = section.elf_section_header().sh_flags(endian);
        if name.starts_with(".zdebug")
            || name.starts_with(".debug") && flags.contains(SHF_COMPRESSED)
        {
            add(format!(
                "section {name} is compressed; link without --compress-debug-sections"
            ));
        }
        if name == ".idolatry" && flags.contains(SHF_ALLOC) {
            add("section .idolatry is loaded; it must be an INFO section".into());
        }
    }
    Ok(())
}

/// The mapping symbols of `.text` (ELF for the Arm Architecture, section 5.5.5): where constants
/// begin, and where code begins again.
fn mapping(file: &ElfFile32<'_, LittleEndian>) -> BTreeMap<u32, bool> {
    let text = file.section_by_name(".text").map(|text| text.index());
    let marks = file.symbols().filter_map(|symbol| {
        let is_constant = match symbol.name().ok()?.get(..2)? {
            "$d" => true,
            "$t" => false,
            _ => return None,
        };
        (symbol.section_index() == text).then_some((symbol.address() as u32, is_constant))
    });
    marks.collect()
}

/// The code with NOPs in the place of constants, which may look like any instruction. `marks` are
/// addresses from which on there are constants (`true`) or instructions.
fn without_constants(code: &[u8], start: u32, marks: BTreeMap<u32, bool>) -> Vec<u8> {
    const NOP: [u8; 2] = 0xbf00_u16.to_le_bytes();
    let mut code = code.to_vec();
    let ends = marks.keys().skip(1).copied().chain([u32::MAX]);
    for ((&from, _), to) in marks.iter().zip(ends).filter(|((_, is), _)| **is) {
        let [from, to] = [from, to].map(|at| at.saturating_sub(start) as usize);
        let to = to.min(code.len());
        for pair in code
            .get_mut(from..to)
            .unwrap_or(&mut [])
            .chunks_exact_mut(2)
        {
            pair.copy_from_slice(&NOP);
        }
    }
    code
}

/// Checks functions, which Humility disassembles from `.text` when it loads the archive. Returns
/// the addresses of those with an SVC.
fn check_functions(
    program: &Program,
    file: &ElfFile32<'_, LittleEndian>,
    report: &mut Report,
) -> Result<BTreeSet<u32>> {
    let text = file.section_by_name(".text");
    let code = text
        .as_ref()
        .map(|text| text.data())
        .transpose()?
        .unwrap_or(&[]);
    let (start, end) = program.text;
    let code = without_constants(code, start, mapping(file));
    let mut stubs = BTreeSet::new();
    for symbol in &program.symbols {
        let Some(section) = &symbol.section else {
            continue;
        };
        if !symbol.function || symbol.size == 0 {
            continue;
        }
        let name = &symbol.name;
        let mut add = |topic, what: String| report.add(&program.member, topic, what);
        if section != ".text" || symbol.address < start || symbol.address + symbol.size > end {
            add(
                Topic::Program,
                format!(
                    "function `{name}` is in {section} and not in .text; give it another type, no size, or another section"
                ),
            );
            continue;
        }
        if symbol.size % 2 != 0 {
            add(
                Topic::Program,
                format!("function `{name}` has the odd size {}", symbol.size),
            );
        }
        let at = (symbol.address - start) as usize;
        let body = code.get(at..at + symbol.size as usize).unwrap_or(&[]);
        if program.name != "kernel" && name == "_start" {
            frames::check_entry(symbol.address, body, &mut add);
        }
        if program.name != "kernel" && frames::check_stub(name, symbol.address, body, &mut add) {
            stubs.insert(symbol.address);
        }
    }
    Ok(stubs)
}

/// Checks that the image contains what the program loads. Otherwise the archive is of two builds.
fn check_image(archive: &Archive, program: &Program, report: &mut Report) -> Result<()> {
    let endian = LittleEndian;
    let file = program.file()?;
    for load in file.elf_program_headers() {
        let (address, length) = (load.p_paddr(endian), load.p_filesz(endian));
        if load.p_type(endian) != PT_LOAD || length == 0 {
            continue;
        }
        let start = load.p_offset(endian) as usize;
        let bytes = program
            .elf
            .data()
            .get(start..start.saturating_add(length as usize));
        if bytes.is_none() || archive.read_flash(address, length as usize) != bytes {
            report.add(
                &program.member,
                Topic::Image,
                format!("what it loads at {address:#x} is not in img/final.elf; the archive is of two builds"),
            );
        }
    }
    Ok(())
}

/// Checks the rules about all programs together, and about the image.
pub(crate) fn check_all(
    archive: &Archive,
    programs: &[Program],
    report: &mut Report,
) -> Result<()> {
    for program in programs {
        check_image(archive, program, report)?;
    }
    let mut places: BTreeMap<u32, &str> = BTreeMap::new();
    for program in programs {
        if let Some(other) = places.insert(program.text.0, &program.name) {
            report.add(
                &program.member,
                Topic::Program,
                format!("its .text is where that of {other} is; the archive must hold the placed programs"),
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A constant that looks like an SVC, before one that looks like a PUSH, was taken for a stub.
    #[test]
    fn constants_are_no_instructions() {
        // BX LR, two constants, and a function with an SVC behind them.
        let code = [0x70, 0x47, 0x55, 0xdf, 0x21, 0xb5, 0x00, 0xdf, 0x70, 0x47];
        let marks = [(0x100, false), (0x102, true), (0x106, false)];
        let clean = without_constants(&code, 0x100, marks.into());
        assert_eq!(
            clean,
            [0x70, 0x47, 0x00, 0xbf, 0x00, 0xbf, 0x00, 0xdf, 0x70, 0x47]
        );
        let mut found = Vec::new();
        let mut check =
            |body: &[u8]| frames::check_stub("f", 0x100, body, &mut |_, what| found.push(what));
        assert!(check(&code[2..6]), "the constants look like a stub");
        assert!(!check(&clean[..6]), "constants are instructions");
        assert_eq!(found.len(), 1);
    }
}
