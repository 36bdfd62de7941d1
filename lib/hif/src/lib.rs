//! HIF, the Hubris/Humility interchange format: small programs that a debugger has a task run.
//!
//! A program is a sequence of [`Op`]s for a stack machine. It calls functions of the task that runs it ([`Function`]:
//! send a message, sleep) and collects their results, bytes or an error code each, on the return stack. The debugger
//! writes the program into the task's memory, and reads the return stack afterwards.
//!
//! # Encoding
//!
//! That of postcard 0.7: discriminants and lengths are variable-length integers (seven bits a byte, low ones first),
//! numbers are little-endian and of fixed size. A program is its operations back to back, a return stack the results
//! back to back, [`FunctionResult::Done`] last.
//!
//! # The machine
//!
//! The stack holds numbers, or nothing ([`Op::PushNone`]). Arithmetic takes two and leaves one; a branch compares the
//! top of the stack with what is below it and leaves both; a call leaves the stack as it is, its arguments on top. A
//! label is known once the program has run over it, so branches go back. Everything is bounded by what the caller gives: stack,
//! labels, return stack, scratch memory for the result of one function, and a check before each operation.
//!
//! Interface: hubris-interface section 10.5, humility section 9.

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

mod decode;
mod machine;
mod result;

pub use machine::{Function, execute};
pub use result::FunctionResult;

/// First part of the protocol's version.
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
    /// Branches to this label continue here.
    Label(Target),
    /// Call a function with what is on the stack.
    Call(TargetFunction),
    /// Drop the top of the stack.
    Drop,
    /// Drop so many.
    DropN(u8),
    /// Push a number.
    Push(u8),
    /// Push a number.
    Push16(u16),
    /// Push a number.
    Push32(u32),
    /// Push nothing.
    PushNone,
    /// Exchange the two on top.
    Swap,
    /// Push the top once more.
    Dup,
    /// Replace the two on top by their sum, wrapping.
    Add,
    /// Replace the two on top by their conjunction.
    And,
    /// Replace the two on top by their disjunction.
    Or,
    /// Replace the two on top by their exclusive disjunction.
    Xor,
    /// Branch if the top is less than what is below it.
    BranchLessThan(Target),
    /// Branch if the top is not greater than what is below it.
    BranchLessThanOrEqualTo(Target),
    /// Branch if the top is greater than what is below it.
    BranchGreaterThan(Target),
    /// Branch if the top is not less than what is below it.
    BranchGreaterThanOrEqualTo(Target),
    /// Branch if the two on top are equal.
    BranchEqualTo(Target),
    /// Branch.
    BranchAlways(Target),
    /// The end.
    Done,
    /// Replace the top by its four bytes, the low one first and so the high one on top.
    Expand32,
    /// Replace the four on top, bytes as [`Op::Expand32`] leaves them, by the number that they make.
    Collect32,
}

/// What a program did wrong while it ran.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Fault {
    /// Too little on the stack for a function.
    MissingParameters,
    /// The parameter with this number is nothing.
    EmptyParameter(u8),
    /// The parameter with this number has a value that it may not have.
    BadParameter(u8),
    /// No room on the stack.
    StackOverflow,
    /// Too little on the stack for an operation.
    StackUnderflow,
    /// An operation on nothing.
    OperationOnNone,
    /// More labels than there is room for.
    BadLabel(Target),
    /// A branch to a label that the program has not run over.
    UnknownLabel(Target),
    /// No such function.
    BadFunction(TargetFunction),
    /// No room on the return stack.
    ReturnStackOverflow,
    /// A function named memory that is not there.
    AccessOutOfBounds,
    /// The program does not end.
    TooManyOperations,
}

/// Why a program did not run to its end.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Failure {
    /// The program ends without [`Op::Done`].
    IllegalOp,
    /// It did something wrong.
    Fault(Fault),
    /// It does not decode: no such operation.
    Invalid,
    /// A function's own error. Ends the function, not the program: it is on the return stack.
    FunctionError(u32),
}
