//! HIF, the Hubris/Humility interchange format: programs run for a debugger.
//!
//! A program is a sequence of [`Op`]s for a stack machine. It calls functions of the task that runs
//! it ([`Function`]: send a message, sleep) and collects their results, each bytes or an error
//! code, on the return stack. The debugger writes the program into the task's memory, and reads the
//! return stack afterwards.
//!
//! # Encoding
//!
//! That of postcard 0.7: discriminants and lengths are variable-length integers (seven bits in each
//! byte, low ones first), numbers are little-endian and of fixed size. A program is a sequence of
//! operations, a return stack is a sequence of results with [`FunctionResult::Done`] at its end.
//!
//! # The machine
//!
//! An element of the stack is a number or none ([`Op::PushNone`]). Arithmetic pops two numbers and
//! pushes one. A branch compares the top of the stack with the element below it and leaves both. A
//! call leaves the stack with its arguments as it is. A label is defined when the program runs over
//! it, so branches only go back. The caller bounds everything: stack, labels, return stack, scratch
//! memory for the result of one function, and a check before each operation.
//!
//! Types, numbers and encoding are those of Hubris' crate `hif`.

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

mod decode;
mod machine;
mod result;

pub use machine::{Function, execute};
pub use result::FunctionResult;

/// First part of the version of the protocol.
pub const HIF_VERSION_MAJOR: u32 = 0;
/// Second part: a debugger needs the same.
pub const HIF_VERSION_MINOR: u32 = 3;
/// Third part.
pub const HIF_VERSION_PATCH: u32 = 1;

/// A label, by number.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct Target(pub u8);

/// A function, by its place in what [`execute`] is given.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct TargetFunction(pub u8);

/// An operation. Variant order is the encoding.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Op {
    /// Define this label: branches to it continue here.
    Label(Target),
    /// Call a function; its arguments are on top of the stack.
    Call(TargetFunction),
    /// Drop the top of the stack.
    Drop,
    /// Drop this many from the top of the stack.
    DropN(u8),
    /// Push a number.
    Push(u8),
    /// Push a number.
    Push16(u16),
    /// Push a number.
    Push32(u32),
    /// Push none.
    PushNone,
    /// Exchange the two on top.
    Swap,
    /// Push a copy of the top.
    Dup,
    /// Replace the two on top by their sum, wrapping.
    Add,
    /// Replace the two on top by their bitwise AND.
    And,
    /// Replace the two on top by their bitwise OR.
    Or,
    /// Replace the two on top by their bitwise XOR.
    Xor,
    /// Branch if the top is less than the element below it.
    BranchLessThan(Target),
    /// Branch if the top is less than or equal to the element below it.
    BranchLessThanOrEqualTo(Target),
    /// Branch if the top is greater than the element below it.
    BranchGreaterThan(Target),
    /// Branch if the top is greater than or equal to the element below it.
    BranchGreaterThanOrEqualTo(Target),
    /// Branch if the two on top are equal.
    BranchEqualTo(Target),
    /// Branch always.
    BranchAlways(Target),
    /// End the program.
    Done,
    /// Replace the top by its four bytes. The low one is pushed first, so the high one is on top.
    Expand32,
    /// Replace the four on top, bytes as [`Op::Expand32`] pushes them, by one number.
    Collect32,
}

/// The fault of a program while it ran.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Fault {
    /// The stack has fewer elements than the function has parameters.
    MissingParameters,
    /// The parameter with this number is none.
    EmptyParameter(u8),
    /// The value of the parameter with this number is not allowed.
    BadParameter(u8),
    /// No room on the stack.
    StackOverflow,
    /// The stack has fewer elements than the operation needs.
    StackUnderflow,
    /// An operation on an element that is none.
    OperationOnNone,
    /// More labels than there is room for.
    BadLabel(Target),
    /// A branch to a label that is not defined yet.
    UnknownLabel(Target),
    /// No such function.
    BadFunction(TargetFunction),
    /// No room on the return stack.
    ReturnStackOverflow,
    /// A function was given a range outside of its memory.
    AccessOutOfBounds,
    /// The program has run more operations than it may.
    TooManyOperations,
}

/// Why a program did not run to its end.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Failure {
    /// The program ends without [`Op::Done`].
    IllegalOp,
    /// The program has faulted.
    Fault(Fault),
    /// An operation cannot be decoded: there is none with this number.
    Invalid,
    /// A function has failed with this error. It does not end the program, but is put on the return
    /// stack.
    FunctionError(u32),
}
