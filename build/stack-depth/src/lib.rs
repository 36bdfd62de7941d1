//! Bounds of a task's stack, from its finished ELF file
//!
//! The need of a task is the largest sum of frames on a chain of calls from `_start`, plus the
//! frame that the kernel pushes when the task is interrupted. Frames are from the section
//! `.stack_sizes`, which the compiler writes; for assembly, which has no entry there, the frame is
//! what the instructions push. Calls are read from the instructions.
//!
//! The target of a call through a register is not known. Two bounds are given: one without these
//! calls, and one in which each of them may call every function whose address is stored in data or
//! loaded as a constant. The second is safe, and often far too large. Functions that call each
//! other in a circle count once each, because the depth of a recursion is not known either:
//! [`Bound::recursive`] names them.

#![forbid(unsafe_code)]

mod graph;

use anyhow::{Context, Result};
use build_elf::thumb::effect::Effect;
use build_elf::thumb::flow::Flow;
use build_elf::{Code, Elf};
use graph::Graph;
use object::{Object, ObjectSection, SectionKind};
use std::collections::{BTreeMap, BTreeSet};

/// The extended exception frame (26 words), pushed on the task's own stack, with a word to align
/// it.
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
    /// Functions that are in a circle of direct calls; the bounds count each once.
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

/// The functions by address, and the addresses of those that are stored in data or loaded into a
/// register.
fn read(elf: &Elf) -> Result<(Functions, BTreeSet<u32>)> {
    let code = Code::read(elf)?;
    let sizes = stack_sizes(elf.section(".stack_sizes")?)?;

    let mut functions = Functions::new();
    let mut ends = BTreeMap::new();
    for symbol in code.functions() {
        let start = symbol.range.start;
        ends.insert(start, symbol.range.end);
        functions.entry(start).or_insert_with(|| Function {
            name: symbol.name.to_string(),
            ..Function::default()
        });
    }

    let mut stored = stored_words(&elf.file()?, &functions)?;
    for (start, function) in &mut functions {
        let range = *start..ends[start];
        let mut pushed = 0;
        let mut low = BTreeMap::new();
        for instruction in code.instructions(range.clone()) {
            match instruction.flow() {
                Flow::Branch(to) | Flow::Call(to) if to == *start || !range.contains(&to) => {
                    function.calls.insert(to);
                }
                Flow::CallRegister(_) => function.indirect = true,
                // BX. A jump by MOV goes to a table of branches in the same function.
                Flow::JumpRegister(_) if instruction.first >> 8 == 0x47 => {
                    function.indirect = true;
                }
                _ => {}
            }
            match instruction.effect() {
                Effect::Reserve(bytes) => pushed += bytes,
                Effect::LoadLow { register, value } => {
                    low.insert(register, value);
                }
                Effect::LoadHigh { register, value } => {
                    if let Some(low) = low.remove(&register) {
                        stored.insert((value << 16 | low) & !1);
                    }
                }
                Effect::Other => {}
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
