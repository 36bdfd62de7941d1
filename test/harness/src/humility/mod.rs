//! A dump, read as the description of Humility has it (humility.md, sections 3 to 8).
//!
//! This is a reader of our own: it shares nothing with what writes archives and dumps, nor with `check-archive`, and it is
//! as strict as the description. Where Humility would panic, fail or show nothing, it fails.
//!
//! * [`types`], [`value`]: what the debug information says of a variable, and what memory holds there,
//! * [`system`]: programs, the table of tasks, regions, registers,
//! * [`unwind`]: the stacks,
//! * [`traces`]: ring buffers and counters.

pub mod dwarf;
pub mod program;
pub mod svc;
pub mod system;
pub mod traces;
pub mod types;
pub mod unwind;
pub mod value;
