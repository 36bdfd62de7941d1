//! The document: its tables, what is wrong in it, and its column of proofs

use super::ids::is_id;
use super::proofs::Proof;
use super::{PATH, RULE};
use crate::Finding;

/// The section of the requirements that no test proves.
const OPEN: &str = "## Not proved yet";
/// So many proofs of a requirement are written out.
const SHOWN: usize = 3;
/// How to make the document anew.
const AGAIN: &str = "run `./x xtask requirements`";

/// A line of the document.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Line {
    /// An id and its sentence.
    Requirement { id: String, sentence: String },
    /// An id that is not proved yet, and why.
    Open { id: String, why: String },
    /// Anything else.
    Text(String),
}

/// The document.
#[derive(Clone, Debug)]
pub struct Document {
    lines: Vec<Line>,
}

impl Document {
    /// Reads its tables: a row with an id is a requirement, or open if its section is that.
    pub fn parse(text: &str) -> Self {
        let mut in_open = false;
        let lines = text.lines().map(|line| {
            if line.starts_with("## ") {
                in_open = line == OPEN;
            }
            let cells: Vec<_> = line.split('|').map(str::trim).collect();
            match &cells[..] {
                ["", id, why, ""] if in_open && is_id(id) => Line::Open {
                    id: (*id).into(),
                    why: (*why).into(),
                },
                ["", id, sentence, _, ""] | ["", id, sentence, ""] if !in_open && is_id(id) => {
                    Line::Requirement {
                        id: (*id).into(),
                        sentence: (*sentence).into(),
                    }
                }
                _ => Line::Text(line.into()),
            }
        });
        Self {
            lines: lines.collect(),
        }
    }

    /// The ids of all requirements.
    pub fn ids(&self) -> Vec<&str> {
        let ids = self.lines.iter().filter_map(|line| match line {
            Line::Requirement { id, .. } => Some(id.as_str()),
            _ => None,
        });
        ids.collect()
    }

    /// The document with its column of proofs.
    pub fn with_proofs(&self, proofs: &[Proof]) -> String {
        let lines = self.lines.iter().map(|line| match line {
            Line::Requirement { id, sentence } => {
                format!("| {id} | {sentence} | {} |\n", shown(id, proofs))
            }
            Line::Open { id, why } => format!("| {id} | {why} |\n"),
            Line::Text(text) => format!("{text}\n"),
        });
        lines.collect()
    }

    /// What is wrong in the document, whose text is `text`.
    pub fn check(&self, text: &str, proofs: &[Proof]) -> Vec<Finding> {
        let known = self.ids();
        let open: Vec<_> = self.lines.iter().filter_map(Line::open).collect();
        let mut findings = Vec::new();
        for (number, line) in (1..).zip(&self.lines) {
            let what = match line {
                Line::Requirement { id, .. } if known.iter().filter(|it| *it == id).count() > 1 => {
                    format!("{id} stands more than once; give each requirement an id of its own")
                }
                Line::Requirement { id, .. }
                    if !is_proved(id, proofs) && !open.contains(&id.as_str()) =>
                {
                    format!(
                        "no test proves {id}; tag the one that does, or write under {OPEN:?} why there is none"
                    )
                }
                Line::Open { id, .. } if !known.contains(&id.as_str()) => {
                    format!("{id} is no requirement; remove the row")
                }
                Line::Open { id, .. } if is_proved(id, proofs) => {
                    format!("{id} is proved: {}; remove the row", shown(id, proofs))
                }
                Line::Open { id, why } if why.is_empty() => {
                    format!("does not say why {id} is not proved; write it")
                }
                _ => continue,
            };
            findings.push(Finding::new(PATH, number, RULE, what));
        }
        let fresh = self.with_proofs(proofs);
        if fresh != text {
            let same = text.lines().zip(fresh.lines()).take_while(|(a, b)| a == b);
            let what = format!("is out of date from here on; {AGAIN}");
            findings.push(Finding::new(PATH, same.count() + 1, RULE, what));
        }
        findings
    }
}

impl Line {
    fn open(&self) -> Option<&str> {
        match self {
            Self::Open { id, .. } => Some(id),
            _ => None,
        }
    }
}

/// Whether a test proves all of a requirement.
pub fn is_proved(id: &str, proofs: &[Proof]) -> bool {
    let mut claims = proofs.iter().filter_map(|proof| proof.claim(id));
    claims.any(|claim| !claim.in_part)
}

/// The proofs of a requirement: a few, of different files as far as there are, and how many more.
/// Those of a part count if there are no others.
fn shown(id: &str, proofs: &[Proof]) -> String {
    let in_part = !is_proved(id, proofs);
    let mut rest: Vec<&Proof> = Vec::new();
    for proof in proofs {
        let counts = proof.claim(id).is_some_and(|it| it.in_part == in_part);
        if counts && !rest.iter().any(|it| it.test == proof.test) {
            rest.push(proof);
        }
    }
    if rest.is_empty() {
        return "none yet".into();
    }
    let mut first: Vec<&Proof> = Vec::new();
    while first.len() < SHOWN && !rest.is_empty() {
        let other = |proof: &&Proof| !first.iter().any(|it| it.path == proof.path);
        let next = rest.iter().position(other).unwrap_or_default();
        first.push(rest.remove(next));
    }
    let mut text: Vec<_> = first.iter().map(|it| format!("`{}`", it.test)).collect();
    if !rest.is_empty() {
        text.push(format!("and {} more", rest.len()));
    }
    let text = text.join(", ");
    if in_part {
        format!("in part: {text}")
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::super::proofs::Claim;
    use super::*;

    const TEXT: &str = "# Requirements\n\n## C. The shape\n\n| id | requirement | proof |\n|---|---|---|\n\
                        | C1 | One task. | `a.rs::one` |\n| C2 | Many. | none yet |\n\n## Not proved yet\n\n\
                        | id | why |\n|---|---|\n| C2 | not built yet |\n";

    fn proof(test: &str, ids: &[&str]) -> Proof {
        Proof {
            test: test.into(),
            path: test.split("::").next().unwrap_or_default().into(),
            line: 7,
            claims: ids.iter().map(|id| Claim::whole(id)).collect(),
        }
    }

    fn check(text: &str, proofs: &[Proof]) -> Vec<String> {
        let findings = Document::parse(text).check(text, proofs);
        findings.iter().map(Finding::to_string).collect()
    }

    #[track_caller]
    fn one(text: &str, proofs: &[Proof], wanted: &str) {
        let fresh = Document::parse(text).with_proofs(proofs);
        let found = check(&fresh, proofs);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with(wanted), "{}", found[0]);
    }

    #[test]
    fn a_document_that_is_right_is_left_alone() {
        assert_eq!(check(TEXT, &[proof("a.rs::one", &["C1"])]), [""; 0]);
    }

    #[test]
    fn a_document_that_is_out_of_date_is_found_and_mended() {
        let proofs = [proof("b.rs::two", &["C1"])];
        assert_eq!(
            check(TEXT, &proofs),
            [
                "doc/requirements.md:7: requirement: is out of date from here on; run `./x xtask requirements`"
            ]
        );
        let fresh = Document::parse(TEXT).with_proofs(&proofs);
        assert_eq!(fresh, TEXT.replace("a.rs::one", "b.rs::two"));
        let bare = TEXT.replace(" `a.rs::one` |", "");
        assert_eq!(Document::parse(&bare).with_proofs(&proofs), fresh);
    }

    #[test]
    fn a_requirement_without_a_proof_is_found() {
        one(
            TEXT,
            &[],
            "doc/requirements.md:7: requirement: no test proves C1",
        );
    }

    #[test]
    fn an_open_requirement_with_a_proof_is_found() {
        let proofs = [proof("a.rs::one", &["C1"]), proof("a.rs::two", &["C2"])];
        one(
            TEXT,
            &proofs,
            "doc/requirements.md:14: requirement: C2 is proved: `a.rs::two`",
        );
    }

    #[test]
    fn a_proof_of_a_part_leaves_a_requirement_open() {
        let mut part = proof("a.rs::two", &["C2"]);
        part.claims[0].in_part = true;
        let proofs = [proof("a.rs::one", &["C1"]), part.clone()];
        let fresh = Document::parse(TEXT).with_proofs(&proofs);
        assert_eq!(fresh, TEXT.replace("none yet", "in part: `a.rs::two`"));
        assert_eq!(check(&fresh, &proofs), [""; 0]);
        let closed = TEXT.replace("| C2 | not built yet |\n", "");
        one(
            &closed,
            &proofs,
            "doc/requirements.md:8: requirement: no test proves C2",
        );
        let proofs = [part, proof("a.rs::three", &["C2"])];
        assert_eq!(shown("C2", &proofs), "`a.rs::three`");
    }

    #[test]
    fn an_open_requirement_needs_a_reason_and_has_to_exist() {
        let proofs = [proof("a.rs::one", &["C1"])];
        let text = TEXT.replace("| not built yet |", "| |");
        one(
            &text,
            &proofs,
            "doc/requirements.md:14: requirement: does not say why C2",
        );
        let text = format!("{TEXT}| C3 | no such |\n");
        one(
            &text,
            &proofs,
            "doc/requirements.md:15: requirement: C3 is no requirement",
        );
    }

    #[test]
    fn an_id_that_stands_twice_is_found() {
        let text = TEXT.replace("| C2 | Many.", "| C1 | Many.");
        let found = check(&text, &[proof("a.rs::one", &["C1"])]);
        assert!(
            found
                .iter()
                .any(|it| it.contains(":8: requirement: C1 stands more than once"))
        );
    }

    #[test]
    fn few_proofs_are_written_out() {
        let proofs = ["a::1", "a::2", "a::2", "b::3", "c::4", "d::5"].map(|it| proof(it, &["C1"]));
        assert_eq!(shown("C1", &proofs), "`a::1`, `b::3`, `c::4`, and 2 more");
        assert_eq!(shown("C1", &proofs[..3]), "`a::1`, `a::2`");
        assert_eq!(shown("C2", &proofs), "none yet");
    }
}
