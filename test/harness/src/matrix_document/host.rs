//! The rows on the host, counted: one line for each state in which the emergency begins, and one
//! for each thing that is broken.
//!
//! There are thousands of them, one for each combination, so the document has the sums of the two
//! directions: a row that is added or disappears changes a count in both. The id of a row is
//! `drv::<state>::<broken>` or `store::<state>::<broken>`; a fourth part is a variant of the third.

use super::RowLine;
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// Who fails, and where the rows run, as the rows themselves have it.
const WHO: &str = "crashlog, in the driver";
const RUNS_ON: &str = "host, simulated card";

/// Every row that exists, as it is listed before it has run.
pub fn all() -> Vec<RowLine> {
    let rows = fault_matrix::rows::all().into_iter();
    rows.chain(fault_matrix::store_rows::all())
        .map(|row| RowLine {
            id: row.id,
            who: WHO.to_owned(),
            state: row.state,
            broken: row.broken,
            outcome: row.outcome.to_owned(),
            runs_on: RUNS_ON.to_owned(),
            requirements: row.requirements,
        })
        .collect()
}

/// The description of a state without the number of points that a row appends when it has run, and
/// that number.
pub fn points_of(state: &str) -> (&str, Option<u64>) {
    let split = state.rsplit_once(", ").and_then(|(text, last)| {
        let number = last
            .strip_suffix(" points")
            .or_else(|| last.strip_suffix(" point"))?;
        Some((text, number.parse().ok()?))
    });
    split.map_or((state, None), |(text, points)| (text, Some(points)))
}

/// First, second and third part of an id.
fn parts(id: &str) -> [&str; 3] {
    let mut parts = id.split("::");
    std::array::from_fn(|_| parts.next().unwrap_or_default())
}

/// Rows with the same key, in the order in which the keys first occur.
fn families<K: PartialEq>(
    rows: &[RowLine],
    key: impl Fn(&RowLine) -> K,
) -> Vec<(K, Vec<&RowLine>)> {
    let mut families: Vec<(K, Vec<&RowLine>)> = Vec::new();
    for row in rows {
        let key = key(row);
        match families.iter_mut().find(|(known, _)| *known == key) {
            Some((_, members)) => members.push(row),
            None => families.push((key, vec![row])),
        }
    }
    families
}

/// Requirements that each of the rows proves a part of: letter and number.
fn common<'r>(rows: &[&'r RowLine]) -> BTreeSet<(&'r str, u32)> {
    let of = |row: &&'r RowLine| -> BTreeSet<(&'r str, u32)> {
        row.requirements
            .split(' ')
            .filter_map(|id| Some((id.get(..1)?, id.get(1..)?.parse().ok()?)))
            .collect()
    };
    let sets = rows.iter().map(of);
    sets.reduce(|a, b| &a & &b).unwrap_or_default()
}

fn shown(requirements: &BTreeSet<(&str, u32)>) -> String {
    let ids: Vec<_> = requirements
        .iter()
        .map(|(letter, number)| format!("{letter}{number}"))
        .collect();
    ids.join(" ")
}

/// The document's section on these rows.
pub fn section(rows: &[RowLine]) -> String {
    let mut text = format!(
        "## Host, simulated controller and card: {} rows\n\n\
         Normal operation is interrupted at a *point*: before one of its register accesses. The state that controller and\n\
         card are then in is copied, something in the copy is broken or nothing is, and the emergency path runs on it. Rows\n\
         `drv::<state>::<broken>` check the drivers alone, rows `store::<state>::<broken>` the recorder's store on top of\n\
         them. The tables count the rows, by state and by what is broken; all of them passed. The requirements are those\n\
         that each of the counted rows proves a part of.\n\n\
         ### By state\n\n\
         | rows | state of controller and card | number | points | requirements |\n\
         |---|---|---:|---:|---|\n",
        rows.len()
    );
    for ([layer, state], members) in families(rows, |row| {
        let [layer, state, _] = parts(&row.id);
        [layer.to_owned(), state.to_owned()]
    }) {
        // Variants append to the description of the state.
        let states = members.iter().map(|row| points_of(&row.state).0);
        let description = states.min_by_key(|state| state.len()).unwrap_or_default();
        let points: Option<u64> = members.iter().map(|row| points_of(&row.state).1).sum();
        let _ = writeln!(
            text,
            "| `{layer}::{state}` | {description} | {} | {} | {} |",
            members.len(),
            points.map_or_else(String::new, |points| points.to_string()),
            shown(&common(&members))
        );
    }
    text.push_str(
        "\n### By what is broken\n\n\
         | broken | rows `drv` | rows `store` | requirements |\n\
         |---|---:|---:|---|\n",
    );
    for (what, members) in families(rows, |row| parts(&row.id)[2].to_owned()) {
        let (drv, store): (Vec<_>, Vec<_>) = members
            .iter()
            .copied()
            .partition(|row| parts(&row.id)[0] == "drv");
        let _ = writeln!(
            text,
            "| `{what}` | {} | {} | {} |",
            drv.len(),
            store.len(),
            shown(&(&common(&drv) | &common(&store)))
        );
    }
    text.push_str("\n### What is checked\n\n| rows | number | checked |\n|---|---:|---|\n");
    for ((layer, outcome), members) in families(rows, |row| {
        (parts(&row.id)[0].to_owned(), row.outcome.clone())
    }) {
        let _ = writeln!(text, "| `{layer}` | {} | {outcome} |", members.len());
    }
    text
}

/// A line of the document without the number of points, which is known only when the rows have run.
pub fn without_points(line: &str) -> String {
    let is_family = ["| `drv::", "| `store::"]
        .iter()
        .any(|begin| line.starts_with(begin));
    let mut cells: Vec<_> = line.split('|').collect();
    if is_family && cells.len() == 7 {
        cells.remove(4);
    }
    cells.join("|")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: &str, state: &str, requirements: &str) -> RowLine {
        RowLine {
            id: id.to_owned(),
            who: WHO.to_owned(),
            state: state.to_owned(),
            broken: String::new(),
            outcome: "record whole".to_owned(),
            runs_on: RUNS_ON.to_owned(),
            requirements: requirements.to_owned(),
        }
    }

    #[test]
    fn rows_are_counted_in_both_directions() {
        let text = section(&[
            row(
                "drv::idle::nothing::sd-v1",
                "idle, sd-v1, 2 points",
                "M3 K2",
            ),
            row("drv::idle::wedged", "idle, 1 point", "M3 K1"),
            row("store::idle::wedged", "idle, 1 point", "X10 X5"),
        ]);
        for line in [
            "| `drv::idle` | idle | 2 | 3 | M3 |",
            "| `store::idle` | idle | 1 | 1 | X5 X10 |",
            "| `nothing` | 1 | 0 | K2 M3 |",
            "| `wedged` | 1 | 1 | K1 M3 X5 X10 |",
            "| `drv` | 2 | record whole |",
        ] {
            assert!(
                text.lines().any(|found| found == line),
                "{line} is not in {text}"
            );
        }
    }

    #[test]
    fn points_are_left_out_of_a_comparison() {
        let ran = section(&[row("drv::idle::wedged", "idle, 17 points", "M3")]);
        let listed = section(&[row("drv::idle::wedged", "idle", "M3")]);
        let comparable = |text: &str| text.lines().map(without_points).collect::<Vec<_>>();
        assert_ne!(ran, listed);
        assert_eq!(comparable(&ran), comparable(&listed));
        assert_eq!(points_of("idle, no signal"), ("idle, no signal", None));
    }
}
