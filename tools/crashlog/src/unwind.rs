//! Who called whom: walks the saved part of a stack by the call frame information of the task's ELF.

use crate::archive::{Program, Slice};
use gimli::{
    BaseAddresses, CfaRule, DebugFrame, Register, RegisterRule, UnwindContext, UnwindSection,
};

/// Call chains in our tasks are short; a longer one is a damaged stack.
const DEPTH_MAX: usize = 32;
const SP: usize = 13;
const LR: usize = 14;
const PC: usize = 15;

/// The saved part of a stack.
pub struct Stack<'a> {
    pub address: u32,
    pub bytes: &'a [u8],
}

impl Stack<'_> {
    fn word(&self, address: u32) -> Option<u32> {
        let offset = address.checked_sub(self.address)? as usize;
        let bytes = self.bytes.get(offset..)?.first_chunk()?;
        Some(u32::from_le_bytes(*bytes))
    }
}

/// The chain of instructions: where it happened, then where each caller goes on. Ends where the stack was not saved or
/// the debug information says nothing.
pub fn chain(program: &Program, registers: &[u32; 16], stack: &Stack<'_>) -> Vec<u32> {
    let section = DebugFrame::from(program.frames.clone());
    let mut registers = *registers;
    let mut chain = vec![registers[PC] & !1];
    while chain.len() < DEPTH_MAX {
        // A return address is behind the call: one byte back is inside of it.
        let inside = registers[PC].wrapping_sub(u32::from(chain.len() > 1));
        let known = step(&section, u64::from(inside), &registers, stack);
        // A function without frame information that called nothing yet, such as a system call stub.
        let next = known.or_else(|| {
            (chain.len() == 1).then(|| {
                let mut next = registers;
                next[PC] = registers[LR] & !1;
                next
            })
        });
        let Some(next) = next.filter(|next| program.is_text(next[PC]) && *next != registers) else {
            break;
        };
        registers = next;
        chain.push(registers[PC]);
    }
    chain
}

/// The registers of the caller.
fn step(
    section: &DebugFrame<Slice>,
    pc: u64,
    registers: &[u32; 16],
    stack: &Stack<'_>,
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
                *value = stack.word(cfa.wrapping_add(i32::try_from(offset).ok()? as u32))?
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
