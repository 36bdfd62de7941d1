//! Runs the firmware in QEMU: the demo, the tests and the benchmarks.
//!
//! Everything here drives the real parts from outside: the image that `cargo xtask dist` makes, QEMU's `ast2600-evb`
//! with an eMMC image, the host tool `crashlog`. A machine is started stopped with all its sockets connected, let go,
//! watched on its serial ports with bounded waits, and ended or killed; what it left on the card is then read with the
//! host tool. A run that fails keeps everything it made in `target/test/<name>/` and says so.

#![forbid(unsafe_code)]

pub mod artefacts;
pub mod bench;
pub mod build;
pub mod console_text;
pub mod controller;
pub mod core_dump;
pub mod count;
pub mod crash_cost;
pub mod demo;
pub mod demo_run;
pub mod evidence;
pub mod gdb;
mod hif_executor;
mod humility;
pub mod machine;
pub mod matrix_document;
pub mod paths;
pub mod profile;
pub mod qemu;
pub mod qmp;
pub mod sabotage;
pub mod serial;
pub mod sizes;
pub mod stand_in;
pub mod suite;
pub mod symbols;
pub mod tool;
