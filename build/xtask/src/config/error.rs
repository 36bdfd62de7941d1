//! Errors in a configuration file: file, line, key, and what is wrong

pub use build_util::{KeyPath, Problem, Step};
use std::path::{Path, PathBuf};

/// The text of the files that a configuration was read from, to find the line that a problem is
/// about.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// In order of precedence: the file itself, then those that it inherits from.
    files: Vec<(PathBuf, String)>,
}

impl Sources {
    /// Adds a file of lower precedence than those before it.
    pub fn push(&mut self, path: &Path, text: String) {
        self.files.push((path.to_path_buf(), text));
    }

    /// Whether the file was read already.
    pub fn contains(&self, path: &Path) -> bool {
        self.files.iter().any(|(file, _)| file == path)
    }

    /// The error as `file:line: key: message`, for the file that has most of the key's path.
    pub fn locate(&self, problem: &Problem) -> anyhow::Error {
        let mut best: Option<(usize, usize, &Path)> = None;
        for (path, text) in &self.files {
            let (depth, offset) = deepest(text, &problem.path);
            if best.is_none_or(|(known, _, _)| depth > known) {
                let line = text[..offset].matches('\n').count() + 1;
                best = Some((depth, line, path));
            }
        }
        match best {
            Some((0, _, path)) => anyhow::anyhow!("{}: {problem}", shown(path)),
            Some((_, line, path)) => anyhow::anyhow!("{}:{line}: {problem}", shown(path)),
            None => anyhow::anyhow!("{problem}"),
        }
    }
}

/// A path relative to the current directory, if it is below that.
pub fn shown(path: &Path) -> std::path::Display<'_> {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(here).unwrap_or(path).display()
}

/// How many steps of `path` exist in the document, and where the last of them begins in its text.
fn deepest(text: &str, path: &KeyPath) -> (usize, usize) {
    use toml::de::{DeTable, DeValue};
    let Ok(document) = DeTable::parse(text) else {
        return (0, 0);
    };
    let mut offset = 0;
    let mut depth = 0;
    let mut value = DeValue::Table(document.into_inner());
    for step in &path.0 {
        let next = match (step, value) {
            (Step::Key(key), DeValue::Table(table)) => table
                .into_iter()
                .find(|(name, _)| name.get_ref().as_ref() == key.as_str())
                .map(|(name, value)| (name.span().start, value.into_inner())),
            (Step::Index(index), DeValue::Array(array)) => array
                .into_iter()
                .nth(*index)
                .map(|value| (value.span().start, value.into_inner())),
            _ => None,
        };
        let Some((start, inner)) = next else {
            break;
        };
        (offset, value) = (start, inner);
        depth += 1;
    }
    (depth, offset.min(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_file_and_line() {
        let mut sources = Sources::default();
        sources.push(
            Path::new("app.toml"),
            "inherit = \"base.toml\"\n[tasks.net]\nname = \"n\"\n".into(),
        );
        sources.push(
            Path::new("base.toml"),
            "\n\n[tasks.net]\npriority = 3\n".into(),
        );
        let here = Problem::at(&["tasks", "net", "name"], "wrong");
        assert_eq!(
            sources.locate(&here).to_string(),
            "app.toml:3: tasks.net.name: wrong"
        );
        let inherited = Problem::at(&["tasks", "net", "priority"], "wrong");
        assert_eq!(
            sources.locate(&inherited).to_string(),
            "base.toml:4: tasks.net.priority: wrong"
        );
        let missing = Problem::at(&["tasks", "net", "stacksize"], "missing");
        assert_eq!(
            sources.locate(&missing).to_string(),
            "app.toml:2: tasks.net.stacksize: missing"
        );
        let nowhere = Problem::at(&["target"], "missing");
        assert_eq!(
            sources.locate(&nowhere).to_string(),
            "app.toml: target: missing"
        );
    }
}
