//! Finished ELF files: reading and patching, symbol names, Thumb instructions
//!
//! [`Elf`] is a 32-bit little-endian file in memory; parsing succeeds only for such a file, so what
//! holds one may read sections and segments without asking again. [`names`] shortens symbol names
//! for people. [`thumb`] decodes as much of the instruction set as call graphs and stack bounds
//! take.

#![forbid(unsafe_code)]

mod file;
pub mod names;
pub mod thumb;

pub use file::{Elf, Segment};
