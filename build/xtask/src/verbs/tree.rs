//! `lint`'s rules about the source tree, and `requirements`

use crate::output;
use crate::tree::Tree;
use anyhow::{Result, bail};
use build_tree_check::requirements;

/// Prints each place in the source tree that breaks a rule; an error if there is one.
pub fn check(tree: &Tree) -> Result<()> {
    let findings = build_tree_check::check(&tree.root)?;
    for finding in &findings {
        eprintln!("{finding}");
    }
    if !findings.is_empty() {
        bail!("lint: {} places in the tree break a rule", findings.len());
    }
    Ok(())
}

/// Fills in the proofs in doc/requirements.md.
pub fn write_requirements(tree: &Tree) -> Result<()> {
    let summary = requirements::write(&tree.root)?;
    output::print(&format!(
        "{}: {} requirements, {} of them proved by tests\n",
        requirements::PATH,
        summary.all,
        summary.proved
    ))
}
