//! What `cargo xtask` can be asked to do beside building: one file per subject.

pub mod check_emergency;
pub mod compile;
pub mod external;
pub mod graph;
pub mod lint;
pub mod print;
pub mod qemu;
pub mod sizes;
pub mod tree;
