//! Upstream's names of `idol`.

pub use ours::{client, common, server, CounterSettings, Generator};
