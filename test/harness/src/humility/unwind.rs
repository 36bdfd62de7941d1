//! Unwinds stacks as Humility does.

use super::program::Program;
use super::system::{DumpedSystem, Registers};
use anyhow::{Context, Result, bail, ensure};
use gimli::{BaseAddresses, CfaRule, DebugFrame, EndianSlice, LittleEndian, Register};
use gimli::{RegisterRule, UnwindContext, UnwindSection};
use object::{Object, ObjectSection};

const SP: usize = 13;
const LR: usize = 14;
const PC: usize = 15;
/// A longer chain of calls is taken for a loop.
const DEPTH: usize = 64;

/// One call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub pc: u32,
    /// The stack pointer of its caller.
    pub cfa: u32,
    /// Its symbol, if it has one.
    pub function: Option<String>,
}

/// Which address is looked up for a return address. A trace must be the same with both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// The address itself.
    At,
    /// The address before it, which is in the call.
    Before,
}

/// The calls of a task or of the kernel, the innermost first.
///
/// # Errors
/// Where Humility stops unwinding, or panics.
pub fn trace(
    system: &DumpedSystem<'_>,
    program: &Program,
    registers: &Registers,
    limit: u32,
    look: Look,
) -> Result<Vec<Frame>> {
    let mut registers = *registers;
    let pc = registers[PC].context("no program counter")?;
    let Some(pushed) = program.calls.get(&pc) else {
        return frames(system, program, registers, limit, look, false);
    };
    let stack = registers[SP].context("no stack pointer")?;
    for (slot, number) in (0..).zip(pushed) {
        registers[*number] = Some(word(system, stack, stack + 4 * slot)?);
    }
    let caller = stack + 4 * pushed.len() as u32;
    registers[SP] = Some(caller);
    if row(program, pc).is_ok() {
        return frames(system, program, registers, limit, look, false);
    }
    // The stub has no frame information: unwind from its caller, and add a frame for the stub.
    let mut all = vec![Frame {
        pc,
        cfa: caller,
        function: named(program, pc),
    }];
    registers[PC] = Some(registers[LR].context("the stub has not saved LR")? & !1);
    registers[LR] = None;
    all.extend(frames(system, program, registers, limit, look, true)?);
    Ok(all)
}

/// Unwinds by `.debug_frame`. `called` says whether the program counter is a return address.
fn frames(
    system: &DumpedSystem<'_>,
    program: &Program,
    mut registers: Registers,
    limit: u32,
    look: Look,
    mut called: bool,
) -> Result<Vec<Frame>> {
    let mut frames: Vec<Frame> = Vec::new();
    loop {
        let pc = registers[PC].context("no program counter")?;
        let inside = pc - u32::from(called && look == Look::Before);
        let (rule, saved) = row(program, inside)?;
        let (base, offset) = rule;
        let base = registers[base].with_context(|| format!("r{base} is not known"))?;
        let cfa = base.wrapping_add(offset as u32);
        let stack = registers[SP].context("no stack pointer")?;
        for (number, offset) in saved {
            let value = word(system, stack, cfa.wrapping_add(offset as u32))?;
            if let Some(register) = registers.get_mut(number) {
                *register = Some(value);
            }
        }
        registers[SP] = Some(cfa);
        let repeats = frames.last().is_some_and(|frame| frame.cfa == cfa);
        frames.push(Frame {
            pc,
            cfa,
            function: named(program, inside),
        });
        if cfa >= limit || repeats {
            return Ok(frames);
        }
        let lr = registers[LR].with_context(|| format!("LR is not known in {frames:x?}"))?;
        if program.name == "kernel" && lr >> 28 == 0xf {
            return Ok(frames);
        }
        ensure!(frames.len() < DEPTH, "the trace does not end: {frames:x?}");
        registers[PC] = Some(lr & !1);
        called = true;
    }
}

fn named(program: &Program, pc: u32) -> Option<String> {
    program.function(pc).map(ToOwned::to_owned)
}

/// A word of the stack, which must be in the region of the stack pointer.
fn word(system: &DumpedSystem<'_>, pointer: u32, address: u32) -> Result<u32> {
    let region = system.region_of(pointer)?;
    let inside = address >= region.base && address + 4 <= region.base + region.size;
    ensure!(inside, "{address:#x} is outside of the stack's region");
    system.dump.word(address)
}

/// Register and offset of the CFA, and the offsets from it at which registers are saved.
type FrameRow = ((usize, i64), Vec<(usize, i64)>);

fn row(program: &Program, pc: u32) -> Result<FrameRow> {
    let file = object::File::parse(&*program.elf)?;
    let section = file.section_by_name(".debug_frame").context("no frames")?;
    let mut section = DebugFrame::new(section.data()?, LittleEndian);
    section.set_address_size(4);
    let bases = BaseAddresses::default();
    let mut context = UnwindContext::new();
    let row = section
        .unwind_info_for_address(
            &bases,
            &mut context,
            pc.into(),
            |section: &DebugFrame<EndianSlice<'_, LittleEndian>>, bases, at| {
                section.cie_from_offset(bases, at)
            },
        )
        .map_err(|_| anyhow::anyhow!("no frame information for {pc:#x} of {}", program.name))?;
    let cfa = match row.cfa() {
        CfaRule::RegisterAndOffset { register, offset } if register.0 < 16 => {
            (usize::from(register.0), *offset)
        }
        other => bail!("the CFA at {pc:#x} is {other:?}"),
    };
    let mut saved = Vec::new();
    for (Register(number), rule) in row.registers() {
        match rule {
            RegisterRule::Offset(offset) => saved.push((usize::from(*number), *offset)),
            other => bail!("at {pc:#x} register {number} is {other:?}"),
        }
    }
    Ok((cfa, saved))
}
