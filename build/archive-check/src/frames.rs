//! Whether Humility can unwind the stacks of a program
//!
//! It unwinds by `.debug_frame`, and from a stub of a system call by the instructions that push
//! before its SVC.

use super::program::{Program, Symbol};
use super::{Report, Topic};
use anyhow::Result;
use build_elf::names;
use build_elf::thumb::flow::Flow;
use build_elf::thumb::{Instruction, Instructions};
use gimli::{
    BaseAddresses, CfaRule, CieOrFde, DebugFrame, EndianSlice, LittleEndian as Little,
    RegisterRule, UnwindContext, UnwindSection,
};
use object::read::elf::ElfFile32;
use object::{LittleEndian, Object, ObjectSection};
use std::collections::{BTreeMap, BTreeSet};

/// Checks that every function has a frame, with rules that Humility implements.
pub(super) fn check(
    program: &Program,
    file: &ElfFile32<'_, LittleEndian>,
    stubs: &BTreeSet<u32>,
    report: &mut Report,
) -> Result<()> {
    let Some(section) = file.section_by_name(".debug_frame") else {
        return Ok(());
    };
    let mut frames = DebugFrame::new(section.data()?, Little);
    frames.set_address_size(4);
    let bases = BaseAddresses::default();
    let mut covered: BTreeMap<u32, u32> = BTreeMap::new();
    let mut entries = frames.entries(&bases);
    let mut context = UnwindContext::new();
    while let Some(entry) = entries.next()? {
        let CieOrFde::Fde(partial) = entry else {
            continue;
        };
        let fde = partial.parse(|_: &DebugFrame<EndianSlice<'_, Little>>, bases, at| {
            frames.cie_from_offset(bases, at)
        })?;
        let first = fde.initial_address() as u32 & !1;
        covered.insert(first, first.wrapping_add(fde.len() as u32));
        let mut rows = fde.rows(&frames, &bases, &mut context)?;
        while let Some(row) = rows.next_row()? {
            let known = match row.cfa() {
                CfaRule::RegisterAndOffset { register, .. } => register.0 < 16,
                CfaRule::Expression(_) => false,
            };
            if !known {
                report.add(
                    &program.member,
                    Topic::Unwinding,
                    format!("the frame at {first:#x} has a CFA that is not a register plus a number; Humility panics"),
                );
            }
            for (register, rule) in row.registers() {
                if !matches!(rule, RegisterRule::Offset(_)) {
                    report.add(
                        &program.member,
                        Topic::Unwinding,
                        format!("the frame at {first:#x} saves register {} other than at CFA plus a number; Humility panics", register.0),
                    );
                }
            }
        }
    }
    if program.name == "kernel" {
        return Ok(());
    }
    // Humility unwinds stubs by their pushes. The compiler's arithmetic has no frames on any
    // target; no task waits in it.
    let without =
        |symbol: &Symbol| stubs.contains(&symbol.address) || symbol.name.starts_with("__aeabi_");
    for symbol in program.symbols.iter().filter(|s| s.function && s.size > 0) {
        let range = covered.range(..=symbol.address).next_back();
        let inside = range.is_some_and(|(_, end)| symbol.address < *end);
        let demangled = names::full(&symbol.name);
        let named = Symbol {
            name: demangled.clone(),
            ..symbol.clone()
        };
        if inside && stubs.contains(&symbol.address) && is_stub(&symbol.name) {
            report.add(
                &program.member,
                Topic::Unwinding,
                format!(
                    "function `{demangled}` has a frame in .debug_frame; Humility would count what it pushes twice, so leave \
                     it out"
                ),
            );
        }
        if !inside && !without(&named) {
            report.add(
                &program.member,
                Topic::Unwinding,
                format!("function `{demangled}` has no frame in .debug_frame; stacks through it cannot be unwound"),
            );
        }
    }
    Ok(())
}

/// Checks that the entry of a task leaves the stack pointer at the top of the stack, where
/// unwinding ends.
pub(super) fn check_entry(address: u32, body: &[u8], add: &mut impl FnMut(Topic, String)) {
    for Instruction {
        address: at, first, ..
    } in Instructions::of(address, body)
    {
        // PUSH, STMDB SP!, SUB SP
        if first & 0xfe00 == 0xb400 || first == 0xe92d || first & 0xff80 == 0xb080 {
            add(
                Topic::Unwinding,
                format!(
                    "the entry `_start` moves the stack pointer at {at:#x}; stacks are unwound up to where it was at first"
                ),
            );
        }
    }
}

/// Whether a function makes a system call. If so, checks that all its pushes are before the SVC,
/// and that nothing else moves the stack pointer before it.
pub(super) fn check_stub(
    name: &str,
    address: u32,
    body: &[u8],
    add: &mut impl FnMut(Topic, String),
) -> bool {
    let mut called = false;
    let mut pushed_behind = false;
    let mut moved = None;
    for instruction in Instructions::of(address, body) {
        let Instruction { first, second, .. } = instruction;
        let push = first & 0xfe00 == 0xb400 || first == 0xe92d;
        match instruction.flow() {
            Flow::SystemCall => called = true,
            _ if !called && moves_stack(first, second) => {
                moved.get_or_insert(instruction.address);
            }
            // Behind the return are constants.
            Flow::Return | Flow::Trap if called => break,
            _ if called && push => pushed_behind = true,
            _ => {}
        }
    }
    if called && pushed_behind {
        add(
            Topic::Unwinding,
            format!(
                "function `{name}` pushes behind its SVC; Humility unwinds by what is pushed before it, in the same function"
            ),
        );
    }
    if let Some(at) = moved.filter(|_| called && is_stub(name)) {
        add(
            Topic::Unwinding,
            format!(
                "function `{name}` moves the stack pointer before its SVC, at {at:#x}; Humility follows PUSH and POP alone"
            ),
        );
    }
    called
}

/// Whether it is a stub of `userlib`, which does nothing but the call.
fn is_stub(name: &str) -> bool {
    let name = names::full(name);
    name.starts_with("userlib::sys_") && name.ends_with("_stub")
}

/// ADD and SUB with the stack pointer as their destination, VPUSH and VPOP.
fn moves_stack(first: u16, second: u16) -> bool {
    let narrow = first & 0xff00 == 0xb000 || first & 0xff87 == 0x4485 || first & 0xff87 == 0x4685;
    let wide = (first & 0xfbef == 0xf1ad || first & 0xfbef == 0xf10d) && second >> 8 & 0xf == 13;
    narrow || wide || matches!(first & 0xffbf, 0xed2d | 0xecbd)
}
