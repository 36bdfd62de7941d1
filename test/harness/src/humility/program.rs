//! A program of a dump's archive: the kernel, or a task.

use super::types::DebugInfo;
use super::{dwarf, svc};
use anyhow::{Context, Result};
use object::{Object as _, ObjectSection, ObjectSymbol, SymbolKind};
use std::collections::BTreeMap;
use std::ops::Range;

/// A program: the kernel, or a task.
pub struct Program {
    pub name: String,
    pub elf: Vec<u8>,
    pub debug: DebugInfo,
    pub text: Range<u32>,
    /// By first address: the address behind the function, and its name.
    functions: BTreeMap<u32, (u32, String)>,
    /// By the address behind an SVC: what the function has pushed before it, from the stack pointer
    /// up.
    pub calls: BTreeMap<u32, Vec<usize>>,
}

impl Program {
    /// Reads the ELF file of a program.
    pub fn read(name: String, elf: Vec<u8>) -> Result<Self> {
        let debug = dwarf::read(&elf).with_context(|| name.clone())?;
        let file = object::File::parse(&*elf)?;
        let section = file.section_by_name(".text").context("no .text")?;
        let start = section.address() as u32;
        let text = start..start + section.size() as u32;
        let code = section.data()?;
        let (mut functions, mut calls) = (BTreeMap::new(), BTreeMap::new());
        for symbol in file.symbols() {
            if symbol.kind() != SymbolKind::Text || symbol.size() == 0 {
                continue;
            }
            let first = symbol.address() as u32 & !1;
            let end = first + symbol.size() as u32;
            let body = code.get((first - start) as usize..(end - start) as usize);
            let body = body.context("a function outside of .text")?;
            calls.extend(svc::calls(first, body));
            let demangled = format!("{:#}", rustc_demangle::demangle(symbol.name()?));
            functions.insert(first, (end, demangled));
        }
        Ok(Self {
            name,
            debug,
            text,
            functions,
            calls,
            elf,
        })
    }

    /// The function at an address.
    pub fn function(&self, address: u32) -> Option<&str> {
        let (_, (end, name)) = self.functions.range(..=address).next_back()?;
        (address < *end).then_some(name)
    }

    /// The value of a symbol.
    pub fn symbol(&self, name: &str) -> Result<u32> {
        let file = object::File::parse(&*self.elf)?;
        let found = file.symbols().find(|symbol| symbol.name() == Ok(name));
        Ok(found
            .with_context(|| format!("no symbol {name}"))?
            .address() as u32)
    }
}
