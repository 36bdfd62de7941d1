//! What the fuzz targets share: a card in memory, changes of it that the input asks for, and the
//! golden cards to begin with.
//!
//! `targets/` has one program for each kind of data that comes from outside. Each of them checks
//! that nothing panics, that no wait or loop is without a bound, and what its own documentation
//! says.

#![forbid(unsafe_code)]

mod card;
pub mod changes;
pub mod golden;
pub mod program;
pub mod retained;
pub mod seal;

pub use card::{Failed, MemoryCard};
