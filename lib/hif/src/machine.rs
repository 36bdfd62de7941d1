//! The stack machine that runs programs.

use crate::{Failure, Fault, FunctionResult, Op, Target, decode};

/// A function that programs can call. It gets the stack, the read-only memory that the debugger has
/// written, and a buffer for its result; it returns the length of the result.
pub type Function = fn(&[Option<u32>], &[u8], &mut [u8]) -> Result<usize, Failure>;

/// Runs the program in `text` until [`Op::Done`], with room for `NLABELS` labels.
///
/// Results are put on the return stack `rstack`; `scratch` is the buffer for the result of one
/// function. `check` is called before each operation, with its offset in `text`.
///
/// # Errors
///
/// If the program cannot be decoded, faults, or `check` returns an error. An error of a function is
/// a result instead.
pub fn execute<F, const NLABELS: usize>(
    text: &[u8],
    functions: &[Function],
    data: &[u8],
    stack: &mut [Option<u32>],
    rstack: &mut [u8],
    scratch: &mut [u8],
    mut check: F,
) -> Result<(), Failure>
where
    F: FnMut(usize, &Op) -> Result<(), Failure>,
{
    let mut labels = [None; NLABELS];
    let mut stack = Stack {
        values: stack,
        depth: 0,
    };
    let mut place = 0_usize;
    let mut returned = 0_usize;
    loop {
        let rest = text.get(place..).unwrap_or(&[]);
        let (op, length) = decode::operation(rest)?;
        check(place, &op)?;
        place = place.saturating_add(length);
        match op {
            Op::Label(target) => {
                *labels
                    .get_mut(usize::from(target.0))
                    .ok_or(Failure::Fault(Fault::BadLabel(target)))? = Some(place);
            }
            Op::Call(id) => {
                let function = functions
                    .get(usize::from(id.0))
                    .ok_or(Failure::Fault(Fault::BadFunction(id)))?;
                let result = match function(stack.all(), data, scratch) {
                    Ok(length) => FunctionResult::Success(
                        scratch
                            .get(..length)
                            .ok_or(Failure::Fault(Fault::AccessOutOfBounds))?,
                    ),
                    Err(Failure::FunctionError(code)) => FunctionResult::Failure(code),
                    Err(failure) => return Err(failure),
                };
                returned = put(rstack, returned, result)?;
            }
            Op::Drop => stack.drop(1)?,
            Op::DropN(count) => stack.drop(count.into())?,
            Op::Push(value) => stack.push(Some(value.into()))?,
            Op::Push16(value) => stack.push(Some(value.into()))?,
            Op::Push32(value) => stack.push(Some(value))?,
            Op::PushNone => stack.push(None)?,
            Op::Swap => {
                let (top, next) = (stack.pop()?, stack.pop()?);
                stack.push(top)?;
                stack.push(next)?;
            }
            Op::Dup => {
                let top = stack.pop()?;
                stack.push(top)?;
                stack.push(top)?;
            }
            Op::Add => stack.combine(u32::wrapping_add)?,
            Op::And => stack.combine(|a, b| a & b)?,
            Op::Or => stack.combine(|a, b| a | b)?,
            Op::Xor => stack.combine(|a, b| a ^ b)?,
            Op::BranchLessThan(target) => {
                place = branch(
                    &labels,
                    target,
                    place,
                    stack.compare(|top, next| top < next)?,
                )?;
            }
            Op::BranchLessThanOrEqualTo(target) => {
                place = branch(
                    &labels,
                    target,
                    place,
                    stack.compare(|top, next| top <= next)?,
                )?;
            }
            Op::BranchGreaterThan(target) => {
                place = branch(
                    &labels,
                    target,
                    place,
                    stack.compare(|top, next| top > next)?,
                )?;
            }
            Op::BranchGreaterThanOrEqualTo(target) => {
                place = branch(
                    &labels,
                    target,
                    place,
                    stack.compare(|top, next| top >= next)?,
                )?;
            }
            Op::BranchEqualTo(target) => {
                place = branch(
                    &labels,
                    target,
                    place,
                    stack.compare(|top, next| top == next)?,
                )?;
            }
            Op::BranchAlways(target) => place = branch(&labels, target, place, true)?,
            Op::Done => {
                put(rstack, returned, FunctionResult::Done)?;
                return Ok(());
            }
            Op::Expand32 => {
                let value = stack.pop()?.ok_or(Failure::Fault(Fault::OperationOnNone))?;
                for byte in value.to_le_bytes() {
                    stack.push(Some(byte.into()))?;
                }
            }
            Op::Collect32 => {
                let mut value = 0_u32;
                for _ in 0..4 {
                    let byte = stack.pop()?.ok_or(Failure::Fault(Fault::OperationOnNone))?;
                    value = value << 8 | byte & 0xff;
                }
                stack.push(Some(value))?;
            }
        }
    }
}

/// Adds a result to the return stack, of which `used` bytes are in use. Returns how many are then.
fn put(rstack: &mut [u8], used: usize, result: FunctionResult<'_>) -> Result<usize, Failure> {
    let free = rstack.get_mut(used..).unwrap_or(&mut []);
    Ok(used.saturating_add(result.encode(free)?))
}

/// The offset of the next operation.
fn branch(
    labels: &[Option<usize>],
    target: Target,
    place: usize,
    taken: bool,
) -> Result<usize, Failure> {
    if !taken {
        return Ok(place);
    }
    labels
        .get(usize::from(target.0))
        .copied()
        .flatten()
        .ok_or(Failure::Fault(Fault::UnknownLabel(target)))
}

struct Stack<'a> {
    values: &'a mut [Option<u32>],
    depth: usize,
}

impl Stack<'_> {
    fn all(&self) -> &[Option<u32>] {
        self.values.get(..self.depth).unwrap_or(&[])
    }

    fn push(&mut self, value: Option<u32>) -> Result<(), Failure> {
        *self
            .values
            .get_mut(self.depth)
            .ok_or(Failure::Fault(Fault::StackOverflow))? = value;
        self.depth = self.depth.saturating_add(1);
        Ok(())
    }

    fn pop(&mut self) -> Result<Option<u32>, Failure> {
        let top = self.all().last().copied();
        self.drop(1)?;
        Ok(top.flatten())
    }

    fn drop(&mut self, count: usize) -> Result<(), Failure> {
        self.depth = self
            .depth
            .checked_sub(count)
            .ok_or(Failure::Fault(Fault::StackUnderflow))?;
        Ok(())
    }

    /// The element below the top and the top, if both are numbers.
    fn two(&self) -> Result<(u32, u32), Failure> {
        match self.all() {
            [.., Some(next), Some(top)] => Ok((*top, *next)),
            [.., _, _] => Err(Failure::Fault(Fault::OperationOnNone)),
            _ => Err(Failure::Fault(Fault::StackUnderflow)),
        }
    }

    fn combine(&mut self, operation: impl Fn(u32, u32) -> u32) -> Result<(), Failure> {
        let (top, next) = self.two()?;
        self.drop(2)?;
        self.push(Some(operation(top, next)))
    }

    fn compare(&self, relation: impl Fn(u32, u32) -> bool) -> Result<bool, Failure> {
        let (top, next) = self.two()?;
        Ok(relation(top, next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns its last argument as four bytes, and one byte of data; fails if the argument is 99.
    fn last(stack: &[Option<u32>], data: &[u8], out: &mut [u8]) -> Result<usize, Failure> {
        match stack.last().copied().flatten() {
            None => Err(Failure::Fault(Fault::MissingParameters)),
            Some(99) => Err(Failure::FunctionError(0x1234)),
            Some(value) => {
                out[..4].copy_from_slice(&value.to_le_bytes());
                out[4] = data.first().copied().unwrap_or(0);
                Ok(5)
            }
        }
    }

    fn run(text: &[u8]) -> Result<Vec<u8>, Failure> {
        let (mut stack, mut rstack, mut scratch) = ([None; 8], [0xee; 32], [0; 16]);
        let mut steps = 0;
        execute::<_, 2>(
            text,
            &[last],
            &[7],
            &mut stack,
            &mut rstack,
            &mut scratch,
            |_, _| {
                steps += 1;
                if steps > 1_000 {
                    Err(Failure::Fault(Fault::TooManyOperations))
                } else {
                    Ok(())
                }
            },
        )?;
        Ok(rstack.to_vec())
    }

    #[test]
    fn calls_leave_the_stack_and_results_are_in_sequence() {
        // Push 5; call; push 99; call; done.
        let rstack = run(&[4, 5, 1, 0, 4, 99, 1, 0, 20]).expect("runs");
        assert_eq!(rstack[..13], [0, 5, 5, 0, 0, 0, 7, 1, 0x34, 0x12, 0, 0, 2]);
        let (first, at) = FunctionResult::decode(&rstack).expect("a result");
        assert_eq!(first, FunctionResult::Success(&[5, 0, 0, 0, 7]));
        let (second, length) = FunctionResult::decode(&rstack[at..]).expect("a result");
        assert_eq!(second, FunctionResult::Failure(0x1234));
        let (third, _) = FunctionResult::decode(&rstack[at + length..]).expect("a result");
        assert_eq!(third, FunctionResult::Done);
    }

    #[test]
    fn a_loop_like_those_of_debuggers_runs() {
        // 0, placeholder; label 0; drop; call; push 1; add; push 3; branch if 3 is greater; done.
        let rstack = run(&[4, 0, 7, 0, 0, 2, 1, 0, 4, 1, 10, 4, 3, 16, 0, 20]).expect("runs");
        let values: Vec<u8> = rstack[..21].chunks(7).map(|result| result[2]).collect();
        assert_eq!((values, rstack[21]), (vec![0, 1, 2], 2));
    }

    #[test]
    fn numbers_are_little_endian_and_expand_low_byte_first() {
        // Push32, expand, call (the high byte is on top), collect, call; Push16, xor.
        let rstack = run(&[6, 4, 3, 2, 1, 21, 1, 0, 22, 1, 0, 20]).expect("runs");
        assert_eq!((rstack[2], &rstack[9..13]), (1, &[4, 3, 2, 1][..]));
        let rstack = run(&[5, 0x34, 0x12, 5, 0xff, 0, 13, 1, 0, 20]).expect("runs");
        assert_eq!(rstack[2..4], [0xcb, 0x12]);
    }

    #[test]
    fn each_wrong_program_has_its_failure() {
        let fault = |fault| Err(Failure::Fault(fault));
        type Case = (&'static [u8], Result<Vec<u8>, Failure>);
        let cases: [Case; 13] = [
            (&[], Err(Failure::IllegalOp)),
            (&[4], Err(Failure::IllegalOp)),
            (&[6, 1, 2, 3], Err(Failure::IllegalOp)),
            (&[23], Err(Failure::Invalid)),
            (&[0xff, 0xff, 0xff, 0xff, 0xff, 1], Err(Failure::Invalid)),
            (&[2, 20], fault(Fault::StackUnderflow)),
            (&[3, 1, 20], fault(Fault::StackUnderflow)),
            (&[4, 1, 7, 10, 20], fault(Fault::OperationOnNone)),
            (&[0, 2, 20], fault(Fault::BadLabel(Target(2)))),
            (&[19, 1, 20], fault(Fault::UnknownLabel(Target(1)))),
            (
                &[1, 9, 20],
                fault(Fault::BadFunction(crate::TargetFunction(9))),
            ),
            (&[1, 0, 20], fault(Fault::MissingParameters)),
            (&[0, 0, 19, 0], fault(Fault::TooManyOperations)),
        ];
        for (text, wanted) in cases {
            assert_eq!(run(text), wanted, "{text:?}");
        }
        assert_eq!(run(&[7; 9]), fault(Fault::StackOverflow));
        let many: Vec<u8> = [4, 1].into_iter().chain([1, 0].repeat(5)).collect();
        assert_eq!(run(&many), fault(Fault::ReturnStackOverflow));
    }

    #[test]
    fn no_program_panics() {
        // Every program of two bytes, and one for each byte repeated.
        for a in 0..=255 {
            for b in 0..=255 {
                let _ = run(&[a, b]);
                let _ = run(&[4, 1, 4, 2, a, b, b, a, 20]);
            }
            let _ = run(&[a; 64]);
        }
    }
}
