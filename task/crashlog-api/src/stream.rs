//! Where a record belongs and how important it is: the types that the card has, too.

pub use crashlog_format::{Level, Stream};
