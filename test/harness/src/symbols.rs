//! Functions and variables of an image, by address and by name.

use crate::build::Image;
use anyhow::{Context, Result, bail};
use gimli::{Dwarf, EndianRcSlice, LittleEndian};
use object::{Object, ObjectSection, ObjectSymbol, SectionKind, SymbolKind};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::rc::Rc;
use zip::ZipArchive;

/// A function of a program of the image.
#[derive(Clone, Debug)]
pub struct Function {
    /// `kernel`, or the name of the task.
    pub program: String,
    /// The demangled name.
    pub name: String,
}

/// All functions and variables of an image, by address.
pub struct Symbols {
    functions: BTreeMap<u32, Function>,
    /// Address and size of variables, by program and demangled name.
    variables: BTreeMap<(String, String), (u32, u32)>,
    /// The text of each program, by its first address: the address behind its end, and the program.
    texts: BTreeMap<u32, (u32, String)>,
    /// The ELF file of each program.
    elves: BTreeMap<String, Vec<u8>>,
}

/// The debug information of a program's addresses.
pub struct AddressInfo(addr2line::Context<EndianRcSlice<LittleEndian>>);

impl AddressInfo {
    /// The functions that the instruction belongs to, innermost (inlined) first.
    pub fn functions(&self, address: u32) -> Vec<String> {
        let mut names = Vec::new();
        let Ok(mut frames) = self.0.find_frames(address.into()).skip_all_loads() else {
            return names;
        };
        while let Ok(Some(frame)) = frames.next() {
            let name = frame
                .function
                .as_ref()
                .and_then(|name| name.raw_name().ok());
            names.push(name.map_or_else(
                || "?".to_owned(),
                |name| format!("{:#}", rustc_demangle::demangle(&name)),
            ));
        }
        names
    }
}

impl Symbols {
    /// Reads the ELF files of the image's archive.
    pub fn read(image: &Image) -> Result<Self> {
        let file = File::open(&image.archive)
            .with_context(|| format!("cannot open {}", image.archive.display()))?;
        let mut zip = ZipArchive::new(file).context("the archive is no zip file")?;
        let mut functions = BTreeMap::new();
        let mut variables = BTreeMap::new();
        let mut texts = BTreeMap::new();
        let mut elves = BTreeMap::new();
        for index in 0..zip.len() {
            let mut member = zip.by_index(index).context("the archive is damaged")?;
            let name = member
                .name()
                .context("the archive is damaged")?
                .into_owned();
            let Some(program) = name
                .strip_prefix("elf/task/")
                .or_else(|| name.strip_prefix("elf/"))
            else {
                continue;
            };
            let mut bytes = Vec::new();
            member
                .read_to_end(&mut bytes)
                .context("the archive is damaged")?;
            let elf =
                object::File::parse(&*bytes).with_context(|| format!("{name} is no ELF file"))?;
            for section in elf
                .sections()
                .filter(|section| section.kind() == SectionKind::Text)
            {
                let start = section.address() as u32;
                texts.insert(start, (start + section.size() as u32, program.to_owned()));
            }
            for symbol in elf
                .symbols()
                .filter(|symbol| symbol.kind() == SymbolKind::Data)
            {
                let Ok(mangled) = symbol.name() else { continue };
                let name = format!("{:#}", rustc_demangle::demangle(mangled));
                let place = (symbol.address() as u32, symbol.size() as u32);
                variables.insert((program.to_owned(), name), place);
            }
            for symbol in elf
                .symbols()
                .filter(|symbol| symbol.kind() == SymbolKind::Text)
            {
                let Ok(mangled) = symbol.name() else { continue };
                if mangled.starts_with('$') || mangled.is_empty() {
                    continue;
                }
                let address = (symbol.address() & !1) as u32;
                let name = format!("{:#}", rustc_demangle::demangle(mangled));
                functions.insert(
                    address,
                    Function {
                        program: program.to_owned(),
                        name,
                    },
                );
            }
            elves.insert(program.to_owned(), bytes);
        }
        Ok(Self {
            functions,
            variables,
            texts,
            elves,
        })
    }

    /// Program and function of an instruction; `?` where there is none.
    pub fn at(&self, address: u32) -> (&str, &str) {
        let text = self.texts.range(..=address).next_back();
        let Some((start, (_, program))) = text.filter(|(_, (end, _))| address < *end) else {
            return ("?", "?");
        };
        let function = self.functions.range(start..=&address).next_back();
        (
            program,
            function.map_or("?", |(_, function)| &function.name),
        )
    }

    /// The debug information of a program, if it has any.
    pub fn lines(&self, program: &str) -> Option<AddressInfo> {
        let elf = object::File::parse(&**self.elves.get(program)?).ok()?;
        let section = |name: &str| -> EndianRcSlice<LittleEndian> {
            let data = elf
                .section_by_name(name)
                .and_then(|section| section.uncompressed_data().ok());
            EndianRcSlice::new(Rc::from(data.unwrap_or_default().as_ref()), LittleEndian)
        };
        let dwarf = Dwarf::load(|id| Ok::<_, gimli::Error>(section(id.name()))).ok()?;
        addr2line::Context::from_dwarf(dwarf).ok().map(AddressInfo)
    }

    /// The address of a function of a program.
    pub fn address(&self, program: &str, name: &str) -> Result<u32> {
        self.functions
            .iter()
            .find(|(_, function)| function.program == program && function.name == name)
            .map(|(address, _)| *address)
            .with_context(|| format!("{program} has no function {name}"))
    }

    /// The address of the first function of a program whose name contains all of these parts.
    pub fn like(&self, program: &str, parts: &[&str]) -> Result<u32> {
        self.functions
            .iter()
            .find(|(_, function)| {
                function.program == program && parts.iter().all(|part| function.name.contains(part))
            })
            .map(|(address, _)| *address)
            .with_context(|| format!("{program} has no function with {parts:?} in its name"))
    }

    /// Address and size of a variable of a program; of each of its parts, if the compiler has split
    /// it.
    pub fn variable(&self, program: &str, name: &str) -> Result<Vec<(u32, u32)>> {
        let parts: Vec<_> = self
            .variables
            .iter()
            .filter(|((of, full), _)| {
                let rest = full.strip_prefix(name);
                of == program && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            })
            .map(|(_, place)| *place)
            .collect();
        if parts.is_empty() {
            bail!("{program} has no variable {name}");
        }
        Ok(parts)
    }
}

#[cfg(test)]
impl Symbols {
    /// An image without functions.
    pub fn none() -> Self {
        Self {
            functions: BTreeMap::new(),
            variables: BTreeMap::new(),
            texts: BTreeMap::new(),
            elves: BTreeMap::new(),
        }
    }
}
