//! A program as a list of functions, with the facts about each that the proof needs

use anyhow::Result;
use build_elf::thumb::Instruction;
use build_elf::thumb::flow::Flow;
use build_elf::{Code, Elf, names};
use build_stack_depth as stack;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// What a function does, read from its instructions.
#[derive(Clone, Debug, Default)]
pub struct Function {
    /// Its names, demangled. Identical functions are merged into one, which has the names of all of
    /// them.
    pub names: Vec<String>,
    /// Bytes of code.
    pub size: u32,
    /// Bytes of its stack frame.
    pub frame: u32,
    /// Addresses of the functions that it calls or branches to, each with the number of places.
    pub calls: BTreeMap<u32, usize>,
    /// Numbers of its system calls; `None` for one whose number is not a constant.
    pub system_calls: BTreeSet<Option<u32>>,
    /// Addresses of instructions that fault.
    pub traps: Vec<u32>,
    /// Addresses of branches and calls whose target is not known.
    pub unknown: Vec<u32>,
}

/// Functions by address.
pub type Program = BTreeMap<u32, Function>;

/// Register that holds the number of a system call.
const NUMBER: u16 = 11;

/// Reads every function of `elf`, and the address of the first one.
pub fn read(elf: &Elf) -> Result<(Program, u32)> {
    let code = Code::read(elf)?;
    let frames = stack::frames(elf)?;

    let mut program = Program::new();
    for symbol in code.functions() {
        let start = symbol.range.start;
        let function = program.entry(start).or_default();
        function.names.push(names::full(symbol.name));
        function.size = symbol.range.end - start;
        function.frame = frames.get(&start).copied().unwrap_or_default();
    }
    let outlined = program
        .iter()
        .filter(|(_, function)| function.names.iter().any(|name| name.starts_with(OUTLINED)))
        .map(|(address, _)| *address)
        .collect();
    let text = Text {
        code,
        ranges: program.iter().map(|(a, f)| (*a, a + f.size)).collect(),
        outlined,
    };
    for (start, function) in &mut program {
        Body::new(&text, *start..text.ranges[start]).describe(function, &text);
    }
    Ok((program, elf.entry()?))
}

/// Prefix of the names that LLVM's machine outliner gives.
const OUTLINED: &str = "OUTLINED_FUNCTION_";

/// The code of a program, by functions.
struct Text<'a> {
    code: Code<'a>,
    /// First address of each function, and the one behind it.
    ranges: BTreeMap<u32, u32>,
    /// Pieces of code that the outliner has moved out of several functions.
    outlined: BTreeSet<u32>,
}

impl Text<'_> {
    /// The function that `address` is in.
    fn function_at(&self, address: u32) -> Option<u32> {
        let (start, end) = self.ranges.range(..=address).next_back()?;
        (address < *end).then_some(*start)
    }

    /// Whether `register` (one of r4 to r11) has the same value before and after a call of
    /// `callee`.
    ///
    /// A function must preserve these (AAPCS, section 6.1.1). Outlined code is a part of its caller
    /// and need not, so its instructions are looked at.
    fn keeps(&self, callee: u32, register: u16) -> bool {
        let Some(end) = self.ranges.get(&callee) else {
            return false;
        };
        !self.outlined.contains(&callee)
            || Body::new(self, callee..*end)
                .instructions
                .iter()
                .all(|i| !i.writes(register))
    }
}

/// An instruction of a function.
#[derive(Copy, Clone, Debug)]
struct Step {
    instruction: Instruction,
    flow: Flow,
    /// It is in an IT block, and has an effect only if the condition holds.
    conditional: bool,
}

impl Step {
    fn address(&self) -> u32 {
        self.instruction.address
    }

    fn writes(&self, register: u16) -> bool {
        self.instruction.may_write(register)
    }

    /// The constant that it loads into `register`, if it does that.
    fn constant(&self, register: u16, text: &Text<'_>) -> Option<u32> {
        let Instruction { first, second, .. } = self.instruction;
        let from = (self.address() & !3) + 4;
        // MOV (immediate), T1 and T2, of a byte; MOV, T3
        if first >> 11 == 0b00100 && first >> 8 & 7 == register {
            return Some((first & 0xff).into());
        }
        if first == 0xf04f && second >> 8 == register {
            return Some((second & 0xff).into());
        }
        // LDR (literal), T1 and T2
        if first >> 11 == 0b01001 && first >> 8 & 7 == register {
            return text.code.word(from + 4 * u32::from(first & 0xff));
        }
        if first == 0xf8df && second >> 12 == register {
            return text.code.word(from + u32::from(second & 0xfff));
        }
        if first == 0xf85f && second >> 12 == register {
            return text.code.word(from - u32::from(second & 0xfff));
        }
        None
    }

    /// The address that it loads into `register` (ADR, T1 and T3), if it does that. The address
    /// lies behind it.
    fn address_of(&self, register: u16) -> Option<u32> {
        let Instruction { first, second, .. } = self.instruction;
        let from = (self.address() & !3) + 4;
        if first >> 11 == 0b10100 && first >> 8 & 7 == register {
            return Some(from + 4 * u32::from(first & 0xff));
        }
        let immediate = u32::from(first >> 10 & 1) << 11
            | u32::from(second >> 12 & 7) << 8
            | u32::from(second & 0xff);
        let wide = first & 0xfbff == 0xf20f && second & 0x8000 == 0;
        (wide && second >> 8 & 0xf == register).then(|| from + immediate)
    }
}

/// The instructions of one function.
struct Body {
    range: Range<u32>,
    instructions: Vec<Step>,
    /// Source and target of each branch within the function, those of table branches included.
    branches: Vec<(u32, u32)>,
}

impl Body {
    fn new(text: &Text<'_>, range: Range<u32>) -> Self {
        let mut instructions = Vec::new();
        let mut in_block = 0_u32;
        for instruction in text.code.instructions(range.clone()) {
            instructions.push(Step {
                instruction,
                flow: instruction.flow(),
                conditional: in_block > 0,
            });
            in_block = block_length(instruction.first).unwrap_or(in_block.saturating_sub(1));
        }
        let branches = instructions
            .iter()
            .filter_map(|i| match i.flow {
                Flow::Branch(to) => Some((i.address(), to)),
                _ => None,
            })
            .collect();
        Self {
            range,
            instructions,
            branches,
        }
    }

    /// Fills in calls, system calls, traps and unknown targets.
    fn describe(mut self, function: &mut Function, text: &Text<'_>) {
        // Table branches first: `constant` needs all branches within the function.
        for index in 0..self.instructions.len() {
            let instruction = self.instructions[index];
            if let Flow::Table(entry) = instruction.flow
                && !self.table(&instruction, entry, text)
            {
                function.unknown.push(instruction.address());
            }
        }
        for (index, instruction) in self.instructions.iter().enumerate() {
            let address = instruction.address();
            let target = match instruction.flow {
                Flow::Branch(to) if self.range.contains(&to) => continue,
                Flow::Branch(to) | Flow::Call(to) => Some(to),
                Flow::CallRegister(register) => self.callee(index, register, text),
                Flow::JumpRegister(register) if self.is_branch_table(index, register) => continue,
                Flow::JumpRegister(register) => self.callee(index, register, text),
                Flow::SystemCall => {
                    function
                        .system_calls
                        .insert(self.constant(index, NUMBER, text));
                    continue;
                }
                Flow::Trap => {
                    function.traps.push(address);
                    continue;
                }
                Flow::Unknown => None,
                Flow::Next | Flow::Return | Flow::Table(_) => continue,
            };
            // A branch into the middle of a function, such as to a shared tail, counts as a call of
            // all of it.
            match target.and_then(|to| text.function_at(to)) {
                Some(callee) => {
                    *function.calls.entry(callee).or_default() += 1;
                }
                None => function.unknown.push(address),
            }
        }
    }

    /// Adds the branches of the table behind a table branch; false if one of them leaves the
    /// function.
    fn table(&mut self, at: &Step, entry: u32, text: &Text<'_>) -> bool {
        let start = at.address() + 4;
        let Some(data) = text
            .code
            .constants_at(start)
            .filter(|data| data.start == start)
        else {
            return false;
        };
        let end = data.end.min(self.range.end);
        let mut place = start;
        while place + entry <= end {
            let value = if entry == 1 {
                text.code.bytes(place, 1).map(|byte| u32::from(byte[0]))
            } else {
                text.code.halfword(place).map(u32::from)
            };
            let Some(value) = value else { return false };
            let to = start + 2 * value;
            // A table with an odd number of bytes is padded with a zero.
            let filler = entry == 1 && place + 1 == end && value == 0;
            let known = self.instructions.iter().any(|i| i.address() == to);
            if !known && !filler {
                return false;
            }
            self.branches.push((at.address(), to));
            place += entry;
        }
        true
    }

    /// The function that `register` points at where instruction `index` uses it.
    fn callee(&self, index: usize, register: u16, text: &Text<'_>) -> Option<u32> {
        let address = self.constant(index, register, text)?;
        // Bit 0 of a code address selects Thumb state; a value without it is not the address of a
        // function.
        (address & 1 != 0).then_some(address & !1)
    }

    /// The value of `register` before instruction `index`, if it was loaded as a constant in the
    /// same straight-line code and not written since.
    fn constant(&self, index: usize, register: u16, text: &Text<'_>) -> Option<u32> {
        let user = self.instructions[index].address();
        for loader in self.instructions[..index].iter().rev() {
            if let Some(constant) = loader.constant(register, text)
                && !loader.conditional
            {
                return self.is_straight(loader.address(), user).then_some(constant);
            }
            if loader.writes(register) || is_end(loader.flow) {
                return None;
            }
            if let Flow::Call(to) = loader.flow
                && !text.keeps(to, register)
            {
                return None;
            }
        }
        None
    }

    /// Whether the code from `first` to `last` can be entered only at `first`.
    fn is_straight(&self, first: u32, last: u32) -> bool {
        self.branches
            .iter()
            .filter(|(_, to)| (first + 1..=last).contains(to))
            .all(|(from, _)| (first..last).contains(from))
    }

    /// Whether this jumps into a table of branch instructions behind it: base address plus 4 times
    /// an index.
    fn is_branch_table(&self, index: usize, register: u16) -> bool {
        let jump = &self.instructions[index];
        let before = &self.instructions[..index];
        // ADD (register), T3, of a register that is shifted left by 2
        let Some(add) = before.iter().rposition(|i| i.writes(register)) else {
            return false;
        };
        let sum = before[add].instruction;
        let is_sum = sum.first == 0xeb00 | register
            && sum.second & 0xf0f0 == 0x0080
            && sum.second >> 8 == register;
        let Some(load) = before[..add].iter().rposition(|i| i.writes(register)) else {
            return false;
        };
        let row = before[load].address_of(register);
        let next = self.instructions.get(index + 1);
        is_sum
            && self.is_straight(before[load].address(), jump.address())
            && row.is_some()
            && row == next.map(Step::address)
            && next.is_some_and(|i| i.instruction.is_wide() && matches!(i.flow, Flow::Branch(_)))
    }
}

/// Whether execution never continues with the next instruction.
fn is_end(flow: Flow) -> bool {
    matches!(
        flow,
        Flow::Return | Flow::Trap | Flow::Unknown | Flow::JumpRegister(_)
    )
}

/// The number of instructions in the IT block that this instruction begins; `None` if it is no IT.
fn block_length(first: u16) -> Option<u32> {
    let mask = first & 0xf;
    (first & 0xff00 == 0xbf00 && mask != 0).then(|| 4 - mask.trailing_zeros())
}
