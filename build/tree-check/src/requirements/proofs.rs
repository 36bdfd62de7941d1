//! Where tests say which requirements they prove

use super::RULE;
use super::ids::is_id;
use crate::Finding;
use crate::comments::comment;

const TAG: &str = "REQ:";
/// So many lines behind a comment the test begins that it belongs to: attributes may stand between.
const NEAR: usize = 12;

/// A test, and what it proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The test: its function with the file, or its name in `./x test`.
    pub test: String,
    /// Where it says so.
    pub path: String,
    /// The line there.
    pub line: usize,
    /// What it proves.
    pub claims: Vec<Claim>,
}

/// A requirement that a test proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The requirement.
    pub id: String,
    /// The test says that it proves no more than a part: the remark behind the id begins with
    /// `in part`.
    pub in_part: bool,
}

impl Claim {
    /// All of a requirement.
    pub fn whole(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            in_part: false,
        }
    }
}

impl Proof {
    /// What the test says of a requirement.
    pub fn claim(&self, id: &str) -> Option<&Claim> {
        self.claims.iter().find(|claim| claim.id == id)
    }
}

/// The tags in the comments of a Rust source. A tag without an id is a finding.
pub fn tags(path: &str, text: &str, proofs: &mut Vec<Proof>, findings: &mut Vec<Finding>) {
    let lines: Vec<&str> = text.lines().collect();
    let mut next = 0;
    while next < lines.len() {
        let block = lines[next..].iter().map_while(|line| comment(line));
        // Words as if nothing were wrapped, and where the block's lines begin in them.
        let (mut words, mut starts) = (String::new(), Vec::new());
        for line in block {
            starts.push(words.len());
            words.push_str(line.trim());
            words.push(' ');
        }
        let begin = next;
        next += starts.len().max(1);
        for (at, _) in words.match_indices(TAG) {
            // `REQ:` as code is a tag that is written about.
            if words[..at].ends_with('`') {
                continue;
            }
            let line = begin + starts.partition_point(|start| *start <= at);
            let claims = claims(&words[at + TAG.len()..]);
            if claims.is_empty() {
                let what = format!(
                    "the tag `{TAG}` has no id after it; write the requirement's, or remove it"
                );
                findings.push(Finding::new(path, line, RULE, what));
                continue;
            }
            proofs.push(Proof {
                test: name(path, lines[begin], &lines[next.min(lines.len())..]),
                path: path.to_owned(),
                line,
                claims,
            });
        }
    }
}

/// The ids that `text` begins with: separated by commas, each with a remark in parentheses or none.
fn claims(mut text: &str) -> Vec<Claim> {
    let mut claims = Vec::new();
    loop {
        text = text.trim_start();
        let end = text
            .find(|c: char| !c.is_ascii_alphanumeric())
            .unwrap_or(text.len());
        let (id, rest) = text.split_at(end);
        if !is_id(id) {
            return claims;
        }
        text = rest.trim_start();
        let mut in_part = false;
        if let Some(remark) = text.strip_prefix('(') {
            in_part = remark.starts_with("in part");
            text = remark.split_once(')').map_or("", |parts| parts.1);
            text = text.trim_start();
        }
        claims.push(Claim {
            id: id.to_owned(),
            in_part,
        });
        match text.strip_prefix(',') {
            Some(rest) => text = rest,
            None => return claims,
        }
    }
}

/// The test that a comment, which begins with the line `first`, belongs to: the function behind it,
/// or the name of a test that is made there. The file, if there is none.
fn name(path: &str, first: &str, behind: &[&str]) -> String {
    let is_doc = ["///", "//!"]
        .iter()
        .any(|marker| first.trim_start().starts_with(marker));
    for line in behind.iter().take(NEAR) {
        if let Some(function) = function(line) {
            return format!("{path}::{function}");
        }
        let literal = line.split('"').nth(1).filter(|it| it.contains("::"));
        if let Some(literal) = literal.filter(|_| !is_doc) {
            return literal.to_owned();
        }
    }
    path.to_owned()
}

/// The function that a line declares.
fn function(line: &str) -> Option<&str> {
    let (before, after) = line.split_once("fn ")?;
    let is_declaration = before
        .split_whitespace()
        .all(|word| ["pub", "const", "async"].contains(&word) || word.starts_with("pub("));
    let end = after.find(['(', '<'])?;
    is_declaration.then_some(&after[..end])
}

/// The rows of the fault matrix in QEMU, each a test.
pub fn rows(text: &str) -> Vec<Proof> {
    let mut in_qemu = false;
    let mut proofs = Vec::new();
    for (line, row) in (1..).zip(text.lines()) {
        if row.starts_with("## ") {
            in_qemu = row.starts_with("## QEMU");
        }
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let [_, id, .., ids, _] = &cells[..] else {
            continue;
        };
        let ids: Vec<_> = ids.split_whitespace().collect();
        let id = id.strip_prefix('`').and_then(|id| id.strip_suffix('`'));
        if let Some(id) = id
            && in_qemu
            && ids.iter().all(|id| is_id(id))
        {
            proofs.push(Proof {
                test: format!("matrix::{id}"),
                path: super::MATRIX.to_owned(),
                line,
                claims: ids.iter().map(|id| Claim::whole(id)).collect(),
            });
        }
    }
    proofs
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The ids, those that are proved in part with a question mark.
    fn shown(claims: &[Claim]) -> String {
        let shown = claims
            .iter()
            .map(|it| format!("{}{}", it.id, if it.in_part { "?" } else { "" }));
        shown.collect::<Vec<_>>().join(" ")
    }

    /// The tags of a source in which `TAG` stands for one, and how many have no id.
    fn found(text: &str) -> (Vec<(String, String)>, usize) {
        let (mut proofs, mut findings) = (Vec::new(), Vec::new());
        let text = text.replace("TAG", TAG);
        tags("a.rs", &text, &mut proofs, &mut findings);
        let proofs = proofs.into_iter();
        let proofs = proofs.map(|it| (it.test, format!("{}: {}", it.line, shown(&it.claims))));
        (proofs.collect(), findings.len())
    }

    fn one(text: &str, test: &str, ids: &str) {
        let expected = vec![(test.to_owned(), ids.to_owned())];
        assert_eq!(found(text), (expected, 0), "{text}");
    }

    #[test]
    fn a_tag_belongs_to_the_function_behind_it() {
        one("/// TAG M8\n#[test]\nfn a() {}", "a.rs::a", "1: M8");
        one(
            "fn b() {}\n\n    /// What it shows. TAG P6, X3: a reason.\n    #[test]\n    pub(crate) async fn c<T>() {}",
            "a.rs::c",
            "3: P6 X3",
        );
        one("//! TAG M8\n\nuse a::b;\n", "a.rs", "1: M8");
        one("/// * TAG M8 (why)\nconst fn a() {}", "a.rs::a", "1: M8");
    }

    #[test]
    fn a_tag_within_code_belongs_to_the_test_that_is_made_there() {
        one(
            "    // TAG M1\n    trial(bench, \"proof::path\", |_| {})",
            "proof::path",
            "1: M1",
        );
        one(
            "/// TAG M1\nconst A: &str = \"a::b\";\nfn c() {}",
            "a.rs::c",
            "1: M1",
        );
    }

    #[test]
    fn ids_end_where_the_sentence_begins() {
        for (text, wanted) in [
            ("M5 (every wait, also this), X1", "M5 X1"),
            ("C5. Unmodified", "C5"),
            ("M2: a card", "M2"),
            ("P9, X7: M8", "P9 X7"),
            ("K1 (not closed", "K1"),
            ("D4 (in part: what there is), M8", "D4? M8"),
        ] {
            assert_eq!(shown(&claims(text)), wanted);
        }
        one(
            "/// TAG M5 (every\n/// wait), X1\nfn a() {}",
            "a.rs::a",
            "1: M5 X1",
        );
    }

    #[test]
    fn several_tags_may_stand_in_one_comment() {
        let (proofs, _) = found("/// Text.\n/// TAG X6\n/// TAG P3\n/// More.\nfn a() {}");
        let lines: Vec<_> = proofs.into_iter().map(|it| it.1).collect();
        assert_eq!(lines, ["2: X6", "3: P3"]);
    }

    #[test]
    fn a_tag_without_an_id_is_found() {
        assert_eq!(found("/// TAG this\nfn a() {}"), (vec![], 1));
        assert_eq!(
            found("/// A test says `TAG` and ids.\nfn a() {}"),
            (vec![], 0)
        );
        assert_eq!(found("let a = \"TAG\";"), (vec![], 0));
    }

    #[test]
    fn rows_of_the_matrix_are_tests() {
        let text = "## QEMU: 1 rows\n\n| row | who | requirements |\n|---|---|---|\n| `card-gone` | a | P6 X3 |\n\n\
                    ## host: 1 rows\n\n| `many` | a | M2 |\n";
        let rows = rows(text);
        assert_eq!(rows.len(), 1);
        assert_eq!((&*rows[0].test, rows[0].line), ("matrix::card-gone", 5));
        assert_eq!(shown(&rows[0].claims), "P6 X3");
    }
}
