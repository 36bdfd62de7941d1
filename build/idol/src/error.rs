//! Errors in an interface description

use std::error::Error;
use std::fmt;
use std::path::{Path, PathBuf};

/// The error of this crate's functions: any error, for a build script to return.
pub type BoxedError = Box<dyn Error + Send + Sync>;

/// A part of an interface description that breaks a rule.
pub struct Problem {
    file: Option<PathBuf>,
    operation: Option<String>,
    rule: String,
}

impl Problem {
    /// A problem of the whole interface.
    pub(crate) fn new(rule: impl fmt::Display) -> Self {
        Self {
            file: None,
            operation: None,
            rule: rule.to_string(),
        }
    }

    /// The same, found in an operation.
    pub(crate) fn in_operation(mut self, operation: &str) -> Self {
        self.operation.get_or_insert_with(|| operation.to_string());
        self
    }

    /// The same, found in a file.
    pub(crate) fn in_file(mut self, file: &Path) -> Self {
        self.file.get_or_insert_with(|| file.to_path_buf());
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}: ", file.display())?;
        }
        if let Some(operation) = &self.operation {
            write!(f, "operation \"{operation}\": ")?;
        }
        f.write_str(&self.rule)
    }
}

/// As [`fmt::Display`], because Rust prints this when the `main` of a build script returns the
/// error.
impl fmt::Debug for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Error for Problem {}
