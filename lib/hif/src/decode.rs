//! Decodes programs.

use crate::{Failure, Op, Target, TargetFunction};

/// Decodes the operation at the start of `text`; returns it and its length in bytes.
pub(crate) fn operation(text: &[u8]) -> Result<(Op, usize), Failure> {
    let (number, start) = discriminant(text)?;
    let operand = text.get(start..).unwrap_or(&[]);
    let byte = || operand.first().copied().ok_or(Failure::IllegalOp);
    let target = || byte().map(Target);
    let (op, length) = match number {
        0 => (Op::Label(target()?), 1),
        1 => (Op::Call(TargetFunction(byte()?)), 1),
        2 => (Op::Drop, 0),
        3 => (Op::DropN(byte()?), 1),
        4 => (Op::Push(byte()?), 1),
        5 => (Op::Push16(u16::from_le_bytes(fixed(operand)?)), 2),
        6 => (Op::Push32(u32::from_le_bytes(fixed(operand)?)), 4),
        7 => (Op::PushNone, 0),
        8 => (Op::Swap, 0),
        9 => (Op::Dup, 0),
        10 => (Op::Add, 0),
        11 => (Op::And, 0),
        12 => (Op::Or, 0),
        13 => (Op::Xor, 0),
        14 => (Op::BranchLessThan(target()?), 1),
        15 => (Op::BranchLessThanOrEqualTo(target()?), 1),
        16 => (Op::BranchGreaterThan(target()?), 1),
        17 => (Op::BranchGreaterThanOrEqualTo(target()?), 1),
        18 => (Op::BranchEqualTo(target()?), 1),
        19 => (Op::BranchAlways(target()?), 1),
        20 => (Op::Done, 0),
        21 => (Op::Expand32, 0),
        22 => (Op::Collect32, 0),
        _ => return Err(Failure::Invalid),
    };
    Ok((op, start.saturating_add(length)))
}

fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N], Failure> {
    bytes.first_chunk().copied().ok_or(Failure::IllegalOp)
}

/// Decodes a variable-length integer; returns it and its length in bytes.
fn discriminant(text: &[u8]) -> Result<(u32, usize), Failure> {
    let mut number = 0;
    for (length, (&byte, shift)) in (1..).zip(text.iter().zip([0, 7, 14, 21, 28])) {
        number |= u32::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok((number, length));
        }
    }
    Err(if text.len() < 5 {
        Failure::IllegalOp
    } else {
        Failure::Invalid
    })
}
