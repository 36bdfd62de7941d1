//! Specification sections 7.3 to 7.5.

pub use ours::{client, common, server, CounterSettings, Generator};
