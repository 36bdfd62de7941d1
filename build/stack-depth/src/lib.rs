//! How much stack a task can need, from its finished ELF file.
//!
//! The compiler notes the frame of every function in `.stack_sizes`; who calls whom is read from the instructions. The
//! longest chain of calls from `_start`, plus the frame that the kernel pushes when the task is interrupted, is what
//! the task can need. For assembly, which has no entry in `.stack_sizes`, the frame is what it pushes.
//!
//! What a call through a register calls is not known. It is taken to be any function whose address is stored
//! somewhere, which is safe but often far too much; so there are two bounds, one with these calls and one without.
//! Functions that call each other in a circle are counted once each: how deep a recursion goes is not known either.

#![forbid(unsafe_code)]

mod graph;

use anyhow::{Context, Result};
use build_elf::Elf;
use build_elf::thumb::{self, Effect};
use graph::Graph;
use object::{Object, ObjectSection, ObjectSymbol, SectionKind, SymbolKind};
use std::collections::{BTreeMap, BTreeSet};

/// The extended exception frame (26 words), pushed on the task's own stack, with a word to align it.
pub const EXCEPTION_FRAME: u32 = 26 * 4 + 4;

/// How much stack a task needs, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// Along direct calls alone.
    pub direct: u32,
    /// Along direct calls and calls through registers.
    pub with_indirect: u32,
    /// The deepest chain of direct calls: name and frame of each function.
    pub chain: Vec<(String, u32)>,
    /// Functions in a circle of direct calls.
    pub recursive: Vec<String>,
}

/// A function of the program.
#[derive(Clone, Debug, Default)]
struct Function {
    name: String,
    /// Bytes of its frame.
    frame: u32,
    /// Addresses of the functions that it calls or jumps to.
    calls: BTreeSet<u32>,
    /// Calls through a register.
    indirect: bool,
}

type Functions = BTreeMap<u32, Function>;

/// The bounds for the program in `elf`.
pub fn bound(elf: &Elf) -> Result<Bound> {
    let (functions, stored) = read(elf)?;
    let entry = elf.entry()?;
    let direct = Graph::new(&functions, &BTreeSet::new());
    let full = Graph::new(&functions, &stored);
    let chain = direct.deepest(entry);
    Ok(Bound {
        direct: direct.need(entry) + EXCEPTION_FRAME,
        with_indirect: full.need(entry) + EXCEPTION_FRAME,
        chain: chain
            .iter()
            .filter_map(|address| functions.get(address))
            .map(|f| (f.name.clone(), f.frame))
            .collect(),
        recursive: direct
            .circles(entry)
            .into_iter()
            .filter_map(|a| Some(functions.get(&a)?.name.clone()))
            .collect(),
    })
}

/// The functions by address, and the addresses of those that are stored in data or loaded into a register.
fn read(elf: &Elf) -> Result<(Functions, BTreeSet<u32>)> {
    let file = elf.file()?;
    let text = file
        .section_by_name(".text")
        .context("the program has no .text")?;
    let (base, code) = (u32::try_from(text.address())?, text.data()?);
    let sizes = stack_sizes(elf.section(".stack_sizes")?)?;
    let data_marks = data_ranges(&file, u32::try_from(base as usize + code.len())?);

    let mut functions = Functions::new();
    let mut ends = BTreeMap::new();
    for symbol in file.symbols() {
        if symbol.kind() != SymbolKind::Text
            || symbol.size() == 0
            || symbol.section_index() != Some(text.index())
        {
            continue;
        }
        let start = u32::try_from(symbol.address())? & !1;
        ends.insert(start, start + u32::try_from(symbol.size())?);
        let name = symbol.name().unwrap_or_default().to_string();
        functions.entry(start).or_insert_with(|| Function {
            name,
            ..Function::default()
        });
    }

    let mut stored = stored_words(&file, &functions)?;
    for (start, function) in &mut functions {
        let end = ends[start];
        let effects = Instructions {
            code,
            base,
            next: *start,
            end,
            data: &data_marks,
        };
        let mut pushed = 0;
        let mut low = BTreeMap::new();
        for effect in effects {
            match effect {
                Effect::Branch(to) if !(*start..end).contains(&to) => {
                    function.calls.insert(to);
                }
                Effect::Branch(to) if to == *start => {
                    function.calls.insert(to);
                }
                Effect::CallRegister => function.indirect = true,
                Effect::Reserve(bytes) => pushed += bytes,
                Effect::LoadLow { register, value } => {
                    low.insert(register, value);
                }
                Effect::LoadHigh { register, value } => {
                    if let Some(low) = low.remove(&register) {
                        stored.insert((value << 16 | low) & !1);
                    }
                }
                _ => {}
            }
        }
        function.frame = sizes.get(start).copied().unwrap_or(pushed);
    }
    stored.retain(|address| functions.contains_key(address));
    // A branch into the middle of a function, such as to a shared tail, counts as a call of it.
    let starts: BTreeSet<u32> = functions.keys().copied().collect();
    for function in functions.values_mut() {
        let whole = function
            .calls
            .iter()
            .filter_map(|to| starts.range(..=to).next_back().copied());
        function.calls = whole.collect();
    }
    Ok((functions, stored))
}

/// The frame of each function, by its address.
pub fn frames(elf: &Elf) -> Result<BTreeMap<u32, u32>> {
    let (functions, _) = read(elf)?;
    Ok(functions.iter().map(|(a, f)| (*a, f.frame)).collect())
}

/// `.stack_sizes`: address, then size as ULEB128, back to back.
fn stack_sizes(mut table: &[u8]) -> Result<BTreeMap<u32, u32>> {
    let mut sizes = BTreeMap::new();
    while let Some((address, rest)) = table.split_first_chunk() {
        let (mut size, mut shift) = (0u32, 0);
        let mut bytes = rest.iter();
        loop {
            let byte = *bytes.next().context(".stack_sizes is cut short")?;
            size |= u32::from(byte & 0x7f)
                .checked_shl(shift)
                .unwrap_or_default();
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        sizes.insert(u32::from_le_bytes(*address) & !1, size);
        table = bytes.as_slice();
    }
    Ok(sizes)
}

/// The parts of the code that are constants: from each mapping symbol `$d` to the next mapping symbol.
pub fn data_ranges<'a>(file: &impl Object<'a>, end: u32) -> Vec<std::ops::Range<u32>> {
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
        .filter(|((_, data), _)| **data)
        .map(|((start, _), next)| *start..next)
        .collect()
}

/// Words of initialised data that are the address of a function.
fn stored_words<'a>(file: &impl Object<'a>, functions: &Functions) -> Result<BTreeSet<u32>> {
    let mut stored = BTreeSet::new();
    for section in file.sections() {
        if matches!(
            section.kind(),
            SectionKind::ReadOnlyData | SectionKind::Data | SectionKind::Text
        ) {
            for word in section.data()?.chunks_exact(4) {
                let value = word
                    .iter()
                    .rev()
                    .fold(0, |value, byte| value << 8 | u32::from(*byte));
                if value & 1 == 1 && functions.contains_key(&(value & !1)) {
                    stored.insert(value & !1);
                }
            }
        }
    }
    Ok(stored)
}

/// The instructions of one function.
struct Instructions<'a> {
    code: &'a [u8],
    base: u32,
    next: u32,
    end: u32,
    data: &'a [std::ops::Range<u32>],
}

impl Iterator for Instructions<'_> {
    type Item = Effect;

    fn next(&mut self) -> Option<Effect> {
        if let Some(data) = self.data.iter().find(|range| range.contains(&self.next)) {
            self.next = data.end;
        }
        if self.next >= self.end {
            return None;
        }
        let halfword = |address: u32| {
            let at = address.checked_sub(self.base)? as usize;
            Some(u16::from_le_bytes(*self.code.get(at..)?.first_chunk()?))
        };
        let first = halfword(self.next)?;
        let second = halfword(self.next + 2).unwrap_or_default();
        let (effect, size) = thumb::decode(self.next, first, second);
        self.next += size;
        Some(effect)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_stack_sizes() {
        let table = [0x01, 0x10, 0, 0, 0x08, 0x21, 0x10, 0, 0, 0x80, 0x02];
        assert_eq!(
            stack_sizes(&table).expect("well formed"),
            BTreeMap::from([(0x1000, 8), (0x1020, 256)])
        );
        assert!(stack_sizes(&table[..10]).is_err());
    }
}
