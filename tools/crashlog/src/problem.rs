//! Problems: one line for people and an exit code for scripts.

use crate::text;
use std::fmt;
use std::io::{self, Write};
use std::path::Path;

/// Exit codes, documented in `crashlog --help`.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Code {
    /// Something on the card is damaged, or what was asked for does not exist.
    Found = 1,
    /// The command line is invalid.
    Usage = 2,
    /// The input is not a crashlog card, or its version is unknown.
    NotACrashlogCard = 3,
    /// A file could not be opened, read or written.
    Io = 4,
}

/// Why a command failed, in one line: what is wrong, the rule, and what to do.
#[derive(Debug)]
pub struct Problem {
    code: Code,
    text: String,
    closed_pipe: bool,
}

impl Problem {
    /// A problem with its exit code.
    pub fn new(code: Code, text: impl Into<String>) -> Self {
        Self {
            code,
            text: text.into(),
            closed_pipe: false,
        }
    }

    /// The operating system failed an operation on `path`.
    pub fn io(path: &Path, doing: &str, cause: &io::Error) -> Self {
        Self::new(
            Code::Io,
            format!("{}: cannot {doing}: {}", path.display(), reason(cause)),
        )
    }

    /// The exit code that tells scripts about it.
    pub fn code(&self) -> u8 {
        self.code as u8
    }

    /// Prints it on standard error.
    pub fn tell(&self) {
        tell(&self.to_string());
    }

    /// Whether the reader of the output has closed it, as `head` does. That is no error.
    pub fn is_closed_pipe(&self) -> bool {
        self.closed_pipe
    }
}

/// For errors of writing the output only. All other uses of [`io::Error`] name their file, by
/// [`Problem::io`].
impl From<io::Error> for Problem {
    fn from(cause: io::Error) -> Self {
        Self {
            code: Code::Io,
            text: format!("cannot write the output: {}", reason(&cause)),
            closed_pipe: cause.kind() == io::ErrorKind::BrokenPipe,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // It may quote what is on a card or in an archive.
        f.write_str(&text::message(&self.text))
    }
}

/// Tells the user something, in one line on standard error. If that cannot be written, nobody
/// reads it.
pub fn tell(text: &str) {
    let _ = writeln!(io::stderr(), "crashlog: {}", text::message(text));
}

/// The message of the operating system without the error number.
fn reason(cause: &io::Error) -> String {
    let text = cause.to_string();
    match text.find(" (os error") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}
