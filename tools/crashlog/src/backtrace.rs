//! Decoding a backtrace: unwinding the saved stack by call frame information.

use crate::crash::{Crash, SegmentData};
use crate::dwarf::Slice;
use crate::memory::Memory;
use crate::program::{Place, Program};
use crashlog_format::crash::SegmentKind;
use gimli::{
    BaseAddresses, CfaRule, DebugFrame, Register, RegisterRule, UnwindContext, UnwindSection,
};
use std::cell::Cell;

/// Greatest number of frames: it bounds what a card can make this program do. A stack of a few KiB
/// that overflows by recursion has some hundred.
const DEPTH_MAX: usize = 1024;
const SP: usize = 13;
const LR: usize = 14;
const PC: usize = 15;

/// The backtrace of a crash: the program counter, then the return address of each caller, innermost
/// first.
pub struct Backtrace<'a> {
    program: &'a Program,
    pub addresses: Vec<u32>,
    /// Why the calls before these are not known, if there may be any.
    pub cut: Option<Cut>,
}

/// Why a backtrace ends before its outermost call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// The word of the stack at this address is missing.
    Missing(u32),
    /// It has more frames than this program follows.
    TooLong,
}

impl Cut {
    /// In words.
    pub fn text(self) -> String {
        match self {
            Self::Missing(address) => {
                format!("further callers are not known: the stack at {address:08x} is missing")
            }
            Self::TooLong => {
                format!("further callers are not shown: there are more than {DEPTH_MAX}")
            }
        }
    }
}

/// One call of a backtrace.
#[derive(Clone)]
pub struct Call {
    pub address: u32,
    /// The function, then those into which it was inlined, each with file and line.
    pub lines: Vec<String>,
}

/// Calls of one place that follow one another.
pub struct Run {
    pub address: u32,
    /// Whether the address is the program counter, and no return address.
    pub is_innermost: bool,
    /// How many there are.
    pub count: usize,
}

impl Run {
    /// What stands for all but the first.
    pub fn text(&self) -> Option<String> {
        let more = self.count.checked_sub(1).filter(|more| *more > 0)?;
        let more = crate::text::count(more as u64, "more time");
        Some(format!("and {more} from the same place"))
    }
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
        let (addresses, cut) = unwind(program, registers, word);
        Self {
            program,
            addresses,
            cut,
        }
    }

    /// The addresses, with calls of one place that follow one another as one: of a recursion.
    pub fn runs(&self) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        for (index, &address) in self.addresses.iter().enumerate() {
            match runs.last_mut() {
                Some(last) if last.address == address && !last.is_innermost => last.count += 1,
                _ => runs.push(Run {
                    address,
                    is_innermost: index == 0,
                    count: 1,
                }),
            }
        }
        runs
    }

    /// The function of an address of the backtrace, preceded by those that are inlined into it.
    pub fn places(&self, run: &Run) -> Vec<Place> {
        // A return address is the one after the call: one byte back is inside of it.
        let back = u32::from(!run.is_innermost);
        self.program.places(run.address.wrapping_sub(back))
    }

    /// An address of the backtrace as lines: the function, then those into which it was inlined.
    pub fn lines(&self, run: &Run) -> Vec<String> {
        let address = run.address;
        let places = self.places(run);
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

    /// Each call.
    pub fn calls(&self) -> Vec<Call> {
        let runs = self.runs();
        let calls = runs.iter().flat_map(|run| {
            let call = Call {
                address: run.address,
                lines: self.lines(run),
            };
            std::iter::repeat_n(call, run.count)
        });
        calls.collect()
    }

    /// All of it for people.
    pub fn text(&self) -> Vec<String> {
        let runs = self.runs();
        let below = |text: String| format!("          {text}");
        let lines = runs.iter().flat_map(|run| {
            let lines = self.lines(run).into_iter();
            lines.chain(run.text().map(below))
        });
        lines.chain(self.cut.map(|cut| below(cut.text()))).collect()
    }
}

/// The program counter, then the return address of each caller; and why there may be more.
fn unwind(
    program: &Program,
    registers: &[u32; 16],
    word: &dyn Fn(u32) -> Option<u32>,
) -> (Vec<u32>, Option<Cut>) {
    let section = DebugFrame::from(program.frames.clone());
    let mut registers = *registers;
    let mut addresses = vec![registers[PC] & !1];
    let missing = Cell::new(None);
    let word = &|address: u32| {
        let word = word(address);
        if word.is_none() {
            missing.set(Some(Cut::Missing(address)));
        }
        word
    };
    let mut cut;
    loop {
        // A return address is the one after the call: one byte back is inside of it.
        let inside = registers[PC].wrapping_sub(u32::from(addresses.len() > 1));
        // Functions that the linker left out keep their frame information, at address 0: it is of
        // no use to a program counter that a bad pointer has set.
        let is_own = program.is_text(inside);
        let known = is_own.then(|| step(&section, u64::from(inside), &registers, word));
        // With frame information and without the stack, LR may be that of another call.
        cut = missing.get();
        if cut.is_some() {
            break;
        }
        // The innermost function may have no frame information: it is the stub of a system call, or
        // a leaf, whose return address is in LR. So it is after a call through a bad pointer.
        let next = known.flatten().or_else(|| {
            (addresses.len() == 1).then(|| {
                let mut next = from_call(program, &registers, word).unwrap_or(registers);
                next[PC] = next[LR] & !1;
                next
            })
        });
        // A caller has its frame above that of its callee.
        let is_above = |next: &[u32; 16]| next[SP] >= registers[SP];
        let next = next.filter(|next| program.is_text(next[PC]) && *next != registers);
        let Some(next) = next.filter(is_above) else {
            break;
        };
        if addresses.len() >= DEPTH_MAX {
            cut = Some(Cut::TooLong);
            break;
        }
        registers = next;
        addresses.push(registers[PC]);
        cut = missing.get();
        if cut.is_some() {
            break;
        }
    }
    // The entry point calls `main`, of every task: it is no more than that.
    let last = addresses.last().map(|last| match addresses.len() {
        1 => *last,
        _ => last.wrapping_sub(1),
    });
    match last.and_then(|last| program.symbol_at(last)).as_deref() {
        Some("_start") if addresses.len() > 1 => {
            addresses.pop();
        }
        Some("main") => cut = None,
        _ => {}
    }
    (addresses, cut)
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
