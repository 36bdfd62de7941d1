//! Runs the firmware in QEMU: the demo, the tests and the benchmarks.
//!
//! The harness drives the real parts from outside: the image that `cargo xtask dist` makes, QEMU's
//! model of its [`board`] with a card's image, the host tool `crashlog`. A machine is started with
//! its processors stopped and all its sockets connected, then runs; its serial ports are read with
//! bounded waits; it is ended or killed, and the host tool reads what is on the card. A run that
//! fails keeps everything it made in `target/test/<name>/` and says so.
//!
//! * [`qemu`] has QEMU's command line, [`machine`] starts it, [`qmp`], [`serial`] and [`gdb`] are
//!   its sockets;
//! * [`sabotage`] crashes a system at a chosen moment, [`evidence`] checks the card afterwards;
//! * [`count`], [`crash_cost`] and [`mod@bench`] count instructions;
//! * [`suite`] has the tests, [`matrix_document`] the document of the fault matrix;
//! * [`demo`] and [`demo_run`] are the demo.

#![forbid(unsafe_code)]

pub mod artefacts;
pub mod bench;
pub mod board;
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
