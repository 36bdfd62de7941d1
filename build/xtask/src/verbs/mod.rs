//! The verbs of `cargo xtask` other than `dist`, by subject

pub mod check_emergency;
pub mod compile;
pub mod external;
pub mod gdb;
pub mod graph;
pub mod lint;
pub mod print;
pub mod qemu;
pub mod sizes;
pub mod tree;
