//! The fault matrix as a document: `doc/fault-matrix.md`, and the table of all rows.
//!
//! A row is a test, in QEMU ([`crate::suite`]) or on the host (`test/fault-matrix`). With the
//! variable `FAULT_MATRIX_OUT` set to a folder, each row that passes writes a line there. The rows
//! in QEMU are listed in the document one by one, those on the host are counted; the table of all
//! rows is written to cargo's build directory.

mod host;
mod line;

pub use host::all as host_rows;
pub use line::{RowLine, read_all};

use crate::paths;
use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

/// The variable that names the folder for the lines.
pub const FOLDER: &str = "FAULT_MATRIX_OUT";
/// How the document is made.
const COMMAND: &str = "./x xtask fault-matrix";
/// Columns of the tables, without the place.
const HEADS: [&str; 6] = [
    "row",
    "who fails",
    "controller and card",
    "broken",
    "checked",
    "requirements",
];

/// Rows in QEMU that belong together.
pub struct Group {
    /// Their heading.
    pub title: &'static str,
    /// The rows.
    pub lines: Vec<RowLine>,
}

/// Every row that exists.
pub struct Matrix {
    /// Those in QEMU.
    pub qemu: Vec<Group>,
    /// Those on the host.
    pub host: Vec<RowLine>,
}

/// The document in the tree.
pub fn document() -> PathBuf {
    paths::root().join("doc/fault-matrix.md")
}

/// The table of all rows, one line each, of the last run.
pub fn full_table() -> PathBuf {
    paths::target().join("fault-matrix.md")
}

impl Matrix {
    /// Takes the lines that the rows have left: exactly those of the rows that exist, with what a
    /// run adds to them.
    ///
    /// # Errors
    /// If a row has not left its line, or a line is of no row.
    pub fn ran(self, left: Vec<RowLine>) -> Result<Self> {
        let mut left: BTreeMap<String, RowLine> = left
            .into_iter()
            .map(|line| (line.id.clone(), line))
            .collect();
        let mut take = |listed: RowLine| -> Result<RowLine> {
            let id = &listed.id;
            let Some(line) = left.remove(id) else {
                bail!("row {id} has not left its line: it did not run, or did not pass");
            };
            let (state, _) = host::points_of(&line.state);
            let expected = RowLine {
                state: state.to_owned(),
                ..line.clone()
            };
            ensure!(
                listed == line || listed == expected,
                "row {id} has left the line of another version of it; run `{COMMAND}`"
            );
            Ok(line)
        };
        let mut qemu = Vec::new();
        for Group { title, lines } in self.qemu {
            let lines = lines.into_iter().map(&mut take).collect::<Result<_>>()?;
            qemu.push(Group { title, lines });
        }
        let host = self.host.into_iter().map(take).collect::<Result<_>>()?;
        if let Some(id) = left.keys().next() {
            bail!("there is a line of row {id}, which does not exist; run `{COMMAND}`");
        }
        Ok(Self { qemu, host })
    }

    /// How many rows run in QEMU, and how many on the host.
    pub fn counts(&self) -> (usize, usize) {
        let qemu = self.qemu.iter().map(|group| group.lines.len()).sum();
        (qemu, self.host.len())
    }

    /// Writes the document and the table of all rows.
    pub fn write(&self) -> Result<()> {
        for (path, text) in [(document(), self.text()), (full_table(), self.full_text())] {
            fs::write(&path, text)
                .with_context(|| format!("cannot write {}", paths::shown(&path)))?;
        }
        Ok(())
    }

    /// Checks that the document in the tree is the one of these rows, except for the points of
    /// those on the host, which only a run counts.
    ///
    /// # Errors
    /// The first line that is missing there, or that should not be there.
    pub fn check(&self) -> Result<()> {
        let text = fs::read_to_string(document()).context("there is no doc/fault-matrix.md")?;
        compare(&text, &self.text())
    }

    /// The document.
    fn text(&self) -> String {
        let (qemu, _) = self.counts();
        let mut text = format!(
            "# Fault matrix\n\n\
             Made by `{COMMAND}`, which runs every row; do not edit. A row is a test. Those in QEMU run the whole\n\
             system with the application `test/apps/saboteur`, and are part of `./x test` as `matrix::<row>`. Those on the host\n\
             run the drivers against a simulated controller and card, for what QEMU's model does not show (busy, CRC errors,\n\
             cards that stop answering); they are part of `./x test` as `host::fault-matrix`, and are only counted here. The\n\
             same command writes the table of all rows, one line each, to `target/fault-matrix.md`.\n\n\
             *Recorded* means that the crash is on the card: *before the restart*, written by the emergency path, or *late*, written\n\
             by a later boot from retained RAM. In addition to what its row says, each test in QEMU checks: the system, or the task,\n\
             restarted; the crash is on the card, whole; all log records that had been accepted are there; no older crash or log\n\
             record has changed (the card has some from two boots before); `crashlog verify` finds no error; after the restart\n\
             logging goes on.\n\n\
             ## QEMU: {qemu} rows\n\n\
             What all rows of a table have in common is in the sentence above it.\n\n",
        );
        for group in &self.qemu {
            text.push_str(&group.text());
            text.push('\n');
        }
        text.push_str(&host::section(&self.host));
        text
    }

    /// All rows, one line each.
    fn full_text(&self) -> String {
        let mut text = format!("# All rows of the fault matrix\n\nWritten by `{COMMAND}`.\n");
        let qemu: Vec<_> = self.qemu.iter().flat_map(|group| &group.lines).collect();
        for (place, mut lines) in [("QEMU", qemu), ("Host", self.host.iter().collect())] {
            lines.sort_by(|a, b| a.id.cmp(&b.id));
            let _ = writeln!(text, "\n## {place}: {} rows\n", lines.len());
            text.push_str(&table(&lines, &[true; 6]));
        }
        text
    }
}

impl Group {
    /// The heading, what is the same in all rows, and a table of the rest.
    fn text(&self) -> String {
        let lines: Vec<_> = self.lines.iter().collect();
        let common: Vec<Option<&str>> = (0..HEADS.len())
            .map(|column| {
                // The check of doc/requirements.md reads the first and the last column.
                if HEADS[column] == "requirements" {
                    return None;
                }
                let mut cells = lines.iter().map(|line| cells(line)[column]);
                let first = cells.next().filter(|_| lines.len() > 1)?;
                cells.all(|cell| cell == first).then_some(first)
            })
            .collect();
        let mut text = format!("### {}\n\n", self.title);
        let said: Vec<String> = HEADS
            .iter()
            .zip(&common)
            .filter_map(|(head, cell)| cell.map(|cell| format!("{head}: {cell}")))
            .collect();
        if !said.is_empty() {
            let _ = writeln!(text, "In all rows: {}.\n", said.join("; "));
        }
        let shown: Vec<bool> = common.iter().map(Option::is_none).collect();
        text.push_str(&table(&lines, &shown));
        text
    }
}

/// The cells of a row, in the order of [`HEADS`].
fn cells(line: &RowLine) -> [&str; 6] {
    let [id, who, state, broken, outcome, _, requirements] = line.columns();
    [id, who, state, broken, outcome, requirements]
}

/// A table of rows, with the columns that are `shown`.
fn table(lines: &[&RowLine], shown: &[bool]) -> String {
    let only = |cells: Vec<String>| -> String {
        let shown = cells.into_iter().zip(shown).filter(|(_, shown)| **shown);
        let cells: Vec<_> = shown.map(|(cell, _)| cell).collect();
        format!("| {} |\n", cells.join(" | "))
    };
    let mut text = only(HEADS.map(str::to_owned).to_vec());
    text.push_str(&only(vec!["---".to_owned(); HEADS.len()]));
    for line in lines {
        let [id, rest @ ..] = cells(line);
        let cells = std::iter::once(format!("`{id}`")).chain(rest.map(str::to_owned));
        text.push_str(&only(cells.collect()));
    }
    text
}

/// Checks that the document `there` is the `wanted` one.
fn compare(there: &str, wanted: &str) -> Result<()> {
    let lines = |text: &str| text.lines().map(host::without_points).collect::<Vec<_>>();
    let (there, wanted) = (lines(there), lines(wanted));
    for at in 0..there.len().max(wanted.len()) {
        let line = |lines: &[String]| lines.get(at).cloned().unwrap_or_default();
        ensure!(
            there.get(at) == wanted.get(at),
            "line {} of doc/fault-matrix.md is not as the rows of this version have it; run `{COMMAND}`\n  there:  {}\n  \
             wanted: {}",
            at + 1,
            line(&there),
            line(&wanted)
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(id: &str, state: &str) -> RowLine {
        RowLine {
            id: id.to_owned(),
            who: "a client".to_owned(),
            state: state.to_owned(),
            broken: "nothing".to_owned(),
            outcome: "recorded".to_owned(),
            runs_on: "QEMU".to_owned(),
            requirements: "X5".to_owned(),
        }
    }

    fn matrix(qemu: &[&str], host: &[(&str, &str)]) -> Matrix {
        let lines = |title, ids: &[&str]| Group {
            title,
            lines: ids.iter().map(|id| line(id, id)).collect(),
        };
        Matrix {
            qemu: vec![lines("First", qemu), lines("Second", &["z"])],
            host: host.iter().map(|(id, state)| line(id, state)).collect(),
        }
    }

    #[test]
    fn a_group_says_once_what_is_the_same_in_all_rows() {
        let text = matrix(&["a", "b"], &[]).text();
        let common = "In all rows: who fails: a client; broken: nothing; checked: recorded.";
        assert!(
            text.contains("## QEMU: 3 rows") && text.contains(common),
            "{text}"
        );
        assert!(
            text.contains("| row | controller and card | requirements |\n|"),
            "{text}"
        );
        let at = |needle: &str| text.find(needle).expect(needle);
        assert!(
            at("| `a` | a | X5 |") < at("| `b` | b | X5 |")
                && at("| `b` | b | X5 |") < at("### Second")
        );
        // A group of one row has its table.
        assert!(
            text.contains("| `z` | a client | z | nothing | recorded | X5 |"),
            "{text}"
        );
    }

    #[test]
    fn every_row_must_have_left_its_line_and_no_other() {
        let left = |ids: &[&str]| ids.iter().map(|id| line(id, id)).collect::<Vec<_>>();
        assert!(matrix(&["a"], &[]).ran(left(&["z", "a"])).is_ok());
        assert!(matrix(&["a"], &[]).ran(left(&["z"])).is_err());
        assert!(matrix(&["a"], &[]).ran(left(&["a", "b", "z"])).is_err());
        let with_points = line("drv::x::y", "x, 3 points");
        let host = matrix(&[], &[("drv::x::y", "x")]);
        let ran = host
            .ran(vec![line("z", "z"), with_points.clone()])
            .expect("passed");
        assert_eq!(ran.host, [with_points]);
        let other = vec![line("z", "z"), line("drv::x::y", "other, 3 points")];
        assert!(matrix(&[], &[("drv::x::y", "x")]).ran(other).is_err());
    }

    #[test]
    fn a_row_that_is_added_removed_or_changed_is_noticed() {
        let host = [("drv::x::y", "x"), ("drv::x::z", "x"), ("store::x::y", "x")];
        let text = matrix(&["a", "b"], &host).text();
        let ran = [
            ("drv::x::y", "x, 1 point"),
            ("drv::x::z", "x, 5 points"),
            ("store::x::y", "x, 7 points"),
        ];
        assert!(compare(&matrix(&["a", "b"], &ran).text(), &text).is_ok());
        for (qemu, host) in [
            (&["a"][..], &host[..]),
            (&["a", "b", "c"], &host),
            (&["a", "c"], &host),
            (&["a", "b"], &host[1..]),
            (&["a", "b"], &host[..2]),
            (&["a", "b"], &[host[0], host[1], ("store::x::z", "x")]),
            (&["a", "b"], &[host[0], host[1], ("store::x::y", "w")]),
        ] {
            assert!(
                compare(&text, &matrix(qemu, host).text()).is_err(),
                "{qemu:?} {host:?}"
            );
        }
    }
}
