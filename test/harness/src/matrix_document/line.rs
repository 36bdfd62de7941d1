//! One row of the fault matrix as it is listed, and the file that it leaves when it passes.

use crate::paths;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::Path;

/// A row, as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowLine {
    /// The row's name; stable.
    pub id: String,
    /// Who fails.
    pub who: String,
    /// State of controller and card. A row on the host that has passed appends how many points it
    /// tried.
    pub state: String,
    /// What is broken.
    pub broken: String,
    /// What is checked.
    pub outcome: String,
    /// `QEMU`, or the host.
    pub runs_on: String,
    /// The requirements that it proves.
    pub requirements: String,
}

impl RowLine {
    /// Writes the line into a file of its own in `folder`.
    pub fn leave(&self, folder: &Path) -> Result<()> {
        let path = folder.join(format!("{}.tsv", self.id));
        let line = self.columns().join("\t");
        fs::write(&path, line + "\n")
            .with_context(|| format!("cannot write {}", paths::shown(&path)))
    }

    /// The seven columns, in the order of the file.
    pub fn columns(&self) -> [&str; 7] {
        [
            &self.id,
            &self.who,
            &self.state,
            &self.broken,
            &self.outcome,
            &self.runs_on,
            &self.requirements,
        ]
    }

    fn parse(text: &str) -> Result<Self> {
        let columns: Vec<_> = text.trim_end().split('\t').map(str::to_owned).collect();
        let count = columns.len();
        let Ok([id, who, state, broken, outcome, runs_on, requirements]) =
            <[String; 7]>::try_from(columns)
        else {
            bail!("a line of the fault matrix has {count} columns instead of 7: {text}");
        };
        Ok(Self {
            id,
            who,
            state,
            broken,
            outcome,
            runs_on,
            requirements,
        })
    }
}

/// All lines that the files in `folder` hold.
pub fn read_all(folder: &Path) -> Result<Vec<RowLine>> {
    let mut lines = Vec::new();
    for entry in fs::read_dir(folder).context("cannot list the lines of the fault matrix")? {
        let path = entry?.path();
        let text = fs::read_to_string(&path)
            .with_context(|| format!("cannot read {}", paths::shown(&path)))?;
        for line in text.lines() {
            lines.push(RowLine::parse(line)?);
        }
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_back_as_it_was_written() {
        let line = RowLine {
            id: "some-row".to_owned(),
            who: "a client".to_owned(),
            state: "idle".to_owned(),
            broken: "nothing".to_owned(),
            outcome: "recorded".to_owned(),
            runs_on: "QEMU".to_owned(),
            requirements: "X5".to_owned(),
        };
        let folder = tempfile::tempdir().expect("folder");
        line.leave(folder.path()).expect("write");
        assert_eq!(read_all(folder.path()).expect("read"), [line]);
        assert!(RowLine::parse("three\tcolumns\tonly").is_err());
    }
}
