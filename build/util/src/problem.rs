//! What is wrong with a key of a configuration

use std::fmt;

/// One step from a table to a value in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// To the value of this key of a table.
    Key(String),
    /// To this element of a list, from 0.
    Index(usize),
}

/// The path of a value in a document: `tasks.jefe.uses[1]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyPath(pub Vec<Step>);

impl KeyPath {
    /// The path of plain keys.
    pub fn of(keys: &[&str]) -> Self {
        Self(keys.iter().map(|key| Step::Key(key.to_string())).collect())
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, step) in self.0.iter().enumerate() {
            match step {
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Key(key) => {
                    if position > 0 {
                        f.write_str(".")?;
                    }
                    let bare = key
                        .chars()
                        .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
                    if bare {
                        f.write_str(key)?;
                    } else {
                        write!(f, "{key:?}")?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// What is wrong with the value of a key, without the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The key that is wrong.
    pub path: KeyPath,
    /// The rule that it breaks, and what to do.
    pub message: String,
}

impl Problem {
    /// A problem with the value at `keys`.
    pub fn at(keys: &[&str], message: impl Into<String>) -> Self {
        Self {
            path: KeyPath::of(keys),
            message: message.into(),
        }
    }

    /// The same problem, with a path from one level further out.
    pub fn under(mut self, step: Step) -> Self {
        self.path.0.insert(0, step);
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.0.is_empty() {
            return f.write_str(&self.message);
        }
        write!(f, "{}: {}", self.path, self.message)
    }
}

impl std::error::Error for Problem {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_keys_that_need_it() {
        let path = KeyPath(vec![
            Step::Key("tasks".into()),
            Step::Key("a.b".into()),
            Step::Index(2),
        ]);
        assert_eq!(path.to_string(), "tasks.\"a.b\"[2]");
    }
}
