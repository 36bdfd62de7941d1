//! Generates client and server of an IPC interface from its description
//!
//! An interface is a `.idol` file: RON that lists operations with their arguments, leases and
//! replies. The build script of a client crate generates a type with a method for each operation
//! from it, that of a server a trait:
//!
//! ```ignore
//! fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//!     idol::client::build_client_stub("../../idl/crashlog.idol", "client_stub.rs")
//! }
//! ```
//!
//! ```ignore
//! include!(concat!(env!("OUT_DIR"), "/client_stub.rs"));
//! ```
//!
//! # How it works
//!
//! 1. `raw` reads the RON, with order and duplicates kept.
//! 2. [`syntax`] parses names and types as Rust and checks the rules of the language. Every error
//!    in a file is found here; its message names the file, the operation and the rule.
//! 3. [`client`] and [`server`] generate code. [`common`] has what must be the same on both sides.
//!
//! # What a message looks like
//!
//! The operation number is 1 + the position in `ops`. Arguments are the bytes of a packed C
//! structure (`Zerocopy`), or that structure in ssmarshal or hubpack encoding. Success is response
//! code 0 and a body in the same encoding; an error is a nonzero response code (`CLike`) or code 1
//! and a hubpack body (`Complex`).
//!
//! # What the including crates need
//!
//! `userlib`, `idol-runtime`, `num-traits` and `zerocopy`; `serde` with `hubpack` or `ssmarshal`
//! for those encodings; `counters` with [`Generator::with_counters`]. The types of arguments and
//! `Zerocopy` replies implement `zerocopy::IntoBytes` and `Immutable` where they are sent, and are
//! rebuilt by their `recv` where they arrive. A client crate must have `userlib::sys_send` in
//! scope.
//!
//! The language and the names of generated items are those of upstream's Idol, because task crates
//! and Humility depend on them.

#![forbid(unsafe_code)]

pub mod client;
pub mod common;
mod counting;
mod error;
mod generator;
mod raw;
pub mod server;
pub mod syntax;

pub use counting::CounterSettings;
pub use error::{BoxedError, Problem};
pub use generator::Generator;
