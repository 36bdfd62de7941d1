//! Decoding a backtrace: unwinding the saved stack by call frame information.

use crate::archive::{Place, Program, Slice};
use crate::crash::{Crash, SegmentData};
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
    /// or where there is no call frame information.
    pub fn new(program: &'a Program, crash: &Crash, segments: &[SegmentData]) -> Self {
        let mut registers = [0; 16];
        for (to, from) in registers.iter_mut().zip(crash.header.registers) {
            *to = from.get();
        }
        let stack = segments
            .iter()
            .find(|data| data.segment.kind() == Ok(SegmentKind::Stack) && data.sound);
        let stack = stack.map_or(
            Stack {
                address: 0,
                bytes: &[],
            },
            |data| Stack {
                address: data.segment.address(),
                bytes: &data.bytes,
            },
        );
        Self {
            program,
            addresses: unwind(program, &registers, &stack),
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

/// The saved part of a stack.
struct Stack<'a> {
    address: u32,
    bytes: &'a [u8],
}

impl Stack<'_> {
    /// The word at an address; `None` if it was not saved.
    fn word(&self, address: u32) -> Option<u32> {
        let offset = address.checked_sub(self.address)? as usize;
        let bytes = self.bytes.get(offset..)?.first_chunk()?;
        Some(u32::from_le_bytes(*bytes))
    }
}

/// The program counter, then the return address of each caller.
fn unwind(program: &Program, registers: &[u32; 16], stack: &Stack<'_>) -> Vec<u32> {
    let section = DebugFrame::from(program.frames.clone());
    let mut registers = *registers;
    let mut addresses = vec![registers[PC] & !1];
    while addresses.len() < DEPTH_MAX {
        // A return address is the one after the call: one byte back is inside of it.
        let inside = registers[PC].wrapping_sub(u32::from(addresses.len() > 1));
        let known = step(&section, u64::from(inside), &registers, stack);
        // The innermost function may have no frame information, if it is a leaf such as a system
        // call stub: its return address is in LR.
        let next = known.or_else(|| {
            (addresses.len() == 1).then(|| {
                let mut next = registers;
                next[PC] = registers[LR] & !1;
                next
            })
        });
        let Some(next) = next.filter(|next| program.is_text(next[PC]) && *next != registers) else {
            break;
        };
        registers = next;
        addresses.push(registers[PC]);
    }
    addresses
}

/// The registers of the caller; `None` if they cannot be found.
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
