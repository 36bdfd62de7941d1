//! Generates the client and the server side of an IPC interface from its description.
//!
//! An interface is a `.idol` file: RON that lists operations, their arguments, leases and replies. A client crate's
//! build script turns it into a type with a method for each operation, a server's into a trait with a method for each:
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
//! 1. `raw` reads the RON as it stands, keeping order and duplicates.
//! 2. [`syntax`] parses names and types as Rust and checks the rules of the language. Everything that can be wrong
//!    with a file is found here, and the message names the file, the operation and the rule.
//! 3. [`client`] and [`server`] emit code; what both sides must agree on is in [`common`].
//!
//! # What a message looks like
//!
//! The operation number is 1 + the position in `ops`. Arguments are the bytes of a packed C structure (`Zerocopy`), or
//! that structure in ssmarshal or hubpack encoding. Success is response code 0 and a body in the same encoding; an
//! error is a nonzero response code (`CLike`) or code 1 and a hubpack body (`Complex`).
//!
//! # What the including crates need
//!
//! `userlib`, `idol-runtime`, `num-traits` and `zerocopy`; `serde` with `hubpack` or `ssmarshal` for those encodings;
//! `counters` with [`Generator::with_counters`]. The types of arguments and `Zerocopy` replies implement
//! `zerocopy::IntoBytes` and `Immutable` where they are sent, and are rebuilt by their `recv` where they arrive.
//! A client crate must have `userlib::sys_send` in scope.
//!
//! Interface: hubris-interface section 7, humility sections 8 and 9.

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
