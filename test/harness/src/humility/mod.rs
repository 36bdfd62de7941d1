//! A reader of dumps that works as Humility does.
//!
//! It shares no code with what writes archives and dumps, nor with `check-archive`. Where Humility
//! would panic, fail or show nothing, it fails.
//!
//! * [`types`], [`dwarf`], [`value`]: the debug information of a variable, and its value in memory;
//! * [`program`], [`system`]: programs, the table of tasks, regions, registers;
//! * [`unwind`], [`svc`]: the stacks;
//! * [`traces`]: ring buffers and counters.

pub mod dwarf;
pub mod program;
pub mod svc;
pub mod system;
pub mod traces;
pub mod types;
pub mod unwind;
pub mod value;
