//! `doc/fault-matrix.md`: made of the lines that the rows of the fault matrix leave when they pass.
//!
//! A row is a test, in QEMU or on the host. With the variable `FAULT_MATRIX_OUT` set to a folder, each row that passes
//! writes a file with one line there: seven columns, separated by tabs.

use crate::build::cargo;
use crate::{paths, suite};
use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// Names the folder for the lines.
pub const FOLDER: &str = "FAULT_MATRIX_OUT";
/// Crates with rows on the host.
const HOST: [&str; 1] = ["fault-matrix"];

/// A line of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// What the row is called.
    pub id: String,
    /// Who fails.
    pub who: String,
    /// State of controller and card.
    pub state: String,
    /// What is broken.
    pub broken: String,
    /// What is looked for.
    pub outcome: String,
    /// `QEMU`, or the host.
    pub runs_on: String,
    /// The requirements that it proves.
    pub requirements: String,
}

impl Line {
    /// Leaves the line in a folder.
    pub fn leave(&self, folder: &Path) -> Result<()> {
        let path = folder.join(format!("{}.tsv", self.id));
        let line = self.columns().join("\t");
        fs::write(&path, line + "\n")
            .with_context(|| format!("cannot write {}", paths::shown(&path)))
    }

    fn columns(&self) -> [&str; 7] {
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

/// Where the document is.
fn document() -> PathBuf {
    paths::root().join("doc/fault-matrix.md")
}

/// Runs every row, unless `only_write`, and writes the document from the lines that they left; says whether all passed.
pub fn run(only_write: bool) -> Result<bool> {
    let folder = paths::target().join("fault-matrix");
    if !only_write {
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder)
            .with_context(|| format!("cannot make {}", paths::shown(&folder)))?;
        if !suite::run_matrix(&folder) {
            return Ok(false);
        }
        for package in HOST {
            let status = cargo()
                .args(["test", "--quiet", "--package", package])
                .env(FOLDER, &folder)
                .status()
                .context("cannot run cargo")?;
            ensure!(status.success(), "the host's rows in {package} failed");
        }
    }
    let mut lines = Vec::new();
    for entry in fs::read_dir(&folder).context("cannot list the lines of the fault matrix")? {
        let path = entry?.path();
        let text = fs::read_to_string(&path)
            .with_context(|| format!("cannot read {}", paths::shown(&path)))?;
        for line in text.lines() {
            lines.push(Line::parse(line)?);
        }
    }
    let text = table(&lines);
    fs::write(document(), &text).context("cannot write doc/fault-matrix.md")?;
    println!("{} rows are in doc/fault-matrix.md", lines.len());
    Ok(true)
}

/// The document.
fn table(lines: &[Line]) -> String {
    let mut text = String::from(
        "# Fault matrix\n\n\
         Made by `./x xtask fault-matrix`, which runs every row; do not edit. A row is a test. Those in QEMU run the whole\n\
         system with the application `test/apps/saboteur`, and are part of `./x test` as `matrix::<row>`; those on the host run the\n\
         driver against a simulated controller and card, for what QEMU's model cannot show (busy, CRC errors, cards that stop\n\
         answering).\n\n\
         Every row in QEMU checks, beside what its last but one column says: the system, or the task, restarted; the record is on the card,\n\
         whole; all log records that had been accepted are there; no older record or log record has changed, of which there are\n\
         some from two boots before; `crashlog verify` finds nothing wrong; after the restart logging goes on.\n\n",
    );
    let mut by_place: BTreeMap<&str, Vec<&Line>> = BTreeMap::new();
    for line in lines {
        by_place.entry(&line.runs_on).or_default().push(line);
    }
    for (place, mut lines) in by_place {
        lines.sort_by(|a, b| a.id.cmp(&b.id));
        let _ = writeln!(text, "## {place}: {} rows\n", lines.len());
        text.push_str(
            "| row | who fails | controller and card | broken | checked | requirements |\n|---|---|---|---|---|---|\n",
        );
        for line in lines {
            let [id, who, state, broken, outcome, _, requirements] = line.columns();
            let _ = writeln!(
                text,
                "| `{id}` | {who} | {state} | {broken} | {outcome} | {requirements} |"
            );
        }
        text.push('\n');
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

/// Whether the document in the tree lists exactly these rows of QEMU, as they are.
pub fn check(rows: &[Line]) -> Result<()> {
    let text = fs::read_to_string(document()).context("there is no doc/fault-matrix.md")?;
    let fresh = table(rows);
    let section = |text: &str| -> Vec<String> {
        text.lines()
            .skip_while(|line| !line.starts_with("## QEMU"))
            .take_while(|line| line.starts_with("## QEMU") || !line.starts_with("## "))
            .filter(|line| line.starts_with('|'))
            .map(str::to_owned)
            .collect()
    };
    let (there, wanted) = (section(&text), section(&fresh));
    let again = "make it again with `./x xtask fault-matrix`";
    for line in &wanted {
        ensure!(
            there.contains(line),
            "doc/fault-matrix.md lacks this row; {again}: {line}"
        );
    }
    for line in &there {
        ensure!(
            wanted.contains(line),
            "doc/fault-matrix.md has a row that no longer exists; {again}: {line}"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(id: &str, runs_on: &str) -> Line {
        Line {
            id: id.to_owned(),
            who: "a client".to_owned(),
            state: "idle".to_owned(),
            broken: "nothing".to_owned(),
            outcome: "recorded".to_owned(),
            runs_on: runs_on.to_owned(),
            requirements: "X5".to_owned(),
        }
    }

    #[test]
    fn a_line_survives_its_file() {
        let line = line("some-row", "host");
        assert_eq!(
            Line::parse(&line.columns().join("\t")).expect("parse"),
            line
        );
        assert!(Line::parse("three\tcolumns\tonly").is_err());
    }

    #[test]
    fn rows_are_sorted_by_where_they_run() {
        let text = table(&[line("b", "host"), line("z", "QEMU"), line("a", "host")]);
        let at = |needle: &str| text.find(needle).expect(needle);
        assert!(at("## QEMU: 1 rows") < at("`z`") && at("`z`") < at("## host: 2 rows"));
        assert!(at("`a`") < at("`b`"));
    }
}
