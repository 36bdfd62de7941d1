//! Decoding a backtrace: unwinding the saved stack by call frame information.

use crate::crash::{Crash, SegmentData};
use crate::dwarf::Slice;
use crate::memory::Memory;
use crate::program::{Place, Program};
use crashlog_format::crash::SegmentKind;
use gimli::{
    BaseAddresses, CfaRule, DebugFrame, Register, RegisterRule, UnwindContext, UnwindSection,
};

/// Greatest number of frames. Call chains in a task are shorter; a longer one comes from a damaged
/// stack.
const DEPTH_MAX: usize = 32;
const SP: usize = 13;
const LR: usize = 14;
const PC: usize = 15;

/// The backtrace of a crash: the program counter, then the return address of each caller, innermost
/// first.
pub struct Backtrace<'a> {
    program: &'a Program,
    pub addresses: Vec<u32>,
}

impl<'a> Backtrace<'a> {
    /// Unwinds the stack of `crash`, whose task ran `program`. Ends where the stack was not saved,
    /// or where there is no call frame information. `memory` is that of a snapshot, which has more
    /// of the stack.
    pub fn new(
        program: &'a Program,
        crash: &Crash,
        segments: &[SegmentData],
        memory: Option<&Memory>,
    ) -> Self {
        let mut registers = [0; 16];
        for (to, from) in registers.iter_mut().zip(crash.header.registers) {
            *to = from.get();
        }
        let stack = segments
            .iter()
            .find(|data| data.segment.kind() == Ok(SegmentKind::Stack) && data.sound);
        let in_segment = |address: u32| {
            let data = stack?;
            let offset = address.checked_sub(data.segment.address())? as usize;
            let bytes = data.bytes.get(offset..)?.first_chunk()?;
            Some(u32::from_le_bytes(*bytes))
        };
        let word = |address: u32| {
            in_segment(address).or_else(|| memory.and_then(|memory| memory.word(address).ok()))
        };
        Self::unwind(program, &registers, &word)
    }

    /// Unwinds the stack of a task that runs `program`. `word` reads memory; the backtrace ends
    /// where it is missing.
    pub fn unwind(
        program: &'a Program,
        registers: &[u32; 16],
        word: &dyn Fn(u32) -> Option<u32>,
    ) -> Self {
        Self {
            program,
            addresses: unwind(program, registers, word),
        }
    }

    /// The function of an address of the backtrace, preceded by those that are inlined into it.
    pub fn places(&self, address: u32) -> Vec<Place> {
        // A return address is the one after the call: one byte back is inside of it.
        let inside = if self.addresses.first() == Some(&address) {
            address
        } else {
            address.wrapping_sub(1)
        };
        self.program.places(inside)
    }

    /// An address of the backtrace as lines: the function, then those into which it was inlined.
    pub fn lines(&self, address: u32) -> Vec<String> {
        let places = self.places(address);
        if places.is_empty() {
            return vec![format!("{address:08x}  ?")];
        }
        let mut lines = Vec::new();
        for (index, place) in places.iter().enumerate() {
            if index == 0 {
                lines.push(format!("{address:08x}  {place}"));
            } else {
                lines.push(format!("          in {place}"));
            }
        }
        lines
    }
}

/// The program counter, then the return address of each caller.
fn unwind(program: &Program, registers: &[u32; 16], word: &dyn Fn(u32) -> Option<u32>) -> Vec<u32> {
    let section = DebugFrame::from(program.frames.clone());
    let mut registers = *registers;
    let mut addresses = vec![registers[PC] & !1];
    while addresses.len() < DEPTH_MAX {
        // A return address is the one after the call: one byte back is inside of it.
        let inside = registers[PC].wrapping_sub(u32::from(addresses.len() > 1));
        // Functions that the linker left out keep their frame information, at address 0: it is of
        // no use to a program counter that a bad pointer has set.
        let is_own = program.is_text(inside);
        let known = is_own.then(|| step(&section, u64::from(inside), &registers, word));
        // The innermost function may have no frame information: it is the stub of a system call, or
        // a leaf, whose return address is in LR. So it is after a call through a bad pointer.
        let next = known.flatten().or_else(|| {
            (addresses.len() == 1).then(|| {
                let mut next = from_call(program, &registers, word).unwrap_or(registers);
                next[PC] = next[LR] & !1;
                next
            })
        });
        let Some(next) = next.filter(|next| program.is_text(next[PC]) && *next != registers) else {
            break;
        };
        registers = next;
        addresses.push(registers[PC]);
    }
    // The entry point calls `main`, of every task.
    let last = addresses.last().map(|last| last.wrapping_sub(1));
    let is_entry = last.and_then(|last| program.symbol_at(last)).as_deref() == Some("_start");
    if addresses.len() > 1 && is_entry {
        addresses.pop();
    }
    addresses
}

/// The registers of the caller of a system call's stub; `None` if the program counter is in none.
fn from_call(
    program: &Program,
    registers: &[u32; 16],
    word: &dyn Fn(u32) -> Option<u32>,
) -> Option<[u32; 16]> {
    let mut caller = *registers;
    for number in program.pushed_before_call(registers[PC])? {
        *caller.get_mut(number)? = word(caller[SP])?;
        caller[SP] = caller[SP].wrapping_add(4);
    }
    Some(caller)
}

/// The registers of the caller; `None` if they cannot be found.
fn step(
    section: &DebugFrame<Slice>,
    pc: u64,
    registers: &[u32; 16],
    word: &dyn Fn(u32) -> Option<u32>,
) -> Option<[u32; 16]> {
    let bases = BaseAddresses::default();
    let mut context = UnwindContext::new();
    let row = section
        .unwind_info_for_address(&bases, &mut context, pc, |section, bases, offset| {
            section.cie_from_offset(bases, offset)
        })
        .ok()?;
    let cfa = match row.cfa() {
        CfaRule::RegisterAndOffset { register, offset } => registers
            .get(usize::from(register.0))?
            .wrapping_add(i32::try_from(*offset).ok()? as u32),
        CfaRule::Expression(_) => return None,
    };
    let mut caller = *registers;
    for (number, value) in (0..).zip(&mut caller) {
        match row.register(Register(number)) {
            Some(RegisterRule::Offset(offset)) => {
                *value = word(cfa.wrapping_add(i32::try_from(offset).ok()? as u32))?
            }
            Some(RegisterRule::ValOffset(offset)) => {
                *value = cfa.wrapping_add(i32::try_from(offset).ok()? as u32)
            }
            Some(RegisterRule::Register(from)) => *value = *registers.get(usize::from(from.0))?,
            _ => {}
        }
    }
    caller[SP] = cfa;
    caller[PC] = caller[LR] & !1;
    Some(caller)
}
