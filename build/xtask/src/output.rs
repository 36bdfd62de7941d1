//! The standard output, which may be a pipe that nobody reads any more

use anyhow::{Context, Result};
use std::error::Error;
use std::fmt;
use std::io::{self, ErrorKind, Write};

/// Whoever read the standard output wants no more of it, as in `./x sizes | head -n 1`.
#[derive(Debug)]
pub struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the standard output was closed")
    }
}

impl Error for Closed {}

/// Writes `text`. The error is [`Closed`] if nobody reads it.
pub fn print(text: &str) -> Result<()> {
    write(io::stdout().lock(), text)
}

fn write(mut output: impl Write, text: &str) -> Result<()> {
    let written = output
        .write_all(text.as_bytes())
        .and_then(|()| output.flush());
    match written {
        Err(cause) if cause.kind() == ErrorKind::BrokenPipe => Err(Closed.into()),
        other => other.context("cannot write to the standard output"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_closed_pipe_is_no_mistake() {
        let (reader, writer) = io::pipe().expect("a pipe");
        drop(reader);
        assert!(write(writer, "text").expect_err("closed").is::<Closed>());
        let mut full: &mut [u8] = &mut [0; 2];
        let error = write(&mut full, "text").expect_err("full");
        assert!(!error.is::<Closed>());
        assert!(error.to_string().contains("standard output"), "{error}");
    }
}
