//! Data formats of ARMv7-A: translation tables and fault status codes.
//!
//! References are to the ARM Architecture Reference Manual, ARMv7-A and ARMv7-R edition (ARM DDI
//! 0406C).

pub mod map;
pub mod status;
pub mod tables;
