//! Finished ELF files: reading and patching, symbol names, Thumb instructions
//!
//! * [`Elf`]: a file in memory. It parses as a 32-bit little-endian ELF file, which is checked when
//!   one is made.
//! * [`Code`]: the functions and instructions of its `.text`.
//! * [`thumb`]: what an instruction does.
//! * [`names`]: symbol names as people read them.

#![forbid(unsafe_code)]

mod code;
mod file;
pub mod names;
pub mod thumb;

pub use code::{Code, FunctionSymbol};
pub use file::{Elf, Segment};
