//! The code of a program: functions, instructions and constants

use crate::Elf;
use crate::thumb::Instructions;
use anyhow::{Context, Result};
use object::read::elf::ElfFile32;
use object::{LittleEndian, Object, ObjectSection, ObjectSymbol, SymbolKind};
use std::collections::BTreeMap;
use std::ops::Range;

/// The section `.text`.
#[derive(Debug)]
pub struct Code<'a> {
    /// Address of the first byte.
    base: u32,
    bytes: &'a [u8],
    /// The parts that are constants, in order.
    constants: Vec<Range<u32>>,
    functions: Vec<FunctionSymbol<'a>>,
}

/// A symbol of a function with a size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionSymbol<'a> {
    /// As it was linked, mangled.
    pub name: &'a str,
    /// Its addresses, without the Thumb bit.
    pub range: Range<u32>,
}

impl<'a> Code<'a> {
    /// Reads the code of a program.
    pub fn read(elf: &'a Elf) -> Result<Self> {
        let file = elf.file()?;
        let text = file
            .section_by_name(".text")
            .context("the program has no .text")?;
        let base = u32::try_from(text.address())?;
        let bytes = text.data()?;
        let end = base + u32::try_from(bytes.len())?;
        let mut functions = Vec::new();
        for symbol in file.symbols() {
            let inside = symbol.section_index() == Some(text.index());
            if symbol.kind() == SymbolKind::Text && symbol.size() > 0 && inside {
                let start = u32::try_from(symbol.address())? & !1;
                functions.push(FunctionSymbol {
                    name: symbol.name().unwrap_or_default(),
                    range: start..start + u32::try_from(symbol.size())?,
                });
            }
        }
        Ok(Self {
            base,
            bytes,
            constants: constants(&file, end),
            functions,
        })
    }

    /// The functions, in the order of the symbol table. One that the linker has merged with others
    /// is there once for each of its names.
    pub fn functions(&self) -> &[FunctionSymbol<'a>] {
        &self.functions
    }

    /// `len` bytes at `address`, if they are in the section.
    pub fn bytes(&self, address: u32, len: usize) -> Option<&'a [u8]> {
        let at = usize::try_from(address.checked_sub(self.base)?).ok()?;
        self.bytes.get(at..at.checked_add(len)?)
    }

    /// The 2 bytes at `address` as a number.
    pub fn halfword(&self, address: u32) -> Option<u16> {
        Some(u16::from_le_bytes(self.bytes(address, 2)?.try_into().ok()?))
    }

    /// The 4 bytes at `address` as a number.
    pub fn word(&self, address: u32) -> Option<u32> {
        Some(u32::from_le_bytes(self.bytes(address, 4)?.try_into().ok()?))
    }

    /// The constants that `address` is among, if it holds no instruction.
    pub fn constants_at(&self, address: u32) -> Option<&Range<u32>> {
        self.constants.iter().find(|range| range.contains(&address))
    }

    /// The instructions in a range, without the constants.
    pub fn instructions(&self, range: Range<u32>) -> Instructions<'_> {
        Instructions::new(self.base, self.bytes, range, &self.constants)
    }
}

/// From each mapping symbol `$d` to the next mapping symbol (ELF for the Arm Architecture, section
/// 5.5.5).
fn constants(file: &ElfFile32<'_, LittleEndian>, end: u32) -> Vec<Range<u32>> {
    let mut marks = BTreeMap::new();
    for symbol in file.symbols() {
        let name = symbol.name().unwrap_or_default();
        if name.starts_with("$d") || name.starts_with("$t") {
            marks.insert(symbol.address() as u32 & !1, name.starts_with("$d"));
        }
    }
    let nexts = marks.keys().skip(1).copied().chain([end]);
    marks
        .iter()
        .zip(nexts)
        .filter(|((_, is_data), _)| **is_data)
        .map(|((start, _), next)| *start..next)
        .collect()
}
