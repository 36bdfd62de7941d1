//! doc/requirements.md: what must work, and the tests that prove it
//!
//! The document is the one home of the requirements: a person writes ids, sentences and what is not
//! proved yet, and [`write()`] fills in the column of proofs. A proof is
//!
//! * a tag in the comment of a test, `REQ: ` and ids, each with a remark in parentheses if need be;
//!   with one that begins with `in part`, the requirement is not proved by that test,
//! * a row of the fault matrix in QEMU, which names ids in its last column (doc/fault-matrix.md;
//!   the test `matrix::document` holds that against the rows).
//!
//! [`check`] finds a document that is out of date, a requirement without a proof that the document
//! does not list as not proved yet, one that it lists although there is a proof, and an id that the
//! document does not have, wherever it stands.

mod document;
mod ids;
mod proofs;

use crate::{Finding, SourceTree};
use anyhow::Result;
use document::Document;
use proofs::Proof;
use std::path::Path;

/// The document.
pub const PATH: &str = "doc/requirements.md";
/// The document that lists the rows of the fault matrix.
const MATRIX: &str = "doc/fault-matrix.md";
const RULE: &str = "requirement";

/// What a verb says about the document.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// All requirements.
    pub all: usize,
    /// Those with at least one proof.
    pub proved: usize,
}

/// Fills in the proofs in the document of the tree at `root`.
pub fn write(root: &Path) -> Result<Summary> {
    let tree = SourceTree::open(root)?;
    let document = Document::parse(&tree.read(PATH)?);
    let proofs = proofs(&tree)?.0;
    tree.write(PATH, &document.with_proofs(&proofs))?;
    let ids = document.ids();
    Ok(Summary {
        all: ids.len(),
        proved: ids
            .iter()
            .filter(|id| document::is_proved(id, &proofs))
            .count(),
    })
}

/// What is wrong with the document, and with the ids in the tree.
pub fn check(tree: &SourceTree) -> Result<Vec<Finding>> {
    let text = tree.read(PATH)?;
    let document = Document::parse(&text);
    let (proofs, mut findings) = proofs(tree)?;
    findings.extend(document.check(&text, &proofs));
    let known = document.ids();
    for ending in [".rs", ".md", ".toml", ".idol"] {
        for path in tree.with_ending(ending) {
            findings.extend(ids::check(path, &tree.read(path)?, &known));
        }
    }
    Ok(findings)
}

/// Every proof in the tree, and the tags that name nothing.
fn proofs(tree: &SourceTree) -> Result<(Vec<Proof>, Vec<Finding>)> {
    let (mut proofs, mut findings) = (Vec::new(), Vec::new());
    for path in tree.with_ending(".rs") {
        proofs::tags(path, &tree.read(path)?, &mut proofs, &mut findings);
    }
    if tree.with_ending(MATRIX).next().is_some() {
        proofs.extend(proofs::rows(&tree.read(MATRIX)?));
    }
    Ok((proofs, findings))
}
